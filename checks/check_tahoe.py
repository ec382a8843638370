"""Tahoe-LAFS: one node, a grid as one of its clients sees it, or all nodes of a stats gatherer.

Alerts when a node does not answer, a storage server takes no shares (full, or read-only), is lost or has damaged shares, when an introducer
is lost, when a node's numbers in the gatherer's file are old; and by the limits given: space left, servers connected, servers that
uploads need (--shares-happy), uptime (restarted), latencies, load, CPU, time of the answer. Needs no privileges.

--url is a node's web port (web.port in its tahoe.cfg), which has no passwords and should listen on 127.0.0.1 only: run the check there,
by NRPE. What answers, storage node, client or introducer, is found out. With --grid the servers that it knows are shown one by one; what
a lost server said last is not. A client without any server is CRITICAL; a lost introducer is a WARNING, because uploads go on. What a
server has left its client knows of HTTP servers (1.19 and newer) only: whether one of Foolscap's is full by now, tells its own --url.

--stats-json is the file of a stats gatherer (stats.json; Tahoe-LAFS 1.12 to 1.15). Dead nodes stay in it for ever: of one that was not
heard of for 300 s (--stale-warning) only the age is reported; --ignore leaves out those that are gone for good.

Nodes and servers are labelled <nickname>_<first 4 of the id>, as Tahoe's Munin plugin does; -v lists them. The expressions of
thresholds, --ignore and --read-only are for these labels. Rates come with the second run
(--save-state). What a version does not report is left out, never 0; a threshold that meets nothing to judge is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.plugin import GAUGE, Check, Command, Measure, Metric, Resource, Threshold, Values
from checks.tahoe import measures, thresholds
from checks.tahoe.view import View

_NODE = measures.measures()
MEASURES = (
    Measure("time.answer", "s", GAUGE, "time the web port took to answer"),
    Measure(
        "servers.connected", "", GAUGE, "storage servers connected, or with current numbers in the gatherer's file"
    ),
    Measure("servers.known", "", GAUGE, "storage servers known, the lost ones included"),
    Measure("servers.accepting", "", GAUGE, "of those connected, how many take shares"),
    Measure("servers.available", "B", GAUGE, "what shares may still take on all of these"),
    Measure("introducers.connected", "", GAUGE, "introducers connected"),
    Measure("introducers.known", "", GAUGE, "introducers configured"),
    Measure("announced.<service>", "", GAUGE, "with an introducer: how many announce this service"),
    Measure("subscribed.<service>", "", GAUGE, "with an introducer: how many listen for this service"),
    Measure("nodes.current", "", GAUGE, "nodes of the gatherer's file with current numbers"),
    Measure("nodes.known", "", GAUGE, "nodes in the gatherer's file"),
    Measure("<server>.connected", "", GAUGE, "with --grid: 1 while it is connected, else 0"),
    Measure("<server>.available", "B", GAUGE, "what shares may still take, while it is connected"),
    Measure("<server>.heard_age", "s", GAUGE, "time since it was heard, while it is connected"),
    Measure("<node>.age", "s", GAUGE, "with --stats-json: time since the gatherer got its numbers"),
    *measures.SHARES,
    Measure("disk.available_percent", "%", GAUGE, "what shares may still take, of disk.total"),
    *_NODE,
    Measure("<node>.disk.available_percent", "%", GAUGE, "what shares may still take, of disk.total"),
    *(one._replace(label=f"<node>.{one.label}") for one in _NODE),
)
_PORT = "--url http://127.0.0.1:3456"
_WIDE = "--max-output 60000 --compress"
COMMANDS = (
    Command(
        "check_tahoe_storage",
        f"{_PORT} --save-state --space-percent-warning 10: --space-percent-critical 5: {_WIDE}",
        "a Tahoe-LAFS storage node: space, damaged shares, latencies, load, introducer",
        tap=True,
        special=True,
    ),
    Command(
        "check_tahoe_client",
        f"{_PORT} --save-state --servers-critical 1:",
        "a Tahoe-LAFS client or gateway: servers connected, introducers, traffic",
        special=True,
    ),
    Command(
        "check_tahoe_introducer",
        "--url http://127.0.0.1:3458",
        "a Tahoe-LAFS introducer: whether it answers, and how many announce and subscribe",
        special=True,
    ),
    Command(
        "check_tahoe_grid",
        f"--grid {_PORT} {_WIDE}",
        "a whole Tahoe-LAFS grid as one client sees it: each server, and whether uploads can succeed",
        tap=True,
        special=True,
    ),
    Command(
        "check_tahoe_gatherer",
        f"--stats-json /var/lib/tahoe/stats.json --save-state {_WIDE}",
        "all nodes of a grid with a stats gatherer (Tahoe-LAFS before 1.16)",
        tap=True,
        special=True,
    ),
)


class Tahoe(Resource):
    """A node, a grid, or all nodes of a gatherer, as one of the views sees it."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._view: View | None = None

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        return thresholds.contexts(self.opts)

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged. Raises CheckError."""
        self._view = _view(self.opts)
        yield from self._view.judged()
        self.headline = self._view.headline

    def perfdata(self) -> Sequence[str]:
        """Return totals, then one family after the other over all nodes; nothing of what is not known now."""
        items = self._view.items.made() if self._view else []
        self.metrics_left_out = self._view.items.left_out if self._view else 0
        return items

    def lines(self) -> Sequence[str]:
        """Return a line for each server, introducer and node, and what a version does not report."""
        return self._view.lines if self._view else ()

    def notes(self) -> Sequence[str]:
        """Return why there are no rates."""
        return self._view.notes if self._view else ()


def _view(opts: Values) -> View:
    if opts.stats_json:
        from checks.tahoe.gathered import Gathered  # neither needs what the other does

        return Gathered(opts)
    from checks.tahoe.web_port import WebPort

    return WebPort(opts)


CHECK = Check(Tahoe, MEASURES, thresholds.declare, commands=COMMANDS, rates=True, validate=thresholds.validate)
main = CHECK.main
