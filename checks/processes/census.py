"""How many of each wanted process run: who belongs together counts once, and who does not run is told apart.

A process whose parent runs the same counts with it: repy's program and its resource monitor, a web server's master and its workers. What is missing
or stopped is looked at again for a while before it is believed: a restart is a moment, and repy's monitor stops and continues its program many times
a second to limit its CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from checks.processes.commandline import Runs, arguments, base_name, runs
from checks.processes.procfs import Process, Procfs
from checks.processes.wanted import Wanted

# Their workers go on without a master, but nobody manages them any more.
_WITH_MASTER = ("apache2", "httpd", "nginx")
_LONGEST_KERNEL_NAME = 15
_FIRST_PAUSE = 0.1


class Asked(NamedTuple):
    """What one wanted process is looked for with: `user` is a number or None for any, `before` what the last run kept, by keys among others."""

    wanted: Wanted
    user: int | None = None
    before: Mapping[str, int] = {}


Instance = tuple[Process, ...]
"""Processes that belong together, the first of them the one whose parent is another program."""


class Count(NamedTuple):
    """What was found of one wanted process: instances that run, are stopped, run as another user, or have lost their master; and zombies.

    `halted` are stopped workers of an instance that runs; `unknown_zombies` are zombies of Python that may have been it.
    """

    running: list[Instance]
    stopped: list[Instance]
    foreign: list[Instance]
    orphans: list[Instance]
    zombies: list[Process]
    halted: list[Process]
    unknown_zombies: list[Process]

    @property
    def processes(self) -> list[Process]:
        """All processes of the instances that run."""
        return [process for instance in self.running for process in instance]

    @property
    def memory(self) -> int:
        """Resident memory of all of them in bytes."""
        return sum(process.rss for process in self.processes)


class Census:
    """Looks at all processes until nothing is wrong with the wanted ones, or time is up."""

    def __init__(self, procfs: Procfs, asked: Sequence[Asked]) -> None:
        self._procfs, self._asked = procfs, asked
        # What must be somewhere in a command line that is worth to be split; "-m module" names no file.
        self._needles = {
            base_name(name).removesuffix(".py").encode("utf-8", "surrogateescape")
            for one in asked
            for name in one.wanted.names
        }
        self._first_cpu: dict[str, int] = {}
        self._moved: set[str] = set()

    def take(self, until: float, sleep: Callable[[float], None] = time.sleep) -> list[Count]:
        """Return a count for each that is asked for, the last one taken. `until` is a moment of time.monotonic(). Raises CheckError."""
        pause = _FIRST_PAUSE
        counts = self._look()
        while not all(map(_fine, self._asked, counts)) and (left := until - time.monotonic()) > 0:
            sleep(min(pause, left))
            pause *= 2
            counts = self._look()
        return counts

    def _look(self) -> list[Count]:
        candidates, nameless = [], []
        everyone = self._procfs.pids()
        for pid in everyone:
            data = self._procfs.command_line(pid)
            if data == b"":
                nameless.append(pid)
            elif data and any(needle in data for needle in self._needles):
                found = runs(arguments(data))
                if self._wants(found) and (process := self._procfs.process(pid, found)):
                    candidates.append(process)
        self._note_movement(candidates)
        counts = [self._count(one, candidates, set(everyone)) for one in self._asked]
        if any(_lonely(instance) for count in counts for instance in count.running) or not all(
            map(_fine, self._asked, counts)
        ):
            zombies = [one for pid in nameless if (one := self._procfs.process(pid, Runs(()))) and one.ended]
            counts = [self._with_zombies(*pair, zombies) for pair in zip(self._asked, counts, strict=True)]
        return counts

    def _wants(self, found: Runs) -> bool:
        return any(_is(one.wanted, found) for one in self._asked)

    def _note_movement(self, processes: list[Process]) -> None:
        """Remember who was seen running, or used CPU between two looks, so that a moment's stop is not taken for a stopped process."""
        for process in processes:
            if not process.stopped or process.cpu > self._first_cpu.setdefault(process.key, process.cpu):
                self._moved.add(process.key)

    def _is_stopped(self, process: Process) -> bool:
        return process.stopped and process.key not in self._moved

    def _count(self, asked: Asked, candidates: list[Process], everyone: set[int]) -> Count:
        count = Count([], [], [], [], [], [], [])
        for instance in _together([process for process in candidates if _is(asked.wanted, process.runs)]):
            first = instance[0]
            stopped = [process for process in instance if self._is_stopped(process)]
            if first.ended:
                count.zombies.append(first)
            elif asked.user is not None and first.user != asked.user:
                count.foreign.append(instance)
            elif stopped and (first in stopped or first.runs.in_repy):
                count.stopped.append(instance)
            elif _lost_master(first, everyone):
                count.orphans.append(instance)
            else:
                count.running.append(instance)
                count.halted.extend(stopped)
        return count

    def _with_zombies(self, asked: Asked, count: Count, zombies: list[Process]) -> Count:
        """Add the zombies, which have no command line: known by name, by what the last run saw, or as the dead half of a repy pair."""
        names = {base_name(name)[:_LONGEST_KERNEL_NAME] for name in asked.wanted.names}
        lonely = {instance[0].pid: instance for instance in count.running if _lonely(instance)}
        scripts = any("." in name for name in asked.wanted.names)
        for zombie in zombies:
            half = lonely.pop(zombie.parent, None)
            if half:
                count.running.remove(half)
            if half or zombie.name in names or zombie.key in asked.before:
                count.zombies.append(zombie)
            elif scripts and zombie.name.startswith("python"):
                count.unknown_zombies.append(zombie)
        return count


def _is(wanted: Wanted, found: Runs) -> bool:
    return any(found.matches(name, wanted.direct_only) for name in wanted.names)


def _fine(asked: Asked, count: Count) -> bool:
    limit = asked.wanted.limit
    return not (count.stopped or count.zombies or count.halted) and (limit is None or limit.match(len(count.running)))


def _lonely(instance: Instance) -> bool:
    """Whether only one process of a repy pair is there."""
    return len(instance) == 1 and instance[0].runs.in_repy


def _lost_master(first: Process, everyone: set[int]) -> bool:
    """Whether a web server's process is a worker whose master is gone: the master leads the group that its workers are in."""
    program = base_name(first.runs.direct[0])
    return program in _WITH_MASTER and first.group != first.pid and first.group not in everyone


def _together(processes: list[Process]) -> Iterator[Instance]:
    """Yield the processes that belong together; each chain of parents ends at the first of its instance."""
    by_pid = {process.pid: process for process in processes}
    instances: dict[int, list[Process]] = {}
    for process in processes:
        first, seen = process, {process.pid}
        while first.parent in by_pid and first.parent not in seen:
            first = by_pid[first.parent]
            seen.add(first.pid)
        instances.setdefault(first.pid, []).append(process)
    for pid, members in instances.items():
        yield (by_pid[pid], *(process for process in members if process.pid != pid))
