"""One node, introducer or grid, asked over a web port."""

from __future__ import annotations

import time
from collections.abc import Iterator

from checks import web
from checks.counters import Counters
from checks.deadline import last_moment
from checks.plugin import Metric
from checks.tahoe import ask, report
from checks.tahoe.ask import Answer
from checks.tahoe.naming import labels
from checks.tahoe.records import Introductions, Server, Welcome
from checks.tahoe.view import View


class WebPort(View):
    """What answers at --url."""

    def judged(self) -> Iterator[Metric]:
        """Yield what is to be judged: whether it answers, then what it says."""
        opts, url, where = self.opts, self.opts.url, web.place(self.opts.url)
        # Before it is asked: what is read of the state takes time.
        counters = None if opts.grid else self.counters(url)
        until = last_moment(opts.timeout)
        try:
            answer = ask.grid(url, until) if opts.grid else ask.node(url, until)
        except ask.NodeError as error:
            yield Metric(str(error), "critical" if error.known else "unknown", context="finding")
            return
        if counters:
            counters.mark()
        self.items.add("time.answer", answer.seconds, "s", warning=opts.warning, critical=opts.critical)
        yield Metric("\0answered in", answer.seconds, context="time")
        self.headline = f"{'grid of' if opts.grid else answer.kind} {where}"
        for trouble in answer.troubles:
            yield Metric(f"does not tell all, {trouble}: see the node's log", "warning", context="finding")
        self.lines += [f"not told: {what}" for what in answer.untold]
        if answer.introductions:
            yield from self._introducer(where, answer.introductions)
        if counters:
            yield from self._numbers(answer, counters)
        if answer.welcome:
            yield from self._welcome(answer.welcome, answer.kind == "storage node")
        yield from self.unjudged()

    def _introducer(self, where: str, found: Introductions) -> Iterator[Metric]:
        if self.opts.grid:
            self.headline = ""
            said = f"{where} is an introducer, which is connected to no servers: --grid needs one of its clients"
            yield Metric(said, "unknown", context="finding")
            return
        announced, subscribed = (one.get("storage", 0) for one in (found.announcements, found.subscriptions))
        self.headline += f": {announced} announce storage, {subscribed} subscribe"
        report.add_introductions(self.items, found, self.opts)
        yield from self.judge.servers(announced, "storage servers announced")

    def _numbers(self, answer: Answer, counters: Counters) -> Iterator[Metric]:
        """Yield what is to be judged of the numbers of one node."""
        statistics = answer.statistics
        if not statistics:
            return
        gained = self.gained(counters, "node", "", statistics)
        self.remember(counters)
        report.add_node(self.items, "", "", statistics, gained.rates, self.opts)
        self.lines += report.node_lines(statistics, gained.rates)
        self.headline += report.summary(statistics)
        yield from self.judge.node("", statistics, gained)
        if answer.storage:
            report.add_storage(self.items, answer.storage, time.time(), self.opts)
            yield from self.judge.corrupt(answer.storage.corrupt)

    def _welcome(self, found: Welcome, stores: bool) -> Iterator[Metric]:
        """Yield what is to be judged of the servers and introducers that a node knows; of each server with --grid.

        A node that `stores` serves others, whoever it is connected to itself.
        """
        told, now = self._chosen(found.servers), time.time()
        servers = {label: report.as_heard(server, now, self.opts) for label, server in told.items()}
        every = list(servers.values())
        connected, accepting = report.count(every)
        report.add_servers(self.items, every, found.introducers, self.opts)
        self.headline += "" if stores else f", {report.servers(every)}"
        self.headline += f", {report.introducers(found.introducers)}"
        if not (connected or stores or self.opts.servers_warning or self.opts.servers_critical):
            said = "no storage server is connected: nothing can be read or uploaded"
            yield Metric(said, "critical", context="finding")
        yield from self.judge.servers(connected, "servers connected")
        yield from self.judge.happiness(accepting)
        yield from self.judge.introducers(found.introducers)
        for label, server in servers.items():
            self.lines.append(report.server_line(label, server, told[label], now))
            if self.opts.grid:
                report.add_server(self.items, label, server, now, self.opts)
                yield from self.judge.server(label, server, told[label], now)
        self.lines += [f"introducer: {report.connection(one.status)}" for one in found.introducers]

    def _chosen(self, servers: tuple[Server, ...]) -> dict[str, Server]:
        """Return the servers that --ignore leaves, by label."""
        known = {(one.nickname, one.nodeid): one for one in servers}
        every = zip(labels(list(known)), known.values(), strict=True)
        ignored = self.opts.ignore
        return {label: one for label, one in every if not any(regex.fullmatch(label) for regex in ignored)}
