"""Nagios's end of the query socket, for tests of the broker without a Nagios: it takes workers, hands out jobs and takes results."""

from __future__ import annotations

import socket
from pathlib import Path

PATIENCE = 20.0


class NagiosEnd:
    """One run of Nagios. Everything waits at most PATIENCE seconds, and then fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(5)
        self._listening.settimeout(PATIENCE)
        self.workers: list[Worker] = []

    def worker(self) -> Worker:
        """The next one that registers."""
        found = Worker(self._listening.accept()[0])
        self.workers.append(found)
        return found

    def end(self) -> None:
        """As when Nagios is stopped."""
        for worker in self.workers:
            worker.socket.close()
        self._listening.close()


class Worker:
    """A connection, as Nagios sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE)
        self.asked = self._until(b"\0").decode()
        connection.sendall(b"OK\0")
        self.broken = False

    def hand(self, job_id: int, command: str, service: str = "disk", kind: int = 0, timeout: int = 60) -> None:
        """Hands over a job."""
        env = f"NAGIOS_HOSTNAME=web01\nNAGIOS_SERVICEDESC={service}\n"
        pairs = {"job_id": job_id, "type": kind, "command": command, "timeout": timeout, "env": env}
        self.socket.sendall("".join(f"{name}={value}\0" for name, value in pairs.items()).encode() + b"\1\0\0\0")

    def result(self) -> dict[str, str]:
        """The next result."""
        message = self._until(b"\1\0\0\0").decode()
        return dict(pair.split("=", 1) for pair in message.split("\0") if pair)

    def ended(self) -> bool:
        """Waits for the end of what the worker sends."""
        return self.socket.recv(1) == b""

    def _until(self, end: bytes) -> bytes:
        found = b""
        while not found.endswith(end):
            byte = self.socket.recv(1)
            if not byte:
                raise EOFError(f"it hung up after {found!r}")
            found += byte
        return found.removesuffix(end)
