"""States on their way to a monitoring server: the newest of each check, until it is taken.

A server that is down is tried again, less and less often. One result it refuses must not hold up the others: send_nsca gives up at the first
that nsca-ng's server does not want, so what fails is halved until the refused one is alone, and from then on that one goes alone.
What can't be handed on before the check's next result is replaced by that, counted and named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from checks.engine.log import log
from checks.plugin import COUNTER, GAUGE, Measure

MEASURES = (
    Measure("submit.waiting", "", GAUGE, "results that were not handed on yet"),
    Measure("submit.refused", "", GAUGE, "checks whose results are refused while those of others are taken"),
    Measure("submit.taken", "c", COUNTER, "results that were handed on"),
    Measure("submit.failed", "c", COUNTER, "times that handing on failed"),
    Measure(
        "submit.dropped",
        "c",
        COUNTER,
        "results that a newer one of the same check replaced, or that ended with their check",
    ),
)
LARGEST_BATCH = 128
_FIRST_DELAY = 1.0
_FIRST_REFUSAL, _LONGEST_REFUSAL = 5.0, 3600.0


class Report(NamedTuple):
    """The state of one check, for Nagios."""

    service: bytes
    code: int
    """0 to 3."""
    text: bytes
    """The plugin's output in its short form: not empty, no control characters but line ends."""
    when: int
    """Seconds since the epoch."""


class Handed(NamedTuple):
    """What became of a batch."""

    taken: int
    """So many of its reports, from the first, were taken."""
    reason: str = ""
    """Why not all."""
    refusing: bool = False
    """Whether a single report may be to blame."""


class Way(Protocol):
    """Where reports are handed in."""

    longest_delay: float
    """Seconds between two tries, at most."""

    async def hand(self, reports: Sequence[Report]) -> Handed:
        """Hand them in, in this order. Raises nothing but CancelledError."""


class _Refused:
    def __init__(self) -> None:
        self.delay = 0.0
        self.until = 0.0


class Submitter:
    """Hands reports on, one batch at a time."""

    def __init__(self, way: Way) -> None:
        self.taken = self.failed = self.dropped = 0
        self.trouble = ""
        """Why the last try failed; empty where it did not."""
        self._way = way
        self._waiting: dict[bytes, Report] = {}
        self._sending: dict[bytes, Report] = {}
        # What failed alone, until it is taken. It goes alone from then on.
        self._alone: dict[bytes, _Refused] = {}
        self._size = LARGEST_BATCH
        self._delay = 0.0
        self._wake, self._finishing = asyncio.Event(), asyncio.Event()

    @property
    def refused(self) -> list[str]:
        """The checks whose results are refused."""
        return [name.decode("utf-8", "replace") for name, refused in self._alone.items() if refused.delay]

    @property
    def waiting(self) -> int:
        """How many reports were not taken yet."""
        return len(self._waiting) + len(self._sending)

    def figures(self) -> dict[str, float]:
        """Return them by the names of MEASURES."""
        values = (self.waiting, len(self.refused), self.taken, self.failed, self.dropped)
        return {measure.label: value for measure, value in zip(MEASURES, values, strict=True)}

    def add(self, report: Report) -> None:
        """Take this report; it takes the place of one of the same check that still waits."""
        if report.service in self._waiting:
            self._drop()
        self._waiting[report.service] = report
        self._wake.set()

    def forget(self, service: bytes) -> None:
        """The check is no longer configured."""
        if self._waiting.pop(service, None):
            self._drop()
        self._alone.pop(service, None)

    async def run(self) -> None:
        """Hand on what comes, until finish() is called."""
        while True:
            seconds = await self.step()
            if seconds == 0:
                continue
            if self._finishing.is_set():
                return
            if seconds is None:
                # Nothing to do, or nothing before a refused one is tried again.
                self._wake.clear()
                await _either((self._wake, self._finishing), self._next_refused())
            else:
                await _either((self._finishing,), seconds)

    def finish(self) -> None:
        """Let run() end when nothing is left, or at the first failure."""
        self._finishing.set()

    async def step(self) -> float | None:
        """Try one batch. Returns after how many seconds to try again, None where there is nothing to hand on."""
        batch = self._batch(time.monotonic())
        if not batch:
            return None
        for report in batch:
            del self._waiting[report.service]
        self._sending = {report.service: report for report in batch}
        handed = Handed(0, "cancelled")
        try:
            handed = await self._way.hand(batch)
        finally:
            self._sending = {}
            self._put_back(batch[handed.taken :])
        self.taken += handed.taken
        return self._succeeded(batch) if handed.taken == len(batch) else self._failed(batch, handed)

    def _batch(self, now: float) -> list[Report]:
        batch: list[Report] = []
        for service, report in self._waiting.items():
            if refused := self._alone.get(service):
                if not batch and now >= refused.until:
                    return [report]
                continue
            batch.append(report)
            if len(batch) >= self._size:
                break
        return batch

    def _put_back(self, reports: Sequence[Report]) -> None:
        """What was not taken goes on waiting, before all others, but behind a newer one of the same check."""
        back = {}
        for report in reports:
            if report.service in self._waiting:
                self._drop()
            else:
                back[report.service] = report
        self._waiting = back | self._waiting

    def _succeeded(self, batch: Sequence[Report]) -> float:
        if self.trouble:
            log.info("results are handed on again")
        self.trouble, self._delay, self._size = "", 0.0, min(2 * self._size, LARGEST_BATCH)
        for report in batch:
            self._alone.pop(report.service, None)
        return 0.0

    def _failed(self, batch: Sequence[Report], handed: Handed) -> float:
        self.failed += 1
        if handed.refusing and len(batch) == 1:
            service = batch[0].service
            again = service in self._alone
            refused = self._alone.setdefault(service, _Refused())
            if report := self._waiting.pop(service, None):
                self._waiting[service] = report
            if again and not self.trouble:
                # It failed before, others were taken since, and now it fails again: the server does not want it.
                self._refuse(service, refused, handed.reason)
                return 0.0
        if handed.reason != self.trouble:
            log.warning("results can't be handed on: %s; they are tried again", handed.reason)
        self.trouble = handed.reason
        self._size = max(1, len(batch) // 2) if handed.refusing else self._size
        self._delay = (
            min(2 * self._delay or _FIRST_DELAY, self._way.longest_delay) if not handed.taken else _FIRST_DELAY
        )
        return self._delay

    def _refuse(self, service: bytes, refused: _Refused, reason: str) -> None:
        if not refused.delay:
            log.warning("the result of %s is refused: %s", service.decode("utf-8", "replace"), reason)
        refused.delay = min(2 * refused.delay or _FIRST_REFUSAL, _LONGEST_REFUSAL)
        refused.until = time.monotonic() + refused.delay

    def _next_refused(self) -> float | None:
        times = [refused.until for service, refused in self._alone.items() if service in self._waiting]
        return max(0.05, min(times) - time.monotonic()) if times else None

    def _drop(self) -> None:
        self.dropped += 1


async def _either(events: Sequence[asyncio.Event], seconds: float | None) -> None:
    """Wait for one of them, at most so long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
