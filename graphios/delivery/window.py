"""The replay window: delivered files, kept until their receivers have surely written down what they acknowledged.

`<state>/delivered/<bucket>/<n>.<size>.<name>`, or `<spool>/.delivered/...` where the state lies on another file system: files are only ever
renamed, so a crash leaves each of them in one place. `size` is what was delivered; what a writer appends later is copied to the inbox.
A bucket `<number>-<boot>-<seconds since boot>` holds what was delivered about the same time and expires as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from graphios import spool_writer
from graphios.delivery.progress import boot_id, uptime
from graphios.inputs.spool import Cut, FileKey, SpoolError, SpoolFile, changed_at

log = logging.getLogger("graphios")

_BUCKET_FILES = 2000
_WATCHED = 4_000
"""Files in each stage of looking after them; the others are looked at once more before they are removed."""
_TAIL_PIECE = 4_194_304
_LOOKS = (0.5, 3.0, 15.0, 60.0)
"""Seconds after its delivery that a file is looked after."""


class Kept(NamedTuple):
    """A file of the window. Sorts by age, oldest first."""

    age: int
    name: str
    size: int  # so much of it was delivered
    path: str


class _Watched(NamedTuple):
    at: float
    path: str
    size: int


class _Bucket:
    """Directories of one name, one for each file system, and what they hold."""

    def __init__(self, name: str, touched: float) -> None:
        self.name, self.opened, self.touched = name, touched, touched
        self.number = int(name.partition("-")[0])
        self.roots: set[Path] = set()
        self.files = self.bytes = 0


class Window:
    """All delivered files. For several threads."""

    def __init__(
        self,
        state: Path,
        spools: list[str],
        inbox: Path,
        running: bool,
        keep: float,
        most_bytes: int,
        clock: Callable[[], float] = uptime,
    ) -> None:
        """Files are kept for `keep` seconds, and `most_bytes` at most. `running`: this is a daemon, which sends the window again when it
        starts, so that all of it counts as delivered now. Raises nothing: what can't be read is not there."""
        self.keep, self.most_bytes = keep, most_bytes
        self._main = state / "delivered"
        self._roots = [self._main, *(Path(spool, ".delivered") for spool in spools)]
        self._inbox, self._clock = inbox, clock
        self._boot = boot_id()[:8] or "0"
        self._lock = threading.RLock()
        self._buckets: dict[int, _Bucket] = {}
        self._open: _Bucket | None = None
        self._serial = 0
        self._elsewhere: set[str] = set()  # spools on other file systems
        self._watched: list[deque[_Watched]] = [deque() for _ in _LOOKS]
        for root in self._roots:
            self._find(root, running)

    def _find(self, root: Path, running: bool) -> None:
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(root)):
                with contextlib.suppress(OSError, ValueError):
                    bucket = _Bucket(entry.name, self._clock())
                    if not running:
                        bucket.touched = self._age_of(entry.name)
                    bucket = self._buckets.setdefault(bucket.number, bucket)
                    bucket.roots.add(root)
                    for file in os.scandir(entry.path):
                        bucket.files += 1
                        bucket.bytes += file.stat().st_size

    def _age_of(self, name: str) -> float:
        _, boot, at = name.split("-")
        return float(at) if boot == self._boot else 0.0

    @property
    def files(self) -> int:
        """How many files it holds."""
        with self._lock:
            return sum(bucket.files for bucket in self._buckets.values())

    @property
    def bytes(self) -> int:
        """What they take."""
        with self._lock:
            return sum(bucket.bytes for bucket in self._buckets.values())

    def now(self) -> float:
        """The time on the window's own clock."""
        return self._clock()

    def take(self, key: FileKey, size: int) -> None:
        """Moves the file out of its spool; `size` bytes of it were delivered. Raises SpoolError when it can't be moved.

        A file that is gone already is not missed.
        """
        with self._lock:
            bucket = self._current()
            self._serial += 1
            kept = f"{self._serial}.{size}.{key.name[:200]}"
            root = self._main
            if key.directory in self._elsewhere:
                root = Path(key.directory, ".delivered")
            try:
                try:
                    path = self._move(key.path, root, bucket, kept)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    self._elsewhere.add(key.directory)
                    path = self._move(key.path, Path(key.directory, ".delivered"), bucket, kept)
            except FileNotFoundError:
                return
            except OSError as error:
                raise SpoolError(f"{key.path} was delivered, but can't be moved away: {error.strerror}") from error
            bucket.files += 1
            bucket.bytes += size
            bucket.touched = self._clock()
            self._watched[0].append(_Watched(bucket.touched, path, size))
            if len(self._watched[0]) > _WATCHED:
                self._watched[0].popleft()

    def _current(self) -> _Bucket:
        now = self._clock()
        if not self._open or self._open.files >= _BUCKET_FILES or now - self._open.opened > max(self.keep / 15, 1):
            number = max(self._buckets, default=0) + 1
            self._open = self._buckets[number] = _Bucket(f"{number:08}-{self._boot}-{int(now)}", now)
        return self._open

    @staticmethod
    def _move(source: str, root: Path, bucket: _Bucket, name: str) -> str:
        # No Path: this is most of the work for a small file.
        directory = f"{root}/{bucket.name}"
        target = f"{directory}/{name}"
        if root in bucket.roots:
            try:
                os.rename(source, target)  # noqa: PTH104
                return target
            except FileNotFoundError:
                if Path(directory).exists():
                    raise
        Path(directory).mkdir(mode=0o750, parents=True, exist_ok=True)
        bucket.roots.add(root)
        os.rename(source, target)  # noqa: PTH104
        return target

    def cut(self) -> int:
        """Begins a new bucket; the number of the last one before it."""
        with self._lock:
            self._open = None
            return max(self._buckets, default=0)

    def replay(self, after: int, upto: int) -> Iterator[Kept]:
        """The files of the buckets with numbers in (after, upto], oldest first, about."""
        while True:
            with self._lock:
                number = min((number for number in self._buckets if after < number <= upto), default=0)
                bucket = self._buckets.get(number)
            if not bucket:
                return
            yield from sorted(self._files(bucket))
            after = number

    def replayed(self) -> None:
        """All of it was acknowledged once more, just now: it is as good as new."""
        with self._lock:
            for bucket in self._buckets.values():
                bucket.touched = self._clock()

    def _files(self, bucket: _Bucket) -> Iterator[Kept]:
        for root in list(bucket.roots):
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(root / bucket.name):
                    with contextlib.suppress(OSError, ValueError):
                        status = entry.stat(follow_symlinks=False)
                        yield Kept(changed_at(status), entry.name, int(entry.name.split(".")[1]), entry.path)

    def expire(self, safe: float) -> None:
        """Removes what was delivered more than `keep` seconds before `safe`: until then every receiver is known to have kept its memory.

        Also the oldest, where there are more bytes than `most_bytes`.
        """
        with self._lock:
            old = [bucket for bucket in self._buckets.values() if bucket.touched + self.keep < safe]
            excess = self.bytes - sum(bucket.bytes for bucket in old) - self.most_bytes
            for bucket in sorted(self._buckets.values(), key=lambda bucket: bucket.number):
                if excess > 0 and bucket not in old:
                    log.warning(
                        "the replay window is over its %d bytes: %d files leave it early", self.most_bytes, bucket.files
                    )
                    old.append(bucket)
                    excess -= bucket.bytes
        for bucket in old:
            self._remove(bucket)

    def _remove(self, bucket: _Bucket) -> None:
        with self._lock:
            if self._open is bucket:
                self._open = None
        try:
            for kept in list(self._files(bucket)):
                path, _ = self._save_tail(Path(kept.path), final=True)
                Path(path).unlink(missing_ok=True)
            for root in bucket.roots:
                with contextlib.suppress(FileNotFoundError):
                    (root / bucket.name).rmdir()
        except (OSError, SpoolError) as error:
            log.warning("replay window: %s stays until the next start: %s", bucket.name, error)
        with self._lock:
            self._buckets.pop(bucket.number, None)

    def watch(self) -> int:
        """Looks a few times, with growing pauses, after files that a writer may still append to: what is new goes to the inbox.

        How many grew. To be called every second or so.
        """
        grown = 0
        for stage, seconds in enumerate(_LOOKS):
            queue = self._watched[stage]
            while queue and self._clock() - queue[0].at >= seconds:
                watched = queue.popleft()
                path, size = watched.path, watched.size
                try:
                    if os.stat(path).st_size > size:  # noqa: PTH116
                        path, size = self._save_tail(Path(path))
                        grown += 1
                except FileNotFoundError:
                    continue
                except (OSError, SpoolError) as error:
                    log.warning("replay window: %s: %s", path, error)
                if stage + 1 < len(_LOOKS) and len(self._watched[stage + 1]) < _WATCHED:
                    self._watched[stage + 1].append(_Watched(watched.at, str(path), size))
        return grown

    def _save_tail(self, path: Path, final: bool = False) -> tuple[str, int]:
        """Copies what was appended since the delivery to the inbox, and notes so in the file's name.

        `final`: a last line without newline will not be finished any more. Raises OSError, SpoolError.
        """
        serial, size, name = path.name.split(".", 2)
        done = int(size)
        with SpoolFile(str(path), path.name) as file:
            if file.size <= done:
                return str(path), done
            for piece, end in _pieces(file, done, final):
                if piece:
                    spool_writer.write(os.fsencode(self._inbox), piece)
                done = end
        if done == int(size):
            return str(path), done
        log.info("%s grew after it was delivered; %d more bytes are shipped", name, done - int(size))
        return str(path.rename(path.with_name(f"{serial}.{done}.{name}"))), done


def _pieces(file: SpoolFile, offset: int, final: bool) -> Iterator[tuple[bytes, int]]:
    """Whole lines from `offset` on, about four million bytes at a time, each with the offset behind them."""
    piece: list[bytes] = []
    length, end = 0, offset
    for _, behind, line in file.lines(offset):
        if isinstance(line, Cut):
            if behind == file.size and not final:
                break
            # It comes out of the inbox as a line cut off, and is rejected there.
            yield b"".join(piece), end
            yield line.start, behind
            piece, length, end = [], 0, behind
            continue
        piece.append(line + b"\n")
        length, end = length + len(line) + 1, behind
        if length >= _TAIL_PIECE:
            yield b"".join(piece), end
            piece, length = [], 0
    yield b"".join(piece), end
