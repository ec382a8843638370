"""A private Tahoe-LAFS grid (the real one from PyPI, see bin/lib/install) on loopback: introducer, storage nodes, and a client."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.stack.daemon import Daemon, OnFreePort, StackError, accepts, wait_until
from tests.stack.place import base, free_port, give

# Five of them may start at once, beside other tests.
_PATIENCE = 90.0
# Between two questions, which cost a node some milliseconds of CPU.
_PAUSE = 0.1
# What its command `tahoe` does. Every node has a port for its log as well, on all addresses of the machine and without a setting for that.
_TAHOE = """
import socket, sys
from types import SimpleNamespace
from allmydata.scripts.runner import run
from allmydata.util import iputil

class Loopback(socket.socket):
    def bind(self, address):
        super().bind(("127.0.0.1", *address[1:]))

iputil.socket = SimpleNamespace(**{**vars(socket), "socket": Loopback})
sys.argv[0] = "tahoe"
sys.exit(run())
"""


class TahoeNode(OnFreePort):
    """One process of the grid. Its ports and identity stay the same over stop() or kill() and start().

    A node offers storage where `storage` is not None: then it holds the settings of [storage] in tahoe.cfg, which are read at start().
    """

    kind = "client"

    def __init__(
        self,
        root: Path,
        name: str,
        user: str | None = None,
        furl: str = "",
        storage: dict[str, str] | None = None,
        client: dict[str, str] | None = None,
    ) -> None:
        """`furl`: the introducer's address; `client`: the settings of [client]."""
        self.name, self.furl, self.storage, self.client = name, furl, storage, client or {}
        self.folder = root / "tahoe" / name
        self._root, self._user = root, user
        self.port = self._tub_port = 0
        self.daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Address of its web port, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        python = base() / "tahoe" / "bin" / "python3"
        if not python.exists():
            raise StackError("Tahoe-LAFS is not installed; run bin/lib/install --test")
        if not self.port:
            self.port, self._tub_port = free_port(), free_port()
        self._configure()
        # Without the option it ends as soon as its standard input does.
        argv: list[str | Path] = [python, "-c", _TAHOE, "run", "--allow-stdin-close", self.folder]
        name = f"tahoe-{self.name}"
        log = self._root / "log" / f"{name}.log"
        daemon = self.daemon = Daemon(name, argv, log, user=self._user, root=self._root)
        daemon.start()
        daemon.wait_ready(self._ready, _PATIENCE, f"Tahoe-LAFS's {self.name} answers", (self.port, self._tub_port))

    def _configure(self) -> None:
        """Writes what `tahoe create-node` and `tahoe create-client` would."""
        tub = (f"tcp:{self._tub_port}:interface=127.0.0.1", f"tcp:127.0.0.1:{self._tub_port}")
        port, location = tub if self._serves else ("disabled", "disabled")
        sections = {
            "node": {
                "nickname": self.name,
                "web.port": f"tcp:{self.port}:interface=127.0.0.1",
                "tub.port": port,
                "tub.location": location,
            },
            "client": self.client,
            "storage": {"enabled": str(self.storage is not None).lower(), **(self.storage or {})},
        }
        if self.kind == "introducer":
            del sections["client"], sections["storage"]
        (self.folder / "private").mkdir(parents=True, exist_ok=True)
        # Only its name is looked at: it says what kind of node this is.
        (self.folder / f"tahoe-{self.kind}.tac").touch()
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
            for section, settings in sections.items()
        )
        (self.folder / "tahoe.cfg").write_text(text, encoding="utf-8")
        if self.furl:
            introducers = f"introducers:\n  default:\n    furl: {self.furl}\n"
            (self.folder / "private" / "introducers.yaml").write_text(introducers, encoding="utf-8")
        give(self.folder, self._user)

    @property
    def _serves(self) -> bool:
        return self.storage is not None

    def _ready(self) -> bool:
        if not (self.daemon and self.daemon.listens(self.port)):
            time.sleep(_PAUSE)
            return False
        if self._serves and not self.daemon.listens(self._tub_port):
            # It would go on without a port that is taken.
            if accepts(self._tub_port) and not self.daemon.listens(self._tub_port):
                self.daemon.kill()
            return False
        try:
            self.tell("?t=json")
        except StackError:
            return False
        return True

    def tell(self, question: str) -> Any:
        """The JSON document at a path of its web port. Raises StackError."""
        try:
            return json.loads(self._ask(question))
        except ValueError as error:
            raise StackError(f"{self.name}: {question}: {error}") from error

    def _ask(self, question: str, data: bytes | None = None, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"{self.url}/{question}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            raise StackError(f"{self.name}: {question}: {error}: {error.read()[-300:]!r}") from error
        except OSError as error:
            raise StackError(f"{self.name}: {question}: {error}") from error

    def upload(self, data: bytes) -> str:
        """The capability of an immutable file with this content. Raises StackError where the grid does not take it."""
        return self._ask("uri", data, "PUT").decode("ascii")

    def download(self, capability: str) -> bytes:
        """The content of a file."""
        return self._ask(f"uri/{capability}")

    def make_directory(self) -> str:
        """The capability of a new directory, which is a mutable file."""
        return self._ask("uri?t=mkdir", b"", "POST").decode("ascii")

    def servers(self) -> dict[str, dict[str, Any]]:
        """What it knows of each storage server, by nickname."""
        return {server["nickname"]: server for server in self.tell("?t=json")["servers"]}

    def connected(self) -> set[str]:
        """The nicknames of the storage servers it is connected to."""
        return {name for name, server in self.servers().items() if _connected(server["connection_status"])}

    def reaches_introducer(self) -> bool:
        """Whether it is connected to the introducer."""
        return any(map(_connected, self.tell("?t=json")["introducers"]["statuses"]))

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()

    def kill(self) -> None:
        """Ends it without a warning."""
        if self.daemon:
            self.daemon.kill()

    def pause(self) -> None:
        """It keeps its sockets open and never answers."""
        if self.daemon:
            self.daemon.pause()

    def resume(self) -> None:
        """The end of pause()."""
        if self.daemon:
            self.daemon.resume()

    def restart(self) -> None:
        """Ends it and starts it with the settings it has now."""
        self.stop()
        self.start()


class TahoeIntroducer(TahoeNode):
    """Tells clients of storage nodes; `furl` is what they call it by, known once it runs."""

    kind = "introducer"

    @property
    def _serves(self) -> bool:
        return True

    def _ready(self) -> bool:
        path = self.folder / "private" / "introducer.furl"
        if not (super()._ready() and path.exists()):
            return False
        self.furl = path.read_text(encoding="ascii").strip()
        return bool(self.furl)


class TahoeGrid:
    """`introducer`, three storage nodes (storage1 ...), and `client`, whose uploads need two servers that take shares and use up to three."""

    def __init__(self, root: Path, user: str | None = None) -> None:
        self.introducer = TahoeIntroducer(root, "introducer", user)
        self.storage = [
            TahoeNode(root, f"storage{number}", user, storage={"reserved_space": "1M"}) for number in (1, 2, 3)
        ]
        encoding = {"shares.needed": "1", "shares.happy": "2", "shares.total": "3"}
        self.client = TahoeNode(root, "client", user, client=encoding)

    @property
    def nodes(self) -> list[TahoeNode]:
        """All but the introducer."""
        return [*self.storage, self.client]

    def start(self) -> None:
        """Starts it, or what of it does not run, and waits until the client is connected to all storage nodes. Raises StackError."""
        start_all([self.introducer])
        for node in self.nodes:
            node.furl = self.introducer.furl
        start_all(self.nodes)
        self.wait_for_servers(node.name for node in self.storage)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Waits until the condition holds. Raises StackError, which says `what`, when it does not within a minute."""

        def holds() -> bool:
            if condition():
                return True
            time.sleep(_PAUSE)
            return False

        wait_until(holds, 60, what)

    def wait_for_servers(self, names: Iterable[str]) -> None:
        """Waits until the client is connected to exactly these storage nodes."""
        wanted = set(names)
        self.wait(lambda: self.client.connected() == wanted, f"the client reaches {sorted(wanted)} and no others")

    def wait_for_introducer(self) -> None:
        """Waits until every node is connected to the introducer."""
        self.wait(lambda: all(node.reaches_introducer() for node in self.nodes), "every node reaches the introducer")

    def stop(self) -> None:
        """Ends all of it."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(TahoeNode.stop, [*self.nodes, self.introducer]))


def start_all(nodes: Sequence[TahoeNode]) -> None:
    """Starts those that don't run, side by side. Raises StackError."""
    waiting = [node for node in nodes if not (node.daemon and node.daemon.alive())]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(TahoeNode.start, waiting))


def _connected(status: str) -> bool:
    """Whether one of Tahoe's texts says so (allmydata/util/connection_status.py, storage_client.py)."""
    return status.lower() == "connected" or status.lower().startswith(("connected to ", "connected via "))
