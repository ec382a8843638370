"""All nodes of a stats gatherer's file: which are looked at, and whether their numbers are current."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from checks.options import Values
from checks.output import clean_name
from checks.plugin import Metric
from checks.ranges import duration
from checks.tahoe import gatherer, report
from checks.tahoe.naming import labels
from checks.tahoe.rates import Gained
from checks.tahoe.records import Node
from checks.tahoe.thresholds import is_stale
from checks.tahoe.view import View

# A gatherer on another host may be ahead of us by so much.
_AHEAD = 60.0


class Entry(NamedTuple):
    """One node of the file: `age` in seconds is that of its numbers; `current` whether they are young enough to be reported."""

    label: str
    node: Node
    age: float
    current: bool

    @property
    def accepts(self) -> bool:
        """Whether it is a storage server that takes shares now; one that doesn't say is taken at its word."""
        stats = self.node.statistics.stats
        closed = 0 in (stats.get("storage_server.accepting_immutable_shares"), stats.get("storage_server.disk_avail"))
        return self.current and self.node.statistics.stores and not closed


def entries(nodes: Sequence[Node], opts: Values, now: float) -> list[Entry]:
    """Return an entry for each node; numbers from the future are trouble, because a clock is wrong."""
    found = []
    for label, node in zip(labels([(node.nickname, node.tubid) for node in nodes]), nodes, strict=True):
        age = 0.0 if node.gathered is None else now - node.gathered
        if age < -_AHEAD and not node.trouble:
            node = node._replace(trouble=f"its numbers are {duration(-age)} in the future: is a clock wrong?")
        age = max(age, 0.0)
        current = not node.trouble and not is_stale(age, opts)
        found.append(Entry(label, node, age, current))
    return found


def choose(found: Iterable[Entry], opts: Values) -> tuple[list[Entry], list[str]]:
    """Return the entries that --node and --ignore leave, and the names of --node that are none."""
    left = [one for one in found if not any(expression.fullmatch(one.label) for expression in opts.ignore)]
    if not opts.node:
        return left, []
    names = [{one.label, one.node.nickname, one.node.tubid} for one in left]
    chosen = [one for one, called in zip(left, names, strict=True) if not called.isdisjoint(opts.node)]
    return chosen, [name for name in opts.node if not any(name in called for called in names)]


class Gathered(View):
    """The nodes of --stats-json."""

    def judged(self) -> Iterator[Metric]:
        """Yield what is to be judged: what is missing or old, then each node's numbers. Raises CheckError."""
        opts, name = self.opts, clean_name(str(self.opts.stats_json))
        found = entries(gatherer.read(opts.stats_json), opts, time.time())
        chosen, missing = choose(found, opts)
        for node in missing:
            said = f"{name} has no node {clean_name(node)[:100]}: see --node and --ignore"
            yield Metric(said, "critical", context="finding")
        if not chosen:
            if not missing:
                said = f"{name} has no nodes to look at: does any report to this gatherer?"
                yield Metric(said, "unknown", context="finding")
            return
        connected, accepting = self._count(chosen)
        alive = any(one.current for one in found)
        if not alive and not all(one.node.trouble for one in found):
            newest = duration(min(one.age for one in found if not one.node.trouble))
            said = f"{name} has no current numbers, the newest are {newest} old: does the stats gatherer run?"
            yield Metric(said, "critical", context="finding")
        yield from self._nodes(chosen)
        if any(one.current for one in chosen):
            yield from self.judge.servers(connected, "storage servers with current numbers")
            yield from self.judge.happiness(accepting)
            yield from self.unjudged()

    def _nodes(self, chosen: list[Entry]) -> Iterator[Metric]:
        opts = self.opts
        counters = self.counters(" ".join([str(opts.stats_json), *sorted(opts.node)]))
        for label, node, age, current in chosen:
            if node.trouble:
                self.lines.append(f"{label}: {clean_name(node.trouble)}")
                yield Metric(f"{label}: {clean_name(node.trouble)}", "warning", context="finding")
                continue
            limits = {"warning": opts.stale_warning, "critical": opts.stale_critical}
            self.items.add(f"{label}.age", age, "s", rank=1, **limits)
            gained = self.gained(counters, node.tubid, label, node.statistics, node.gathered) if current else Gained({})
            if current:
                yield from self._current(label, node, gained)
            else:
                self.lines.append(f"{label}: not heard of for {duration(age)}, its numbers are not reported")
            yield Metric(f"{label}\0not heard of for", age, context="stale")
        self.remember(counters)

    def _current(self, label: str, node: Node, gained: Gained) -> Iterator[Metric]:
        report.add_node(self.items, f"{label}.", label, node.statistics, gained.rates, self.opts)
        kind = "storage node" if node.statistics.stores else "client"
        self.lines.append(f"{label}: {kind}{report.summary(node.statistics)}")
        self.lines += report.node_lines(node.statistics, gained.rates, f"{label}: ")
        yield from self.judge.node(label, node.statistics, gained)

    def _count(self, chosen: list[Entry]) -> tuple[int, int]:
        """Add the totals; return how many servers have current numbers, and how many of these take shares."""
        opts, servers = self.opts, [one for one in chosen if one.node.statistics.stores]
        connected = [one for one in servers if one.current]
        current, accepting = sum(one.current for one in chosen), sum(one.accepts for one in connected)
        name = clean_name(self.opts.stats_json.name)
        self.headline = f"{name}: {current} of {len(chosen)} nodes current"
        self.headline += f", {accepting} of {len(servers)} servers take shares"
        add = self.items.add
        add("nodes.current", current)
        add("nodes.known", len(chosen))
        add("servers.connected", len(connected), warning=opts.servers_warning, critical=opts.servers_critical)
        add("servers.known", len(servers))
        add("servers.accepting", accepting)
        left = (one.node.statistics.stats.get("storage_server.disk_avail") for one in connected)
        add("servers.available", report.total(left), "B")
        return len(connected), accepting
