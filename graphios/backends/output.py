"""Standard output, or a file that is appended to: carbon's plaintext, for people and for other programs."""

from __future__ import annotations

import contextlib
import os
import select
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from graphios.backends.base import LINES, DeliveryError, Remembering
from graphios.configuration.settings import OutputBackend
from graphios.errors import Stopped
from graphios.points import Point

_SLICE = 0.25
"""Seconds after which a wait looks whether the process shall end."""
_STANDARD_OUTPUT = 1
_LONGEST_TAIL = 1_048_576


class Output(Remembering):
    """Writes whole lines. A file is on the disk when deliver() returns, and opened anew for every batch, so that it
    may be rotated.
    """

    takes = LINES

    def __init__(self, settings: OutputBackend, stopping: Callable[[], bool]) -> None:
        """`stopping` is asked several times a second while the reader of a pipe is slow."""
        self.name = settings.name
        self.address = str(settings.path) if settings.path else "standard output"
        self._path = settings.path
        self._stopping = stopping

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """Returns when all lines are written. Raises DeliveryError (then a file holds none of them), Stopped."""
        data = "".join(item for item in items if isinstance(item, str)).encode()
        try:
            if self._path is None:
                self._write(_STANDARD_OUTPUT, data)
                return
            target = _open(self._path)
            try:
                self._write(target, data)
            finally:
                os.close(target)
        except OSError as error:
            raise DeliveryError(f"{self.name} {self.address}: {error.strerror or error}") from error

    def close(self) -> None:
        """There is nothing to give up: standard output is not ours, and a file is open only while it is written."""

    def _write(self, target: int, data: bytes) -> None:
        """All of it, or, on a disk, nothing of it."""
        if not stat.S_ISREG(os.fstat(target).st_mode):
            self._feed(target, data)
            return
        start = os.lseek(target, 0, os.SEEK_CUR) if target == _STANDARD_OUTPUT else _whole_lines(target)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
            os.fsync(target)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(target, start)
                os.lseek(target, start, os.SEEK_SET)
            raise

    def _feed(self, target: int, data: bytes) -> None:
        """To a pipe or terminal, as fast as it is read. Raises OSError, Stopped."""
        view = memoryview(data)
        poll = select.poll()
        poll.register(target, select.POLLOUT)
        while view:
            if self._stopping():
                raise Stopped
            if poll.poll(_SLICE * 1000):
                # A pipe that is ready takes so many bytes without blocking, see pipe(7).
                view = view[os.write(target, view[: select.PIPE_BUF]) :]


def _open(path: Path) -> int:
    # Not blocking: a named pipe that nobody reads is an error then (ENXIO).
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_RDWR, 0o644)
    except PermissionError:
        return os.open(path, flags | os.O_WRONLY, 0o644)


def _whole_lines(target: int) -> int:
    """Its size, without the half line that one who was killed left at its end: that one's batch comes again. Raises
    OSError.
    """
    size = os.fstat(target).st_size
    try:
        tail = os.pread(target, min(size, _LONGEST_TAIL), max(0, size - _LONGEST_TAIL))
    except OSError:
        return size  # may only be written
    if tail and not tail.endswith(b"\n") and b"\n" in tail:
        size -= len(tail) - tail.rindex(b"\n") - 1
        os.ftruncate(target, size)
    return size
