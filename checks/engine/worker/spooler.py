"""Writes perfdata into graphios's spool in a thread of its own: a disk that is slow, or hangs, must not keep the broker from its sockets.

What has come together while one file is written goes into the next one: syncing a file costs more than anything else about a small result.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from graphios import spool_writer

LARGEST_FILE = 16 * 1024 * 1024


class Spooler:
    """put() takes lines, done() gives back what is on disk by now, or why it is not."""

    def __init__(self, folder: Path, written: Callable[[int], None] = lambda number: None) -> None:
        """`written` is called in its thread for each result that has just got into the spool."""
        self._written = written
        self._folder = os.fsencode(folder)
        self._queue: list[tuple[int, str, bytes]] = []
        self._done: list[tuple[int, str]] = []
        self._closing = False
        self._changed = threading.Condition()
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="spooler", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when done() has something."""
        return self._wake

    def put(self, number: int, kind: str, lines: bytes) -> None:
        """Takes whole lines of a result; `kind` is "service" or "host"."""
        with self._changed:
            self._queue.append((number, kind, lines))
            self._changed.notify()

    def done(self) -> list[tuple[int, str]]:
        """The numbers of what is done: with an empty text when it is in the spool, otherwise with the reason."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 4096):
                pass
        with self._changed:
            found, self._done = self._done, []
        return found

    def close(self, seconds: float) -> bool:
        """Ends it when everything is written, or after so many seconds. Whether it was."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._next():
            numbers, kind, lines = batch
            try:
                spool_writer.write(self._folder, lines, kind)
                for number in numbers:
                    self._written(number)
                reason = ""
            except OSError as error:
                reason = f"{os.fsdecode(self._folder)}: {error.strerror}"
            with self._changed:
                self._done += [(number, reason) for number in numbers]
            with contextlib.suppress(BlockingIOError):
                os.write(self._woken, b"x")

    def _next(self) -> tuple[list[int], str, bytearray] | None:
        """What goes into one file: the oldest and all behind it of the same kind, as far as they fit. None: it is over."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            kind = self._queue[0][1]
            numbers: list[int] = []
            lines, rest = bytearray(), []
            for item in self._queue:
                if item[1] == kind and (not numbers or len(lines) + len(item[2]) <= LARGEST_FILE):
                    numbers.append(item[0])
                    lines += item[2]
                else:
                    rest.append(item)
            self._queue = rest
            return numbers, kind, lines
