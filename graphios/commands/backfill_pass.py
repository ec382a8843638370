"""One backend's way through the archives: reads, converts, delivers at a bounded rate, and keeps in the journal what was acknowledged."""

from __future__ import annotations

import time
from collections import Counter, deque
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from graphios.backends.base import Backend
from graphios.commands.archives import ArchiveError, lines, open_archive
from graphios.commands.backfill_delivery import LostMemory, Outlet, Task
from graphios.commands.backfill_files import TIME, Archive
from graphios.commands.backfill_journal import Journal
from graphios.configuration.settings import BackendSettings
from graphios.convert import Converter
from graphios.delivery.pacing import Pacer
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.spool import Cut

_ALL = 2**60
"""Stands for every line of a file."""
_OFTEN = 1.0


class _Mark(NamedTuple):
    """Up to here everything was acknowledged, at this moment."""

    when: float
    file: int
    lines: int
    counts: Counter[str]


class Pass:
    """The archives on their way to one backend. run() belongs to one thread; the rest may be read by any."""

    def __init__(
        self, task: Task, settings: BackendSettings, backend: Backend, journal: Journal, pacer: Pacer | None
    ) -> None:
        self.task, self.backend, self.journal = task, backend, journal
        self.name = settings.name
        self.counts = journal.counts()
        self.outlet = Outlet(task, settings, backend, pacer, self.counts)
        self.bytes = 0
        """Of the archives' sizes, what was gone through."""
        self.finished = False
        self._settings, self._pacer = settings, pacer
        self._window = float(getattr(settings, "replay_seconds", 0.0))
        self._before = [0, *accumulate(archive.size for archive in task.archives)]
        self._reached = 0
        self._converter = Converter(task.names, backend.takes)
        self._items: list[Any] = []
        self._size = 0
        self._pending: dict[str, tuple[str, int]] = {}
        self._marks: deque[_Mark] = deque()
        self.trouble: dict[str, str] = {}
        """Files that could not be read to their end."""

    def run(self) -> None:
        """Goes through all archives; `finished` says whether it came to the end. Never raises."""
        try:
            start = 0
            while True:
                try:
                    self._go(start)
                    break
                except LostMemory:
                    start = self._rewind()
            self.finished = not self.trouble
        except Stopped:
            pass
        except GraphiosError as error:
            self.outlet.error = str(error)
        except Exception as error:  # an operator never sees a traceback
            self.outlet.error = f"internal error, please report it: {type(error).__name__}: {error}"
        finally:
            self.backend.close()
            if self._pacer:
                self._pacer.close()

    def _go(self, start: int) -> None:
        self._items, self._size, self._pending = [], 0, {}
        for index in range(start, len(self.task.archives)):
            archive = self.task.archives[index]
            if self.task.stopping():
                raise Stopped
            done = self.journal.lines(archive.path, archive.identity)
            self._reached = max(self._reached, index)
            if not self._marks:
                self._marks.append(_Mark(time.monotonic(), index, done, Counter(self.counts)))
            if done < _ALL:
                try:
                    self._read(index, done)
                except ArchiveError as error:
                    self.trouble[archive.path] = str(error)
                    self.task.say(str(error))
                else:
                    self._reach(index, _ALL)
                    self.counts["files"] += 1
            self.bytes = self._before[index + 1]
            if len(self._pending) >= 1000:
                self._flush(index)
        self._flush(len(self.task.archives) - 1)
        self.outlet.wait_for_parked()
        if self.counts["metrics"]:
            self.journal.done({}, self.counts)

    def _read(self, index: int, done: int) -> None:
        archive, task, counts = self.task.archives[index], self.task, self.counts
        now = time.time()
        with open_archive(Path(archive.path)) as file:
            for number, raw in lines(file, archive.path):
                if number <= done:
                    continue
                if number % 500 == 0:
                    if task.stopping():
                        raise Stopped
                    now = time.time()
                if (moment := _moment(raw)) is not None and not task.since <= moment < task.until:
                    counts["outside"] += 1
                else:
                    self._convert(archive, number, raw, now)
                self._reach(index, number)
                if len(self._items) >= self.outlet.most or self._size >= self._settings.delivery.batch_bytes:
                    self.bytes = self._before[index] + _position(file, archive.size)
                    self._flush(index)

    def _convert(self, archive: Archive, number: int, raw: bytes | Cut, now: float) -> None:
        skipped = self._converter.skipped.total()
        for items, rejects in self._converter.convert(raw, now):
            self._items += items
            self._size += sum(map(len, items)) if items and isinstance(items[0], str) else 200 * len(items)
            for reject in rejects:
                self.counts["rejected"] += 1
                self.task.rejects.add(archive.path, number, reject.reason, reject.raw, reject.kind)
            while len(self._items) >= 2 * self.outlet.most or self._size >= 2 * self._settings.delivery.batch_bytes:
                self._send_items()  # a long line: it is done when all of it is
        self.counts["lines"] += 1
        self.counts["skipped"] += self._converter.skipped.total() - skipped

    def _reach(self, index: int, number: int) -> None:
        archive = self.task.archives[index]
        self._pending[archive.path] = (archive.identity, number)

    def _flush(self, index: int) -> None:
        """Delivers what was read, and notes in the journal that it is done."""
        self._send_items()
        if not self._pending:
            return
        self.task.rejects.flush()
        self.journal.done(self._pending, self.counts)
        archive = self.task.archives[index]
        _, reached = self._pending.get(archive.path, (archive.identity, _ALL))
        self._pending = {}
        self._mark(index, reached)

    def _mark(self, index: int, reached: int) -> None:
        now = time.monotonic()
        if now - self._marks[-1].when >= _OFTEN:
            self._marks.append(_Mark(now, index, reached, Counter(self.counts)))
        while len(self._marks) > 1 and self._marks[1].when < now - self._window:
            self._marks.popleft()

    def _rewind(self) -> int:
        """Goes back to where the receiver still remembers everything; the index of that file."""
        mark = self._marks[0]
        if self._pacer:
            self._pacer.lost()
        first = self.task.archives[mark.file]
        again = {other.path: (other.identity, 0) for other in self.task.archives[mark.file + 1 : self._reached + 1]}
        self.counts.clear()
        self.counts.update(mark.counts)
        self.journal.done({**again, first.path: (first.identity, mark.lines)}, self.counts)
        self.bytes = self._before[mark.file]
        self._marks = deque([mark._replace(when=time.monotonic())])
        self.task.say(f"{self.name} may have lost its memory: what it took lately is sent again")
        return mark.file

    def _send_items(self) -> None:
        items, self._items, self._size = self._items, [], 0
        self.outlet.send(items)


def _moment(raw: bytes | Cut) -> int | None:
    """The check's time; None where the line does not say it once and clearly: the conversion judges that."""
    found = None if isinstance(raw, Cut) else TIME.search(raw)
    return int(found[1]) if found else None


def _position(file: Any, size: int) -> int:
    """How far the file was read, in bytes of its own size."""
    raw = getattr(file, "fileobj", None) or getattr(file, "_fp", None) or file
    try:
        return min(int(raw.tell()), size)
    except (OSError, ValueError, AttributeError):
        return 0
