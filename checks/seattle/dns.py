"""Plain DNS queries for addresses, as Zenodotus, the Seattle testbed's name server, needs them; and strict reading of its answers.

Zenodotus takes EDNS and the AD bit for malformed, knows names in lower case only, and silently drops whatever a client's address asks while
another query of that address is in work, and shortly after. So: one query at a time, a pause before the next, and tries that go on while
nothing comes. Source: SeattleTestbed's zenodotus and dnscommon, exchanges captured from the real server; format: RFC 1035.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from checks.seattle.errors import Malformed, NoAnswer, Refused, SeattleError, Unreachable, quoted
from checks.seattle.peers import addresses, time_left

FORMERR, SERVFAIL, NXDOMAIN = 1, 2, 3
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
# The real server dropped 8 of 60 queries that came one right after the other, and none of 30 with 0.25 s between them.
PAUSE = 0.3
_LONGEST_PAUSE = 2.5
# Refusals and malformed answers are believed when they came to so many tries.
_BELIEVED = 3
# Without EDNS an answer has 512 bytes at most.
_LARGEST_DATAGRAM = 4096
_MOST_DATAGRAMS = 20
_HEADER, _RECORD = 12, 10
_TYPE_A, _CLASS_IN = 1, 1
# Zenodotus announces all the addresses it has but sends only as many as fit into this, without saying so.
_FULL = 384
_NAME = r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*"


class Reply(NamedTuple):
    """What an answer says: response code, addresses, how many of them were announced (more than came where they do not all fit)."""

    rcode: int
    addresses: tuple[str, ...] = ()
    announced: int = 0


class Answer(NamedTuple):
    """A reply, and the seconds from the query it answers to it."""

    reply: Reply
    seconds: float


def rcode_name(rcode: int) -> str:
    """Return what a response code is called."""
    return _RCODES[rcode] if rcode < len(_RCODES) else f"response code {rcode}"


def is_name(text: str) -> bool:
    """Whether `text` is a full name as Zenodotus has them: lower case, without a dot at its end."""
    return len(text) < 254 and re.fullmatch(_NAME, text, re.ASCII) is not None


def query(name: str, identity: bytes) -> bytes:
    """Return the query for the addresses of `name`: a header of 12 bytes with RD set, one question, nothing else. `identity` is two bytes."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return identity + bytes.fromhex("0100 0001 0000 0000 0000") + labels + bytes.fromhex("00 0001 0001")


def parse(data: bytes, name: str) -> Reply:
    """Return what a datagram answers to the query for `name`; the caller has matched its id. Raises Malformed."""
    if not _HEADER <= len(data) <= _LARGEST_DATAGRAM:
        size = "more than " * (len(data) > _LARGEST_DATAGRAM) + str(min(len(data), _LARGEST_DATAGRAM))
        raise Malformed(f"answer of {size} bytes: {quoted(data)}")
    flags, questions, announced, *others = (int.from_bytes(data[at : at + 2], "big") for at in range(2, _HEADER, 2))
    rcode = flags & 0x000F
    if flags & 0xF800 != 0x8000:
        raise Malformed(f"no answer to a query: {quoted(data)}")
    if not questions and rcode:  # as other servers refuse
        return Reply(rcode)
    if questions != 1:
        raise Malformed(f"answer to {questions} questions: {quoted(data)}")
    asked, at = _read_name(data, _HEADER)
    if asked != name.encode("ascii") or _take(data, at, 4) != bytes((0, _TYPE_A, 0, _CLASS_IN)):
        raise Malformed(f"answer to another question: {quoted(data)}")
    if rcode:  # the rest is an echo of the query
        return Reply(rcode)
    if flags & 0x0200:
        raise Malformed(f"answer that calls itself truncated: {quoted(data)}")
    found, end = _read_addresses(data, at + 4, announced, asked)
    if end != len(data) and not any(others):
        raise Malformed(f"{len(data) - end} bytes too many in the answer: {quoted(data)}")
    return Reply(rcode, tuple(found), announced)


def _read_addresses(data: bytes, at: int, number: int, owner: bytes) -> tuple[list[str], int]:
    """Return the addresses of `owner` among the `number` records from `at` on, and where they end."""
    found: list[str] = []
    for _ in range(number):
        if at == len(data) and found and at > _FULL - _RECORD - 6:
            break
        name, at = _read_name(data, at)
        head = _take(data, at, _RECORD)
        kind, net, length = (int.from_bytes(head[part : part + 2], "big") for part in (0, 2, 8))
        content = _take(data, at + _RECORD, length)
        at += _RECORD + length
        if (kind, net, name) == (_TYPE_A, _CLASS_IN, owner):
            if length != 4:
                raise Malformed(f"address of {length} bytes: {quoted(data)}")
            found.append(socket.inet_ntoa(content))
    return found, at


def _read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the name at `at`, in lower case, and where the next field begins. Raises Malformed."""
    labels: list[bytes] = []
    size, before, end = 0, at, 0
    while True:
        length = _take(data, at, 1)[0]
        if length >= 0xC0:
            target = int.from_bytes(_take(data, at, 2), "big") & 0x3FFF
            end = end or at + 2
            if target >= before:  # every pointer leads further back, so that there is an end
                raise Malformed(f"name that points at itself or ahead: {quoted(data)}")
            at = before = target
            size += 1
            continue
        size += length + 1
        if length > 63 or size > 255:
            raise Malformed(f"name that is too long: {quoted(data)}")
        if not length:
            return b".".join(labels).lower(), end or at + 1
        labels.append(_take(data, at + 1, length))
        at += length + 1


def _take(data: bytes, at: int, number: int) -> bytes:
    taken = data[at : at + number]
    if len(taken) < number:
        raise Malformed(f"answer cut short, {len(data)} bytes: {quoted(data)}")
    return taken


class _Asked:
    """One question: its tries, and what else came back so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tries: dict[bytes, float] = {}
        """When each try was sent, by its id."""
        self.failed = 0
        """How many tries in a row did not even reach the server."""
        self.strange = 0
        """To how many tries something came that is no answer to them."""
        self.failure: SeattleError | None = None
        self.stranger: Malformed | None = None

    def failed_by(self, error: OSError) -> None:
        """Note why a try did not reach the server."""
        self.failed += 1
        said = f"can't be asked: {error.strerror or error}"
        refused = isinstance(error, ConnectionRefusedError)
        self.failure = Refused("refused, nothing listens on this UDP port") if refused else Unreachable(said)

    def conclusion(self) -> SeattleError | None:
        """Return what is known after several tries, or None while it pays to go on."""
        if self.failure and self.failed >= _BELIEVED:
            return self.failure
        return self.stranger if self.strange >= _BELIEVED else None

    def silence(self) -> SeattleError:
        """Return what is known when the time is over."""
        number = len(self.tries)
        seconds = time.monotonic() - min(self.tries.values())
        queries = "1 query" if number == 1 else f"{number} queries"
        return self.stranger or self.failure or NoAnswer(f"no answer to {queries} in {seconds:.1f} s")


class NameServer:
    """A DNS server over UDP that is asked one question at a time, from one socket: late answers are still taken."""

    def __init__(self, host: str, port: int = 53) -> None:
        """Raise Unresolvable or Unreachable. Of several addresses an IPv4 one is asked, as Zenodotus has no others."""
        found = addresses(host, port, socket.SOCK_DGRAM)
        family, address = next((one for one in found if one[0] == socket.AF_INET), found[0])
        self.sent = 0
        self.answered = 0
        self._free = 0.0
        self._earlier: set[bytes] = set()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            # Connected, it takes datagrams from this server only, and learns that nothing listens there.
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unreachable(f"can't be asked: {error.strerror or error}") from error

    def close(self) -> None:
        """Give the socket back; later answers are not taken."""
        self._socket.close()

    def rest(self) -> None:
        """Wait until the server takes another question from us; `ask` does so itself."""
        time.sleep(max(self._free - time.monotonic(), 0))

    def ask(self, name: str, until: float) -> Answer:
        """Ask for the addresses of `name`, which `is_name`; waiting ends at `until` (time.monotonic()).

        Raises Refused, Unreachable, NoAnswer or Malformed. A refused or malformed answer has come three times, unless the time was over.
        """
        self.rest()
        asked = _Asked(name)
        try:
            pauses = _pauses()
            while True:
                sent = self._send(asked)
                answer = self._listen(asked, sent, min(time.monotonic() + next(pauses), until))
                if answer:
                    self.answered += 1
                    return answer
                failure = asked.conclusion() or (asked.silence() if time.monotonic() >= until else None)
                if failure:
                    raise failure
        finally:
            self._earlier.update(asked.tries)
            self._free = time.monotonic() + PAUSE

    def _send(self, asked: _Asked) -> bool:
        """Send another try; False where what was sent before turned out not to reach the server, and this was not sent."""
        identity = os.urandom(2)
        while identity in asked.tries or identity in self._earlier:
            identity = os.urandom(2)
        self.sent += 1
        asked.tries[identity] = time.monotonic()
        try:
            self._socket.send(query(asked.name, identity))
        except OSError as error:
            asked.failed_by(error)
            return False
        return True

    def _listen(self, asked: _Asked, sent: bool, until: float) -> Answer | None:
        """Return the answer to any of the tries if it comes until then; wait until then in any case where there is none."""
        strange = False
        for _ in range(_MOST_DATAGRAMS):
            if time.monotonic() >= until:
                break
            try:
                self._socket.settimeout(time_left(until))
                data = self._socket.recv(_LARGEST_DATAGRAM + 1)
            except TimeoutError:
                if sent:
                    asked.failed, asked.failure = 0, None
                break
            except OSError as error:
                asked.failed_by(error)
                if asked.conclusion():
                    return None
                break
            if data[:2] in self._earlier:
                continue
            try:
                began = asked.tries.get(data[:2])
                if began is None:
                    raise Malformed(f"answer to a query that was not sent: {quoted(data)}")
                return Answer(parse(data, asked.name), time.monotonic() - began)
            except Malformed as error:
                asked.stranger, strange = error, True
        asked.strange += strange
        time.sleep(max(until - time.monotonic(), 0))
        return None


def _pauses() -> Iterator[float]:
    """Yield how long to wait for an answer before each next try, in seconds: what is dropped costs the server nothing."""
    pause = PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_PAUSE)
