"""The reject file: every line and item that was not shipped, with file, line number and reason. Its size is capped.

A line of it: time (UTC), spool file:line, reason and the text, separated by tabs; what is not printable ASCII stands as \\xNN.
Several lanes read the same file: what the first of them rejects in a line is recorded, and no more of that line by the others.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, OrderedDict
from pathlib import Path

from graphios.errors import GraphiosError
from graphios.inputs.spool import FileKey

LONGEST_TEXT = 4000
"""Bytes of a rejected line that are kept."""


_FILES = 20_000
_ALL = 2**62


class RejectError(GraphiosError):
    """The reject file can't be written; the message names it and says why."""


def escaped(raw: bytes) -> str:
    """`raw` on one line: anything but printable ASCII as \\xNN, cut at LONGEST_TEXT bytes."""
    text = raw[:LONGEST_TEXT].decode("ascii", "backslashreplace")
    text = "".join([char if char.isprintable() else f"\\x{ord(char):02x}" for char in text])
    return text if len(raw) <= LONGEST_TEXT else f"{text}... ({len(raw)} bytes)"


class RejectFile:
    """Appends to `path`. At half of `max_bytes` it becomes `path`.1, so both together stay below `max_bytes`. For several threads."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._half = max_bytes // 2
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self.by_kind: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many there were so far."""
        with self._lock:
            return self.by_kind.total()

    def check(self) -> None:
        """Raises RejectError when the file can't be written."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            raise RejectError(f"reject file {self.path}: {error.strerror}") from error

    def add(self, name: str, number: int, reason: str, raw: bytes, kind: str = "line") -> None:
        """Notes what was rejected in line `number` of the spool file `name`; on disk after flush()."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        where = f"{escaped(os.fsencode(name))}:{number}"
        why = escaped(reason.encode("utf-8", "surrogateescape"))
        entry = f"{stamp}\t{where}\t{why}\t{escaped(raw)}\n".encode("ascii")
        with self._lock:
            self.by_kind[kind] += 1
            self._pending.append(entry)
            self._pending_bytes += len(entry)
            if self._pending_bytes > self._half:
                # More than the file may hold came between two writes: the oldest would be the first to go.
                del self._pending[: len(self._pending) // 2]
                self._pending_bytes = sum(map(len, self._pending))

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return self._pending_bytes > 1_000_000

    def flush(self) -> None:
        """Writes what was noted, down to the disk. Raises RejectError; then it is still noted."""
        with self._lock:
            if self._pending:
                self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)[-self._half :]
        try:
            fd = self._open()
            try:
                size = os.fstat(fd).st_size
                if size and size + len(data) > self._half:
                    self.path.rename(f"{self.path}.1")
                    new = self._open()
                    os.close(fd)
                    fd, size = new, 0
                self._write(fd, data, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise RejectError(f"reject file {self.path}: {error.strerror}") from error
        self._pending, self._pending_bytes = [], 0

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)

    @staticmethod
    def _write(fd: int, data: bytes, size: int) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)  # the same entries come again
            raise


class Watermark:
    """How far each file has been read by any lane, so that its lines and rejects count once. For several threads."""

    def __init__(self) -> None:
        self._read: OrderedDict[FileKey, tuple[int, int, int]] = (
            OrderedDict()
        )  # lines; line and ordinal of the last reject
        self._lock = threading.Lock()

    def open(self, key: FileKey, lines: int) -> None:
        """A lane begins with this file, of which some lane has read `lines` lines already."""
        with self._lock:
            self._read.setdefault(key, (lines, lines, _ALL))
            self._read.move_to_end(key)
            if len(self._read) > _FILES:
                self._read.popitem(last=False)

    def lines(self, key: FileKey, upto: int) -> int:
        """A lane has read so many lines of this file; how many of them no lane had read before."""
        with self._lock:
            lines, *reject = self._read.get(key, (0, 0, 0))
            self._read[key] = max(lines, upto), reject[0], reject[1]
            return max(0, upto - lines)

    def is_new(self, key: FileKey, line: int, ordinal: int) -> bool:
        """Whether no lane has met this reject, the `ordinal`-th (from 1) of this line, before."""
        with self._lock:
            lines, *last = self._read.get(key, (0, 0, 0))
            if (line, ordinal) <= tuple(last):
                return False
            self._read[key] = lines, line, ordinal
            return True

    def forget(self, key: FileKey) -> None:
        """The file is no longer in the spool."""
        with self._lock:
            self._read.pop(key, None)
