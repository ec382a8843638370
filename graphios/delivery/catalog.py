"""What waits in the spools, and for whom."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from graphios.delivery.progress import Position, Progress
from graphios.inputs.spool import FileKey, Oldest, Spool, SpoolError, Waiting

_ROWS = 5000


class Todo:
    """The files one lane has to look at, handed over by the thread that looks into the spools."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._entries: deque[Waiting] | None = None
        self._missed = False
        self.hungry = True  # the lane has nothing to do
        self.wake: Callable[[], None] = lambda: None
        self.files = self.bytes = 0
        self.oldest: float | None = None  # epoch seconds
        self.more = False  # than were handed over

    def put(self, found: Oldest, handed: bool) -> None:
        """A new look. Without `handed` the lane had no need of it, and `found` only counts."""
        with self._condition:
            self.files, self.bytes = found.files, found.bytes
            self.oldest = found.first / 1e9 if found.first is not None else None
            self._missed = not handed
            if handed:
                entries = found.sorted()
                self._entries = deque(entries)
                self.more = found.files > len(entries)
                self._condition.notify_all()

    @property
    def starving(self) -> bool:
        """Whether the lane has nothing to do, and there is more for it than the last look gave it."""
        return self.hungry and self._entries is None and (self.more or self._missed)

    def take(self, seconds: float) -> Iterator[Waiting] | None:
        """What was handed over, oldest first; None when nothing was within `seconds`."""
        with self._condition:
            if self._entries is None:
                self.hungry = True
                if self.starving:
                    self.wake()
                self._condition.wait(seconds)
            entries, self._entries = self._entries, None
            if entries is None:
                return None
            self.hungry = False
        return _drain(entries)


def _drain(entries: deque[Waiting]) -> Iterator[Waiting]:
    while entries:
        yield entries.popleft()


class Depth(NamedTuple):
    """What lies in one spool."""

    directory: str
    files: int
    bytes: int
    oldest: float | None  # epoch seconds


class Scan(NamedTuple):
    """One look into all spools."""

    depths: list[Depth]
    total: Oldest  # only counted
    finished: list[FileKey]  # by every lane, but still there; some of them
    lanes: dict[str, Oldest]


class Selector:
    """Which files are not finished by one lane."""

    def __init__(self, progress: Progress, lane: str, failed: dict[FileKey, float]) -> None:
        self._progress, self._lane, self._failed = progress, lane, failed
        self._rows: dict[FileKey, Position] | None = None
        self._now = time.monotonic()
        count = progress.count(lane)
        if count <= _ROWS:
            self._rows = dict(progress.all_of(lane))

    def is_finished(self, entry: Waiting) -> bool:
        """Whether it was acknowledged to its end, and nobody touched it since."""
        if self._rows is None:
            position = self._progress.position(self._lane, entry.key)
        elif self._rows:
            position = self._rows.get(entry.key)
        else:
            return False
        return position is not None and position.offset >= entry.size and position.changed == entry.age

    def waits(self, entry: Waiting) -> bool:
        """Whether it can't be read, and it's not yet time to try again."""
        return bool(self._failed) and self._failed.get(entry.key, 0) > self._now


def scan(
    spools: Sequence[Spool],
    selectors: dict[str, Selector],
    hungry: set[str],
    trouble: Callable[[str, str], None],
) -> Scan:
    """Looks into every spool, and keeps files for the lanes that are `hungry`.

    `trouble` is told (directory, text), an empty text when all is well with it.
    """
    total = Oldest(keep=False)
    lanes = {name: Oldest(name in hungry) for name in selectors}
    depths: list[Depth] = []
    finished: list[FileKey] = []
    for spool in spools:
        before = total.files, total.bytes
        oldest: int | None = None
        try:
            for entry in spool.entries():
                total.add(entry)
                oldest = entry.age if oldest is None else min(oldest, entry.age)
                wanted = False
                for name, selector in selectors.items():
                    if not selector.is_finished(entry):
                        wanted = True
                        if not selector.waits(entry):
                            lanes[name].add(entry)
                if not wanted and len(finished) < _ROWS:
                    finished.append(entry.key)
        except SpoolError as error:
            trouble(spool.directory, str(error))
        else:
            trouble(spool.directory, "")
        age = oldest / 1e9 if oldest is not None else None
        depths.append(Depth(spool.directory, total.files - before[0], total.bytes - before[1], age))
    return Scan(depths, total, finished, lanes)
