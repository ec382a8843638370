"""When which check is due: a heap of the next times. It reads no clock: whoever asks says what time it is, in monotonic seconds."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

from checks.engine.commands.commands import Command

FIRST_RUNS = 60.0
"""Seconds over which first runs are spread, at most."""
FAILURES = 3
"""Runs in a row without an end of their own after which a check runs less often."""
SELDOM = 16
"""How many times its interval a check that goes on failing waits, at most."""
LONGEST_WAIT = 3600.0
"""Seconds it waits then, at most; never less than its interval."""


@dataclass
class _Task:
    interval: float
    planned: float
    """Time of the last run as planned, not as started."""
    next: float = 0.0
    place: int = 0
    """Which entry of the heap is its own."""
    failures: int = 0

    @property
    def step(self) -> float:
        """Seconds from one run to the next."""
        if self.failures < FAILURES:
            return self.interval
        times = min(1 << min(self.failures - FAILURES + 1, 16), SELDOM)
        return min(self.interval * times, max(self.interval, LONGEST_WAIT))


class Schedule:
    """Decides what starts when: at a fixed rate, never a check that is running, less often what keeps failing."""

    def __init__(self) -> None:
        self.late = 0
        """Runs that were left out because the one before was running, or because nobody asked in time."""
        self._tasks: dict[str, _Task] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._running: set[str] = set()
        self._place = 0

    def update(self, commands: Mapping[str, Command], now: float) -> None:
        """Take the commands there are now; those without an interval are not scheduled. The others keep their time."""
        intervals = {name: command.interval for name, command in commands.items() if command.interval}
        for name in self._tasks.keys() - intervals.keys():
            del self._tasks[name]
        for name, interval in intervals.items():
            task = self._tasks.get(name)
            if not task:
                first = now + _fraction(name) * min(interval, FIRST_RUNS)
                task = self._tasks[name] = _Task(interval, first - interval)
                self._plan(name, first)
            elif task.interval != interval:
                task.interval = interval
                self._plan(name, max(task.planned + task.step, now))
        if len(self._heap) > 2 * len(self._tasks) + 100:
            self._heap = [entry for entry in self._heap if self._holds(entry)]
            heapq.heapify(self._heap)

    def due(self, now: float) -> list[str]:
        """Return what starts now, what was due first first. Each is regarded as running until ended() is called for it."""
        names = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if not self._holds(entry):
                continue
            name = entry[2]
            task = self._tasks[name]
            task.planned = task.next
            if name in self._running:
                self.late += 1
            else:
                self._running.add(name)
                names.append(name)
            self._go_on(name, now)
        return names

    def next_at(self) -> float | None:
        """Return when something is due next, or None."""
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def started(self, name: str, now: float) -> None:
        """Take note that it runs, also where it was not due: started by hand."""
        self._running.add(name)

    def ended(self, name: str, now: float, completed: bool) -> None:
        """Take note of its end; `completed`: it ended by itself, whatever it said. Deadline, crash, flood or no start are not."""
        self._running.discard(name)
        task = self._tasks.get(name)
        if not task:
            return
        before = task.step
        task.failures = 0 if completed else task.failures + 1
        if task.step != before:
            task.next = task.planned + task.step
            self._plan(name, task.next)
            if task.next < now:
                self._go_on(name, now)

    def failing(self) -> dict[str, float]:
        """Return what runs less often because it keeps failing, and the seconds between its runs now."""
        return {name: task.step for name, task in self._tasks.items() if task.failures >= FAILURES}

    def _go_on(self, name: str, now: float) -> None:
        """Plan the run after task.planned, leaving out those whose time is over."""
        task = self._tasks[name]
        steps = max(1, math.floor((now - task.planned) / task.step) + 1)
        self.late += steps - 1
        self._plan(name, task.planned + steps * task.step)

    def _plan(self, name: str, at: float) -> None:
        task = self._tasks[name]
        self._place += 1
        task.next, task.place = at, self._place
        heapq.heappush(self._heap, (at, self._place, name))

    def _holds(self, entry: tuple[float, int, str]) -> bool:
        task = self._tasks.get(entry[2])
        return task is not None and task.place == entry[1]


def _fraction(name: str) -> float:
    """Return a number from 0 to 1, always the same for a name."""
    return (
        int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=6).digest(), "big") / 2**48
    )
