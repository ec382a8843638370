"""What is wrong with a node's numbers, or with a grid as a node sees it: metrics for the contexts of `thresholds`, and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.options import Values
from checks.plugin import Metric
from checks.ranges import Limit, human
from checks.tahoe import measures
from checks.tahoe.rates import Gained
from checks.tahoe.records import Introducer, Server, Statistics
from checks.tahoe.report import connection, percent_left
from checks.tahoe.thresholds import limits

# How long a node runs until it reports the CPU of the last minute.
_FIRST_MINUTE = 120.0


class Judge:
    """Judges nodes by the operator's thresholds, and knows which of these met nothing to judge."""

    def __init__(self, opts: Values) -> None:
        self._opts = opts
        self._met: set[str] = set()
        self._judged: set[str] = set()
        self._young = self._stores = False

    def node(self, name: str, statistics: Statistics, gained: Gained) -> Iterator[Metric]:
        """Yield what is to be judged of one node's numbers; `name` is "" where there is only one."""
        stats = statistics.stats
        uptime = statistics.uptime
        self._stores |= statistics.stores
        self._young |= uptime is None or uptime < _FIRST_MINUTE
        yield from self._storage(name, statistics)
        said = "restarted since the last run, up" if gained.restarted else "up"
        yield from self._metric("uptime", f"{name}\0{said}", uptime)
        yield from self._metric("load", name, stats.get("load_monitor.max_load"))
        cpu = stats.get("cpu_monitor.1min_avg")
        yield from self._metric("cpu", name, None if cpu is None else 100 * cpu)
        if self._opts.latency_warning or self._opts.latency_critical:
            for one in measures.latencies(statistics):
                ranges = self._limits(f"{one.operation}.{one.what}") if one.unit else []
                self._judged |= {"latency"} if ranges else set()
                # A grid has a hundred of these for each node, nearly all as they should be.
                if not all(limit.match(one.value) for limit in ranges):
                    of = f"of {name} " if name else ""
                    yield Metric(f"{one.operation}.{one.what}\0{of}takes", one.value, context="latency")

    def _storage(self, name: str, statistics: Statistics) -> Iterator[Metric]:
        opts, stats = self._opts, statistics.stats
        free, reserved = (stats.get(f"storage_server.{key}") for key in ("disk_free_for_nonroot", "reserved_space"))
        full = free is not None and reserved is not None and reserved >= free
        if stats.get("storage_server.accepting_immutable_shares") == 0 and not self._meant_read_only(name):
            said = "takes no shares, full or read-only"
            if free is not None and reserved is not None:
                said = f"{'full' if full else 'read-only'}: {human(free)} free, {human(reserved)} reserved"
            yield Metric(f"{name} {said}".lstrip(), opts.not_accepting_severity, context="finding")
        read_only = stats.get("storage_server.accepting_immutable_shares") == 0 and not full
        if read_only or self._meant_read_only(name):
            # What is left is 0 there, and no want of disk.
            self._judged |= {context for context in ("space", "percent") if self._is_limited(context, name)}
            return
        yield from self._metric("space", name, stats.get("storage_server.disk_avail"))
        yield from self._metric("percent", name, percent_left(statistics))

    def servers(self, number: int, what: str) -> Iterator[Metric]:
        """Yield how many servers there are; `what` says of which kind."""
        yield from self._metric("servers", f"\0{what}:", number)

    def happiness(self, accepting: int) -> Iterator[Metric]:
        """Yield what so many servers that take shares mean for uploads."""
        wanted = self._opts.shares_happy
        self._judged.add("happiness")
        if wanted is None or accepting > wanted:
            return
        number = f"{accepting} server{' takes' if accepting == 1 else 's take'} shares"
        if accepting < wanted:
            said = f"uploads fail, {number} and shares.happy is {wanted}: add servers or bring some back"
            yield Metric(said, "critical", context="finding")
        else:
            said = f"no server to spare, {number} and shares.happy is {wanted}: one less and uploads fail"
            yield Metric(said, "warning", context="finding")

    def introducers(self, introducers: Sequence[Introducer]) -> Iterator[Metric]:
        """Yield a finding where introducers are lost: what is known stays connected, and uploads go on."""
        lost = [one for one in introducers if not one.connected]
        if lost:
            which = "the introducer" if len(introducers) == 1 else f"{len(lost)} of {len(introducers)} introducers"
            said = f"lost {which} ({connection(lost[0].status)}): uploads go on, new servers stay unknown"
            yield Metric(said, self._opts.introducer_severity, context="finding")

    def server(self, label: str, server: Server, told: Server, now: float) -> Iterator[Metric]:
        """Yield what is to be judged of one server of a grid, which is what its client `told` but without old news."""
        opts = self._opts
        if not told.connected:
            said = f"server {label} is not connected ({connection(told.status)})"
            yield Metric(said, opts.lost_severity, context="finding")
        elif told.heard is not None:
            yield Metric(f"server {label}\0not heard for", max(0.0, now - told.heard), context="stale")
        if not server.connected:
            return
        if self._meant_read_only(label):
            self._judged |= {"space"} if self._is_limited("space", label) else set()
            return
        if server.available == 0:
            said = f"server {label} takes no shares, it is full or read-only"
            yield Metric(said, opts.not_accepting_severity, context="finding")
        yield from self._metric("space", label, server.available)

    def corrupt(self, number: int | None) -> Iterator[Metric]:
        """Yield how many shares a storage node found damaged."""
        yield from self._metric("corrupt", "", number)

    def unjudged(self) -> Iterator[Metric]:
        """Yield a finding for each threshold that met nothing: it would never alert, and nobody would know.

        CPU comes after a minute, and latencies when there was something to do.
        """
        for context, why in _NOTHING.items():
            given = [f"--{name.replace('_', '-')}" for name in _options(context) if getattr(self._opts, name)]
            excused = (context == "cpu" and self._young) or (context == "latency" and self._stores)
            if given and context not in self._judged and not excused:
                why = "its expression is the label of none" if context in self._met else why
                yield Metric(f"nothing to judge by {given[0]}: {why}", "unknown", context="finding")

    @property
    def lacks_latencies(self) -> bool:
        """Whether there are thresholds for latencies, and none of a storage server was there to judge."""
        given = any(getattr(self._opts, option) for option in _options("latency"))
        return given and self._stores and "latency" not in self._judged

    def _metric(self, context: str, name: str, value: float | None) -> Iterator[Metric]:
        if value is not None:
            self._met.add(context)
            if self._is_limited(context, name.partition("\0")[0]):
                self._judged.add(context)
            yield Metric(name, value, context=context)

    def _is_limited(self, context: str, name: str) -> bool:
        return any(limits(getattr(self._opts, option), name) for option in _options(context))

    def _limits(self, name: str) -> list[Limit]:
        found = (getattr(self._opts, option).find(name) for option in _options("latency"))
        return [limit for limit in found if limit]

    def _meant_read_only(self, name: str) -> bool:
        return any(expression.fullmatch(name) for expression in self._opts.read_only)


def _options(context: str) -> tuple[str, ...]:
    """Return the names of the options that make a context's ranges."""
    name = {"percent": "space_percent"}.get(context, context)
    return ("shares_happy",) if context == "happiness" else (f"{name}_warning", f"{name}_critical")


_NOTHING = {
    "space": "no space is reported, is it a storage node?",
    "percent": "no space is reported, is it a storage node?",
    "servers": "it does not tell of its servers",
    "happiness": "ask a client: this one does not tell of its servers",
    "uptime": "no uptime is reported",
    "load": "no load is reported, Tahoe-LAFS 1.16 and newer have --cpu-warning instead",
    "cpu": "no CPU is reported",
    "latency": "no latencies are reported, is it a storage node?",
}
