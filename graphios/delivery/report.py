"""Tells, now and then, how it stands: the status document, the log, systemd, and our own series."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from graphios import notify
from graphios.delivery import status
from graphios.version import VERSION

if TYPE_CHECKING:
    from graphios.delivery.shipper import Shipper

log = logging.getLogger("graphios")

STATUS = 2.0
"""Seconds between two status documents."""
_REPORT = 60.0


class Timer:
    """When something is due again."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def is_time(self, what: str, every: float, at_once: bool = True) -> bool:
        """Whether `every` seconds went by since this was true last; in the beginning only with `at_once`."""
        now = time.monotonic()
        if now < self._due.setdefault(what, 0.0 if at_once else now + every):
            return False
        self._due[what] = now + every
        return True


class Reporter:
    """For the thread of the shipper."""

    def __init__(self, ship: Shipper) -> None:
        self._ship = ship
        self._timer = Timer()
        self._reported = (0, 0, 0)

    def now_and_then(self) -> None:
        """Tells what is due."""
        if self._timer.is_time("status", STATUS):
            self.tell(running=True)
            notify.status(self._in_short())
        if self._timer.is_time("report", _REPORT, at_once=False):
            self.report()
        interval = self._ship.settings.self_interval
        if interval and self._timer.is_time("self", interval, at_once=False):
            self._report_itself()

    def _report_itself(self) -> None:
        ship = self._ship
        try:
            status.spool_own_line(ship.inbox, self.document(running=True), ship.settings.self_prefix)
            ship.troubles.over("inbox")
        except (OSError, ValueError) as error:
            ship.troubles.say("inbox", f"{ship.inbox}: figures about ourselves can't be written: {error}")

    def document(self, running: bool) -> status.Document:
        """The status document."""
        ship = self._ship
        now = time.time()
        lanes = [status.lane_figures(lane, now) for lane in ship.lanes]
        skipped: Counter[str] = Counter()
        for lane in ship.lanes:
            skipped |= Counter(lane.reader.skipped)  # a copy: its thread goes on counting
        oldest = [depth.oldest for depth in ship.found.depths if depth.oldest is not None]
        pipes = [reader.trouble for reader, _ in ship.fifos.values()]
        troubles = [text for text in (*ship.troubles.current(), ship.progress.trouble, *pipes) if text]
        return {
            "version": status.FORMAT,
            "program": f"graphios {VERSION}",
            "pid": os.getpid(),
            "config": str(ship.settings.path),
            "started": ship.started,
            "time": now,
            "running": running,
            "spools": [depth._asdict() for depth in ship.found.depths],
            "lag_seconds": max(0.0, round(now - min(oldest), 3)) if oldest else 0.0,
            "lines_read": ship.counts["lines_read"],
            "metrics_read": ship.counts["metrics_read"],
            "rejected": status.rejected(ship.rejects.by_kind.copy(), ship.rejects.path),
            "skipped": {"U": 0, "filtered": 0, "unprefixed": 0} | skipped,
            "dropped": {"files": 0, "bytes": 0, "lines": 0} | ship.limiter.dropped,
            "set_aside": {"files": ship.set_aside.files, "directory": str(ship.set_aside.directory)},
            "window": {"files": ship.window.files, "bytes": ship.window.bytes},
            "trouble": troubles,
            "backends": lanes,
        }

    def _in_short(self) -> str:
        ship = self._ship
        files = sum(depth.files for depth in ship.found.depths)
        sick = [f"{lane.name}: {lane.error}" for lane in ship.lanes if lane.error]
        return "; ".join([f"{files} files waiting", *sick, *ship.troubles.current()])[:500]

    def tell(self, running: bool) -> None:
        """Writes the status document."""
        ship = self._ship
        try:
            status.write(ship.settings.status_file, self.document(running))
            ship.troubles.over("status")
        except OSError as error:
            ship.troubles.say("status", f"status file {ship.settings.status_file}: {error.strerror}")

    def report(self) -> None:
        """Logs what was done since the last report."""
        ship = self._ship
        sent = sum(lane.counts["acknowledged"] for lane in ship.lanes)
        now = (sent, ship.removal.removed, ship.rejects.count)
        if now != self._reported:
            sent, removed, rejected = (new - old for new, old in zip(now, self._reported, strict=True))
            log.info("delivered %d metrics, removed %d files, rejected %d", sent, removed, rejected)
            self._reported = now
