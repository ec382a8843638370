"""Seattle's session framing over TCP: `<decimal length>\\n<that many bytes>` in both directions, one request to a connection.

Source: seattlelib's session module, and captured exchanges such as b'27\\nT4:SGET...' with the answer b'13\\nT3:SOK3:L0:0:'.
"""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, SeattleError, quoted
from checks.seattle.peers import connect, time_left

LONGEST_HEADER = 20
LARGEST_ANSWER = 16 * 1024 * 1024
_CHUNK = 65536


class Answer(NamedTuple):
    """What a server answered, and in which time: seconds until the connection stood, and seconds from then to the last byte."""

    body: bytes
    connect: float
    seconds: float


def frame(body: bytes) -> bytes:
    """Return `body` with its length before it."""
    return b"%d\n%s" % (len(body), body)


def ask(host: str, port: int, request: bytes, until: float, largest: int = LARGEST_ANSWER) -> Answer:
    """Send one framed request over a connection of its own and return the framed answer.

    `until` is the moment of time.monotonic() at which waiting ends, whatever the server does; an answer has `largest` bytes at most.
    Raises Unresolvable, Refused, Unreachable, NoAnswer, EmptyAnswer or Malformed.
    """
    started = time.monotonic()
    connection = connect(host, port, until)
    try:
        connected = time.monotonic()
        reset = _send(connection, frame(request), until)
        body = _Incoming(connection, until, reset).framed(largest)
        return Answer(body, connected - started, time.monotonic() - connected)
    finally:
        connection.close()


def _send(connection: socket.socket, data: bytes, until: float) -> bool:
    """Send everything; True where the server hung up meanwhile: it may have answered before that."""
    connection.settimeout(time_left(until))
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise NoAnswer("the request was not even taken in time") from error
    except OSError:
        return True
    return False


class _Incoming:
    """The bytes of one answer, as they come."""

    def __init__(self, connection: socket.socket, until: float, reset: bool) -> None:
        self._connection, self._until, self._reset = connection, until, reset
        self._data = bytearray()

    def framed(self, largest: int) -> bytes:
        """Return the body of the only message. Raises SeattleError."""
        while (end := self._data.find(b"\n")) < 0:
            if len(self._data) > LONGEST_HEADER:
                break
            self._more("its length")
        if not 0 <= end <= LONGEST_HEADER:
            raise Malformed(f"answer begins with no length: {quoted(self._data)}")
        length = self._length(bytes(self._data[:end]))
        if length > largest:
            raise Malformed(f"answer of {length} bytes announced, {largest} at most are taken")
        total = end + 1 + length
        while len(self._data) < total:
            self._more(f"{total} bytes")
        if len(self._data) > total:
            raise Malformed(f"{len(self._data) - total} bytes too many in the answer: {quoted(self._data)}")
        return bytes(self._data[end + 1 :])

    def _length(self, header: bytes) -> int:
        if header == b"-1":
            raise EmptyAnswer("the server closed the session without an answer")
        if not header.isdigit():
            raise Malformed(f"answer begins with no length: {quoted(self._data)}")
        return int(header)

    def _more(self, wanted: str) -> None:
        try:
            self._connection.settimeout(time_left(self._until))
            chunk = self._connection.recv(_CHUNK)
        except TimeoutError as error:
            raise self._ended("no more came in time", wanted, NoAnswer("no answer in time")) from error
        except OSError as error:
            raise self._ended(
                "the connection broke", wanted, EmptyAnswer("connection broken without an answer")
            ) from error
        if not chunk:
            said = "broken" if self._reset else "closed"
            raise self._ended("the server closed", wanted, EmptyAnswer(f"connection {said} without an answer"))
        self._data += chunk

    def _ended(self, why: str, wanted: str, nothing: SeattleError) -> SeattleError:
        """Return what to raise where the answer ends too early."""
        if not self._data:
            return nothing
        return Malformed(f"{why} after {len(self._data)} bytes of {wanted}: {quoted(self._data)}")
