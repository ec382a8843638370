"""A private statsd (the original one, from npm, see bin/lib/install) on loopback, over UDP and TCP, whose gauges can be asked for."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort, StackError, wait_until
from tests.stack.place import base, free_port, give

_GAUGE = re.compile(r"(?:'([^']*)'|(\w+)): (-?[\d.e+-]+)")
"""As node shows the members of an object."""


class Statsd(OnFreePort):
    """Its ports stay the same over stop() and start(); `port` is that of both protocols."""

    def __init__(self, root: Path, user: str | None = None) -> None:
        self.folder = root / "statsd"
        self._root, self._user = root, user
        self.port = self.management_port = 0
        self.daemon: Daemon | None = None

    def _start(self) -> None:
        if not self.port:
            self.port, self.management_port = free_port(), free_port()
        node = shutil.which("node")
        program = base() / "statsd" / "node_modules" / "statsd" / "stats.js"
        if not node or not program.exists():
            raise StackError("statsd is not installed; run bin/lib/install --test")
        self.folder.mkdir(parents=True, exist_ok=True)
        where = {"address": "127.0.0.1", "port": self.port}
        config = {
            "servers": [{"server": "./servers/udp", **where}, {"server": "./servers/tcp", **where}],
            "mgmt_address": "127.0.0.1",
            "mgmt_port": self.management_port,
            "backends": [],
            "flushInterval": 3_600_000,
        }
        (self.folder / "config.js").write_text(json.dumps(config), encoding="ascii")
        give(self.folder, self._user)
        daemon = self.daemon = Daemon(
            "statsd",
            [node, program, self.folder / "config.js"],
            self._root / "log" / "statsd.log",
            user=self._user,
            root=self._root,
        )
        daemon.start()
        ports = (self.port, self.management_port)
        daemon.wait_ready(lambda: all(map(daemon.listens, ports)), 20, "statsd accepts connections", ports)
        wait_until(lambda: self.gauges() is not None, 10, "statsd answers")

    def gauges(self) -> dict[str, float]:
        """Names and values of all gauges."""
        with socket.create_connection(("127.0.0.1", self.management_port), timeout=10) as connection:
            connection.sendall(b"gauges\n")
            data = b""
            while not data.endswith(b"END\n\n"):
                if not (more := connection.recv(65536)):
                    raise StackError(f"statsd said only {data[:80]!r}")
                data += more
        return {one[1] or one[2]: float(one[3]) for one in _GAUGE.finditer(data.decode())}

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()

    def kill(self) -> None:
        """Ends it without a warning; its gauges are lost."""
        if self.daemon:
            self.daemon.kill()
