"""A TCP proxy on loopback that does to a connection what networks, middleboxes and dying receivers do to it.

The test sets its attributes at any time; they are looked at before every piece of data that is passed on. It keeps what it passed on, so that a
test can count copies. All of it ends with close(), or with the `with` block.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType

from tests.stack.place import free_port

_PIECE = 65536


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to `target` there."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.port = port or free_port()
        self.cut_after: int | None = None
        """Each connection is cut, on both sides, when so many bytes of the client's were passed on. 0: without reading anything."""
        self.reset = False
        """A cut is always a TCP reset (RST); otherwise what close() makes: the end of the stream (FIN), or RST where data were unread."""
        self.delay = 0.0
        """Seconds before each piece, in both directions."""
        self.piece = _PIECE
        """Bytes that are passed on at a time."""
        self.reading = True
        """Whether it reads what the client sends."""
        self.swallows_half_close = False
        """The client's end of stream is not passed on: the receiver waits for more, and never closes."""
        self.garbage = b""
        """What every new connection is answered at once."""
        self.holds_next = False
        """The next connection on which data come is taken in completely, and held back until release()."""
        self.connections = 0
        """How many were taken."""
        self.received: list[bytearray] = []
        """What was passed on, connection by connection."""
        self._held: list[threading.Event] = []
        self._closed = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.listen()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bytes_passed(self) -> int:
        """Of the client's data, over all connections."""
        return sum(len(data) for data in self.received)

    def lines(self) -> list[str]:
        """Every whole line that was passed on, over all connections; a line that was sent twice is there twice."""
        found: list[str] = []
        for data in list(self.received):
            found += bytes(data).decode("ascii", "replace").split("\n")[:-1]
        return found

    def listen(self) -> None:
        """Takes connections (again, after refuse())."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """Nobody listens any more: connections are refused. Those that are open stay."""
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def cut_all(self) -> None:
        """Cuts every connection now."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            self._end(connection)

    def release(self) -> None:
        """Lets go on what was held back."""
        while self._held:
            self._held.pop().set()

    def mend(self) -> None:
        """From now on it passes everything on unchanged, what was held back as well."""
        self.cut_after, self.reset, self.delay, self.piece = None, False, 0.0, _PIECE
        self.reading, self.swallows_half_close, self.garbage, self.holds_next = True, False, b"", False
        self.release()

    def close(self) -> None:
        """Ends it, with all its connections."""
        self._closed = True
        self.refuse()
        self.release()
        self.cut_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self.cut_after == 0:
                return
            if self.garbage:
                client.sendall(self.garbage)
            with socket.create_connection(("127.0.0.1", self.target), timeout=20) as server:
                server.settimeout(None)
                with self._lock:
                    self._open.add(server)
                threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
                self._pass(client, server)
        except OSError:
            pass
        finally:
            self._end(client)

    def _hold(self, client: socket.socket, first: bytes) -> bytes:
        """What the client sends until it ends or gives up; returns when release() was called."""
        self.holds_next = False
        released = threading.Event()
        self._held.append(released)
        taken = bytearray(first)
        with contextlib.suppress(OSError):
            while data := client.recv(_PIECE):
                taken += data
        released.wait()
        return bytes(taken)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Client to receiver, until the client's end, a cut or an error."""
        kept = bytearray()
        self.received.append(kept)
        while not self._closed:
            while not self.reading and not self._closed:
                time.sleep(0.01)
            # What is not passed on stays unread, as with a process that dies: what was read and thrown away, nobody could tell from delivered.
            left = None if self.cut_after is None else self.cut_after - len(kept)
            if left is not None and left <= 0:
                self._end(server)
                return
            data = client.recv(self.piece if left is None else min(self.piece, left))
            if not data:
                break
            if self.delay:
                time.sleep(self.delay)
            if self.holds_next:
                data = self._hold(client, data)
            server.sendall(data)
            kept += data
        if self.swallows_half_close:
            while self.swallows_half_close and not self._closed:
                time.sleep(0.01)
            return
        server.shutdown(socket.SHUT_WR)
        while not self._closed and server in self._open:
            time.sleep(0.005)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        """Receiver to client, until the receiver's end."""
        with contextlib.suppress(OSError):
            while data := server.recv(_PIECE):
                time.sleep(self.delay)
                client.sendall(data)
            time.sleep(self.delay)
        self._end(client)
        self._end(server)

    def _end(self, connection: socket.socket) -> None:
        with self._lock:
            if connection not in self._open:
                return
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            if self.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Wakes whoever waits in recv(), without which close() would not take effect. Nothing is sent by this.
            connection.shutdown(socket.SHUT_RD)
        connection.close()
