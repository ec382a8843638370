"""Every guest of a libvirt host: state, CPU, memory, network and disks; and the host's own room for them.

Alerts by default when a guest crashed or is paused (by an I/O error: CRITICAL), when its QEMU is stuck, when a guest marked autostart does
not run, and when a storage pool is full or inaccessible. Thresholds on CPU, steal, memory, network and disks are yours to set: RANGE for all
guests or REGEX=RANGE for those whose whole name matches; of several the most specific holds, in whatever order they are given.

Needs libvirt's read-only socket, which any user may open: no root, no sudo. One connection and one bulk call; a guest whose QEMU is stuck
costs only itself. Percentages since the last run, latencies and error rates need --save-state in the regular run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from checks.counters import Counters, StateError, last_saved
from checks.options import UsageError
from checks.output import DEFAULT_BUDGET, clean_name, label_part
from checks.plugin import Check, Command, Metric, Options, Resource, Threshold, Values
from checks.virt import recording, report, thresholds
from checks.virt.calls import Clock
from checks.virt.derive import NOTHING, Derived, derive
from checks.virt.layout import Layout, Layouts
from checks.virt.measures import MEASURES, Perfdata
from checks.virt.records import POOL_STATES, RUNNING, STATES, Guest, Pool, Snapshot
from checks.virt.selection import choose, named, only_part, read_part, without_families
from checks.virt.severity import StateSeverities

WORDS = ("state", "cpu-total", "balloon", "vcpu", "interface", "block", "host", "pool")
_ALIASES = {"cpu": "cpu-total", "net": "interface", "disk": "block"}
_PART_SILENCE = 900.0


def options(parser: Options) -> None:
    """Declare the options of this check."""
    parser.add("--uri", help="libvirt connection URI", default="qemu:///system", metavar="URI")
    words = "families of statistics, in virsh's words (cpu and net do as well)"
    parser.choices("--stats", help=words, words=WORDS, aliases=_ALIASES, default="all")
    parser.add("--label", help="what names a guest in labels: name or uuid", default="name", choices=("name", "uuid"))
    parser.regexes("--include", help="only guests whose whole name matches; repeatable")
    parser.regexes("--exclude", help="not the guests whose whole name matches; repeatable, wins over --include")
    parser.choices("--include-state", help="only guests in these states", words=STATES, default="all")
    parser.choices("--exclude-state", help="not the guests in these states", words=STATES, default="")
    parser.flag("--list", help="list the guests and judge nothing")
    thresholds.declare(parser)
    meant = "what a state means to you, such as paused=ok, paused:user=critical or stuck=warning; repeatable"
    parser.collected("--severity", into=StateSeverities, metavar="STATE[:REASON]=SEVERITY", help=meant)
    parser.seconds("--balloon-max-age", help="memory figures of the guest older than this are unknown", default=300.0)
    parser.typed("--part", read=read_part, metavar="K/N", help="only the K-th of N parts, split by the guests' UUIDs")
    parser.path("--replay", help="read a recording (our JSON, or virsh domstats --raw) instead of connecting")
    parser.path("--record", help="write what libvirt answered as a recording")


def validate(opts: Values) -> None:
    """Refuse what does not go together; a list is for a person and may be long. Raises UsageError."""
    if opts.replay and opts.record:
        raise UsageError("--replay and --record do not go together (see check_virt_stats --help)")
    if opts.list and opts.max_output == DEFAULT_BUDGET:
        opts.max_output = 1 << 20


class Guests(Resource):
    """All guests of one hypervisor, judged."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._target = f"replay {opts.replay}" if opts.replay else opts.uri
        if opts.part:
            self._target += " part {}/{}".format(*opts.part)
        self._first_part = not opts.part or opts.part[0] == 1
        self._thresholds = thresholds.Thresholds(opts)
        self._notes: list[str] = []
        self._rows: list[tuple[Guest, Layout, Derived]] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        return self._thresholds.contexts()

    def probe(self) -> Iterator[Metric]:
        """Acquire, then yield whatever is out of order. Raises CheckError."""
        opts = self.opts
        counters = Counters("check_virt_stats", self._target, opts.state_key)
        self._snapshot = self._acquire(counters)
        if opts.record:
            recording.write(opts.record, self._snapshot)
        self._all = choose(self._snapshot.guests, opts)
        guests = only_part(self._all, opts.part)
        self.headline = report.headline(guests, opts)
        self._rows = self._derive(guests, counters)
        if opts.list:
            return
        if self._first_part:
            yield Metric("", sum(guest.state == RUNNING for guest in self._all), context="running")
            yield from self._judge_host()
            yield from self._judge_parts(counters)
        for guest, _, derived in self._rows:
            yield from self._judge_guest(guest)
            yield from self._thresholds.broken(guest, derived)
        for trouble in self._snapshot.troubles:
            yield Metric(trouble, "unknown", context="finding")
        self._notes += self._snapshot.remarks
        self._remember(counters)

    def _acquire(self, counters: Counters) -> Snapshot:
        opts = self.opts
        if opts.replay:
            snapshot = recording.read(opts.replay)
            counters.mark()
            if opts.stats != WORDS:
                snapshot = snapshot._replace(guests=[without_families(guest, opts.stats) for guest in snapshot.guests])
            return snapshot
        from checks.virt.acquire import Hypervisor

        hypervisor = Hypervisor(opts.uri, opts.stats, Clock(opts.timeout), counters.mark)
        known = counters.notes.get("stuck", [])
        snapshot = hypervisor.snapshot(look_first=bool(known) or not counters.writable())
        stuck = sorted(guest.uuid for guest in snapshot.guests if guest.condition == "stuck")
        if stuck != known:
            counters.notes["stuck"] = stuck
            if not opts.save_state:
                self._try_saving(counters.save_notes)
        return snapshot

    def _derive(self, guests: list[Guest], counters: Counters) -> list[tuple[Guest, Layout, Derived]]:
        """Return each guest with its figures; a guest that is not active has nothing but its state."""
        layouts = Layouts()
        kept = counters if counters.interval or self.opts.save_state else None
        rows = []
        for guest in guests:
            if not guest.active:
                # Where no cgroups are in use libvirt gives a shut-off guest CPU time that is not its own.
                guest = guest._replace(stats={k: v for k, v in guest.stats.items() if k.startswith("state.")})
            layout = layouts.find(guest.stats)
            rates = None if guest.condition else kept
            derived = (
                derive(guest, layout, self._snapshot.now, self.opts.balloon_max_age, rates) if guest.active else NOTHING
            )
            rows.append((guest, layout, derived))
        return rows

    def _judge_guest(self, guest: Guest) -> Iterator[Metric]:
        severity = self.opts.severity.of_guest(guest)
        if severity != "ok":
            said = f"{clean_name(guest.name)} is {guest.state_word} ({guest.reason_word})"
            yield Metric(said, severity, context="finding")
        if guest.condition:
            said = f"{clean_name(guest.name)} is {guest.condition}: {guest.detail}"
            severity = self.opts.severity.of(guest.condition)
            if severity == "ok":
                self._notes.append(said)
            else:
                yield Metric(said, severity, context="finding")

    def _judge_host(self) -> Iterator[Metric]:
        severity = self.opts.severity.of("autostart")
        for name in self._snapshot.autostart_missing or ():
            if named(name, self.opts):
                yield Metric(f"{clean_name(name)} is marked autostart and does not run", severity, context="finding")
        for pool in self._snapshot.pools or ():
            yield from self._judge_pool(pool)

    def _judge_pool(self, pool: Pool) -> Iterator[Metric]:
        word = POOL_STATES[pool.state] if 0 <= pool.state < len(POOL_STATES) else str(pool.state)
        severity = {"degraded": "warning", "inaccessible": "critical"}.get(word, "ok")
        if word == "inactive" and pool.autostart:
            severity = "warning"
        yield Metric(f"storage pool {clean_name(pool.name)} is {word}", severity, context="finding")
        if pool.capacity:
            yield Metric(f"{pool.name}\0storage pool used", 100 * pool.allocation / pool.capacity, context="pool")

    def _judge_parts(self, counters: Counters) -> Iterator[Metric]:
        """Name the other parts that do not run; each that does keeps a state file of its own."""
        opts = self.opts
        if not (opts.part and opts.save_state):
            return
        since = counters.notes.setdefault("parts_since", self._snapshot.now)
        for number in range(2, opts.part[1] + 1):
            target = self._target.removesuffix(f"1/{opts.part[1]}") + f"{number}/{opts.part[1]}"
            silence = last_saved("check_virt_stats", target, opts.state_key)
            if silence is None:
                silence = self._snapshot.now - since
            if silence > max(_PART_SILENCE, 3 * (counters.interval or 0)):
                said = f"part {number}/{opts.part[1]} has not run for {silence / 60:.0f} min"
                yield Metric(said, "warning", context="finding")

    def _remember(self, counters: Counters) -> None:
        if not counters.interval and any(guest.active for guest, _, _ in self._rows):
            hint = "" if self.opts.save_state else "; --save-state keeps counters for the next"
            self._notes.append(f"no rates: {counters.why}{hint}")
        if self.opts.save_state:
            self._try_saving(counters.save)

    def _try_saving(self, save: Callable[[], None]) -> None:
        try:
            save()
        except StateError as error:
            self._notes.append(f"no rates at the next run: {error}")

    def perfdata(self) -> Sequence[str]:
        """Return host figures, then the essentials of every guest, then their detail."""
        opts = self.opts
        if opts.list:
            return ()
        out = Perfdata(1 << 40 if opts.compress else opts.max_output, "state" in opts.stats)
        if self._first_part:
            for item in report.host_items(self._snapshot, self._all, self._thresholds, opts.stats):
                out.add(item)
        taken: set[str] = set()
        for guest, layout, derived in self._rows:
            label = label_part(guest.uuid if opts.label == "uuid" else guest.name)
            if label not in taken:  # twice only in a recording: on a host names and UUIDs are unique
                taken.add(label)
                report.add_derived(out, label, guest.name, derived, self._thresholds)
                out.add_guest(label, guest, layout, derived.balloon_fresh)
        chunks, self.metrics_left_out = out.chunks()
        return chunks

    def notes(self) -> Sequence[str]:
        """Return what is missing and why, among it the guests whose memory has a threshold but no value."""
        unknown = [
            clean_name(guest.name)
            for guest, _, derived in self._rows
            if guest.active and derived.memory_percent is None and any(self._thresholds.limits("memory", guest.name))
        ]
        if unknown and not self.opts.list:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            self._notes.append(f"memory unknown, no fresh balloon statistics: {', '.join(unknown[:5])}{more}")
        return [*self._notes, *(self.lines() if self.opts.list and not self.opts.verbose else ())]

    def lines(self) -> Sequence[str]:
        """Return a line for each guest."""
        say = report.listed if self.opts.list else report.describe
        return [say(guest, derived) for guest, _, derived in self._rows]


CHECK = Check(
    Guests,
    MEASURES,
    options,
    validate=validate,
    rates=True,
    commands=(
        Command("check_virt_stats", "--save-state", "essentials of every guest, within Nagios's 4 KB"),
        Command(
            "check_virt_stats_all",
            "--save-state --state-key all --max-output 60000 --compress",
            "everything of every guest, for graphios-tap",
            tap=True,
        ),
    ),
)
main = CHECK.main
