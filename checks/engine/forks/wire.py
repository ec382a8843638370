"""What the engine and its fork server say to each other: numbered messages over a Unix stream socket, descriptors beside them.

Both ends are the same Python, so bodies are marshalled.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PROTOCOL = "2"
"""To be changed with what is said here: an engine that runs for long may start the fork server of a newer installation."""
HEADER = struct.Struct("<IIB")
"""Bytes that follow, number of the child, kind."""
# To the fork server. LAUNCH brings two descriptors: standard output and standard error.
HELLO, LAUNCH, SIGNAL, RETIRE = range(1, 5)
# From it.
# TRYING and LOADING name modules that are imported in a trial process and in the fork server, so that its death can be put down to them.
READY, STARTED, FAILED, EXITED, TRYING, LOADING, LEARNED = range(11, 18)

SIGNALLED = struct.Struct("<i")
PID = struct.Struct("<i")
EXIT = struct.Struct("<idd")
"""Status as waitpid() gives it, CPU seconds as user and as system."""


class Launch(NamedTuple):
    """What is to be started: the body of LAUNCH. Its texts are UTF-8 with surrogates for other bytes, whatever the engine's own coding."""

    name: str
    entry: str
    argv: list[str]
    environment: dict[str, str]
    directory: str
    umask: int


class Message(NamedTuple):
    """`number` names the child; 0 where none is meant."""

    kind: int
    number: int
    body: bytes


def pack(kind: int, number: int = 0, body: bytes = b"") -> bytes:
    """Return a message as it is sent."""
    return HEADER.pack(len(body), number, kind) + body


class Incoming:
    """Cuts what was received into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are complete now."""
        self._data += data
        found, at = [], 0
        while len(self._data) - at >= HEADER.size:
            length, number, kind = HEADER.unpack_from(self._data, at)
            end = at + HEADER.size + length
            if len(self._data) < end:
                break
            found.append(Message(kind, number, bytes(self._data[at + HEADER.size : end])))
            at = end
        del self._data[:at]
        return found
