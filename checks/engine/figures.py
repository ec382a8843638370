"""What the engine counts about itself, as perfdata and as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from checks.engine.jobs import CANCELLED, DEADLINE, FLOOD, LOST, NOT_STARTED, Ended
from checks.output import perfdata
from checks.plugin import COUNTER, GAUGE, Measure

FIGURES_NAME = "engine"
"""The service under which `serve` hands its figures on."""

MEASURES = (
    Measure("checks.running", "", GAUGE, "checks that run now"),
    Measure("checks.waiting", "", GAUGE, "checks that are due and wait for others to end"),
    Measure("checks.stuck", "", GAUGE, "checks that could not even be killed: they hang in the kernel"),
    Measure("checks.done", "c", COUNTER, "runs that ended by themselves"),
    Measure("checks.killed", "c", COUNTER, "runs that were stopped at their deadline"),
    Measure("checks.flooded", "c", COUNTER, "runs that were stopped because they printed without end"),
    Measure("checks.crashed", "c", COUNTER, "runs that a signal ended, or that a dying fork server took along"),
    Measure("checks.not_started", "c", COUNTER, "runs that could not be started"),
    Measure("checks.cancelled", "c", COUNTER, "runs that were stopped because nobody waited for them any more"),
    Measure("checks.late", "c", COUNTER, "times that a check was due and did not run, because its last run went on"),
    Measure("checks.cpu_user", "s", COUNTER, "CPU time of all runs, outside the kernel"),
    Measure("checks.cpu_system", "s", COUNTER, "CPU time of all runs, in the kernel"),
    Measure("forks.started", "c", COUNTER, "processes started for runs"),
    Measure("forks.restarts", "c", COUNTER, "times that the fork server was started anew"),
)


@dataclass
class Figures:
    """Counted since the engine's start; running, waiting and stuck are now. CPU times in seconds."""

    running: int = 0
    waiting: int = 0
    stuck: int = 0
    done: int = 0
    killed: int = 0
    flooded: int = 0
    crashed: int = 0
    not_started: int = 0
    cancelled: int = 0
    late: int = 0
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    started: int = 0
    restarts: int = 0

    def count(self, ended: Ended) -> None:
        """Add a run that is over."""
        self.cpu_user += ended.user
        self.cpu_system += ended.system
        if ended.trouble == DEADLINE:
            self.killed += 1
        elif ended.trouble == FLOOD:
            self.flooded += 1
        elif ended.trouble == CANCELLED:
            self.cancelled += 1
        elif ended.trouble == NOT_STARTED:
            self.not_started += 1
        elif ended.trouble == LOST or ended.signal:
            self.crashed += 1
        else:
            self.done += 1

    def as_dict(self) -> dict[str, float]:
        """Return them by the names of MEASURES."""
        values = asdict(self)
        return {measure.label: values[measure.label.partition(".")[2]] for measure in MEASURES}

    def perfdata(self) -> str:
        """Return them as perfdata, in the order of MEASURES; CPU times are counters, in seconds."""
        values = self.as_dict()
        return " ".join(perfdata(measure.label, values[measure.label], measure.unit) for measure in MEASURES)
