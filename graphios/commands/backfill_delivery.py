"""How a backfill delivers: at a bounded rate, tried again for ever, new series at carbon's pace, and what is never taken as rejects."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from graphios.backends.base import Backend, ClosedEarly, DeliveryError, Refused
from graphios.commands.backfill_files import Archive
from graphios.configuration.settings import BackendSettings, Names
from graphios.delivery.isolation import isolate
from graphios.delivery.lane import FIRST_PAUSE
from graphios.delivery.pacing import Pacer
from graphios.delivery.rejects import RejectFile
from graphios.errors import Stopped

_REMIND = 300.0


class Task(NamedTuple):
    """What all passes of a backfill have in common. Times are epoch seconds; `rate` is metrics a second."""

    archives: Sequence[Archive]
    since: float
    until: float
    rate: float
    names: Names
    rejects: RejectFile
    stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    say: Callable[[str], None]


class LostMemory(Exception):
    """The receiver may have lost what it had acknowledged."""


class Outlet:
    """One backend. `error` is why it takes nothing now; `parked` are series and points that carbon may not create yet."""

    def __init__(
        self, task: Task, settings: BackendSettings, backend: Backend, pacer: Pacer | None, counts: Counter[str]
    ) -> None:
        """Adds to `counts` what was delivered and refused."""
        self.task, self.backend, self.counts = task, backend, counts
        self.name = settings.name
        self.error = ""
        self.parked = (0, 0)
        self.most = max(1, int(task.rate / 4))
        """Metrics that go at a time, so that the rate is even."""
        self._settings, self._pacer = settings, pacer
        self._next = 0.0
        self._told = 0.0

    def send(self, items: Sequence[Any]) -> None:
        """Delivers the items, and parked ones whose turn has come. Raises GraphiosError, Stopped, LostMemory."""
        for start in range(0, len(items), self.most):
            self._send(items[start : start + self.most])
        self._send_due()

    def _send(self, items: Sequence[Any]) -> None:
        if self._pacer:
            items = self._pacer.admit(list(items))
            self._pacer.commit()
            self.parked = self._pacer.waiting
        if items:
            self._deliver_paced(items)

    def _send_due(self) -> None:
        while self._pacer and (due := self._pacer.due(min(self._settings.delivery.batch_bytes, 50 * self.most))):
            self._deliver_paced(due)
            self.parked = self._pacer.waiting

    def _deliver_paced(self, items: Sequence[Any]) -> None:
        while (wait := self._next - time.monotonic()) > 0:
            self._pause(min(wait, 1.0))
        begun = time.monotonic()
        self.counts["metrics"] += self._deliver(items)
        self._next = begun + len(items) / self.task.rate
        if self._pacer:
            self._pacer.delivered(list(items))
        self._check_memory()

    def wait_for_parked(self) -> None:
        """Until carbon has had its time for all new series."""
        while self._pacer and self._pacer.waiting[1]:
            self._send_due()
            self.parked = self._pacer.waiting
            if self.parked[1]:
                self._check_memory()
                self._pause(0.5)

    def _check_memory(self) -> None:
        if self.backend.forgets and self.backend.lost_memory():
            raise LostMemory

    def _pause(self, seconds: float) -> None:
        if self.task.stopping():
            raise Stopped
        self.task.sleep(seconds)

    def _pauses(self) -> Iterator[None]:
        """Ever longer pauses after each turn, for ever. Raises Stopped."""
        pause = FIRST_PAUSE
        while True:
            if self.task.stopping():
                raise Stopped
            yield
            self._pause(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, self._settings.delivery.longest_pause)

    def _deliver(self, items: Sequence[Any]) -> int:
        """Delivers, however long it takes; how many items were taken. The others were refused, and are noted as rejects."""
        hung_up = 0
        for _ in self._pauses():
            try:
                self._try(items)
                return len(items)
            except Refused as error:
                if error.items:
                    return len(items) - self._refused(items, error.items)
                hung_up = self._settings.delivery.tries
            except DeliveryError as error:
                self._failed(str(error))
                hung_up = hung_up + 1 if isinstance(error, ClosedEarly) else 0
                self._check_memory()
            if hung_up >= self._settings.delivery.tries:
                hung_up = 0
                taken = self._isolate(items)
                if taken is not None:
                    return taken
        return 0

    def _isolate(self, items: Sequence[Any]) -> int | None:
        try:
            verdict = isolate(items, self._try)
        except DeliveryError as error:
            self._failed(str(error))
            return None
        return None if verdict is None else len(items) - self._refused(items, verdict.guilty)

    def _try(self, items: Sequence[Any]) -> None:
        if self.task.stopping():
            raise Stopped
        self.backend.deliver(items)
        if self.error:
            self.task.say(f"{self.name} takes data again")
        self.error, self._told = "", 0.0

    def _failed(self, text: str) -> None:
        self.error = text
        if not self._told or time.monotonic() - self._told > _REMIND:
            self._told = time.monotonic()
            self.task.say(f"{text}; trying again")

    def _refused(self, items: Sequence[Any], refused: Sequence[tuple[int, str]]) -> int:
        for index, reason in refused:
            item = items[index]
            text = item if isinstance(item, str) else f"{item.name} {item.value} {item.timestamp}"
            raw = text.rstrip("\n").encode("utf-8", "surrogateescape")
            self.task.rejects.add("backfill", 0, f"refused by {self.name}: {reason}", raw, "refused")
        self.counts["rejected"] += len(refused)
        return len(refused)
