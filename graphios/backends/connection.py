"""A TCP connection, with TLS where asked for, that says when its peer has taken all that was sent.

Carbon's protocols have no acknowledgement, but a receiver closes a connection only after it has read everything before our end of stream. So:
send, end our side (in TLS with close_notify as well), wait for the peer's end, and see that its kernel took every byte. A peer that ends before
that, or answers anything at all, did not take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable

from graphios.configuration.settings import Timeouts
from graphios.errors import Stopped

_SLICE = 0.25
"""Seconds after which a wait looks whether the process shall end."""

_PIECE = 65_536
_HANDSHAKE_PIECE = 16_384

_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 10), (socket.TCP_USER_TIMEOUT, 120_000))
"""Seconds, and milliseconds for the last. A machine that came back without its memory refuses the next probe."""


class NoConnection(OSError):
    """Nobody took the connection; `timed_out` when nobody refused it either."""

    def __init__(self, reason: str, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class EndedEarly(OSError):
    """The peer had the connection, and ended it before it had taken everything."""


class TimedOut(OSError):
    """The peer is slow, stopped, or unreachable."""


class Connection:
    """Not for use by two threads at once. Every method may raise OSError, whose text is for people."""

    def __init__(self, connected: socket.socket, timeouts: Timeouts, stopping: Callable[[], bool]) -> None:
        """`connected` does not block, and is closed with this."""
        self._socket = connected
        self._timeouts = timeouts
        self._stopping = stopping
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shakes hands within the connect time-out. Raises OSError, Stopped."""
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        deadline = time.monotonic() + self._timeouts.connect
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                self._push()
                return
            self._push()
            left = max(0.0, deadline - time.monotonic())
            self.wait(select.POLLIN, left, "does not answer the TLS handshake", self._timeouts.connect)
            self._pull()

    def send(self, data: bytes) -> None:
        """Hands all of it to our kernel. Raises OSError, Stopped."""
        view = memoryview(data)
        if not self._tls:
            self._send_raw(view)
            return
        for start in range(0, len(view), _PIECE):
            self._tls.write(view[start : start + _PIECE])
            self._push()

    def acknowledged(self) -> None:
        """Ends our side and returns when the peer has read everything and ended its own. Raises OSError, Stopped."""
        if self._tls:
            self._drained()
        self._no_early_end()
        if self._tls:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
                raise EndedEarly("closed the connection early")
            self._push()
        self._socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self._timeouts.acknowledge
        while not self._ended():
            left = max(0.0, deadline - time.monotonic())
            complaint = "took the data but does not acknowledge it"
            self.wait(select.POLLIN, left, complaint, self._timeouts.acknowledge)
        self._all_taken()

    def received(self) -> bytes | None:
        """What the peer says now, without waiting: None is nothing, b"" the end of the stream. Raises OSError."""
        if not self._tls:
            try:
                return self._socket.recv(_PIECE)
            except BlockingIOError:
                return None
        if not self._pull():
            self._in.write_eof()
        try:
            return self._tls.read(_PIECE)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def wait(self, events: int, seconds: float, complaint: str, said: float | None = None) -> int:
        """The poll events that came within `seconds`. Raises OSError `complaint` (for `said` seconds), Stopped."""
        poll = select.poll()
        poll.register(self._socket, events)
        deadline = time.monotonic() + seconds
        while True:
            if self._stopping():
                raise Stopped
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{complaint} for {seconds if said is None else said:g} s")
            for _, ready in poll.poll(min(left, _SLICE) * 1000):
                return ready

    def keep_alive(self) -> None:
        """Lets the kernel look every ten seconds whether the peer's is still there; after two minutes of silence the connection ends."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        """For select.poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the socket at once."""
        self._socket.close()

    def error(self) -> str:
        """What the kernel holds against the connection; empty: nothing."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return os.strerror(code) if code else ""

    def _send_raw(self, view: memoryview) -> None:
        while view:
            ready = self.wait(select.POLLIN | select.POLLOUT, self._timeouts.send, "takes no data")
            if ready & select.POLLIN:
                self._no_early_end()
            if ready & (select.POLLERR | select.POLLHUP):
                raise EndedEarly(self.error() or "closed the connection early")
            with contextlib.suppress(BlockingIOError):
                view = view[self._socket.send(view[:_PIECE]) :]

    def _push(self) -> None:
        """Sends what TLS has made ready."""
        while data := self._out.read():
            self._send_raw(memoryview(data))

    def _pull(self) -> bool:
        """Feeds TLS with what has come; whether the stream goes on."""
        with contextlib.suppress(BlockingIOError):
            data = self._socket.recv(_HANDSHAKE_PIECE)
            if not data:
                return False
            self._in.write(data)
        return True

    def _no_early_end(self) -> None:
        if self._tls and not self._tls.version():
            return  # still shaking hands
        answer = self.received()
        if answer:
            raise OSError(f"answers {answer[:60]!r}, so this is not carbon")
        if answer == b"":
            raise EndedEarly(self.error() or "closed the connection early")

    def _ended(self) -> bool:
        """Whether the peer has ended its side. Raises OSError when it says anything else."""
        if not self._tls:
            answer = self.received()
            if answer:
                raise OSError(f"answers {answer[:60]!r}, so this is not carbon")
            return answer == b""
        goes_on = self._pull()
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            # Many receivers close without close_notify: the end of the TCP stream says as much, if nothing else came before it.
            return not goes_on
        return True

    def _drained(self) -> None:
        """Waits until the peer's kernel has everything. In TLS a farewell that crossed our data looks like the answer to ours otherwise."""
        left = self._unacknowledged()
        deadline = time.monotonic() + self._timeouts.send
        while left:
            if problem := self.error():
                raise EndedEarly(problem)
            if self._stopping():
                raise Stopped
            time.sleep(0.002)
            before, left = left, self._unacknowledged()
            if left < before:
                deadline = time.monotonic() + self._timeouts.send
            elif time.monotonic() > deadline:
                raise TimedOut(f"takes no data for {self._timeouts.send:g} s")

    def _all_taken(self) -> None:
        """A peer's end that crossed our data on the way means nothing: its kernel must have acknowledged the data before it."""
        ours = 1 if self._tls else 0  # TLS ends with close_notify; TCP's own end of stream may still be on its way
        if self._unacknowledged() > ours:
            raise EndedEarly(self.error() or "closed the connection before it took all data")
        deadline = time.monotonic() + self._timeouts.connect
        while self._unacknowledged():
            if problem := self.error():
                raise EndedEarly(problem)
            if time.monotonic() > deadline:
                raise EndedEarly("closed the connection before it took all data")
            if self._stopping():
                raise Stopped
            time.sleep(0.005)
        if problem := self.error():
            raise EndedEarly(problem)

    def _unacknowledged(self) -> int:
        """Bytes (our end of stream counts as one) the peer's kernel has not acknowledged, see tcp(7), SIOCOUTQ."""
        answer = fcntl.ioctl(self._socket, termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])
