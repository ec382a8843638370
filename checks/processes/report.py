"""What is said of the processes that were counted: what is wrong and what to do next, a line for each process, and the perfdata."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator, Sequence

from checks.deadline import CheckError, stage
from checks.options import Values
from checks.output import clean_name, perfdata
from checks.processes.census import Count, Instance
from checks.processes.procfs import Process, Procfs, seconds
from checks.processes.wanted import Wanted
from checks.ranges import duration, human, violation

_SHOWN_PIDS = 5
_STATES = {
    "R": "runs",
    "S": "sleeps",
    "D": "waits for a device",
    "I": "idle",
    "T": "stopped",
    "t": "held by a debugger",
    "Z": "zombie",
}


def findings(wanted: Wanted, count: Count, as_whom: Callable[[], str], procfs: Procfs) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, with its severity; `as_whom` is the user as whom it should be started, or "".

    It is called only where something is missing.
    """
    limit, number = wanted.limit, len(count.running)
    told: list[Process] = []
    if limit is not None and not limit.match(number):
        if number < limit.start and not limit.invert:
            if not (count.stopped or count.zombies or count.foreign or count.orphans) and (unseen := _unseen(procfs)):
                yield f"{wanted.title} is not to be seen, but {unseen}", "unknown"
                return
            yield _too_few(wanted, count, as_whom, procfs), "critical"
            told = [process for instance in count.stopped for process in instance]
        else:
            pids = _pids([instance[0] for instance in count.running])
            yield (
                f"{_name(wanted, count.running)} runs {_times(number)} ({violation(limit, number)}), {pids}",
                "critical",
            )
    halted = [*count.halted, *(process for instance in count.stopped for process in instance if process.stopped)]
    if halted and not told:
        yield (
            f"{_name(wanted, [(one,) for one in halted])} is stopped beside what runs, {_pids(halted)}: {_wake(halted)}",
            "warning",
        )


def _too_few(wanted: Wanted, count: Count, as_whom: Callable[[], str], procfs: Procfs) -> str:
    """Say what is there instead of what is missing, and what to do next."""
    account = clean_name(as_whom())
    start = (
        wanted.advice + (f" as {account}" if account else "") + (f" ({wanted.script} does)" if wanted.script else "")
    )
    if count.stopped:
        halted = [process for instance in count.stopped for process in instance if process.stopped]
        return f"{_name(wanted, count.stopped)} is stopped, {_pids(halted)}: {_wake(halted)}"
    if count.orphans:
        workers = [process for instance in count.orphans for process in instance]
        return f"{_name(wanted, count.orphans)} has lost its master, {_pids(workers)} are workers without it: end them and {start}"
    if count.zombies:
        zombie = count.zombies[0]
        parent = procfs.process(zombie.parent, zombie.runs)
        by = f"parent {clean_name(parent.name) if parent else '?'} (pid {zombie.parent})"
        return f"{wanted.title} is a zombie, {_pids(count.zombies)}: it has ended and its {by} did not notice; restart that, or {start}"
    if count.foreign:
        others = [instance[0] for instance in count.foreign]
        return f"{_name(wanted, count.foreign)} runs as {user_name(others[0].user)} only, {_pids(others)}: end it and {start}"
    if count.running:
        return f"{_name(wanted, count.running)} runs {_times(len(count.running))} ({violation(wanted.limit, len(count.running))}): {start}"
    maybe = f" (or it is a zombie of python, {_pids(count.unknown_zombies)})" if count.unknown_zombies else ""
    return f"{wanted.title} does not run{maybe}: {start}"


def remarks(wanted: Wanted, count: Count) -> Iterator[str]:
    """Yield what is no problem, but may be a mistake."""
    limit = wanted.limit
    if limit is not None and not count.running and limit.start == 0 < limit.end and not limit.invert:
        yield f"{wanted.title} does not run, and the range {limit}, which begins at 0, allows that; 1: would ask for at least one"


def lines(wanted: Wanted, count: Count, clock: float | None) -> Iterator[str]:
    """Yield a line for each process."""
    found = [*count.running, *count.stopped, *count.foreign, *count.orphans]
    for instance in found:
        for process in instance:
            with_first = f", with pid {instance[0].pid}" if process is not instance[0] else ""
            since = f", for {duration(age(process, clock) or 0)}" if clock is not None else ""
            yield (
                f"{_name(wanted, [instance])} pid {process.pid} (parent {process.parent}{with_first}): user {user_name(process.user)},"
                f" {_STATES.get(process.state, process.state)}{since}, {human(process.rss)}"
            )
    for zombie in count.zombies:
        yield f"{wanted.title} pid {zombie.pid} (parent {zombie.parent}): zombie"
    if not (found or count.zombies):
        yield f"{wanted.title}: none"


def age(process: Process, clock: float | None) -> float | None:
    """Return the seconds since a process started, where that is known."""
    return None if clock is None else max(0.0, clock - seconds(process.start))


def youngest(count: Count, clock: float | None) -> float | None:
    """Return the age of the instance that started last, in seconds."""
    ages = [age(instance[0], clock) for instance in count.running]
    return min((one for one in ages if one is not None), default=None)


def items(
    label: str, name: str, count: Count, clock: float | None, restarts: int | None, opts: Values
) -> Iterator[str]:
    """Yield the perfdata of what runs: age, memory, and restarts where they are known."""
    since = youngest(count, clock)
    if since is not None:
        yield perfdata(f"{label}.age", round(since, 1), "s", opts.age_warning.find(name), opts.age_critical.find(name))
    if count.running:
        limits = opts.rss_warning.find(name), opts.rss_critical.find(name)
        yield perfdata(f"{label}.rss", count.memory, "B", *limits)
    if restarts is not None:
        limits = opts.restarts_warning.find(name), opts.restarts_critical.find(name)
        yield perfdata(f"{label}.restarts", restarts, "", *limits)


def user_number(user: str) -> int | None:
    """Return the number of a user, None for any. Raises CheckError."""
    if not user:
        return None
    if user.isascii() and user.isdigit():
        return int(user)
    with stage(f"looking up user {clean_name(user)}"):
        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            raise CheckError(f"--user: there is no user {clean_name(user)} on this machine") from None


def user_name(number: int) -> str:
    """Return the name of a user, or the number where there is none."""
    with stage(f"looking up user {number}"):
        try:
            return clean_name(pwd.getpwuid(number).pw_name)
        except (KeyError, OverflowError):
            return str(number)


def _unseen(procfs: Procfs) -> str:
    """Say why processes may be there that we do not see; "" where we see all."""
    if not procfs.hidden:
        return ""
    return f"{clean_name(str(procfs.root))} hides other users' processes (hidepid): let this user see them by its mount option gid="


def _name(wanted: Wanted, instances: Sequence[Instance]) -> str:
    """Return which of the names the first of them has."""
    found = instances[0][0].runs
    return clean_name(next((name for name in wanted.names if found.matches(name, wanted.direct_only)), wanted.name))


def _pids(processes: Sequence[Process]) -> str:
    more = f" and {len(processes) - _SHOWN_PIDS} more" if len(processes) > _SHOWN_PIDS else ""
    return "pid " + ", ".join(str(process.pid) for process in processes[:_SHOWN_PIDS]) + more


def _wake(processes: Sequence[Process]) -> str:
    if any(process.state == "t" for process in processes):
        return "end the debugger that holds it"
    return f"kill -CONT {' '.join(str(process.pid) for process in processes[:_SHOWN_PIDS])}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
