"""From spool files to batches of what a backend takes, each with the positions that are reached when it is acknowledged."""

from __future__ import annotations

import bisect
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from graphios.backends.base import LINES
from graphios.convert import Converter, Reject
from graphios.delivery.progress import Position, Progress
from graphios.delivery.rejects import RejectError, RejectFile, Watermark, escaped
from graphios.delivery.troubles import Troubles
from graphios.delivery.window import Kept
from graphios.errors import Stopped
from graphios.inputs.settle import Settling
from graphios.inputs.spool import FileKey, SpoolError, SpoolFile, Waiting
from graphios.points import Point

log = logging.getLogger("graphios")

_SECONDS = 1.0
_FILES = 1000
_POINT_BYTES = 100
_RETRY = 10.0
_FAILED = 50_000
_LOOK = 256
"""Lines between two looks at the clock."""


class Mark(NamedTuple):
    """A file's position once the batch is acknowledged; `finished`: there is no more in it."""

    position: Position
    finished: bool


class Batch:
    """Items for one delivery."""

    def __init__(self) -> None:
        self.items: list[str] | list[Point] = []
        self.bytes = 0  # about
        self.marks: dict[FileKey, Mark] = {}
        self.replayed: list[tuple[FileKey, Position]] = []  # spool files that were sent again
        self.rejected: set[FileKey] = set()  # files with something new for the reject file
        self.replay = False
        self._starts: list[int] = []
        self._names: list[str] = []
        self.keys: list[FileKey | None] = []

    def begin(self, name: str, key: FileKey | None) -> None:
        """The items that come now are from this file."""
        self._starts.append(len(self.items))
        self._names.append(name)
        self.keys.append(key)

    def origin(self, index: int) -> tuple[str, FileKey | None]:
        """The name of the file that the item at `index` came from; and which spool file it is, if it still is one."""
        at = bisect.bisect_right(self._starts, index) - 1
        return self._names[at], self.keys[at]


class Common(NamedTuple):
    """What all lanes share."""

    progress: Progress
    rejects: RejectFile
    watermark: Watermark
    settling: Settling
    counts: Counter[str]  # lines_read, metrics_read
    lock: threading.Lock  # of counts
    inbox: str
    troubles: Troubles


class Reader:
    """Reads for one lane. For one thread at a time."""

    def __init__(
        self,
        lane: str,
        converter: Converter,
        takes: str,
        batch_bytes: int,
        common: Common,
        stopping: Callable[[], bool],
    ) -> None:
        self._lane, self._converter, self._batch_bytes, self._common = lane, converter, batch_bytes, common
        self._lines = takes == LINES
        self._stopping = stopping
        self._batch = Batch()
        self._started = time.monotonic()
        self._skipped: Counter[str] | None = None  # while files are read again, which count once
        self.unfinished: set[FileKey] = set()  # may still be written to
        self.failed: dict[FileKey, float] = {}  # can't be read; when to try again, on the monotonic clock

    @property
    def skipped(self) -> Counter[str]:
        """What was neither shipped nor rejected, by reason."""
        return self._skipped or self._converter.skipped

    def _cut(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        self._started = time.monotonic()
        return batch

    def _is_full(self) -> bool:
        batch = self._batch
        return (
            batch.bytes >= self._batch_bytes
            or len(batch.keys) >= _FILES
            or (len(batch.keys) > 0 and time.monotonic() - self._started > _SECONDS)
        )

    def fresh(self, entries: Iterable[Waiting]) -> Iterator[Batch]:
        """What these files hold behind their positions. A file that can't be read is complained about and left out. Raises Stopped."""
        if self._skipped is not None:
            self._converter.skipped, self._skipped = self._skipped, None
        self._batch = Batch()
        self._started = time.monotonic()
        for entry in entries:
            if self._stopping():
                raise Stopped
            key = entry.key
            try:
                with SpoolFile(key.path, key.name) as file:
                    if file.inode != key.inode:
                        continue
                    if key.directory != self._common.inbox and self._common.settling.still_written(file, key):
                        if len(self.unfinished) < _FAILED:
                            self.unfinished.add(key)
                        continue
                    self.unfinished.discard(key)
                    yield from self._new_lines(file, key)
            except SpoolError as error:
                if os.path.lexists(key.path):
                    self.put_off(key)
                    self._common.troubles.say(key.path, str(error))
        if self._batch.keys:
            yield self._cut()

    def put_off(self, key: FileKey) -> None:
        """This file is not looked at for a while."""
        if len(self.failed) >= _FAILED:
            self.failed.clear()
        self.failed[key] = time.monotonic() + _RETRY

    def _position(self, file: SpoolFile, key: FileKey) -> Position:
        common = self._common
        positions = common.progress.of_file(key)
        position = positions.get(self._lane)
        if position and not position.fits(file):
            log.warning("%s is not the file it was: it is shipped from its beginning", key.path)
            common.watermark.forget(key)
            position = None
        common.watermark.open(key, max((at.line for at in positions.values()), default=0))
        return position or Position(0, 0, file.changed, b"")

    def _new_lines(self, file: SpoolFile, key: FileKey) -> Iterator[Batch]:
        begin = self._position(file, key)
        rejected, first = 0, ""
        done, line = begin.offset, begin.line
        metrics, lines = 0, line
        now = time.time()
        convert, is_lines, limit = self._converter.convert, self._lines, self._batch_bytes
        self._batch.begin(key.name, key)
        for number, end, raw in file.lines(done, line):
            ordinal = 0
            converted = convert(raw, now)
            raw = b""
            for items, rejects in converted:
                if rejects:
                    for reject in rejects:
                        ordinal += 1
                        if self._reject(key, number, ordinal, reject):
                            rejected += 1
                            first = first or f"line {number}: {reject.reason}"
                if items:
                    batch = self._batch
                    batch.items += items  # type: ignore[operator]  # all of one kind
                    batch.bytes += len(items) * (len(items[0]) if is_lines else _POINT_BYTES)
                    metrics += len(items)
                    if (
                        batch.bytes >= 2 * limit
                    ):  # a line of many: what of it is in this batch comes again after a restart
                        self._mark(file, key, done, line)
                        yield self._cut()
                        self._batch.begin(key.name, key)
            done, line = end, number
            if not number % _LOOK and self._stopping():
                raise Stopped
            if self._batch.bytes >= limit or (not number % _LOOK and (self._is_full() or self._common.rejects.full)):
                self._mark(file, key, done, line)
                yield self._cut()
                self._batch.begin(key.name, key)
        self._count(key, line - lines, line, metrics)
        self._mark(file, key, done, line, finished=True)
        if first:
            self._tell(key, rejected, first)
        if self._is_full():
            yield self._cut()

    def _mark(self, file: SpoolFile, key: FileKey, offset: int, line: int, finished: bool = False) -> None:
        position = Position(offset, line, file.changed, file.fingerprint(offset))
        self._batch.marks[key] = Mark(position, finished)

    def _count(self, key: FileKey, lines: int, line: int, metrics: int) -> None:
        """Lines count once, whatever the number of lanes that read them."""
        new = self._common.watermark.lines(key, line)
        if new and lines:
            with self._common.lock:
                self._common.counts["lines_read"] += min(new, lines)
                self._common.counts["metrics_read"] += metrics if new >= lines else metrics * new // lines

    def _reject(self, key: FileKey, number: int, ordinal: int, reject: Reject) -> bool:
        common = self._common
        if not common.watermark.is_new(key, number, ordinal):
            return False
        self._batch.rejected.add(key)
        common.rejects.add(key.name, number, reject.reason, reject.raw, reject.kind)
        if common.rejects.full:
            try:
                common.rejects.flush()
            except RejectError as error:
                common.troubles.say("rejects", str(error))
        return True

    def _tell(self, key: FileKey, rejected: int, first: str) -> None:
        first = escaped(first.encode("utf-8", "surrogateescape"))
        log.warning("%s: %d rejected, see %s; the first: %s", key.name, rejected, self._common.rejects.path, first)

    def again(self, files: Iterable[Kept | tuple[FileKey, Position]]) -> Iterator[Batch]:
        """Delivered files once more: of the window, or still in the spool; up to what was acknowledged of them. Raises Stopped."""
        if self._skipped is None:
            self._skipped = Counter(self._converter.skipped)
        self._started = time.monotonic()
        self._batch = Batch()
        self._batch.replay = True
        for entry in files:
            if self._stopping():
                raise Stopped
            if isinstance(entry, Kept):
                path, name, size, key = entry.path, entry.name, entry.size, None
            else:
                key, position = entry
                path, name, size = key.path, key.name, position.offset
            try:
                with SpoolFile(path, name) as file:
                    if key and (file.inode != key.inode or not position.fits(file)):
                        continue
                    yield from self._old_lines(file, name, key, size)
                if key:
                    self._batch.replayed.append((key, position._replace(changed=file.changed)))
            except SpoolError as error:
                if os.path.lexists(path):
                    self._common.troubles.say(path, str(error))
        if self._batch.items or self._batch.replayed:
            yield self._cut()

    def _old_lines(self, file: SpoolFile, name: str, key: FileKey | None, size: int) -> Iterator[Batch]:
        now = time.time()
        self._batch.begin(name, key)
        for number, _, raw in file.lines(0, 0, size):
            for items, _ in self._converter.convert(raw, now):
                if items:
                    batch = self._batch
                    batch.items += items  # type: ignore[operator]
                    batch.bytes += len(items) * (len(items[0]) if self._lines else _POINT_BYTES)
                    if batch.bytes >= self._batch_bytes:
                        yield self._cut()
                        self._batch.replay = True
                        self._batch.begin(name, key)
            if not number % _LOOK:
                if self._stopping():
                    raise Stopped
                if self._is_full():
                    yield self._cut()
                    self._batch.replay = True
                    self._batch.begin(name, key)
        if self._is_full():
            yield self._cut()
            self._batch.replay = True
