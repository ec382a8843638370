"""What the options of check_zenodotus take: names with addresses, a zone, an advertise server."""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.seattle.dns import is_name


class Name(NamedTuple):
    """A name to look up, and the addresses it should have."""

    name: str
    expected: tuple[str, ...] = ()


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
