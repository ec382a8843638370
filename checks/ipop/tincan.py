"""A running tincan 14 to 16, asked for its state over UDP.

A request is two header bytes (version, and 1 for control) and JSON; the answer goes to the sender's address: a datagram about the node itself, then
one for each peer, with the same header. They are not numbered, not counted, and nothing marks the last. 14.01.1 has no header; every later one
takes any version in it. Sources: ipop-tincan v14.07.0 and v16.01.0, controlleraccess.cc; Controller-API of the ipop-documentation.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from checks.deadline import BadInput, stage
from checks.ipop import peer_state
from checks.ipop.generation import ADVICE, TincanTooNew
from checks.ipop.records import Link, Reading
from checks.output import clean_name, host_port
from checks.sources import read_json, table, text

# Of 15.11 and later; of 14.01.2 to 14.07, for the rest the repetition of a request that got lost; of 14.01.1.
_HEADERS = (b"\x03\x01", b"\x02\x01", b"")
_REQUEST = b'{"m":"get_state","stats":true}'
# A tincan that is slow gets this long (seconds), or a third of the time that is left, until it is asked once more.
_PATIENCE = 1.5
# Datagrams follow each other at once: after this silence (seconds) there are no more; on a slow machine twice what the first one took.
_SILENCE, _LONGEST_SILENCE = 0.3, 1.0
# Where datagrams were lost it is asked again, as often as this in all.
_ROUNDS = 3
_LARGEST = 65536
_BUFFER = 32 << 20
_MOST_DATAGRAMS, _MOST_BYTES = 50_000, 128 << 20
# linux/sock_diag.h: the last of nine numbers is how many datagrams found the receive buffer full.
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("=9I")


class TincanError(Exception):
    """A tincan that was asked did not do what its protocol says; the text is for an operator and names no address."""


class Unresolvable(TincanError):
    """The name service knows no address of this host, so nothing is known about the tincan."""


class Refused(TincanError):
    """The host says that nothing listens on this port, or there is no way to it."""


class NoAnswer(TincanError):
    """Not one datagram came back in time."""


class Malformed(TincanError):
    """What came back is no state, or has no end."""


def ask(host: str, port: int, until: float) -> Reading:
    """Return the links of the tincan there. Waiting ends at `until`, a moment of time.monotonic(). Raises TincanError, TincanTooNew.

    Only for what generation.refuse_newer() has let pass.
    """
    where = clean_name(host_port(host, port))
    with stage(f"asking the tincan at {where}"):
        failed: TincanError = Refused("it has no address")
        for family, address in _addresses(host, port):
            try:
                datagrams, lost = _exchange(family, address, until)
            except TincanTooNew as error:
                raise TincanTooNew(
                    f"the tincan at {where} is newer than 16, {error}: nothing more is sent to it, {ADVICE}"
                ) from None
            except Refused as error:
                failed = error  # a name may stand for 127.0.0.1 and ::1, and a tincan be bound to one of them
            else:
                return _reading(f"tincan 14 to 16 at {where}", datagrams, lost)
    raise failed


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    """Return families and socket addresses of a host, in the system's order. Raises Unresolvable."""
    try:
        return [(found[0], found[4]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)]
    except OSError as error:
        raise Unresolvable(f"no address: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Unresolvable("no address: it is no host name") from error


def _exchange(family: socket.AddressFamily, address: Any, until: float) -> tuple[list[bytes], int]:
    """Return the datagrams that came back, and how many were lost all the same. Raises TincanError, TincanTooNew."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            # Connected: only what comes from the asked address gets in, and a closed port is told.
            connection.connect(address)
            answer = _Answer(connection, until)
            header = answer.to_headers()
            return answer.datagrams, _still_lost(connection, answer, header)
    except OSError as error:
        raise Refused((error.strerror or str(error)).lower()) from error


def _still_lost(connection: socket.socket, answer: _Answer, header: bytes) -> int:
    """Ask again while the receive buffer was too small; return how many datagrams of the last answer that cost."""
    lost = _lost(connection)
    for _ in range(1, _ROUNDS):
        if not lost or answer.over:
            break
        before = _lost(connection)
        try:
            answer.to(header, _PATIENCE)
        except Malformed:
            break  # the time was up before its end
        lost = _lost(connection) - before
    return lost


class _Answer:
    """What comes back over one connection."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self.datagrams: list[bytes] = []
        self._bytes = 0
        self._connection, self._until = connection, until

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._until

    def to_headers(self) -> bytes:
        """Ask with one header after the other until something comes, and return that header. Raises NoAnswer, Malformed, OSError."""
        for header in _HEADERS:
            left = self._until - time.monotonic()
            if self.to(header, min(_PATIENCE, left / 3) if header else left):
                return header
        raise NoAnswer("no answer in time")

    def to(self, header: bytes, patience: float) -> bool:
        """Ask, and note what comes until it is silent; return whether anything came within `patience` seconds. Raises Malformed, OSError."""
        asked = time.monotonic()
        self._connection.send(header + _REQUEST)
        if not self._note(patience):
            return False
        silence = min(max(_SILENCE, 2 * (time.monotonic() - asked)), _LONGEST_SILENCE)
        while self._note(silence):
            if self.over:
                raise Malformed("its answer has no end in time")
        return True

    def _note(self, patience: float) -> bool:
        """Note the next datagram; return whether one came. Raises TincanTooNew, Malformed, OSError."""
        self._connection.settimeout(max(min(patience, self._until - time.monotonic()), 0.001))
        try:
            datagram = self._connection.recv(_LARGEST)
        except TimeoutError:
            return False
        if b'"IPOP"' in datagram and "IPOP" in _state(datagram):
            raise TincanTooNew("it answers as IPOP 17 and later do")
        self.datagrams.append(datagram)
        self._bytes += len(datagram)
        if len(self.datagrams) > _MOST_DATAGRAMS or self._bytes > _MOST_BYTES:
            raise Malformed(f"its answer has no end: {len(self.datagrams)} datagrams")
        return True


def _lost(connection: socket.socket) -> int:
    """Return how many datagrams the full receive buffer cost so far; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError, struct.error):
        told = _MEMINFO.unpack(connection.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return int(told[-1])
    return 0


def _reading(source: str, datagrams: Iterable[bytes], lost: int) -> Reading:
    """Return what was told as links. Raises Malformed.

    One that was asked twice tells of each peer twice: the last word counts.
    """
    own: dict[str, Any] = {}
    links: dict[str, Link] = {}
    odd: list[bytes] = []
    for datagram in datagrams:
        state = _state(datagram)
        names = peer_state.names(state)
        if "_uid" in state:
            own = state
        elif names:
            key = text(state.get("uid")) or names[0]
            links[key] = peer_state.link(state, names[0], key=key)
        else:
            odd.append(datagram)
    if not own and not links:
        raise Malformed(f"what came back is no state: {_quoted(odd[0])}")
    troubles = []
    if lost:
        said = "found the receive buffer full, so peers may be missing: raise net.core.rmem_max"
        troubles.append(f"{_counted(lost)} {said}")
    if odd:
        troubles.append(f"{_counted(len(odd))} of its answer told no state, beginning {_quoted(odd[0])}")
    node = text(own.get("_ip4")) or text(own.get("_uid"))
    return Reading(source, tuple(links.values()), peer_state.BITS, age_wraps=True, node=node, troubles=tuple(troubles))


def _state(datagram: bytes) -> dict[str, Any]:
    """Return the object in a datagram; an empty one where it holds none."""
    try:
        document = datagram if datagram.startswith(b"{") else datagram[2:]
        return table(read_json(document, "it", nan_is_null=True, doubled_is_null=True))
    except BadInput:
        return {}


def _counted(number: int) -> str:
    return "1 datagram" if number == 1 else f"{number} datagrams"


def _quoted(datagram: bytes) -> str:
    """Return how a datagram begins, in printable ASCII."""
    return f"'{ascii(datagram[:40])[2:-1]}'" + ("..." if len(datagram) > 40 else "")
