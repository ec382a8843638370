"""The processes of a Seattle server, a clearinghouse or a node: whether they run, as whom, how long, and their memory.

Alerts when a process is missing, is stopped (SIGSTOP) or a zombie, runs as another user than --user says, or more often than its range allows;
by thresholds when it started lately, was restarted since the last run, or grew. Reads /proc; needs no privileges.

A process counts where it is what python, or repy.py behind python, runs, or where it is the program itself; a name that is only in an argument of
sudo, an editor or a shell does not count, nor does a directory of that name. The two processes of a repy program count once, and so does a web
server with all its workers; a NAME with | is any of these names, with a slash it is the whole path. A process that is missing or stopped is looked
at again for --patience seconds: a restart takes a moment, and repy stops its programs many times a second to limit their CPU.

--lock-status asks the clearinghouse's lock server on this machine for its status and nothing else; how long a lock is held is known from the second
run on (--save-state), as are restarts. Where thresholds take a REGEX it is for the process's name: --age-warning 600: --rss-critical 'apache2=:2G'.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from checks.counters import Counters, StateError
from checks.deadline import last_moment
from checks.options import UsageError
from checks.output import clean_name, perfdata
from checks.plugin import (
    GAUGE,
    Check,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
    stage,
)
from checks.processes import report
from checks.processes.census import Asked, Census, Count
from checks.processes.procfs import Procfs
from checks.processes.wanted import PROFILES, Users, Wanted, choose, labels
from checks.processes.wanted import Asked as AskedNames
from checks.ranges import duration, human

if TYPE_CHECKING:
    from checks.processes import locks

MEASURES = (
    Measure(
        "<process>.count",
        "",
        GAUGE,
        "how many run; a repy program's two processes, or a web server's workers, count once",
    ),
    Measure("<process>.age", "s", GAUGE, "time since the youngest of them started"),
    Measure("<process>.rss", "B", GAUGE, "resident memory of all their processes"),
    Measure("<process>.restarts", "", GAUGE, "how many started since the last run"),
    Measure("locks.held", "", GAUGE, "locks held in the clearinghouse's lock server"),
    Measure("locks.waiting", "", GAUGE, "sessions that wait for a lock, once for each"),
    Measure("locks.sessions", "", GAUGE, "sessions of the lock server"),
    Measure("locks.age", "s", GAUGE, "time for which a lock has been held at least, the longest"),
    Measure("time.lock_status", "s", GAUGE, "time the lock server took to answer"),
)
COMMANDS = (
    Command(
        "check_seattle_processes_server",
        "--profile seattle --save-state",
        "the advertise server's processes, on the machine it runs on",
        special=True,
    ),
    Command(
        "check_seattle_processes_clearinghouse",
        "--profile clearinghouse --lock-status --save-state",
        "the clearinghouse's daemons, its web and database server, and the status of its lock server",
        special=True,
    ),
    Command(
        "check_seattle_processes_zenodotus",
        "--profile zenodotus --save-state",
        "the process of Zenodotus, on the machine it runs on",
        special=True,
    ),
    Command(
        "check_seattle_processes_node",
        "--profile node --save-state",
        "node manager and software updater, on the node itself",
        special=True,
    ),
)
# Names of processes have no slash.
_LOCKS = "/locks"
_LOCK_PORT = 8010
_INSTANCES, _USER = "instances", "user"


def options(parser: Options) -> None:
    """Declare the options of check_seattle_processes."""
    parser.choices("--profile", words=tuple(PROFILES), default="", help="the processes of a kind of machine")
    parser.collected(
        "--process",
        into=AskedNames,
        metavar="NAME[=RANGE]",
        help="a process, and how many are right (1: where no range is given; 1 alone would mean none or one); repeatable",
    )
    parser.collected(
        "--user",
        into=Users,
        metavar="[NAME=]USER",
        help="only processes of this user, by name or number, count; repeatable",
    )
    parser.rules("--age-warning", help="warn by seconds since the youngest of a process started, such as 600:")
    parser.rules("--age-critical", help="critical by seconds since the youngest of a process started")
    parser.rules("--rss-warning", sizes=True, help="warn by memory (bytes, with K M G T as powers of 1024)")
    parser.rules("--rss-critical", sizes=True, help="critical by memory")
    parser.rules("--restarts-warning", help="warn by restarts since the last run, such as 0")
    parser.rules("--restarts-critical", help="critical by restarts since the last run")
    parser.typed(
        "--patience",
        read=_patience,
        metavar="SECONDS",
        default=3.0,
        help="time for which what is missing or stopped is looked at again, at most 4/10 of --timeout",
    )
    parser.flag("--lock-status", help="ask the lock server on this machine for its status")
    parser.port("--lock-port", default=_LOCK_PORT, help="the lock server's port")
    parser.range("--locks-warning", help="warn by locks held")
    parser.range("--locks-critical", help="critical by locks held")
    parser.range("--lock-age-warning", default="300", help="warn by seconds a lock is held at least")
    parser.range("--lock-age-critical", help="critical by seconds a lock is held at least")
    parser.path("--proc", default="/proc", help="where procfs is mounted")


def validate(opts: Values) -> None:
    """Put together what is wanted. Raises UsageError."""
    opts.wanted = choose(opts.profile, opts.process, opts.user)
    if not (opts.wanted or opts.lock_status):
        raise UsageError(f"nothing to look for: give --profile ({', '.join(PROFILES)}) or --process NAME")


class Processes(Resource):
    """The wanted processes and how many of each were found."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self.wanted: list[Wanted] = opts.wanted
        self._counts: list[Count] = []
        self._restarts: dict[str, int] = {}
        self._clock: float | None = None
        self._locks: locks.Status | None = None
        self._lock_items: list[str] = []
        self._lock_lines: list[str] = []
        self._notes: list[str] = []
        self._unknown = ""

    def contexts(self) -> Sequence[Threshold]:
        """Return what judges ages, memory, restarts and locks."""
        opts = self.opts
        return (
            Threshold("age", opts.age_warning, opts.age_critical, word="runs for", show=duration),
            Threshold("rss", opts.rss_warning, opts.rss_critical, word="memory", show=human),
            Threshold("restarts", opts.restarts_warning, opts.restarts_critical, word="restarts since the last run:"),
            Threshold("locks", opts.locks_warning, opts.locks_critical, word="locks held:"),
            Threshold("lock_age", opts.lock_age_warning, opts.lock_age_critical, show=duration),
        )

    def probe(self) -> Iterator[Metric]:
        """Yield what is wrong with the processes, then their numbers, then the lock server's. Raises CheckError."""
        opts = self.opts
        until = last_moment(opts.timeout)
        # The lock server is asked last, and must not be called silent because no time was left for it.
        patience = min(opts.patience, 0.4 * opts.timeout)
        procfs = Procfs(opts.proc)
        counters = Counters("check_seattle_processes", self._target(), opts.state_key)
        asked = [
            Asked(one, report.user_number(opts.user.of(one)), counters.previous(one.name, "")) for one in self.wanted
        ]
        with stage(f"reading {opts.proc}"):
            self._counts = Census(procfs, asked).take(time.monotonic() + patience)
        self._clock = procfs.clock()
        for one, count in zip(asked, self._counts, strict=True):
            for said, severity in report.findings(one.wanted, count, partial(self._as_whom, one), procfs):
                yield Metric(said, severity, context="finding")
            yield from self._numbers(one, count)
            self._notes.extend(report.remarks(one.wanted, count))
        if opts.lock_status:
            yield from self._lock_status(until, counters)
        self.headline = self._headline()
        self._remember(asked, counters)

    def _numbers(self, asked: Asked, count: Count) -> Iterator[Metric]:
        name = asked.wanted.name
        if asked.before:
            new = [instance for instance in count.running if instance[0].key not in asked.before]
            self._restarts[name] = len(new)
            yield Metric(name, len(new), context="restarts")
        youngest = report.youngest(count, self._clock)
        if youngest is not None:
            yield Metric(name, youngest, context="age")
        if count.running:
            yield Metric(name, count.memory, context="rss")

    def _lock_status(self, until: float, counters: Counters) -> Iterator[Metric]:
        from checks import web  # and requests below it: 100 ms, only for the clearinghouse
        from checks.processes import locks

        try:
            self._locks = status = locks.ask(self.opts.lock_port, until)
        except web.WebError as error:
            yield Metric(locks.failure(error, self.opts.lock_port), "critical", context="finding")
            return
        yield Metric("", len(status.locks), context="locks")
        now = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        before = counters.previous(_LOCKS, "")
        since = {lock.key: before.get(lock.key, now) for lock in status.locks}
        counters.keep(_LOCKS, "", since | {_INSTANCES: len(since)})
        self._lock_lines = locks.lines(status)
        oldest = min(status.locks, key=lambda lock: since[lock.key], default=None)
        age = float(max(0, now - since[oldest.key])) if oldest else 0.0
        self._lock_items = locks.items(status, age if before else None, self.opts)
        if before and oldest:
            yield Metric(f"\0{locks.title(oldest)} held for at least", age, context="lock_age")

    def _remember(self, asked: Sequence[Asked], counters: Counters) -> None:
        """Keep the keys of all that run, and as whom, for the next run."""
        unknown = [one.wanted.name for one in asked if not one.before]
        if unknown or not counters.interval:
            hint = "" if self.opts.save_state else "; --save-state keeps what the next one needs"
            self._unknown = f"restarts are not known yet: {counters.why or 'new names'}{hint}"
            if self.opts.restarts_warning or self.opts.restarts_critical:
                self._notes.append(self._unknown)
        if not self.opts.save_state:
            return
        for one, count in zip(asked, self._counts, strict=True):
            known = {process.key: 1 for process in (*count.processes, *count.zombies)}
            users = {_USER: count.running[0][0].user} if count.running else _last_user(one)
            counters.keep(one.wanted.name, "", known | users | {_INSTANCES: len(count.running)})
        try:
            counters.save()
        except StateError as error:
            self._notes.append(f"restarts will not be known at the next run: {error}")

    def _as_whom(self, asked: Asked) -> str:
        """Return as whom it should be started: as asked for, as it ran at the last run, or as its profile says."""
        last = _last_user(asked).get(_USER)
        return self.opts.user.of(asked.wanted) or (report.user_name(last) if last is not None else asked.wanted.account)

    def _target(self) -> str:
        return ",".join("|".join(one.names) for one in self.wanted) + f" {self.opts.proc}"

    def _headline(self) -> str:
        running = [pair for pair in zip(self.wanted, self._counts, strict=True) if pair[1].running]
        said = f"{len(running)} of {len(self.wanted)} processes run" if self.wanted else ""
        if len(self.wanted) == 1:
            said = self._one_line(*running[0]) if running else self._none_needed(self.wanted[0])
        restarted = [clean_name(name) for name, number in self._restarts.items() if number]
        parts = [said, f"restarted: {', '.join(restarted)}" if restarted else ""]
        if self._locks is not None:
            parts.append(f"{len(self._locks.locks) or 'no'} lock{'s' * (len(self._locks.locks) != 1)} held")
        return ", ".join(part for part in parts if part)

    def _none_needed(self, wanted: Wanted) -> str:
        return (
            f"{clean_name(wanted.name)} does not run, as its range allows"
            if not wanted.limit or wanted.limit.match(0)
            else ""
        )

    def _one_line(self, wanted: Wanted, count: Count) -> str:
        youngest = report.youngest(count, self._clock)
        often = f"{clean_name(wanted.name)} runs" + (f" {len(count.running)} times" if len(count.running) > 1 else "")
        since = f" for {duration(youngest)}" if youngest is not None else ""
        return f"{often}{since}, {human(count.memory)}"

    def notes(self) -> Sequence[str]:
        """Return what is not known, and what may be a mistake."""
        return self._notes

    def lines(self) -> list[str]:
        """Return a line for each process, and for each lock that is held."""
        found = [
            line
            for wanted, count in zip(self.wanted, self._counts, strict=True)
            for line in report.lines(wanted, count, self._clock)
        ]
        found += self._lock_lines
        if self._unknown and self._unknown not in self._notes:
            found.append(self._unknown)
        return found

    def perfdata(self) -> list[str]:
        """Return the counts of all, then ages, memory and restarts, then the locks."""
        opts = self.opts
        counts: list[str] = []
        more: list[str] = []
        for label, wanted, count in zip(labels(self.wanted), self.wanted, self._counts, strict=True):
            counts.append(perfdata(f"{label}.count", len(count.running), "", None, wanted.limit))
            more += report.items(label, wanted.name, count, self._clock, self._restarts.get(wanted.name), opts)
        return counts + more + self._lock_items


def _last_user(asked: Asked) -> dict[str, int]:
    """As whom it ran when it was last seen."""
    user = asked.before.get(_USER)
    return {_USER: user} if isinstance(user, int) and user >= 0 else {}


def _patience(text: str) -> float:
    try:
        patience = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
    if not 0 <= patience <= 60:
        raise ValueError(f"{text!r} is not between 0 and 60 seconds")
    return patience


CHECK = Check(Processes, MEASURES, options, commands=COMMANDS, rates=True, validate=validate)
main = CHECK.main
