"""A spool directory: which files are ours, oldest first, and their lines, in bounded memory.

Ours are regular files whose names match the spool's patterns. Everything else (dot names, which are being written; foreign files,
directories, symbolic links, sockets, FIFOs) is not touched.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from graphios.errors import GraphiosError

LONGEST_LINE = 20_000_000
"""Bytes in a line: the tap writes up to 16 MB of perfdata as one."""

OLDEST = 10_000
"""So many files at most are held in memory."""

PATTERNS = ("service-perfdata.*", "host-perfdata.*")

_READ = 262_144
_HEAD = 4096


class SpoolError(GraphiosError):
    """The spool directory or a file in it can't be used; the message names it and says why."""


class FileKey(NamedTuple):
    """Which file it is, as long as it exists."""

    directory: str
    name: str
    inode: int

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{self.directory}/{self.name}"


class Waiting(NamedTuple):
    """A spool file as the directory showed it. Sorts by age, oldest first."""

    age: int  # modification time, nanoseconds: what comes first is sent first
    name: str
    size: int
    inode: int
    directory: str

    @property
    def key(self) -> FileKey:
        """Which file it is."""
        return FileKey(self.directory, self.name, self.inode)


class Cut(NamedTuple):
    """Stands for a line that can't be used, with the reason and how it begins."""

    reason: str
    start: bytes


_MOST = 2**63 - 1


def inode_of(status: os.stat_result) -> int:
    """The inode number as a database can hold it."""
    return status.st_ino & _MOST


def changed_at(status: os.stat_result) -> int:
    """The modification time in nanoseconds, as a database can hold it."""
    return max(0, min(status.st_mtime_ns, _MOST))


class DirectoryLock:
    """Sees to it that one graphios at a time works on a directory; leaves nothing in it."""

    def __init__(self, directory: str, what: str) -> None:
        """`what` is what the directory is to people: `spool`, `state directory`."""
        self.directory = directory
        self._what = what
        self._fd = -1

    def lock(self) -> None:
        """Locks the directory until unlock() or the end of the process.

        Raises SpoolError when it is missing, or another graphios works on it. Locks again where the directory was replaced meanwhile.
        """
        if self._fd >= 0 and self._is_current():
            return
        self.unlock()
        try:
            self._fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise SpoolError(f"another graphios works on the {self._what} {self.directory}") from None
        except OSError as error:
            self.unlock()
            raise SpoolError(f"{self._what} {self.directory}: {error.strerror}") from error

    def _is_current(self) -> bool:
        try:
            here, held = Path(self.directory).stat(), os.fstat(self._fd)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)

    def unlock(self) -> None:
        """Gives the directory up."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Spool(DirectoryLock):
    """The directory. Lock it before working on it, so that no two shippers do."""

    def __init__(self, directory: str, patterns: Sequence[str] = PATTERNS) -> None:
        """`patterns` are those of the shell."""
        super().__init__(directory, "spool")
        self._ours = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))

    @property
    def writable(self) -> bool:
        """Whether delivered files can be moved away."""
        return os.access(self.directory, os.W_OK | os.X_OK)

    def is_ours(self, name: str) -> bool:
        """Whether a file of this name is for us; one that ends in a dot still waits for its number."""
        return name[0] != "." and name[-1] != "." and self._ours.match(name) is not None

    def entries(self) -> Iterator[Waiting]:
        """Our files, in no order. Raises SpoolError."""
        directory, is_ours = self.directory, self.is_ours
        try:
            with os.scandir(directory) as found:
                for entry in found:
                    if not is_ours(entry.name):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(status.st_mode):
                        yield Waiting(changed_at(status), entry.name, status.st_size, inode_of(status), directory)
        except OSError as error:
            raise SpoolError(f"spool {directory}: {error.strerror}") from error

    def scan(self) -> list[Waiting]:
        """Our oldest files, oldest first, OLDEST of them at most. Raises SpoolError."""
        oldest = Oldest()
        for entry in self.entries():
            oldest.add(entry)
        return oldest.sorted()

    def open(self, name: str) -> SpoolFile:
        """The file `name` of this directory. Raises SpoolError."""
        return SpoolFile(f"{self.directory}/{name}", name)


class Oldest:
    """Keeps the oldest of many files, OLDEST at most, and counts them all."""

    def __init__(self, keep: bool = True) -> None:
        """Without `keep` it only counts."""
        self._keep = keep
        self.files = self.bytes = 0
        self.first: int | None = None  # when the oldest was changed, epoch nanoseconds
        self._kept: list[Waiting] = []
        self._bar: Waiting | None = None

    def add(self, entry: Waiting) -> None:
        """One more file."""
        self.files += 1
        self.bytes += entry.size
        if self.first is None or entry.age < self.first:
            self.first = entry.age
        if not self._keep:
            return
        if self._bar is not None and entry >= self._bar:
            return
        self._kept.append(entry)
        if len(self._kept) >= OLDEST + OLDEST // 2:
            self._cut()

    def _cut(self) -> None:
        self._kept.sort()
        if len(self._kept) > OLDEST:
            del self._kept[OLDEST:]
            self._bar = self._kept[-1]

    def sorted(self) -> list[Waiting]:
        """The oldest, oldest first."""
        self._cut()
        return self._kept


class SpoolFile:
    """One open file of perfdata, as it was when it was opened: what is written to it later is not seen."""

    def __init__(self, path: str, name: str) -> None:
        """Raises SpoolError when it is not a regular file that can be read."""
        self.path = path
        self.name = name
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self._fd)
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SpoolError(f"{path}: not a regular file")
        self.inode, self.size, self.changed = inode_of(status), status.st_size, changed_at(status)

    def __enter__(self) -> SpoolFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def ended(self) -> bool:
        """Whether its last byte is a newline; an empty file is not ended. Raises SpoolError."""
        return self.size > 0 and self._read(1, self.size - 1) == b"\n"

    def fingerprint(self, offset: int) -> bytes:
        """Tells the first `offset` bytes of this file from another file's (it looks at the first 4096). Raises SpoolError."""
        return hashlib.blake2b(self._read(min(offset, _HEAD), 0), digest_size=8).digest()

    def lines(self, offset: int = 0, line: int = 0, end: int | None = None) -> Iterator[tuple[int, int, bytes | Cut]]:
        """Each line without its newline as (its number from 1, the offset behind its newline, its bytes).

        Begins at the byte `offset`, before which lie `line` lines, and stops at `end` or where the file ended when it was opened. What is too
        long, and a last line without a newline, comes as Cut. Raises SpoolError.
        """
        end = self.size if end is None else min(end, self.size)
        while offset < end:
            block = self._read(min(_READ, end - offset), offset)
            pieces = block.split(b"\n")
            rest = pieces.pop()
            for piece in pieces:
                line += 1
                offset += len(piece) + 1
                yield line, offset, piece
            if pieces:
                continue
            if not block:
                return  # somebody truncated it
            stop = self._newline(offset + len(rest), end)
            begin, line = offset, line + 1
            start = self._read(min(4000, (end if stop < 0 else stop) - begin), begin)
            del block, rest
            if stop < 0:
                yield line, end, Cut("cut off: the last line has no newline", start)
                return
            offset = stop + 1
            if stop - begin > LONGEST_LINE:
                yield line, offset, Cut(f"line longer than {LONGEST_LINE} bytes", start)
            else:
                yield line, offset, self._read(stop - begin, begin)

    def _newline(self, offset: int, end: int) -> int:
        """Where the first newline from `offset` on is, or -1."""
        while offset < end:
            block = self._read(min(_READ, end - offset), offset)
            if not block:
                return -1
            found = block.find(b"\n")
            if found >= 0:
                return offset + found
            offset += len(block)
        return -1

    def _read(self, count: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, count, offset)
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error
