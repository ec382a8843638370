"""A private carbon-c-relay on loopback, in front of a carbon."""

from __future__ import annotations

from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort
from tests.stack.place import free_port, give

CONFIG = """\
cluster store forward
    127.0.0.1:{target}
    ;
match * send to store stop;
listen
    type linemode
        127.0.0.1:{port} proto tcp
    ;
"""

TLS = """\
listen
    type linemode transport plain ssl {certificate}
        127.0.0.1:{port} proto tcp
    ;
"""


class Relay(OnFreePort):
    """carbon-c-relay; its ports stay the same over stop() and start(). A `certificate` (with its key in the file) gives it `tls_port` too."""

    def __init__(self, root: Path, target: int, user: str | None = None, certificate: Path | None = None) -> None:
        self.folder = root / "relay"
        self._root, self._user, self._target, self._certificate = root, user, target, certificate
        self.port = self.tls_port = 0
        self.daemon: Daemon | None = None

    def _start(self) -> None:
        if not self.port:
            self.port, self.tls_port = free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(target=self._target, port=self.port)
        ports = [self.port]
        if self._certificate:
            certificate = self.folder / "certificate.pem"
            certificate.write_bytes(self._certificate.read_bytes())
            text += TLS.format(certificate=certificate, port=self.tls_port)
            ports.append(self.tls_port)
        (self.folder / "relay.conf").write_text(text, encoding="ascii")
        give(self.folder, self._user)
        log = self._root / "log" / "relay.log"
        argv: list[str | Path] = ["/usr/bin/carbon-c-relay", "-f", self.folder / "relay.conf", "-w", "1", "-H", "relay"]
        daemon = self.daemon = Daemon("relay", argv, log, user=self._user, root=self._root)
        daemon.start()
        daemon.wait_ready(lambda: all(map(daemon.listens, ports)), 20, "carbon-c-relay accepts connections", ports)

    def stop(self) -> None:
        """Ends it; what it has queued is sent first."""
        if self.daemon:
            self.daemon.stop(patience=10)
