"""A private server of nsca-ng on loopback, which writes into the command file of a Nagios, and its client send_nsca; TLS with a shared key."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort
from tests.stack.place import free_port, give

SERVER = "/usr/sbin/nsca-ng"
SEND_NSCA = "/usr/sbin/send_nsca"

# `services` are regular expressions for SERVICE@HOST, see nsca-ng.cfg(5).
CONFIG = """\
listen = "127.0.0.1:{port}"
command_file = "{command_file}"
temp_directory = "{folder}"
log_level = 3
authorize "{identity}" {{
  password = "{password}"
  services = "{services}"
}}
"""

CLIENT_CONFIG = """\
identity = "{identity}"
password = "{password}"
server = "127.0.0.1"
port = {port}
timeout = 10
"""


class Nsca(OnFreePort):
    """nsca-ng's server: what send_nsca brings goes into `command_file`, a named pipe."""

    def __init__(
        self,
        root: Path,
        command_file: Path,
        user: str | None = None,
        *,
        services: str = ".+@.+",
        name: str = "nsca",
    ) -> None:
        """`services`: a regular expression for SERVICE@HOST; what it does not match is refused."""
        self.folder = root / name
        self.name = name
        self.port = 0
        self.daemon: Daemon | None = None
        self.client_config = self.folder / "send_nsca.cfg"
        self._command_file, self._services = command_file, services
        self._root, self._user = root, user

    @property
    def submit(self) -> str:
        """The shell line that hands results in: a value of --submit."""
        return f"{SEND_NSCA} -c {shlex.quote(str(self.client_config))}"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        path = self._root / "log" / f"{self.name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _start(self) -> None:
        self.port = self.port or free_port()
        self.prepare()
        log = self._root / "log" / f"{self.name}.log"
        argv: list[str | Path] = [SERVER, "-F", "-c", self.folder / "nsca-ng.cfg"]
        daemon = self.daemon = Daemon(self.name, argv, log, user=self._user, root=self._root)
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 10, "nsca-ng accepts connections", (self.port,))

    def prepare(self) -> None:
        """Writes the configuration of server and client; start() does it, too."""
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        given = {"identity": "node", "password": "a throwaway key", "port": self.port, "folder": self.folder}
        server = CONFIG.format(command_file=self._command_file, services=self._services, **given)
        (self.folder / "nsca-ng.cfg").write_text(server, encoding="utf-8")
        self.client_config.write_text(CLIENT_CONFIG.format(**given), encoding="utf-8")
        for path in self.folder.iterdir():
            path.chmod(0o600)
        give(self.folder, self._user)

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()
