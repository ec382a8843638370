"""Whether somebody may still be writing a file whose last line has no newline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from graphios.inputs.spool import FileKey, SpoolFile

_MOST = 50_000


class Settling:
    """Such a file counts as cut off when it has not changed for a while. For several threads.

    A daemon watches it on the monotonic clock, so that a stepped clock changes nothing; a single run has only the file's own time.
    """

    def __init__(self, settle: float, watching: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`settle` in seconds; `watching`: this process will look again."""
        self._settle, self._watching, self._clock = settle, watching, clock
        self._seen: dict[FileKey, tuple[int, int, float]] = {}
        self._lock = threading.Lock()

    def still_written(self, file: SpoolFile, key: FileKey) -> bool:
        """Whether the file has no newline at its end and changed lately. Raises SpoolError."""
        if file.ended:
            if self._seen:
                with self._lock:
                    self._seen.pop(key, None)
            return False
        if not self._watching:
            return abs(time.time() - file.changed / 1e9) < self._settle
        now = self._clock()
        with self._lock:
            size, changed, since = self._seen.get(key, (-1, -1, now))
            if (size, changed) != (file.size, file.changed):
                since = now
            if key not in self._seen and len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = file.size, file.changed, since
        return now - since < self._settle
