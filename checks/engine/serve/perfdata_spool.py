"""Perfdata on its way into the spool that graphios reads: one file for all results of about a second.

While nothing can be written, a full disk for example, lines wait in memory, up to a limit; past it the oldest are dropped, counted and named.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from checks.engine.log import log
from checks.plugin import COUNTER, GAUGE, Measure
from graphios import spool_writer

MEASURES = (
    Measure("spool.waiting", "B", GAUGE, "perfdata that is not in the spool yet"),
    Measure("spool.written", "c", COUNTER, "results whose perfdata went into the spool"),
    Measure("spool.failed", "c", COUNTER, "times that a file could not be written"),
    Measure("spool.dropped", "c", COUNTER, "results whose perfdata was dropped, because too much was waiting"),
)
LIMIT = 16 * 1024 * 1024


class PerfdataSpool:
    """Lines for a spool directory."""

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        """`limit`: bytes that wait in memory at most."""
        self.written = self.failed = self.dropped = 0
        self.trouble = ""
        """Why the last file could not be written; empty where it could."""
        self._directory, self._limit = directory, limit
        self._lines: deque[bytes] = deque()
        self._size = 0

    @property
    def waiting(self) -> int:
        """Bytes that are not in the spool yet."""
        return self._size

    def figures(self) -> dict[str, float]:
        """Return them by the names of MEASURES."""
        values = (self._size, self.written, self.failed, self.dropped)
        return {measure.label: value for measure, value in zip(MEASURES, values, strict=True)}

    def add(self, line: bytes) -> None:
        """Take one line, as spool_writer makes it."""
        self._lines.append(line)
        self._size += len(line)
        while self._size > self._limit and self._lines:
            if not self.dropped:
                log.error("perfdata is dropped: more than %d bytes wait for the spool %s", self._limit, self._directory)
            self._size -= len(self._lines.popleft())
            self.dropped += 1

    def flush(self) -> None:
        """Write what waits, as one file."""
        if not self._lines:
            return
        try:
            spool_writer.write(os.fsencode(self._directory), b"".join(self._lines))
        except OSError as error:
            self.failed += 1
            reason = error.strerror or str(error)
            if reason != self.trouble:
                log.error("spool %s: %s; perfdata waits in memory", self._directory, reason)
            self.trouble = reason
            return
        if self.trouble:
            log.info("spool %s: perfdata is written again", self._directory)
        self.written += len(self._lines)
        self.trouble, self._size = "", 0
        self._lines.clear()
