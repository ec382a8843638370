"""Every guest of a libvirt host: state, CPU, memory, network and disks; and the host's own room for them.

Alerts by default when a guest crashed or is paused (by an I/O error: CRITICAL), when its QEMU is stuck, when a guest marked autostart does
not run, and when a storage pool is full or inaccessible. Thresholds on CPU, steal, memory, network and disks are yours to set.
Names and expressions: a threshold is RANGE for all guests or REGEX=RANGE for those whose whole name matches; the expression with the most
literal characters wins, in whatever order they are given.

Needs libvirt's read-only socket, which any user may open; no root, no sudo. One connection, one bulk call; a guest whose QEMU is stuck costs
only itself. Percentages since the last run, latencies and error rates need --save-state in the regular run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from checks.counters import Counters, StateError, last_saved
from checks.options import UsageError
from checks.output import DEFAULT_BUDGET, clean_name, label_part, perfdata
from checks.plugin import Check, Command, Metric, Options, Resource, Threshold, Values
from checks.virt import recording
from checks.virt.calls import Clock
from checks.virt.derive import Derived, derive
from checks.virt.measures import MEASURES, Perfdata
from checks.virt.records import POOL_STATES, RUNNING, STATES, Guest, Pool, Snapshot
from checks.virt.report import describe, headline, host_items
from checks.virt.selection import choose, named, only_part, read_part, without_families
from checks.virt.severity import StateSeverities

WORDS = ("state", "cpu-total", "balloon", "vcpu", "interface", "block", "host", "pool")
ALIASES = {"cpu": "cpu-total", "net": "interface", "memory": "balloon", "disk": "block"}
_THRESHOLDS = (
    ("cpu", "% CPU of the guest's own vCPUs", "cpu", "%"),
    ("steal", "% time its vCPUs were ready but not run", "steal", "%"),
    ("memory", "% memory used in the guest", "memory", "%"),
    ("net-errors", "network errors per second, for each NIC", "", "/s"),
    ("net-drops", "dropped packets per second, for each NIC", "", "/s"),
    ("disk-latency", "seconds per read or write request, for each disk", "", " s"),
    ("disk-allocation", "% of its capacity that a disk has allocated", "", "%"),
    ("pool", "% used of a storage pool", "used", "%"),
)
_DEFAULTS = {"pool-warning": "90", "pool-critical": "95"}
_PART_SILENCE = 900.0


def options(parser: Options) -> None:
    """Declare the options of this check."""
    parser.add("--uri", help="libvirt connection URI", default="qemu:///system", metavar="URI")
    parser.choices(
        "--stats",
        help="families of statistics, in virsh's words",
        words=WORDS,
        aliases=ALIASES,
        default=",".join(WORDS),
    )
    parser.add(
        "--label", help="what names a guest in labels", default="name", choices=("name", "uuid"), metavar="name|uuid"
    )
    parser.regexes("--include", help="only guests whose whole name matches")
    parser.regexes("--exclude", help="not the guests whose whole name matches; wins over --include")
    parser.choices("--include-state", help="only guests in these states", words=STATES, default=",".join(STATES))
    parser.choices("--exclude-state", help="not the guests in these states", words=STATES, default="")
    parser.flag("--list", help="list the guests and judge nothing")
    parser.range("-w", "--running-warning", help="WARNING range of the number of running guests")
    parser.range("-c", "--running-critical", help="CRITICAL range of the number of running guests")
    for word, meaning, _, _ in _THRESHOLDS:
        for level in ("warning", "critical"):
            name = f"{word}-{level}"
            parser.rules(f"--{name}", help=f"{level.upper()} range, {meaning}", default=_DEFAULTS.get(name, ""))
    parser.collected(
        "--severity",
        into=StateSeverities,
        metavar="STATE[:REASON]=SEVERITY",
        help="what a state means, such as paused=ok or stuck=warning",
    )
    parser.seconds("--balloon-max-age", help="older balloon statistics are unknown", default=300.0)
    parser.typed(
        "--part", read=read_part, metavar="K/N", help="only the K-th of N parts of the guests, split by their UUIDs"
    )
    parser.path("--replay", help="read a recording (JSON or virsh domstats --raw) instead of connecting")
    parser.path("--record", help="write what libvirt answered as a recording")


def validate(opts: Values) -> None:
    """Adjust and refuse options that do not go together."""
    if opts.replay and opts.record:
        raise UsageError("--replay and --record do not go together (see check_virt_stats --help)")
    if opts.list and opts.max_output == DEFAULT_BUDGET:
        opts.max_output = 1 << 20


class Guests(Resource):
    """All guests of one hypervisor, judged."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        target = f"replay {opts.replay}" if opts.replay else opts.uri
        if opts.part:
            target += " part {}/{}".format(*opts.part)
        self._target = target
        self._notes: list[str] = []
        self._guests: list[Guest] = []
        self._derived: list[Derived] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each pair of thresholds."""
        found = [Threshold("running", self.opts.running_warning, self.opts.running_critical, word="guests running")]
        for word, _, said, unit in _THRESHOLDS:
            found.append(Threshold(word, *self._limits(word), word=said, unit=unit))
        return found

    def _limits(self, word: str) -> tuple[Any, Any]:
        name = word.replace("-", "_")
        return getattr(self.opts, f"{name}_warning"), getattr(self.opts, f"{name}_critical")

    def probe(self) -> Iterator[Metric]:
        """Acquire, then yield whatever is out of order. Raises CheckError."""
        opts = self.opts
        counters = Counters("check_virt_stats", self._target, opts.state_key)
        self._snapshot = self._acquire(counters)
        if opts.record:
            recording.write(opts.record, self._snapshot)
        self._all = choose(self._snapshot.guests, opts)
        self._guests = only_part(self._all, opts.part)
        self.headline = headline(self._guests, opts)
        if opts.list:
            return
        yield from self._judge_parts(counters)
        rates = counters if counters.interval or opts.save_state else None
        self._derived = [
            derive(
                guest, self._snapshot.now, opts.balloon_max_age, rates if guest.active and not guest.condition else None
            )
            for guest in self._guests
        ]
        if self._first_part:
            yield Metric("", sum(guest.state == RUNNING for guest in self._all), context="running")
        for guest, derived in zip(self._guests, self._derived, strict=True):
            yield from self._judge_guest(guest, derived)
        yield from self._judge_surroundings()
        self._remember(counters)

    def _acquire(self, counters: Counters) -> Snapshot:
        opts = self.opts
        if opts.replay:
            snapshot = recording.read(opts.replay)
            counters.mark()
            if set(opts.stats) < set(WORDS):
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

    def _judge_guest(self, guest: Guest, derived: Derived) -> Iterator[Metric]:
        severities, name = self.opts.severity, clean_name(guest.name)
        severity = severities.of_guest(guest)
        if severity != "ok":
            yield Metric(f"{name} is {guest.state_word} ({guest.reason_word})", severity, context="finding")
        if guest.condition:
            said = f"{name} is {guest.condition}: {guest.detail}"
            if severities.of(guest.condition) == "ok":
                self._notes.append(said)
            else:
                yield Metric(said, severities.of(guest.condition), context="finding")
        yield from self._broken("cpu", guest, "", derived.cpu_percent)
        yield from self._broken("steal", guest, "", derived.steal_percent)
        yield from self._broken("memory", guest, "", derived.memory_percent)
        for nic, value in derived.net_errors:
            yield from self._broken("net-errors", guest, f"NIC {nic} errors", value)
        for nic, value in derived.net_drops:
            yield from self._broken("net-drops", guest, f"NIC {nic} drops", value)
        for disk, way, value in derived.latencies:
            yield from self._broken("disk-latency", guest, f"{disk} {way} latency", value)
        for disk, value in derived.allocations:
            yield from self._broken("disk-allocation", guest, f"{disk} allocation", value)

    def _broken(self, word: str, guest: Guest, what: str, value: float | None) -> Iterator[Metric]:
        """Yield the metric only where it breaks a limit: thousands of good ones need no object."""
        if value is None:
            return
        for rules in self._limits(word):
            limit = rules.find(guest.name) if rules else None
            if limit is not None and not limit.match(value):
                yield Metric(f"{guest.name}\0{what}", value, context=word)
                return

    def _judge_surroundings(self) -> Iterator[Metric]:
        for trouble in self._snapshot.troubles:
            yield Metric(trouble, "unknown", context="finding")
        self._notes += self._snapshot.remarks
        if not self._first_part:
            return
        severity = self.opts.severity.of("autostart")
        for name in self._snapshot.autostart_missing or ():
            if severity != "ok" and named(name, self.opts):
                yield Metric(f"{clean_name(name)} is marked autostart and does not run", severity, context="finding")
        for pool in self._snapshot.pools or ():
            yield from self._judge_pool(pool)

    def _judge_pool(self, pool: Pool) -> Iterator[Metric]:
        word = POOL_STATES[pool.state] if 0 <= pool.state < len(POOL_STATES) else str(pool.state)
        severity = {"degraded": "warning", "inaccessible": "critical"}.get(word)
        if word == "inactive" and pool.autostart:
            severity = "warning"
        if severity:
            yield Metric(f"storage pool {clean_name(pool.name)} is {word}", severity, context="finding")
        if pool.capacity:
            yield Metric(f"{pool.name}\0pool {pool.name} used", 100 * pool.allocation / pool.capacity, context="pool")

    @property
    def _first_part(self) -> bool:
        return not self.opts.part or self.opts.part[0] == 1

    def _judge_parts(self, counters: Counters) -> Iterator[Metric]:
        """In part 1: name the parts that do not run. Each part that runs keeps a state file of its own."""
        opts = self.opts
        if not (opts.part and opts.part[0] == 1 and opts.save_state):
            return
        since = counters.notes.setdefault("parts_since", self._snapshot.now)
        for number in range(2, opts.part[1] + 1):
            target = self._target.replace(" part 1/", f" part {number}/")
            silence = last_saved("check_virt_stats", target, opts.state_key)
            if silence is None:
                silence = self._snapshot.now - since
            if silence > max(_PART_SILENCE, 3 * (counters.interval or 0)):
                yield Metric(
                    f"part {number}/{opts.part[1]} has not run for {silence / 60:.0f} min", "warning", context="finding"
                )

    def _remember(self, counters: Counters) -> None:
        if not counters.interval and any(guest.active for guest in self._guests):
            self._notes.append(
                f"no rates: {counters.why}" + ("" if self.opts.save_state else "; --save-state keeps counters")
            )
        if self.opts.save_state:
            self._try_saving(counters.save)

    def _try_saving(self, save: Any) -> None:
        try:
            save()
        except StateError as error:
            self._notes.append(f"no rates at the next run: {error}")

    def perfdata(self) -> Sequence[str]:
        """Return host figures, then the essentials of every guest, then their detail."""
        opts = self.opts
        if opts.list:
            return ()
        out = Perfdata(opts.max_output if not opts.compress else 1 << 40, with_state="state" in opts.stats)
        if self._first_part:
            for item in host_items(self._snapshot, self._all, opts):
                out.add(0, item)
        taken: set[str] = set()
        for guest, derived in zip(self._guests, self._derived, strict=True):
            label = label_part(guest.uuid if opts.label == "uuid" else guest.name)
            if label in taken:  # only in a recording: on a host names and UUIDs are unique
                continue
            taken.add(label)
            if not guest.active:
                guest = guest._replace(
                    stats={key: guest.stats[key] for key in ("state.state", "state.reason") if key in guest.stats}
                )
            self._add_derived(out, label, derived, guest)
            out.add_guest(label, guest, derived.balloon_fresh)
        chunks, self.metrics_left_out = out.chunks()
        return chunks

    def _add_derived(self, out: Perfdata, label: str, derived: Derived, guest: Guest) -> None:
        def add(rank: int, metric: str, value: float | None, unit: str, word: str = "") -> None:
            if value is None:
                return
            limits = (
                [rules.find(guest.name) if rules else None for rules in self._limits(word)] if word else [None, None]
            )
            out.add(rank, perfdata(f"{label}.{metric}", round(value, 6 if unit == "s" else 2), unit, *limits))

        if not guest.active:
            return
        add(0, "cpu.percent", derived.cpu_percent, "%", "cpu")
        add(0, "balloon.used_percent", derived.memory_percent, "%", "memory")
        add(0, "vcpu.steal_percent", derived.steal_percent, "%", "steal")
        add(2, "balloon.last_update_age", derived.balloon_age, "s")
        for disk, way, value in derived.latencies:
            add(2, f"block.{disk}.{way}_latency", value, "s", "disk-latency")
        for disk, value in derived.allocations:
            add(2, f"block.{disk}.allocation_percent", value, "%", "disk-allocation")

    def notes(self) -> Sequence[str]:
        """Return what is missing and why, and how the guests are whose memory has a threshold but no value."""
        unknown = (
            [
                clean_name(guest.name)
                for guest, derived in zip(self._guests, self._derived, strict=True)
                if guest.active
                and derived.memory_percent is None
                and any(rules and rules.find(guest.name) for rules in self._limits("memory"))
            ]
            if self._derived
            else []
        )
        if unknown:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            self._notes.append(f"memory unknown, no fresh balloon statistics: {', '.join(unknown[:5])}{more}")
        return [*self._notes, *(self.lines() if self.opts.list else ())]

    def lines(self) -> Sequence[str]:
        """Return a line for each guest."""
        if self.opts.list:
            return [f"{clean_name(g.name)}  {g.uuid}  {g.state_word} ({g.reason_word})" for g in self._guests]
        return [describe(guest, derived) for guest, derived in zip(self._guests, self._derived, strict=True)]


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
            "everything, for graphios-tap",
            tap=True,
        ),
    ),
)
main = CHECK.main
