"""What is computed from libvirt's numbers: percentages, latencies, ages, and the counters that rates need."""

from __future__ import annotations

from typing import Any, NamedTuple

from checks.counters import Counters
from checks.virt.layout import Layout
from checks.virt.records import Guest


class Derived(NamedTuple):
    """Figures of one guest; None is unknown. Percent are 0 to 100, latencies seconds, rates per second."""

    memory_percent: float | None = None
    balloon_age: float | None = None
    balloon_fresh: bool = False
    allocations: tuple[tuple[str, float], ...] = ()
    """(disk, percent of its capacity)"""
    cpu_percent: float | None = None
    steal_percent: float | None = None
    net_errors: tuple[tuple[str, float], ...] = ()
    """(NIC, per second, both ways)"""
    net_drops: tuple[tuple[str, float], ...] = ()
    latencies: tuple[tuple[str, str, float], ...] = ()
    """(disk, "rd" or "wr", seconds)"""


NOTHING = Derived()


def derive(guest: Guest, layout: Layout, now: float, balloon_max_age: float, counters: Counters | None) -> Derived:
    """Return a guest's figures; `counters` None: without rates. Keeps the guest's counters for the next run.

    Memory is (available - usable) / available, which does not count caches as used; without fresh numbers it is unknown.
    """
    stats = guest.stats
    updated = stats.get("balloon.last-update")
    age = max(0.0, now - updated) if type(updated) is int and updated > 0 else None
    fresh = age is not None and age <= balloon_max_age
    available, usable = stats.get("balloon.available"), stats.get("balloon.usable")
    memory = None
    if fresh and type(available) is int and type(usable) is int and 0 <= usable <= available and available:
        memory = 100 * (available - usable) / available
    figures = Derived(memory, age, fresh, _allocations(stats, layout))
    if counters is None:
        return figures
    new = _counted(stats, layout)
    epoch = str(guest.id)
    old = counters.previous(guest.uuid, epoch)
    counters.keep(guest.uuid, epoch, new)
    return _with_rates(figures, old, new, counters) if old and counters.interval else figures


def _allocations(stats: dict[str, Any], layout: Layout) -> tuple[tuple[str, float], ...]:
    found = []
    for label, key in layout.disks:
        capacity, allocation = stats.get(key + ".capacity"), stats.get(key + ".allocation")
        if type(capacity) is int and type(allocation) is int and capacity > 0:
            found.append((label, 100 * allocation / capacity))
    return tuple(found)


def _counted(stats: dict[str, Any], layout: Layout) -> dict[str, int]:
    """Return the counters that rates need, under short names; what libvirt does not report is left out."""
    counted: dict[str, int] = {}

    def keep(name: str, *keys: str) -> None:
        values = [stats.get(key) for key in keys]
        if all(type(value) is int for value in values):
            counted[name] = sum(values)  # type: ignore[arg-type]

    keep("cpu", "cpu.time")
    keep("vcpus", "vcpu.current")
    if layout.delays:
        keep("delay", *layout.delays)
        counted["delays"] = len(layout.delays)
    for nic in layout.nics:
        keep(f"net.{nic}.errs", f"net.{nic}.rx.errs", f"net.{nic}.tx.errs")
        keep(f"net.{nic}.drop", f"net.{nic}.rx.drop", f"net.{nic}.tx.drop")
    for label, key in layout.disks:
        for way in ("rd", "wr"):
            keep(f"{label}.{way}.reqs", f"{key}.{way}.reqs")
            keep(f"{label}.{way}.times", f"{key}.{way}.times")
    return counted


def _with_rates(figures: Derived, old: dict[str, int], new: dict[str, int], counters: Counters) -> Derived:
    def rate(name: str) -> float | None:
        return counters.rate(old.get(name), new.get(name))

    def share(name: str, of: str) -> float | None:
        """Nanoseconds per second and vCPU, in percent; a vCPU more or less since the last run makes it unknown."""
        gained, vcpus = rate(name), new.get(of, 0)
        return None if gained is None or vcpus < 1 or old.get(of) != vcpus else min(100.0, gained / vcpus / 1e7)

    def of_nics(kind: str) -> tuple[tuple[str, float], ...]:
        found = ((name, rate(name)) for name in new if name.startswith("net.") and name.endswith(kind))
        return tuple((name.split(".")[1], value) for name, value in found if value is not None)

    latencies = []
    for name in new:
        if name.endswith(".reqs"):
            disk, way = name.split(".")[:2]
            requests, spent = rate(name), rate(f"{disk}.{way}.times")
            if requests and spent is not None:
                latencies.append((disk, way, spent / requests / 1e9))
    return figures._replace(
        cpu_percent=share("cpu", "vcpus"),
        steal_percent=share("delay", "delays"),
        net_errors=of_nics(".errs"),
        net_drops=of_nics(".drop"),
        latencies=tuple(latencies),
    )
