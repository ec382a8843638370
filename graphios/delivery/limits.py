"""What the spools may hold in all. Past that the oldest files go, counted and named: a full disk would cost the newest, uncounted."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from graphios.configuration import settings
from graphios.delivery.progress import Progress
from graphios.delivery.troubles import Troubles
from graphios.delivery.window import Window
from graphios.inputs.spool import FileKey, Oldest, SpoolError, SpoolFile, Waiting

log = logging.getLogger("graphios")


class SteadyClock:
    """Epoch seconds that nobody can step: what the clock said at the start, and what went by since."""

    def __init__(self) -> None:
        self._start, self._since = time.time(), time.monotonic()

    def age(self, changed: int) -> float:
        """Seconds since `changed` (epoch nanoseconds); the lesser, where the clock was stepped."""
        steady = self._start + time.monotonic() - self._since
        return min(steady, time.time()) - changed / 1e9


class Limiter:
    """Keeps the limits. For one thread."""

    def __init__(
        self,
        limits: settings.Limits,
        progress: Progress,
        window: Window,
        troubles: Troubles,
        replaying: Callable[[], frozenset[str]],
    ) -> None:
        """`replaying`: the lanes whose receivers may forget; what one of them took is not dropped, but goes to the window."""
        self._limits, self._progress, self._window, self._troubles = limits, progress, window, troubles
        self._replaying, self._clock = replaying, SteadyClock()
        self.dropped: Counter[str] = Counter()  # files, bytes, lines

    def may_be_over(self, total: Oldest) -> bool:
        """Whether it is time to enforce them."""
        limits = self._limits
        over = (limits.max_bytes and total.bytes > limits.max_bytes) or (
            limits.max_files and total.files > limits.max_files
        )
        return bool(over or (limits.max_age and total.first and self._clock.age(total.first) > limits.max_age))

    def enforce(self, found: Oldest) -> None:
        """Drops the oldest of these files until the rest keeps the limits."""
        limits = self._limits
        files, size = found.files, found.bytes
        gone: list[FileKey] = []
        lines = 0
        for entry in found.sorted():
            over = (limits.max_bytes and size > limits.max_bytes) or (limits.max_files and files > limits.max_files)
            if not over and not (limits.max_age and self._clock.age(entry.age) > limits.max_age):
                break
            try:
                lines += self._drop(entry)
            except (SpoolError, OSError) as error:
                self._troubles.say(f"limit {entry.directory}", f"{entry.key.path} can't be dropped: {error}")
                continue
            files, size = files - 1, size - entry.size
            gone.append(entry.key)
        if gone:
            self._progress.forget(gone)
            self._progress.commit()
            self.dropped["files"] += len(gone)
            dropped = found.bytes - size
            self.dropped["bytes"] += dropped
            self.dropped["lines"] += lines
            text = (
                f"the spools are over their limit: {len(gone)} files with {lines} lines ({dropped} bytes) were dropped"
            )
            log.error("%s, from %s to %s", text, gone[0].path, gone[-1].path)

    def _drop(self, entry: Waiting) -> int:
        """How many lines it had that not every receiver got. Raises SpoolError, OSError."""
        key = entry.key
        lines = _count_lines(key)
        positions = self._progress.of_file(key)
        if any(lane in positions for lane in self._replaying()):
            self._window.take(key, entry.size)
        else:
            Path(key.path).unlink()
        return lines


def _count_lines(key: FileKey) -> int:
    try:
        with SpoolFile(key.path, key.name) as file:
            return sum(1 for _ in file.lines())
    except SpoolError:
        return 0
