"""The reject file: every line and item that was not shipped, with file, line number and reason. Its size is capped.

A line of it: time (UTC), spool file:line, reason and the text, separated by tabs; what is not printable ASCII stands as \\xNN.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from graphios.errors import GraphiosError

LONGEST_TEXT = 4000
"""Bytes of a rejected line that are kept."""


class RejectError(GraphiosError):
    """The reject file can't be written; the message names it and says why."""


def escaped(raw: bytes) -> str:
    """`raw` on one line: anything but printable ASCII as \\xNN, cut at LONGEST_TEXT bytes."""
    text = raw[:LONGEST_TEXT].decode("ascii", "backslashreplace")
    text = "".join([char if char.isprintable() else f"\\x{ord(char):02x}" for char in text])
    return text if len(raw) <= LONGEST_TEXT else f"{text}... ({len(raw)} bytes)"


class RejectFile:
    """Appends to `path`. At half of `max_bytes` it becomes `path`.1, so both together stay below `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._half = max_bytes // 2
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.count = 0

    def check(self) -> None:
        """Raises RejectError when the file can't be written."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            raise RejectError(f"reject file {self.path}: {error.strerror}") from error

    def add(self, name: str, number: int, reason: str, raw: bytes) -> None:
        """Notes what was rejected in line `number` of the spool file `name`; on disk after flush()."""
        self.count += 1
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        where = f"{escaped(os.fsencode(name))}:{number}"
        why = escaped(reason.encode("utf-8", "surrogateescape"))
        entry = f"{stamp}\t{where}\t{why}\t{escaped(raw)}\n".encode("ascii")
        self._pending.append(entry)
        self._pending_bytes += len(entry)

    @property
    def full(self) -> bool:
        """Whether so much is noted that it should be flushed."""
        return self._pending_bytes > 1_000_000

    def flush(self) -> None:
        """Writes what was noted, down to the disk. Raises RejectError; then it is still noted."""
        if not self._pending:
            return
        data = b"".join(self._pending)[-self._half :]
        try:
            fd = self._open()
            try:
                size = os.fstat(fd).st_size
                if size and size + len(data) > self._half:
                    self.path.rename(f"{self.path}.1")
                    os.close(fd)
                    fd = self._open()
                    size = 0
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
