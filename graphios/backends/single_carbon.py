"""Delivery to carbon's plaintext port, with an acknowledgement.

The protocol has none, but a receiver closes the connection only after it has read everything before our end-of-stream. So: one batch, one
connection; send, shut down the write side, wait for the peer's end-of-stream, and see that its kernel took every byte. Only then is the
batch delivered. A receiver that hangs up before that, or answers anything at all, did not take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Sequence

from graphios.backends.base import DeliveryError
from graphios.errors import Stopped

_SLICE = 0.25
"""Seconds after which a wait looks whether the process shall end."""

_SEND = 65_536

_Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class Carbon:
    """One carbon (or relay, or anything that speaks its plaintext protocol) at `host`, a name or an IPv4 or IPv6 address, and `port`."""

    def __init__(
        self,
        host: str,
        port: int,
        connect_timeout: float = 5,
        send_timeout: float = 30,
        ack_timeout: float = 60,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Times in seconds; `send_timeout` is how long a connection may take no byte. `stopping` is asked several times a second."""
        self.host, self.port = host, port
        self.name = f"carbon [{host}]:{port}" if ":" in host else f"carbon {host}:{port}"
        self._connect_timeout, self._send_timeout, self._ack_timeout = connect_timeout, send_timeout, ack_timeout
        self._stopping = stopping

    def deliver(self, batch: bytes) -> None:
        """Sends whole lines and returns when carbon has taken all of them. Raises DeliveryError, or Stopped when the process shall end."""
        try:
            with self._connect() as connection:
                self._send(connection, batch)
                connection.shutdown(socket.SHUT_WR)
                self._acknowledged(connection)
        except OSError as error:
            raise DeliveryError(f"{self.name}: {error.strerror or error}") from error

    def _connect(self) -> socket.socket:
        problem: OSError | None = None
        for family, kind, protocol, _, address in self._resolve():
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                if connection.connect_ex(address):
                    self._wait(connection, select.POLLOUT, self._connect_timeout, "no connection")
                    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code:
                        raise OSError(code, _reason(code))
                return connection
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError):
                    raise
                problem = error
        raise problem or OSError("has no address")

    def _resolve(self) -> Sequence[_Address]:
        """The addresses of the host. A look-up can't be interrupted, so it runs beside us."""
        with contextlib.suppress(socket.gaierror):
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        answer: list[Sequence[_Address] | OSError] = []

        def look_up() -> None:
            try:
                answer.append(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
            except OSError as error:
                answer.append(error)
            except UnicodeError:
                answer.append(OSError("not a host name"))

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        deadline = time.monotonic() + self._connect_timeout
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(_SLICE)
            self._stop_if_told()
        if not answer:
            raise OSError(f"its address was not found within {self._connect_timeout:g} s")
        if isinstance(answer[0], OSError):
            raise answer[0]
        return answer[0]

    def _send(self, connection: socket.socket, batch: bytes) -> None:
        view = memoryview(batch)
        while view:
            ready = self._wait(connection, select.POLLIN | select.POLLOUT, self._send_timeout, "takes no data")
            if ready & select.POLLIN:
                self._no_answer(connection.recv(200))
                raise OSError("closed the connection early")
            if ready & (select.POLLERR | select.POLLHUP):
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                raise OSError(code, _reason(code)) if code else OSError("closed the connection early")
            with contextlib.suppress(BlockingIOError):
                view = view[connection.send(view[:_SEND]) :]

    def _acknowledged(self, connection: socket.socket) -> None:
        self._wait(connection, select.POLLIN, self._ack_timeout, "took the data but does not acknowledge it")
        self._no_answer(connection.recv(200))
        # End-of-stream. One that crossed our data on the way means nothing: the data must have arrived as well.
        deadline = time.monotonic() + self._connect_timeout
        while _unacknowledged(connection):
            if time.monotonic() > deadline:
                raise OSError("closed the connection before it took all data")
            self._stop_if_told()
            time.sleep(0.005)
        if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, _reason(code))

    def _no_answer(self, data: bytes) -> None:
        if data:
            raise OSError(f"answers {data[:60]!r}, so this is not carbon's plaintext port")

    def _wait(self, connection: socket.socket, events: int, seconds: float, complaint: str) -> int:
        """The poll events that came within `seconds`."""
        poll = select.poll()
        poll.register(connection, events)
        deadline = time.monotonic() + seconds
        while True:
            self._stop_if_told()
            left = deadline - time.monotonic()
            if left <= 0:
                raise OSError(f"{complaint} for {seconds:g} s")
            for _, ready in poll.poll(min(left, _SLICE) * 1000):
                return ready

    def _stop_if_told(self) -> None:
        if self._stopping():
            raise Stopped


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes (our end-of-stream counts as one) the peer's kernel has not acknowledged, see tcp(7), SIOCOUTQ."""
    answer = fcntl.ioctl(connection, termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _reason(code: int) -> str:
    return os.strerror(code)
