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
        yield Metric(f"\0{where} answered in", answer.seconds, context="time")
        self.headline = f"{'' if opts.grid else answer.kind + ' '}{where}"
        for trouble in answer.troubles:
            yield Metric(f"{where} does not tell all, {trouble}: see the node's log", "warning", context="finding")
        self.lines += [f"not told: {what}" for what in answer.untold]
        if answer.introductions:
            yield from self._introducer(where, answer.introductions)
        if counters:
            yield from self._numbers(where, answer, counters)
        if answer.welcome:
            yield from self._welcome(where, answer.welcome)
        yield from self.judge.unjudged()

    def _introducer(self, where: str, found: Introductions) -> Iterator[Metric]:
        announced, subscribed = (one.get("storage", 0) for one in (found.announcements, found.subscriptions))
        self.headline += f": {announced} announce storage, {subscribed} subscribe"
        report.add_introductions(self.items, found, self.opts)
        yield from self.judge.servers(where, announced, "storage servers announced")

    def _numbers(self, where: str, answer: Answer, counters: Counters) -> Iterator[Metric]:
        """Yield what is to be judged of the numbers of one node."""
        statistics = answer.statistics
        if not statistics:
            return
        gained = self.gained(counters, "node", "", statistics)
        self.remember(counters)
        report.add_node(self.items, "", where, statistics, gained.rates, self.opts)
        self.lines += report.node_lines(statistics, gained.rates)
        self.headline += report.summary(statistics)
        yield from self.judge.node(where, statistics, gained)
        if answer.storage:
            report.add_storage(self.items, answer.storage, time.time(), self.opts)
            yield from self.judge.corrupt(where, answer.storage.corrupt)

    def _welcome(self, where: str, found: Welcome) -> Iterator[Metric]:
        """Yield what is to be judged of the servers and introducers that a node knows; of each server with --grid."""
        servers, now = self._chosen(found.servers), time.time()
        report.add_servers(self.items, list(servers.values()), found.introducers, self.opts)
        self.headline += f", {report.servers(list(servers.values()))}, {report.introducers(found.introducers)}"
        connected, accepting = report.count(list(servers.values()))
        yield from self.judge.servers(where, connected, "servers connected")
        yield from self.judge.happiness(where, accepting)
        yield from self.judge.introducers(where, found.introducers)
        for label, server in servers.items():
            self.lines.append(report.server_line(label, server, now))
            if self.opts.grid:
                report.add_server(self.items, label, server, now, self.opts)
                yield from self.judge.server(label, server, now)
        self.lines += [f"introducer: {report.connection(one.status)}" for one in found.introducers]

    def _chosen(self, servers: tuple[Server, ...]) -> dict[str, Server]:
        """Return the servers that --ignore leaves, by label."""
        known = {(one.nickname, one.nodeid): one for one in servers}
        every = zip(labels(list(known)), known.values(), strict=True)
        ignored = self.opts.ignore
        return {label: one for label, one in every if not any(regex.fullmatch(label) for regex in ignored)}
