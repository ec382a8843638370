"""What every view of Tahoe-LAFS collects for the output, and how it remembers counters from run to run."""

from __future__ import annotations

from collections.abc import Iterator

from checks.counters import Counters, StateError
from checks.options import Values
from checks.plugin import Metric
from checks.tahoe import rates
from checks.tahoe.judge import Judge
from checks.tahoe.rates import Gained
from checks.tahoe.records import Statistics
from checks.tahoe.report import Items, listed


class View:
    """Looks at one source; `judged` fills the rest."""

    def __init__(self, opts: Values) -> None:
        self.opts = opts
        self.judge = Judge(opts)
        self.items = Items(opts)
        self.headline = ""
        self.lines: list[str] = []
        self.notes: list[str] = []
        self._without: dict[str, list[str]] = {}

    def judged(self) -> Iterator[Metric]:
        """Yield what is to be judged. Raises CheckError."""
        raise NotImplementedError

    def unjudged(self) -> Iterator[Metric]:
        """Yield what is wrong with thresholds that met nothing to judge."""
        if self.judge.lacks_latencies:
            self.notes.append("no latency to judge yet: each comes when its operation has happened often enough")
        yield from self.judge.unjudged()

    def counters(self, target: str) -> Counters:
        """Return the counters of the run before."""
        return Counters("check_tahoe", target, self.opts.state_key)

    def gained(
        self, counters: Counters, source: str, label: str, statistics: Statistics, gathered: float | None = None
    ) -> Gained:
        """Return the rates of one node, and keep its counters for the next run; `label` names it in the notes."""
        new = rates.to_keep(statistics, gathered)
        gained = rates.gained(counters.previous(source, ""), new, counters.interval)
        counters.keep(source, "", new)
        if gained.why and (statistics.counters or gained.restarted):
            why = counters.why if gained.is_first and counters.why else gained.why
            self._without.setdefault(why, []).append(label)
        return gained

    def remember(self, counters: Counters) -> None:
        """Keep the counters where that was asked for, and say for which nodes there are no rates, and why."""
        for why, names in self._without.items():
            of = f" of {listed(filter(None, names))}" if any(names) else ""
            self.notes.append(f"no rates{of}: {why}")
        if not self.opts.save_state:
            if self._without:
                self.notes[-1] += "; --save-state keeps counters for the next"
            return
        try:
            counters.save()
        except StateError as error:
            self.notes.append(f"no rates at the next run: {error}")
