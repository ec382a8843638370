"""Who is advertised under a public key: node managers by address, by Affix name or behind a NAT forwarder.

Source: seattlelib's node manager advertisement and the clearinghouse's look-ups; values captured from real node managers.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from checks.seattle.advertise import ALL_VALUES, Found, Service
from checks.seattle.errors import SeattleError, quoted
from checks.seattle.keys import PublicKey
from checks.seattle.peers import time_left

ADDRESS, AFFIX, NAT, OTHER = "address", "Affix", "NAT", "other"
"""The kinds of names: `ip:port`, `<40 hex digits>:port`, `NAT$...:port`, and what is none of them."""
_AT_ONCE = 4
# A service that fails so often no longer answers these questions; the rest need not be asked.
_MOST_FAILURES = 3
_PORT = rb":([1-9]\d{0,4})"


class Name(NamedTuple):
    """A node as it advertises itself: kind, and what stands before the port (for OTHER: how the value begins)."""

    kind: str
    host: str
    port: int
    value: bytes


class Advertised(NamedTuple):
    """What a get of a public key found: the nodes, each once, and how many values came back in all."""

    names: list[Name]
    values: int
    connect: float
    seconds: float


class Followed(NamedTuple):
    """What an Affix name leads to: IP addresses, or none of them and why."""

    addresses: list[str]
    why: str


def parse_name(value: bytes) -> Name:
    """Return what an advertised value says about its node; whoever wants can advertise what he wants, so there is OTHER."""
    host, _, port = value.rpartition(b":")
    number = int(port) if re.fullmatch(_PORT, b":" + port) else 0
    if 0 < number < 65536:
        if re.fullmatch(rb"[0-9a-f]{40}", host):
            return Name(AFFIX, host.decode("ascii"), number, value)
        if re.fullmatch(rb"NAT\$[!-~]{1,200}", host):
            return Name(NAT, host.decode("ascii"), number, value)
        if address := _address(host):
            return Name(ADDRESS, address, number, value)
    return Name(OTHER, quoted(value), 0, value)


def advertised(service: Service, key: PublicKey, until: float) -> Advertised:
    """Return the nodes advertised under `key`: distinct values that are not empty, in the server's order. Raises SeattleError.

    The same value may be there twice by a server's fault, and one node by two names for 750 s after it changed its name.
    """
    found = service.get(key.advertised(), ALL_VALUES, until)
    names = [parse_name(value) for value in dict.fromkeys(found.values) if value]
    return Advertised(names, len(found.values), found.connect, found.seconds)


def follow(service: Service, names: Sequence[Name], until: float) -> dict[bytes, Followed]:
    """Look up what the Affix names among `names` lead to, some at once, until it is done or the moment `until`.

    Returns what was found by the advertised value; names that are not in it were not looked up in time, or not because too many look-ups failed.
    """
    waiting = iter([name for name in names if name.kind == AFFIX])
    found: dict[bytes, Followed] = {}
    failures: list[SeattleError] = []
    lock = threading.Lock()

    def work() -> None:
        while time.monotonic() < until and len(failures) < _MOST_FAILURES:
            with lock:
                name = next(waiting, None)
            if name is None:
                return
            try:
                found[name.value] = _resolved(service.get(name.host.encode("ascii"), ALL_VALUES, until))
            except SeattleError as error:
                failures.append(error)
                found[name.value] = Followed([], str(error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(time_left(until) + 0.1)
    return dict(found)


def _resolved(found: Found) -> Followed:
    addresses = list(filter(None, map(_address, dict.fromkeys(found.values))))
    return Followed(addresses, "" if addresses else "no address is advertised under it")


def _address(text: bytes) -> str:
    """Return an IPv4 address in its usual form; empty where `text` is none."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text.decode("ascii")))
    except (OSError, ValueError):
        return ""
