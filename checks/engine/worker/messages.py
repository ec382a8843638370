"""What the broker and the executor of a worker say to one another, over a stream socket that is the executor's standard input.

A frame is its length (4 bytes, big-endian), a letter for what it is, and its fields in order, each with a length of its own. Both sides are ours
and of one installation, so there is no version; a frame that can't be right means that the other side is beyond help.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_type_hints

LONGEST = 64 * 1024 * 1024
"""Bytes of a frame: well over what an executor lets a plugin print."""

CHECK = 0
"""The type of a job that is a host or service check. The others run event handlers, notifications and obsessive commands."""

TIMED_OUT = 62
"""Answer.error_code of a run that was ended because its time was over: ETIME, as Nagios's own workers say it."""

_LENGTH = struct.Struct("!I")


class BadFrame(Exception):
    """Something that is no message of ours."""


class Work(NamedTuple):
    """Broker to executor: run this, and answer it once. As many run side by side as there are; the broker never sends more than Nagios may."""

    number: int
    """The broker's own; each names one job."""
    kind: int
    """Nagios's job type, CHECK for instance."""
    timeout: int
    """In seconds, from 1."""
    command: bytes
    """The command line as Nagios sent it."""
    environment: bytes = b""
    """Nagios's `env=`, as it came: NAME=VALUE lines. Empty when it sent none."""
    attempts: int = 0
    """How many executors have ended while they had it. The broker gives up a job after three."""


class Cancel(NamedTuple):
    """Broker to executor: nobody waits for this any more. Its children are ended; no answer. Unknown numbers are ignored."""

    number: int


class Answer(NamedTuple):
    """Executor to broker: how a job ended, as a worker of Nagios reports it, and what has to be written for it."""

    number: int
    start: float
    stop: float
    """Both in seconds since the epoch."""
    wait_status: int = 0
    """As waitpid() gives it: code << 8, or the signal."""
    error_code: int = 0
    """0: it ended by itself. Otherwise an errno: TIMED_OUT, or why it did not start; Nagios then makes its own text of it."""
    user: float = 0.0
    system: float = 0.0
    """CPU time in seconds."""
    output: bytes = b""
    """The short form for Nagios. No NUL in it."""
    errors: bytes = b""
    """The beginning of standard error; no NUL. Nagios shows it where there is no output."""
    spool: bytes = b""
    """Whole lines for graphios's spool; empty when there is nothing to ship. The broker writes them, once."""
    spool_kind: str = "service"
    """What the file is called after: "service" or "host"."""
    host: bytes = b""
    service: bytes = b""
    """Whose check it was, when the job's macros say so without doubt (service empty: the host's own): a job of a broker that died is handed in
    under these names."""


class Ready(NamedTuple):
    """Executor to broker, once: it can run jobs. Only then does the broker ask Nagios for any."""

    pid: int


Message = Work | Cancel | Answer | Ready
_LETTERS: dict[bytes, type[Work] | type[Cancel] | type[Answer] | type[Ready]]
_LETTERS = {b"w": Work, b"c": Cancel, b"a": Answer, b"r": Ready}
_KINDS = {kind: letter for letter, kind in _LETTERS.items()}
_READ: dict[type, Callable[[bytes], object]] = {int: int, float: float, str: bytes.decode, bytes: bytes}
_READERS = {kind: [_READ[hint] for hint in get_type_hints(kind).values()] for kind in _KINDS}


def encode(message: Message) -> bytes:
    """The frame of a message. Raises ValueError when it is over LONGEST."""
    parts = [_KINDS[type(message)]]
    for value in message:
        part = value if isinstance(value, bytes) else str(value).encode()
        parts += (_LENGTH.pack(len(part)), part)
    length = sum(map(len, parts))
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes is over the limit of {LONGEST}")
    return b"".join((_LENGTH.pack(length), *parts))


class Decoder:
    """Takes bytes as they arrive, gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Each message that is complete now. Raises BadFrame; after that the connection is of no use."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= 4:
                (length,) = _LENGTH.unpack_from(self._buffer, start)
                if not 1 <= length <= LONGEST:
                    raise BadFrame(f"a frame of {length} bytes")
                if len(self._buffer) - start < 4 + length:
                    break
                body = bytes(memoryview(self._buffer)[start + 4 : start + 4 + length])
                start += 4 + length
                yield _decode(body)
        finally:
            del self._buffer[:start]


def decode(frame: bytes) -> Message:
    """The message of one whole frame. Raises BadFrame."""
    if len(frame) < 5 or _LENGTH.unpack_from(frame)[0] != len(frame) - 4:
        raise BadFrame("not one whole frame")
    return _decode(frame[4:])


def _decode(body: bytes) -> Message:
    kind = _LETTERS.get(body[:1])
    if not kind:
        raise BadFrame(f"a frame that begins with {body[:8]!r}")
    values: list[object] = []
    at = 1
    try:
        for read in _READERS[kind]:
            (length,) = _LENGTH.unpack_from(body, at)
            part = body[at + 4 : at + 4 + length]
            if len(part) != length:
                raise BadFrame("a field that ends too early")
            at += 4 + length
            values.append(read(part))
    except (struct.error, ValueError) as error:
        raise BadFrame(f"{kind.__name__}: {error}") from None
    if at != len(body):
        raise BadFrame(f"{kind.__name__}: {len(body) - at} bytes too many")
    return kind(*values)  # type: ignore[arg-type]
