"""What Graphite must hold of a guest, worked out from libvirt's keys in the plainest way and apart from the check's own code."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_KEYS = re.compile(
    r"state\.(state|reason)|cpu\.(time|user|system|haltpoll\.(success|fail)\.time)|vcpu\.(current|maximum|\d+\.(time|wait|delay))"
    r"|balloon\.(current|maximum|rss|available|usable|unused|disk_caches|swap_in|swap_out|major_fault|minor_fault|hugetlb_pgalloc|hugetlb_pgfail)"
    r"|net\.\d+\.(rx|tx)\.(bytes|pkts|errs|drop)|block\.\d+\.((rd|wr)\.(bytes|reqs|times)|fl\.(reqs|times)|capacity|allocation|physical)"
)
_KIB = re.compile(r"balloon\.(?!.*(fault|hugetlb))")
_NANOSECONDS = re.compile(r"cpu\.|vcpu\.\d+\.|block\.\d+\...\.times")
_FROM_THE_GUEST = re.compile(r"balloon\.(?!current|maximum|rss)")


def metrics(stats: dict[str, Any], moment: float) -> dict[str, float]:
    """The value of each metric of one guest by its label after the guest's; `stats` are libvirt's, read at `moment`.

    Without what needs an earlier reading, and without the age of the balloon statistics.
    """
    if stats["state.state"] in (0, 5, 6):
        stats = {key: value for key, value in stats.items() if key.startswith("state.")}
    fresh = moment - stats.get("balloon.last-update", 0) <= 300
    found = {}
    for key, value in stats.items():
        if _KEYS.fullmatch(key) and (fresh or not _FROM_THE_GUEST.match(key)):
            found[label(key, stats)] = scaled(key, value)
    if fresh and "balloon.usable" in stats:
        available = stats["balloon.available"]
        found["balloon.used_percent"] = 100 * (available - stats["balloon.usable"]) / available
    for number in range(stats.get("block.count", 0)):
        capacity, allocation = stats.get(f"block.{number}.capacity"), stats.get(f"block.{number}.allocation")
        if capacity and allocation is not None:
            found[f"block.{stats[f'block.{number}.name']}.allocation_percent"] = 100 * allocation / capacity
    return found


def scaled(key: str, value: int) -> float:
    """A value of libvirt's in base units: bytes and seconds."""
    if _KIB.match(key):
        return value * 1024
    if _NANOSECONDS.match(key):
        return value / 10**9
    return value


def label(key: str, stats: dict[str, Any]) -> str:
    """The metric's label after the guest's: families and devices stay levels, disks go by their target."""
    family, _, rest = key.partition(".")
    if family in ("net", "block"):
        number, _, name = rest.partition(".")
        device = stats[f"block.{number}.name"] if family == "block" else number
        return f"{family}.{device}.{name.replace('.', '_')}"
    return key if family == "vcpu" else f"{family}.{rest.replace('.', '_')}"


def guest_label(name: str) -> str:
    """The first part of a guest's labels: its name, where that is not all [A-Za-z0-9_-] cleaned and with a hash of the raw name."""
    if re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9_-]*", name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_-]', '_', name)[:60]}_{digest}".lstrip("_")


def agrees(label: str, value: float, found: float) -> bool:
    """Whether a point is that value: seconds are given to the microsecond, percentages to a hundredth, all else exactly."""
    return abs(found - value) < (0.00501 if label.endswith("percent") else 0.501e-6)
