"""What is said of nodes: perfdata with the most important first, and a line for each object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from checks.options import Values
from checks.output import clean_name, label_part, perfdata
from checks.ranges import duration, human
from checks.tahoe import measures
from checks.tahoe.records import Introducer, Introductions, Server, Statistics
from checks.tahoe.storage import Storage
from checks.tahoe.thresholds import exact, is_stale, limits

# Where a statistic stands in STATISTICS; what is computed of it comes right behind. Latencies are many, and come last.
_RANKS = {one.key: rank for rank, one in enumerate(measures.STATISTICS, 1)}
_LATENCY_RANKS = {what: 1000 + rank for rank, what in enumerate(("mean", "p50", "p90", "p99", "p95", "samples"))}
_LAST = 2000
# Statistics that have a threshold, with the option's name.
_JUDGED = {
    "storage_server.disk_avail": "space",
    "node.uptime": "uptime",
    "load_monitor.max_load": "load",
    "cpu_monitor.1min_avg": "cpu",
}
# Deflated, perfdata takes a tenth or more.
_DEFLATED = 12
_LONGEST_STATUS = 120
_MOST_SERVICES = 20
# What Twisted's failures mean, whose own words are long or none.
_FAILURES = {
    "ConnectionRefusedError": "connection refused",
    "NoRouteError": "no route to host",
    "TCPTimedOutError": "no connection in time",
    "DNSLookupError": "its name has no address",
    "ResponseNeverReceived": "no answer",
    "CancelledError": "no answer",
    "TimeoutError": "no answer",
}
_FAILURE = re.compile(r"failure: \[Failure instance: .*?<class '(?:[^']*\.)?(\w+)'>(?:: (.*?))?\]?$", re.IGNORECASE)


class Items:
    """Perfdata of many objects by rank: one family after the other over all of them. What can't fit is only counted."""

    def __init__(self, opts: Values) -> None:
        self._budget = opts.max_output * (_DEFLATED if opts.compress else 1)
        self._ranks: dict[int, list[tuple[str, float, str, object, object]]] = {}
        self.left_out = 0

    def add(
        self,
        label: str,
        value: float | None,
        unit: str = "",
        *,
        rank: int = 0,
        warning: object = None,
        critical: object = None,
    ) -> None:
        """Add one value, unless it is unknown; 0 is the first rank."""
        if value is not None:
            self._ranks.setdefault(rank, []).append((label, value, unit, warning, critical))

    def made(self) -> list[str]:
        """Return the items, and set `left_out`."""
        items: list[str] = []
        size = self.left_out = 0
        for rank in sorted(self._ranks):
            for label, value, unit, warning, critical in self._ranks[rank]:
                if size > self._budget:
                    self.left_out += 1
                    continue
                items.append(perfdata(label, value, unit, warning, critical))
                size += len(items[-1]) + 1
        return items


def add_node(
    items: Items, prefix: str, name: str, statistics: Statistics, rates: Mapping[str, float], opts: Values
) -> None:
    """Add all that a node reports; its labels begin with `prefix`, and thresholds are those that hold for `name`."""
    for one, value in measures.reported(statistics):
        rank = _RANKS[one.key] * 3
        warning, critical = _pair(opts, _JUDGED.get(one.key), name)
        items.add(prefix + one.label, value, one.unit, rank=rank, warning=warning, critical=critical)
        if one.key in rates and one.rate is not None:
            items.add(prefix + one.rate_label, rates[one.key], one.rate, rank=rank + 1)
    warning, critical = _pair(opts, "space_percent", name)
    items.add(
        f"{prefix}disk.available_percent",
        percent_left(statistics),
        "%",
        rank=_RANKS["storage_server.disk_avail"] * 3 + 2,
        warning=warning,
        critical=critical,
    )
    for latency in measures.latencies(statistics):
        judged = "latency" if latency.what != "samples" else None
        warning, critical = _pair(opts, judged, f"{latency.operation}.{latency.what}")
        rank = _LATENCY_RANKS.get(latency.what, _LAST)
        items.add(prefix + latency.label, latency.value, latency.unit, rank=rank, warning=warning, critical=critical)


def _pair(opts: Values, option: str | None, name: str) -> tuple[object, object]:
    if option is None:
        return None, None
    return limits(getattr(opts, f"{option}_warning"), name), limits(getattr(opts, f"{option}_critical"), name)


def percent_left(statistics: Statistics) -> float | None:
    """Return what shares may still take, in percent of the disk."""
    available = statistics.stats.get("storage_server.disk_avail")
    total = statistics.stats.get("storage_server.disk_total")
    return round(min(100 * available / total, 100.0), 2) if available is not None and total else None


def add_servers(items: Items, servers: Sequence[Server], introducers: Sequence[Introducer], opts: Values) -> None:
    """Add how many servers and introducers a node knows and is connected to."""
    connected, accepting = count(servers)
    items.add("servers.connected", connected, warning=opts.servers_warning, critical=opts.servers_critical)
    items.add("servers.known", len(servers))
    items.add("servers.accepting", accepting)
    items.add("servers.available", total(server.available for server in servers if server.connected), "B")
    items.add("introducers.connected", sum(introducer.connected for introducer in introducers))
    items.add("introducers.known", len(introducers))


def total(numbers: Iterable[float | None]) -> float | None:
    """Return the sum of what is known, or None where nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def add_introductions(items: Items, found: Introductions, opts: Values) -> None:
    """Add how many announce and subscribe, by service; how many storage servers announce is judged like those connected."""
    for service, number in list(found.announcements.items())[:_MOST_SERVICES]:
        judged = service == "storage"
        warning, critical = (opts.servers_warning, opts.servers_critical) if judged else (None, None)
        rank = 0 if judged else 1
        items.add(f"announced.{label_part(service)}", number, rank=rank, warning=warning, critical=critical)
    for service, number in list(found.subscriptions.items())[:_MOST_SERVICES]:
        items.add(f"subscribed.{label_part(service)}", number, rank=0 if service == "storage" else 1)


def add_storage(items: Items, found: Storage, now: float, opts: Values) -> None:
    """Add what a storage node's crawlers counted."""
    items.add("shares.corrupt", found.corrupt, warning=opts.corrupt_warning, critical=opts.corrupt_critical)
    items.add("shares.count", found.shares)
    items.add("shares.size", found.shares_size, "B")
    items.add("shares.checked_age", None if found.checked is None else max(0.0, now - found.checked), "s")


def add_server(items: Items, label: str, server: Server, now: float, opts: Values) -> None:
    """Add one server of a grid; of one that is not connected only that."""
    items.add(f"{label}.connected", int(server.connected), rank=1)
    if server.connected:
        warning, critical = _pair(opts, "space", label)
        items.add(f"{label}.available", server.available, "B", rank=2, warning=warning, critical=critical)
        age = None if server.heard is None else max(0.0, now - server.heard)
        limits = {"warning": opts.stale_warning, "critical": opts.stale_critical}
        items.add(f"{label}.heard_age", age, "s", rank=3, **limits)


def count(known: Sequence[Server]) -> tuple[int, int]:
    """Return how many servers are connected, and how many of these take shares: all that don't say that they have nothing left."""
    connected = [server for server in known if server.connected]
    return len(connected), sum(server.available != 0 for server in connected)


def as_heard(server: Server, now: float, opts: Values) -> Server:
    """Return a server without what is old news: it is not connected where it was not heard for so long that its client must be wrong.

    What a server has left is asked every second over HTTP ("connected"), over Foolscap ("Connected to ...") only when it connects. With
    nothing left then, its client gives it no shares until it connects again.
    """
    if server.connected and server.heard is not None and is_stale(max(0.0, now - server.heard), opts):
        return server._replace(connected=False, status=f"not heard for {duration(now - server.heard)}")
    return server if not server.available or _is_asked_anew(server) else server._replace(available=None)


def _is_asked_anew(server: Server) -> bool:
    return server.status.lower() == "connected"


def connection(status: str) -> str:
    """Return a node's words on a connection as one short clean text, without the address that is a key."""
    said = status.strip()
    failure = _FAILURE.match(said)
    if failure:
        name, message = failure.groups()
        said = _FAILURES.get(name) or (f"{name}: {message}" if message and message[0] != "[" else name)
    said = re.sub(r"pb://\S*", "pb://...", said)
    return clean_name(said if len(said) <= _LONGEST_STATUS else said[:_LONGEST_STATUS] + "…") or "it does not say why"


def introducers(known: Sequence[Introducer]) -> str:
    """Return how the introducers are, for the first line."""
    number, connected = len(known), sum(introducer.connected for introducer in known)
    if number == 1:
        return "introducer up" if connected else "introducer lost"
    return f"{connected} of {number} introducers up" if number else "no introducer"


def servers(known: Sequence[Server]) -> str:
    """Return how many servers are connected and take shares, for the first line."""
    connected, accepting = count(known)
    said = f"{connected} of {len(known)} servers"
    return said if accepting == connected else f"{said}, {accepting} {'takes' if accepting == 1 else 'take'} shares"


def summary(statistics: Statistics) -> str:
    """Return how a node is, for the first line: ", up 2 h, 75.5 GiB left"."""
    said = [] if statistics.uptime is None else [f"up {duration(statistics.uptime)}"]
    left = statistics.stats.get("storage_server.disk_avail")
    said += [] if left is None else [f"{human(left)} left"]
    return "".join(f", {one}" for one in said)


def server_line(label: str, server: Server, told: Server, now: float) -> str:
    """Return the line that -v shows for a server, which is what was `told` but `as_heard`."""
    if not server.connected:
        heard = f", last heard {duration(now - told.heard)} ago" if told.heard is not None else ""
        return f"server {label}: not connected, {connection(server.status)}{heard}"
    said = [f"server {label}: {connection(server.status)}"]
    if told.available is not None:
        left = f"{human(told.available)} left" if told.available else "takes no shares"
        said.append(left if _is_asked_anew(told) else f"{left} (when it connected)")
    said += [clean_name(server.version)] if server.version else []
    said += [f"heard {duration(now - told.heard)} ago"] if told.heard is not None else []
    return ", ".join(said)


def node_lines(statistics: Statistics, rates: Mapping[str, float], prefix: str = "") -> Iterator[str]:
    """Yield the lines that -v shows for a node's numbers; they begin with `prefix`."""
    stats = {one.label: value for one, value in measures.reported(statistics)}
    disk = [
        f"{human(stats[key])} {word}"
        for key, word in (
            ("disk.available", "left for shares"),
            ("disk.total", "in all"),
            ("disk.used", "used"),
            ("disk.free", "free"),
            ("disk.reserved", "reserved"),
        )
        if key in stats
    ]
    if disk:
        yield f"{prefix}disk: {', '.join(disk)}"
    if rates:
        moved = (one for one in measures.STATISTICS if rates.get(one.key))
        said = [f"{one.label} {_speed(rates[one.key], one.rate)}" for one in moved]
        yield f"{prefix}since the last run: {', '.join(said) or 'nothing was counted'}"
    operations: dict[str, list[str]] = {}
    for latency in measures.latencies(statistics):
        value = exact(latency.value) if latency.unit else f"{latency.value:.0f}"
        operations.setdefault(latency.operation, []).append(f"{latency.what} {value}")
    for operation, said in operations.items():
        yield f"{prefix}latency of {operation} in seconds: {', '.join(said)}"
    lacking = [one.label for one in measures.missing(statistics)]
    if lacking:
        yield f"{prefix}not reported by this version: {', '.join(lacking)}"


def _speed(rate: float, unit: str | None) -> str:
    return f"{human(rate)}/s" if unit == "B" else f"{exact(rate)}/s"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return some names of many, for a note."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
