"""A resident engine (`testbed-checks serve`) with a folder of commands, a spool, and a file in which a submit command collects what it is given."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.stack import processes
from tests.stack.daemon import Daemon, wait_until
from tests.stack.place import command, give, socket_folder

PATIENCE = 60.0

# As sd_listen_fds(3) says.
ACTIVATE = """\
import os, socket, sys
os.umask(0o177)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.umask(0o022)
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="testbed-checks.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Handed(NamedTuple):
    """One result as send_nsca's format has it."""

    service: str
    code: int
    text: str


class Resident:
    """testbed-checks serve, as a user without privileges."""

    def __init__(
        self, root: Path, user: str | None = None, *, name: str = "resident", prefix: Sequence[str] = ()
    ) -> None:
        """`prefix` goes before its command line (Mounts.enter)."""
        self.folder = root / name
        self.commands, self.spool, self.state = (self.folder / part for part in ("nrpe.d", "spool", "state"))
        self.collected = self.state / "collected"
        self.socket = socket_folder(root) / name / "engine.sock"
        self.name = name
        self._root, self._user, self._prefix = root, user, prefix
        self._notified: socket.socket | None = None
        self._notify_name = ""
        self._said: list[str] = []
        self.daemon: Daemon | None = None
        for path in (self.commands, self.spool, self.state, self.socket.parent):
            path.mkdir(parents=True, exist_ok=True)
        self.socket.parent.chmod(0o755)
        give(self.folder, user)
        give(self.socket.parent, user)

    @property
    def collecting(self) -> str:
        """A submit command: collects what it is given, and ends each batch with an ETB as well."""
        file = shlex.quote(str(self.collected))
        return f"{{ cat; printf '\\027'; }} >> {file}"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        path = self._root / "log" / f"{self.name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def write(self, name: str, *blocks: str) -> None:
        """A file in the folder of commands, whole as soon as it is there."""
        hidden = self.commands / f".{name}.new"
        hidden.write_text("".join(f"{block}\n" for block in blocks), encoding="utf-8")
        hidden.chmod(0o644)
        hidden.rename(self.commands / name)

    def start(
        self, *options: str | Path, environment: Mapping[str, str] | None = None, activated: bool = False
    ) -> None:
        """Starts it and waits until it says that it is ready; `activated`: its socket is handed to it, as systemd does. Raises StackError."""
        self._listen()
        argv: list[str | Path] = [*self._prefix, command("testbed-checks"), "serve"]
        argv += ["--commands", self.commands, "--host", "node", *options]
        if activated:
            argv = [command("python3"), "-c", ACTIVATE, self.socket, *argv]
        else:
            argv += ["--socket", self.socket]
        log = self._root / "log" / f"{self.name}.log"
        env = {"NOTIFY_SOCKET": f"@{self._notify_name}", "STATE_DIRECTORY": str(self.state)}
        env |= environment or {}
        self.daemon = Daemon(self.name, argv, log, env, user=self._user, root=self._root)
        self.daemon.start()
        self.daemon.wait_ready(lambda: self.said("READY=1"), PATIENCE, "the engine is ready")

    def _listen(self) -> None:
        self._said.clear()
        if self._notified:
            self._notified.close()
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify_name = f"testbed-{os.getpid()}-{id(self._notified)}"
        self._notified.bind(f"\0{self._notify_name}")
        self._notified.setblocking(False)

    def said(self, text: str) -> bool:
        """Whether it told systemd this, so far."""
        assert self._notified
        with contextlib.suppress(BlockingIOError):
            while True:
                self._said.append(self._notified.recv(65536).decode("utf-8", "replace"))
        return any(text in message for message in self._said)

    def signs(self) -> int:
        """How many signs of life it gave."""
        self.said("")
        return sum("WATCHDOG=1" in message for message in self._said)

    def forget_said(self) -> None:
        """What it told systemd until now no longer counts."""
        self.said("")
        self._said.clear()

    def wait(self, predicate: Callable[[], object], what: str) -> None:
        """Waits; gives up with its log when it dies."""
        assert self.daemon
        self.daemon.wait_ready(predicate, PATIENCE, what)

    def handed(self) -> list[Handed]:
        """What the submit command was given so far, whole batches only."""
        try:
            text = self.collected.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        records = [record for record in text.split("\x17")[:-1] if record]
        fields = [record.rstrip("\n").split("\t", 3) for record in records]
        return [Handed(service, int(code), words) for _, service, code, words in fields]

    def services(self) -> set[str]:
        """The names of what was handed on."""
        return {one.service for one in self.handed()}

    def spooled(self) -> list[dict[str, str]]:
        """The fields of each line in the spool."""
        found = []
        for path in sorted(self.spool.glob("service-perfdata.*")):
            for line in path.read_text(encoding="utf-8").splitlines():
                found.append(dict(field.split("::", 1) for field in line.split("\t")))
        return found

    def children(self) -> list[int]:
        """Its fork server and all that this started."""
        assert self.daemon
        return [pid for pid in processes.processes_of(self._root) if _descends(pid, self.daemon.pid)]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it by a signal and waits for its end, by itself."""
        assert self.daemon
        self.daemon.kill(number)
        wait_until(lambda: self.daemon is None or not self.daemon.alive(), PATIENCE, "the engine ends")

    def close(self) -> None:
        """The end of the test."""
        if self.daemon:
            self.daemon.stop()
        if self._notified:
            self._notified.close()


def _descends(pid: int, ancestor: int) -> bool:
    for _ in range(20):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return False
        pid = int(stat[1])
        if pid == ancestor:
            return True
        if pid <= 1:
            return False
    return False


def scheduled(name: str, line: str, interval: str = "1") -> str:
    """The lines of a command with an interval."""
    return f"# interval={interval}\ncommand[{name}]={line}"
