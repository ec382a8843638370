"""What the doubles have in common: a TCP or UDP socket on 127.0.0.1, threads behind it, and manners in which an answer is given or not."""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

# How an answer goes out; "whole" is the healthy one.
MANNERS = ("whole", "silent", "empty", "drip", "pieces", "cut", "junk", "reset")
JUNK = b"HTTP/1.0 400 Bad Request\r\n\r\n\x00\xff|<b>\x1b[2J"


class Serving:
    """A double: bound when it is made, serving from `with` (or start) on; `manner` may be changed at any time."""

    kind = socket.SOCK_STREAM

    def __init__(self, port: int = 0, manner: str = "whole") -> None:
        self.manner = manner
        self.requests: list[bytes] = []
        """What was asked, the oldest first, for the tests to look at."""
        self.stopped = threading.Event()
        """Set when it has ended: no connection is taken any more."""
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._socket = socket.socket(socket.AF_INET, self.kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to serve."""
        if self.kind == socket.SOCK_STREAM:
            self._socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """End: connections are closed, and new ones are refused; who names the port may serve there again."""
        self._ended.set()
        for one in [self._socket, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        if self.kind == socket.SOCK_STREAM:
            self._hold()
        self.stopped.set()

    def _hold(self) -> None:
        """Keep the port bound: whoever asks for any free one would get it, and answer for this double."""
        self._socket = socket.socket(socket.AF_INET, self.kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            self._socket.bind(("127.0.0.1", self.port))

    def converse(self, connection: socket.socket) -> None:
        """Read a request and answer it by `answer`; runs in a thread of its own and may raise OSError."""
        raise NotImplementedError

    def answer(self, connection: socket.socket, data: bytes, manner: str = "") -> None:
        """Give an answer in the present manner, or in another."""
        manner = manner or self.manner
        if manner == "whole":
            connection.sendall(data)
        elif manner == "silent":
            self._ended.wait()
        elif manner in ("drip", "pieces"):
            step = 1 if manner == "drip" else 1000
            for start in range(0, len(data), step):
                connection.sendall(data[start : start + step])
                if self._ended.wait(0.001):
                    return
        elif manner == "cut":
            connection.sendall(data[: max(len(data) // 2, 1)])
        elif manner == "junk":
            connection.sendall(JUNK)
        elif manner == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError, EOFError):
                self.converse(connection)
        finally:
            self._open.discard(connection)


def run(double: Serving) -> None:
    """Serve as a process, until it is killed; the first line of output is the port."""
    with double:
        print(double.port, flush=True)
        while True:
            time.sleep(3600)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options every double has as a process: --port and --manner."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--manner", choices=MANNERS, default="whole")
    return parser


def received(connection: socket.socket, number: int) -> bytes:
    """Return exactly `number` bytes. Raises EOFError where the peer closes before, and TimeoutError as the socket says."""
    data = b""
    while len(data) < number:
        chunk = connection.recv(number - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
