"""New series no faster than carbon creates them.

carbon creates at most MAX_CREATES_PER_MINUTE files a minute (Debian: 50) and drops the points of every other new series. So points of series that
carbon may not create yet are parked on disk, and handed out, a whole series at a time, when their turn has come. A series with parked points
parks its later ones too: per series, the order stays.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from graphios.backends.base import DeliveryError
from graphios.delivery.pacing_store import Store, identity

_CACHE = 65_536
"""Names whose state is kept in memory."""
_PARKING = 20_000
"""Parked lines that may wait in memory for commit()."""
_MINUTE = 60.0


class Bucket:
    """How many series may be created now.

    carbon's own bucket (carbon/util.py, TokenBucket) holds a minute's worth and begins full, but it may be empty when we begin, its own series
    and those of others take from it, and it writes later than it receives: what we let go within half a minute may reach it at once. So this
    one begins empty, holds a quarter of a minute's worth, and fills a little slower.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._rate = 0.95 * per_minute / _MINUTE
        self._size = max(1.0, per_minute / 4)
        self._clock = clock
        self._tokens = 0.0
        self._filled = clock()

    def take(self) -> bool:
        """Whether one more may be created now; then it counts as created."""
        now = self._clock()
        self._tokens = min(self._size, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Pacer:
    """Which lines may go to carbon now. For one thread, and one batch at a time: what due() or admit() let go is either delivered before the
    next call of due(), or counts as not delivered.

    Its file holds every series carbon is known to have (as hashes) and the parked lines. Memory does not grow with it.
    """

    def __init__(
        self,
        path: Path,
        creates_per_minute: int,
        replay_seconds: float,
        exists: Callable[[str], bool] = lambda name: False,
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int = 4 * 1024**3,
    ) -> None:
        """Opens nothing yet. `exists` says of a series name whether carbon has its file for certain; `max_bytes` bounds the file at `path`."""
        self._store = Store(path, replay_seconds, clock, max_bytes)
        self._bucket = Bucket(creates_per_minute, clock)
        self._exists = exists
        self._known: set[str] = set()
        self._held: set[str] = set()  # series with parked lines, those in _parking included
        self._granted: set[str] = set()  # may be created now, not acknowledged yet
        self._parking: list[tuple[int, str]] = []
        self._handed: dict[str, list[str]] = {}  # series and lines of the last due()

    @property
    def waiting(self) -> tuple[int, int]:
        """Series and points still parked; counted now and then. For any thread."""
        series, points = self._store.waiting
        return series, points + len(self._parking)

    def admit(self, lines: list[str]) -> list[str]:
        """Those whose series exist or may be created now; the others are parked, in memory until commit().

        Raises DeliveryError before it has taken any of them.
        """
        if len(self._parking) >= _PARKING or len(self._known) + len(self._held) > _CACHE:
            self.commit()
            self._forget_names()
        self._take_back()
        names = [line.split(" ", 1)[0] for line in lines]
        strange = {name for name in names if name not in self._known}
        if not strange:
            return lines
        self._look_up(strange - self._held - self._granted)
        admitted = []
        for name, line in zip(names, lines, strict=True):
            if name in self._known or name in self._granted or (name not in self._held and self._grant(name)):
                admitted.append(line)
            else:
                self._held.add(name)
                self._parking.append((identity(name), line))
        return admitted

    def commit(self) -> None:
        """The parked lines are on disk, and survive a crash of the machine. Raises DeliveryError when they can't be, and keeps them."""
        if self._parking:
            with self._named():
                self._store.park(self._parking)
            self._parking = []

    def due(self, limit_bytes: int) -> list[str]:
        """Parked lines of series that may be created now, the longest waiting series first, each with all its points, oldest first, as far as
        `limit_bytes` go (the rest of a larger series comes with the next calls). Raises DeliveryError.
        """
        self.commit()
        self._take_back()
        handed: list[str] = []
        room = limit_bytes
        with self._named():
            for series, known in self._store.queue():
                lines = self._store.parked(series, room)
                if not lines:
                    self._store.unqueue(series)
                    continue
                name = lines[0].split(" ", 1)[0]
                if not known and name not in self._granted and not self._may_create(name):
                    break
                self._granted.add(name)
                self._handed[name] = lines
                handed += lines
                room -= sum(map(len, lines))
                if room <= 0:
                    break
        return handed

    def delivered(self, lines: list[str]) -> None:
        """These were acknowledged. What of them was parked is kept for the replay window. Never raises: what can't be noted is sent again."""
        names = {line.split(" ", 1)[0] for line in lines}
        fresh = names & self._granted
        if not fresh:
            return
        parked = [(identity(name), line) for name in fresh for line in self._handed.pop(name, ())]
        try:
            empty = self._store.delivered([identity(name) for name in fresh], parked)
        except sqlite3.Error:
            return  # the next commit() or due() says so
        self._granted -= fresh
        done = {name for name in fresh if identity(name) in empty and name not in self._held_in_memory()}
        self._held -= done
        self._known |= done

    def lost(self) -> None:
        """carbon lost its memory: series that came to be within the replay window count as new, and what was parked and delivered within it is
        parked again. Raises DeliveryError.
        """
        self.commit()
        with self._named():
            self._store.lost()
        self._take_back()
        self._granted.clear()
        self._forget_names()

    def close(self) -> None:
        """Closes the file; what is not committed is not in it."""
        self._store.close()

    def _take_back(self) -> None:
        """What due() handed out last and nobody acknowledged is parked as before."""
        self._granted -= self._handed.keys()
        self._handed = {}

    def _held_in_memory(self) -> set[str]:
        return {line.split(" ", 1)[0] for _, line in self._parking}

    def _grant(self, name: str) -> bool:
        """Whether a series nobody knows may go now. Those that wait longer come first."""
        if self._exists(name):
            self._known.add(name)
            return True
        if self._parking or self._store.waiting[0] or not self._bucket.take():
            return False
        self._granted.add(name)
        return True

    def _may_create(self, name: str) -> bool:
        return self._exists(name) or self._bucket.take()

    def _look_up(self, names: Iterable[str]) -> None:
        by_identity = {identity(name): name for name in names}
        with self._named():
            for series, held in self._store.states(list(by_identity)):
                (self._held if held else self._known).add(by_identity[series])

    def _forget_names(self) -> None:
        """Everything is in the file."""
        self._known.clear()
        self._held.clear()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DeliveryError(f"{self._store.path}: new series can't be paced: {self._store.why(error)}") from error


def whisper_file(directory: Path) -> Callable[[str], bool]:
    """Whether a series has its file below `directory` (LOCAL_DATA_DIR of carbon.conf), for Pacer's `exists`; tagged ones are not looked for.

    What can't be looked at does not exist.
    """

    def exists(name: str) -> bool:
        try:
            return ";" not in name and (directory / (name.replace(".", "/").lstrip("/") + ".wsp")).is_file()
        except (OSError, ValueError):
            return False

    return exists
