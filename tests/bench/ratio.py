"""CPU time of one command against a named baseline: run in turn, so that a machine that gets slower slows both."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    """Medians in seconds of CPU (user and system, children included) and the median of the ratios of neighbours."""

    ours: float
    baseline: float
    ratio: float
    runs: int

    def __str__(self) -> str:
        return f"{self.ours * 1000:8.1f} ms {self.baseline * 1000:8.1f} ms {self.ratio:6.2f}   ({self.runs} pairs)"


def cpu_seconds(argv: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Return the CPU time of one run, its output read and thrown away as a monitoring system would read it."""
    out, write = os.pipe()
    pid = os.posix_spawn(
        argv[0],
        argv,
        dict(os.environ) if env is None else env,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, out), (os.POSIX_SPAWN_CLOSE, write)],
    )
    os.close(write)
    while os.read(out, 1 << 16):
        pass
    os.close(out)
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def compare(ours: Sequence[str], baseline: Sequence[str], runs: int = 25, env: dict[str, str] | None = None) -> Ratio:
    """Run both `runs` times in turn, after one of each that does not count."""
    cpu_seconds(ours, env)
    cpu_seconds(baseline, env)
    pairs = [(cpu_seconds(ours, env), cpu_seconds(baseline, env)) for _ in range(runs)]
    return Ratio(
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
        runs,
    )
