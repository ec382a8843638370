"""A value under a fresh key, put and got again; and the second try that every question gets: the real servers may lose a value once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from checks.seattle.advertise import ALL_VALUES, PROBE_VALUE, Service
from checks.seattle.errors import NoAnswer, SeattleError, Unresolvable, quoted
from checks.seattle.peers import time_left

# A server that is slow may take this part of the time for the first try; what is left is for the second.
_FIRST_SHARE = 0.6
# A server that is being restarted is back after a moment.
_PAUSE, _PAUSE_SHARE = 1.0, 0.1
Answer = TypeVar("Answer")


class Missing(SeattleError):
    """The server acknowledged a value and then finds nothing under its key."""


class WrongValue(SeattleError):
    """The server acknowledged a value and then finds others under a key that was never used before."""


class Failure(NamedTuple):
    """One try that failed: what was asked, and what came of it."""

    doing: str
    error: SeattleError


class Trip:
    """What was measured in the last try, in seconds; None where it did not come to that."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what an earlier try measured."""
        self.doing = "put"
        self.connect: float | None = None
        self.put: float | None = None
        self.get: float | None = None
        self.values: int | None = None

    def make(self, service: Service, value: bytes, ttl: int, until: float) -> None:
        """Put a value under a fresh key and get it at once. Raises SeattleError."""
        self.begin()
        key = b"nagios-" + random_word()
        stored = service.put(key, value, ttl, until)
        self.doing, self.connect, self.put = "get", stored.connect, stored.seconds
        found = service.get(key, ALL_VALUES, until)
        self.connect, self.get, self.values = stored.connect + found.connect, found.seconds, len(found.values)
        if not found.values:
            raise Missing("nothing is found under the key of a value just acknowledged")
        for other in found.values:
            if other != value:
                raise WrongValue(quoted(other))


def round_trip(service: Service, until: float, ttl: int, *, fresh: bool = False) -> tuple[Trip, list[Failure]]:
    """Return what was measured, and the failures: none, one that a second try made good, or two. Raises Unresolvable.

    `ttl`: seconds the value is kept, under %all as well; `fresh`: the value is a random one, not only the key.
    """
    trip = Trip()
    value = random_word() if fresh else PROBE_VALUE
    _, failures = twice(lambda end: trip.make(service, value, ttl, end), lambda: trip.doing, until)
    return trip, failures


def random_word() -> bytes:
    """Return 128 random bits in hex."""
    return os.urandom(16).hex().encode("ascii")


def twice(
    ask: Callable[[float], Answer], doing: Callable[[], str], until: float
) -> tuple[Answer | None, list[Failure]]:
    """Return what `ask(end of this try)` gives at the first or the second try, and the tries that failed. Raises Unresolvable."""
    failures: list[Failure] = []
    while len(failures) < 2:
        left = time_left(until)
        try:
            return ask(until if failures else until - left * (1 - _FIRST_SHARE)), failures
        except Unresolvable:
            raise
        except SeattleError as error:
            failures.append(Failure(doing(), error))
            if len(failures) == 1 and not isinstance(error, NoAnswer | Missing):
                time.sleep(min(_PAUSE, time_left(until) * _PAUSE_SHARE))
    return None, failures
