"""The file that makes an installer a custom one: how a machine's resources are divided, and whose each part is.

Format: lines `Percent <n>`, `Owner <e> <n>`, `User <e> <n>`; each Percent begins a vessel, the last of which is the reserved one. From the docs of
Seattle's installer (integers, no empty lines, words with their capitals, 100 in all: with any other file the whole installation fails), and from
captured files, which have no newline at the end.
"""

from __future__ import annotations

from typing import NamedTuple

from checks.seattle.errors import Malformed, quoted
from checks.seattle.keys import PublicKey

LARGEST = 1024 * 1024
_LONGEST_NUMBER = 4300


class Vessel(NamedTuple):
    """One part of a machine: its percentage, and the public keys of its owners and users."""

    percent: int
    owners: list[PublicKey]
    users: list[PublicKey]


def parse(text: bytes) -> list[Vessel]:
    """Return the vessels, the reserved one last. Raises Malformed, also where an installer would not take the file."""
    vessels: list[Vessel] = []
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), 1):
        word, _, rest = line.removesuffix(b"\r").partition(b" ")
        if word == b"Percent" and rest.isdigit() and len(rest) <= 3:
            vessels.append(Vessel(int(rest), [], []))
        elif word in (b"Owner", b"User") and vessels:
            keys = vessels[-1].owners if word == b"Owner" else vessels[-1].users
            keys.append(_key(rest, number))
        else:
            raise Malformed(f"line {number} of vesselinfo is none an installer takes: {quoted(line)}")
    total = sum(vessel.percent for vessel in vessels)
    if total != 100:
        raise Malformed(f"the percentages of vesselinfo add up to {total}, not 100")
    for number, vessel in enumerate(vessels, 1):
        if not vessel.owners:
            raise Malformed(f"vessel {number} of {len(vessels)} in vesselinfo has no owner")
    return vessels


def _key(text: bytes, number: int) -> PublicKey:
    """Return a key; any two numbers, because the builder takes them too."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() and len(word) <= _LONGEST_NUMBER for word in words):
        raise Malformed(f"line {number} of vesselinfo has no public key: {quoted(text)}")
    return PublicKey(int(words[0]), int(words[1]))
