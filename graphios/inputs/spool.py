"""The spool directory: which files are ours, oldest first, and their lines, in bounded memory.

Ours are regular files called `service-perfdata.*` or `host-perfdata.*`. Everything else (dot names, which are being written; foreign files,
directories, symbolic links, sockets, FIFOs) is not touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from graphios.errors import GraphiosError

LONGEST_LINE = 20_000_000
"""Bytes in a line: the tap writes up to 16 MB of perfdata as one."""

_OURS = re.compile(r"(?:service|host)-perfdata\..+", re.DOTALL)
_READ = 262_144


class SpoolError(GraphiosError):
    """The spool directory or a file in it can't be used; the message names it and says why."""


class Waiting(NamedTuple):
    """A spool file as the directory showed it."""

    age: int  # modification time, nanoseconds: what comes first is sent first
    name: str
    size: int


class Cut(NamedTuple):
    """Stands for a line that can't be used, with the reason and how it begins."""

    reason: str
    start: bytes


class Spool:
    """The directory. Lock it before working on it, so that no two shippers do."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._lock = -1

    def lock(self) -> None:
        """Locks the directory until unlock() or the end of the process.

        Raises SpoolError when it is missing or not writable, or another graphios works on it.
        """
        try:
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise SpoolError(f"another graphios works on the spool {self.directory}") from None
        except OSError as error:
            self.unlock()
            raise SpoolError(f"spool {self.directory}: {error.strerror}") from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            self.unlock()
            raise SpoolError(f"spool {self.directory}: not writable, so delivered files could not be removed")

    def unlock(self) -> None:
        """Gives the directory up."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def scan(self) -> list[Waiting]:
        """Our files, oldest first. Raises SpoolError."""
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if _OURS.fullmatch(entry.name):
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        if stat.S_ISREG(status.st_mode):
                            found.append(Waiting(status.st_mtime_ns, entry.name, status.st_size))
        except OSError as error:
            raise SpoolError(f"spool {self.directory}: {error.strerror}") from error
        return sorted(found)

    def remove_delivered(self, name: str) -> None:
        """Tries again to remove a file that was delivered. Raises SpoolError."""
        try:
            Path(self.directory, name).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{self.directory}/{name} can't be removed: {error.strerror}") from error

    def open(self, name: str) -> SpoolFile:
        """The file `name` of this directory. Raises SpoolError."""
        return SpoolFile(f"{self.directory}/{name}", name)


class SpoolFile:
    """One open spool file."""

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name
        self._read = 0
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self._fd)
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SpoolError(f"{path}: not a regular file")
        self._identity = (status.st_dev, status.st_ino)

    def __enter__(self) -> SpoolFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it; remove() still works."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def unfinished(self, now: float, settle: float) -> bool:
        """Whether somebody may still be writing: no newline at its end, and changed less than `settle` seconds before `now`.

        Raises SpoolError.
        """
        try:
            status = os.fstat(self._fd)
            ended = status.st_size > 0 and os.pread(self._fd, 1, status.st_size - 1) == b"\n"
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error
        return not ended and abs(now - status.st_mtime) < settle

    def lines(self) -> Iterator[tuple[int, bytes | Cut]]:
        """Every line without its newline, numbered from 1; as Cut what is too long, and the last one when it has no newline.

        Raises SpoolError.
        """
        number = 1
        parts: list[bytes] = []
        length = 0
        while chunk := self._next():
            *whole, rest = chunk.split(b"\n")
            for piece in whole:
                length += len(piece)
                parts.append(piece)
                yield number, _line(parts, length)
                number += 1
                parts, length = [], 0
            length += len(rest)
            if length <= LONGEST_LINE:
                parts.append(rest)
        if length:
            yield number, Cut("cut off: the last line has no newline", b"".join(parts)[:4000])

    def _next(self) -> bytes:
        try:
            chunk = os.read(self._fd, _READ)
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error
        self._read += len(chunk)
        return chunk

    def remove(self) -> bool:
        """Removes the file if it is still what was read to its end; false when it grew or was replaced meanwhile. Raises SpoolError."""
        try:
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) != self._identity or status.st_size != self._read:
                return False
            Path(self.path).unlink()
        except FileNotFoundError:
            return True
        except OSError as error:
            raise SpoolError(f"{self.path} can't be removed: {error.strerror}") from error
        return True


def _line(parts: list[bytes], length: int) -> bytes | Cut:
    if length > LONGEST_LINE:
        return Cut(f"line longer than {LONGEST_LINE} bytes", parts[0][:4000])
    return b"".join(parts) if len(parts) > 1 else parts[0]
