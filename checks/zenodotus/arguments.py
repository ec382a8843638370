"""What the options of check_zenodotus take: names with addresses, a zone, an advertise server."""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.seattle.dns import is_name

_ADVERTISE_PORT = 10102


class Name(NamedTuple):
    """A name to look up, and the addresses it should have."""

    name: str
    expected: tuple[str, ...] = ()


class Endpoint(NamedTuple):
    """Host and port of an advertise server."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as an operator writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Names(list[Name]):
    """The values of --name."""

    def add(self, text: str) -> None:
        """Take NAME or NAME=ADDRESS,... Raises ValueError."""
        name, equals, addresses = text.partition("=")
        name = name.lower().removesuffix(".")
        if not is_name(name):
            raise ValueError(f"{text[:80]!r} is no name of the DNS")
        self.append(Name(name, tuple(map(_address, addresses.split(","))) if equals else ()))


class Addresses(list[str]):
    """The values of --expect-address."""

    def add(self, text: str) -> None:
        """Take an IPv4 address. Raises ValueError."""
        self.append(_address(text))


def _address(text: str) -> str:
    numbers = text.split(".")
    if len(numbers) != 4 or not all(re.fullmatch("[0-9]{1,3}", number) and int(number) < 256 for number in numbers):
        raise ValueError(f"{text[:80]!r} is no IPv4 address")
    return ".".join(str(int(number)) for number in numbers)


def read_zone(text: str) -> str:
    """Return a zone's name in lower case. Raises ValueError."""
    zone = text.lower().removesuffix(".")
    if not (is_name(zone) and "." in zone and len(zone) < 200):
        raise ValueError(f"{text[:80]!r} is no zone such as zenodotus.poly.edu")
    return zone


def read_endpoint(text: str) -> Endpoint:
    """Return what HOST or HOST:PORT says. Raises ValueError."""
    found = re.fullmatch(
        r"(?:\[([0-9A-Za-z:.%_-]{2,60})\]|([A-Za-z0-9._][A-Za-z0-9._-]{0,252}))(?::([0-9]{1,5}))?", text
    )
    port = int(found[3] or _ADVERTISE_PORT) if found else 0
    if not found or not 0 < port < 65536:
        raise ValueError(f"{text[:80]!r} is not a host, or a host and a port such as advertise.example:10102")
    return Endpoint(found[1] or found[2], port)


def read_ttl(text: str) -> int:
    """Return a number of seconds. Raises ValueError."""
    if not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) <= 86400):
        raise ValueError(f"{text[:80]!r} is not from 1 to 86400 seconds")
    return int(text)
