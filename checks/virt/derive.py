"""What is computed from libvirt's numbers: percentages, latencies, ages, and the counters that rates need."""

from __future__ import annotations

from typing import Any, NamedTuple

from checks.counters import Counters
from checks.virt.measures import disk_label
from checks.virt.records import Guest

_DEVICES = 64


class Derived(NamedTuple):
    """Figures of one guest; None is unknown. Percent are 0 to 100, latencies seconds, rates per second."""

    cpu_percent: float | None = None
    steal_percent: float | None = None
    memory_percent: float | None = None
    balloon_age: float | None = None
    balloon_fresh: bool = False
    net_errors: tuple[tuple[str, float], ...] = ()
    net_drops: tuple[tuple[str, float], ...] = ()
    latencies: tuple[tuple[str, str, float], ...] = ()
    """(disk, "rd" or "wr", seconds)"""
    allocations: tuple[tuple[str, float], ...] = ()


def derive(guest: Guest, now: float, balloon_max_age: float, counters: Counters | None) -> Derived:
    """Return a guest's figures; `counters` None: without rates. Keeps the guest's counters for the next run."""
    stats = guest.stats
    age = _balloon_age(stats, now)
    fresh = age is not None and age <= balloon_max_age
    available, usable = stats.get("balloon.available"), stats.get("balloon.usable")
    memory = None
    if fresh and available and usable is not None and 0 <= usable <= available:
        memory = 100 * (available - usable) / available
    figures = Derived(memory_percent=memory, balloon_age=age, balloon_fresh=fresh, allocations=_allocations(stats))
    if counters is None:
        return figures
    new = _counted(stats)
    epoch = str(guest.id)
    old = counters.previous(guest.uuid, epoch)
    counters.keep(guest.uuid, epoch, new)
    return _with_rates(figures, old, new, counters) if old and counters.interval else figures


def _balloon_age(stats: dict[str, Any], now: float) -> float | None:
    """Return how old the balloon statistics are, or None where the guest's driver never reported any."""
    updated = stats.get("balloon.last-update")
    return max(0.0, now - updated) if isinstance(updated, int) and updated > 0 else None


def _allocations(stats: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    found = []
    for index in _devices(stats, "block"):
        capacity, allocation = stats.get(f"block.{index}.capacity"), stats.get(f"block.{index}.allocation")
        if capacity and allocation is not None:
            found.append((disk_label(stats, index), 100 * allocation / capacity))
    return tuple(found)


def _devices(stats: dict[str, Any], family: str) -> list[str]:
    count = stats.get(f"{family}.count", 0)
    return [str(index) for index in range(min(count, _DEVICES))] if isinstance(count, int) else []


def _counted(stats: dict[str, Any]) -> dict[str, int]:
    """Return the counters that rates need, under short names; what libvirt does not report is left out."""
    counted: dict[str, int] = {}

    def keep(name: str, *keys: str) -> None:
        values = [stats.get(key) for key in keys]
        if all(isinstance(value, int) for value in values):
            counted[name] = sum(values)  # type: ignore[arg-type]

    keep("cpu", "cpu.time")
    keep("vcpus", "vcpu.current")
    delays = [key for key in stats if key.startswith("vcpu.") and key.endswith(".delay")]
    if delays:
        keep("delay", *delays)
        counted["delays"] = len(delays)
    for index in _devices(stats, "net"):
        keep(f"net.{index}.errs", f"net.{index}.rx.errs", f"net.{index}.tx.errs")
        keep(f"net.{index}.drop", f"net.{index}.rx.drop", f"net.{index}.tx.drop")
    for index in _devices(stats, "block"):
        for way in ("rd", "wr"):
            name = f"{disk_label(stats, index)}.{way}"
            keep(f"{name}.reqs", f"block.{index}.{way}.reqs")
            keep(f"{name}.times", f"block.{index}.{way}.times")
    return counted


def _with_rates(figures: Derived, old: dict[str, int], new: dict[str, int], counters: Counters) -> Derived:
    def rate(name: str) -> float | None:
        return counters.rate(old.get(name), new.get(name))

    def share(name: str, of: int) -> float | None:
        """Nanoseconds per second of `of` vCPUs, in percent; a vCPU more or less since the last run makes it unknown."""
        gained = rate(name)
        return None if gained is None or of < 1 else min(100.0, gained / of / 1e7)

    def per_device(kind: str) -> tuple[tuple[str, float], ...]:
        found = ((name, rate(name)) for name in new if name.startswith("net.") and name.endswith(kind))
        return tuple((name.split(".")[1], value) for name, value in found if value is not None)

    same = old.get("delays") == new.get("delays")
    latencies = []
    for name in new:
        if name.endswith(".reqs"):
            disk, way = name.split(".")[:2]
            requests, spent = rate(name), rate(f"{disk}.{way}.times")
            if requests and spent is not None:
                latencies.append((disk, way, spent / requests / 1e9))
    return figures._replace(
        cpu_percent=share("cpu", new.get("vcpus", 0)) if old.get("vcpus") == new.get("vcpus") else None,
        steal_percent=share("delay", new.get("delays", 0)) if same else None,
        net_errors=per_device(".errs"),
        net_drops=per_device(".drop"),
        latencies=tuple(latencies),
    )
