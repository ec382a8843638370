"""Receivers that misbehave, on a free loopback port. The one that behaves is carbon itself, in tests/real."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket, list[bytes]], None]


def read_all(connection: socket.socket, received: list[bytes]) -> None:
    """What carbon does: reads to the end-of-stream, then closes."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    if data:  # not the idle connection beside the deliveries
        received.append(data)


def reset(connection: socket.socket, received: list[bytes]) -> None:
    """Reads a little, then resets the connection."""
    received.append(connection.recv(100))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_at_once(connection: socket.socket, received: list[bytes]) -> None:
    """Closes without reading."""


def say_hello(connection: socket.socket, received: list[bytes]) -> None:
    """Is no carbon: greets, then reads everything."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    read_all(connection, received)


class Peer:
    """The listening receiver: `port`, and what each connection brought in `received`."""

    def __init__(self, host: str, behaviour: Behaviour, port: int = 0) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self.behaviour = behaviour
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.listen(8)
        self.port = self._socket.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.behaviour(connection, self.received)
        self._open.discard(connection)

    @property
    def open(self) -> int:
        """Connections that have not ended."""
        return len(self._open)

    def hang_up(self) -> None:
        """Ends the connections that are open, as a process does that dies."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listens no more, and ends all connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        self.hang_up()


@contextlib.contextmanager
def peer(behaviour: Behaviour = read_all, host: str = "127.0.0.1", port: int = 0) -> Iterator[Peer]:
    """A receiver for the length of a with statement."""
    running = Peer(host, behaviour, port)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """The port of a receiver that never accepts and never reads."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        yield listening.getsockname()[1]


_closed: list[socket.socket] = []


def closed_port() -> int:
    """A port that refuses connections for as long as this process lives: it is bound, so that nobody else gets it."""
    _closed.append(socket.socket())
    _closed[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _closed[-1].bind(("127.0.0.1", 0))
    return int(_closed[-1].getsockname()[1])
