"""What can go wrong with a Seattle server, each failure by its name: an operator does something else about each of them."""

from __future__ import annotations

_QUOTED_BYTES = 40


class SeattleError(Exception):
    """A server did not do what its protocol says; the text is for an operator and names no server."""


class Unresolvable(SeattleError):
    """The name service knows no address of this host, so nothing is known about the server."""


class Unreachable(SeattleError):
    """No connection: no route, or nobody took it in time."""


class Refused(Unreachable):
    """The host says that nothing listens on this port."""


class NoAnswer(SeattleError):
    """The connection stands and the request is sent, but not one byte came back in time."""


class EmptyAnswer(SeattleError):
    """The server closed the connection without one byte of answer."""


class Malformed(SeattleError):
    """What came back is no answer of this protocol; the text quotes how it begins."""


def quoted(data: bytes | bytearray) -> str:
    """Return how `data` begins, in printable ASCII."""
    shown = ascii(bytes(data[:_QUOTED_BYTES]))[2:-1]
    return f"'{shown}'" + ("..." if len(data) > _QUOTED_BYTES else "")
