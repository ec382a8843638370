"""What `graphios backfill` tells while it works, and at its end."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphios.commands.units import count, duration, many

if TYPE_CHECKING:
    from graphios.commands.backfill_pass import Pass

_BAR = 20


class Show:
    """Messages and, where standard error is a terminal, a line of progress. For several threads."""

    def __init__(self, total: int) -> None:
        """`total` is the size of all archives."""
        self._total = max(1, total)
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._first: dict[str, tuple[int, int]] = {}

    def say(self, text: str) -> None:
        """A message on a line of its own."""
        with self._lock:
            print(f"{self._erase()}graphios backfill: {text}", file=sys.stderr, flush=True)

    def progress(self, passes: Sequence[Pass]) -> None:
        """Shows how far they are, on a terminal."""
        if not self._terminal:
            return
        said = "; ".join(self._one(one) for one in passes)
        with self._lock:
            sys.stderr.write(f"{self._erase()}{said[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line of progress away."""
        with self._lock:
            sys.stderr.write(self._erase())
            sys.stderr.flush()

    def _erase(self) -> str:
        return "\r\x1b[K" if self._terminal else ""

    def _one(self, one: Pass) -> str:
        metrics, done = one.counts["metrics"], min(one.bytes, self._total)
        begun, begun_bytes = self._first.setdefault(one.name, (metrics, done))
        seconds = max(0.001, time.monotonic() - self._started)
        share = done / self._total
        bar = "#" * int(share * _BAR)
        said = f"{one.name} [{bar.ljust(_BAR, '.')}] {share:.0%}, {many(metrics, 'metric')}, {count(max(0, metrics - begun) / seconds)}/s"
        if one.outlet.error:
            return f"{said}, {one.outlet.error}"
        if one.outlet.parked[1]:
            said += f", {count(one.outlet.parked[0])} new series wait until carbon may create them"
        if done > begun_bytes and done < self._total:
            said += f", about {duration((self._total - done) * seconds / (done - begun_bytes))} left"
        return said


def summary(one: Pass) -> str:
    """What one pass came to."""
    counts = one.counts
    said = f"{one.name}: {many(counts['files'], 'file')}, {many(counts['lines'], 'line')} in the range ({count(counts['outside'])} outside)"
    said += f", {many(counts['metrics'], 'metric')} delivered, {count(counts['rejected'])} rejected, {count(counts['skipped'])} not to be shipped"
    if one.finished:
        return said
    unread = "; ".join(one.trouble.values())
    return f"{said}; not finished" + (f": {one.outlet.error or unread}" if one.outlet.error or unread else "")
