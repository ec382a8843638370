"""The thresholds on guests: their options, and which figures break them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checks.options import Options, Values
from checks.plugin import Metric, Threshold
from checks.ranges import RangeRules
from checks.virt.derive import Derived
from checks.virt.records import Guest


class _Kind(NamedTuple):
    """One pair of options, --<word>-warning and --<word>-critical."""

    word: str
    meaning: str
    said: str
    unit: str
    warning: str = ""
    critical: str = ""


KINDS = (
    _Kind("cpu", "CPU used of the guest's own vCPUs, in percent", "CPU", "%"),
    _Kind("steal", "time its vCPUs were ready but not run, in percent", "steal", "%"),
    _Kind("memory", "memory used in the guest, in percent", "memory", "%"),
    _Kind("net-errors", "network errors a second, of each NIC", "", "/s"),
    _Kind("net-drops", "dropped packets a second, of each NIC", "", "/s"),
    _Kind("disk-latency", "seconds for each read or write request, of each disk", "", " s"),
    _Kind("disk-allocation", "allocation of its capacity in percent, of each disk", "", "%"),
    _Kind("pool", "space used in percent, of each storage pool (the expression is for its name)", "", "%", "90", "95"),
)


def declare(parser: Options) -> None:
    """Declare the options."""
    parser.range("-w", "--running-warning", help="WARNING range: number of running guests")
    parser.range("-c", "--running-critical", help="CRITICAL range: number of running guests")
    for kind in KINDS:
        parser.rules(f"--{kind.word}-warning", help=f"WARNING range: {kind.meaning}", default=kind.warning)
        parser.rules(f"--{kind.word}-critical", help=f"CRITICAL range: {kind.meaning}", default=kind.critical)


class Thresholds:
    """What the operator set, ready to be asked."""

    def __init__(self, opts: Values) -> None:
        self._opts = opts
        pairs = {kind.word: self._pair(kind.word) for kind in KINDS}
        self._pairs = {word: pair for word, pair in pairs.items() if any(pair)}

    def _pair(self, word: str) -> tuple[RangeRules, RangeRules]:
        name = word.replace("-", "_")
        return getattr(self._opts, f"{name}_warning"), getattr(self._opts, f"{name}_critical")

    def contexts(self) -> list[Threshold]:
        """Return the contexts that judge the metrics of `broken`, and "running"."""
        running = Threshold("running", self._opts.running_warning, self._opts.running_critical, word="guests running")
        return [running, *(Threshold(k.word, *self._pair(k.word), word=k.said, unit=k.unit) for k in KINDS)]

    def limits(self, word: str, name: str) -> tuple[object, object]:
        """Return the warning and the critical range that hold for an object, None for none."""
        if word not in self._pairs:
            return (None, None)
        warning, critical = self._pairs[word]
        return warning.find(name), critical.find(name)

    def broken(self, guest: Guest, derived: Derived) -> Iterator[Metric]:
        """Yield the figures of a guest that break a limit; thousands that do not need no object."""
        if not self._pairs:
            return
        for word, what, value in _figures(derived):
            if value is not None and word in self._pairs:
                limits = self.limits(word, guest.name)
                if any(limit is not None and not limit.match(value) for limit in limits):  # type: ignore[attr-defined]
                    yield Metric(f"{guest.name}\0{what}", value, context=word)


def _figures(derived: Derived) -> Iterator[tuple[str, str, float | None]]:
    yield "cpu", "", derived.cpu_percent
    yield "steal", "", derived.steal_percent
    yield "memory", "", derived.memory_percent
    for nic, value in derived.net_errors:
        yield "net-errors", f"NIC {nic} errors", value
    for nic, value in derived.net_drops:
        yield "net-drops", f"NIC {nic} drops", value
    for disk, way, value in derived.latencies:
        yield "disk-latency", f"{disk} {way} latency", value
    for disk, value in derived.allocations:
        yield "disk-allocation", f"{disk} allocation", value
