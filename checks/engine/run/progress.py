"""How far a run is, in one line of the terminal that is drawn again and again."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import TextIO

from checks.engine.results import OK, Result
from checks.engine.run.table import counted
from checks.engine.run.terminal import cut, encoding_of, printable, understands_escapes, width_of

EVERY = 0.1
"""Seconds from one drawing to the next."""
_BARS = ((110, 20), (75, 10))
"""From how many columns there is a bar, and how long it is."""


class Progress:
    """The line. It is drawn only where `stream` is a terminal; a terminal that takes nothing (stopped by Ctrl-S) is not waited for."""

    def __init__(self, stream: TextIO | None, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.shown = understands_escapes(stream)
        self._stream, self._total, self._clock = stream, total, clock
        self._encoding = encoding_of(stream)
        self._began = clock()
        self._running: dict[str, float] = {}
        self._done = 0
        self._problems: list[Result] = []

    def started(self, name: str) -> None:
        """A check has begun."""
        self._running[name] = self._clock()

    def ended(self, result: Result) -> None:
        """A check is over."""
        self._running.pop(result.name, None)
        self._done += 1
        if result.code != OK:
            self._problems.append(result)

    def draw(self) -> None:
        """Draw it as it is now."""
        if self.shown and self._stream:
            # A line as long as the terminal is wide would move the cursor to the next one.
            self._write("\r" + self.line(width_of(self._stream) - 1) + "\x1b[K")

    def erase(self) -> None:
        """Leave the terminal as if it had not been there; nothing is drawn any more."""
        if self.shown:
            self._write("\r\x1b[K")
        self.shown = False

    def line(self, width: int) -> str:
        """Return the line in at most `width` columns: how many are done, what was found, and what is running, the longest first."""
        room = next((room for columns, room in _BARS if width >= columns), 0)
        filled = room * self._done // (self._total or 1)
        bar = f"[{'#' * filled}{'.' * (room - filled)}] " if room else ""
        now = self._clock()
        parts = [f"{bar}{self._done}/{self._total}", f"{now - self._began:.0f} s"]
        if self._problems:
            parts.append(counted(self._problems))
        if self._running:
            oldest = list(self._running.items())[: max(1, width // 10)]
            names = (f"{printable(name, self._encoding)} {now - began:.0f} s" for name, began in oldest)
            parts.append(f"{len(self._running)} running: {', '.join(names)}")
        elif self._done < self._total:
            parts.append("waiting" if self._done else "starting")
        return cut("  ".join(parts), width)

    def _write(self, text: str) -> None:
        assert self._stream
        data = text.encode(self._encoding, "replace")
        try:
            number = self._stream.fileno()
            if select.select([], [number], [], 0)[1]:
                os.write(number, data)
        except (OSError, ValueError):
            self.shown = False

    def __enter__(self) -> Progress:
        with contextlib.suppress(OSError, ValueError):
            if self._stream:
                self._stream.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()
