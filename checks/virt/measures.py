"""The metrics of check_virt_stats, and perfdata made from libvirt's keys: 25,000 values a run, so by templates.

Guests with the same devices report the same keys. For each such shape one template per rank is made, and a guest costs one formatting.
Keys and units: virConnectGetAllDomainStats in libvirt's reference; times are nanoseconds there, balloon sizes KiB.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from checks.output import perfdata
from checks.plugin import COUNTER, GAUGE, Measure
from checks.virt.layout import Layout
from checks.virt.records import Guest

_KIB, _NANO = 1024, 1e-9


class Field(NamedTuple):
    """How one of libvirt's keys goes out: rank (0 is the most important), label after the guest, factor, unit."""

    rank: int
    label: str
    factor: float
    unit: str
    kind: str
    meaning: str


def _field(rank: int, label: str, unit: str, meaning: str, factor: float = 1) -> Field:
    kind = COUNTER if unit == "c" else GAUGE
    return Field(rank, label, factor, unit, kind, meaning)


_GUEST: dict[str, Field] = {
    "state.state": _field(
        0, "state.state", "", "1 running, 2 blocked, 3 paused, 4 in shutdown, 5 shut off, 6 crashed, 7 suspended"
    ),
    "state.reason": _field(2, "state.reason", "", "libvirt's number for the reason of the state"),
    "cpu.time": _field(1, "cpu.time", "c", "CPU time used, in seconds", _NANO),
    "cpu.user": _field(2, "cpu.user", "c", "CPU time used in user mode of the host, in seconds", _NANO),
    "cpu.system": _field(2, "cpu.system", "c", "CPU time used in system mode of the host, in seconds", _NANO),
    "cpu.haltpoll.success.time": _field(
        2, "cpu.haltpoll_success_time", "c", "successful halt polling, in seconds", _NANO
    ),
    "cpu.haltpoll.fail.time": _field(2, "cpu.haltpoll_fail_time", "c", "failed halt polling, in seconds", _NANO),
    "balloon.current": _field(1, "balloon.current", "B", "memory the guest has now", _KIB),
    "balloon.maximum": _field(2, "balloon.maximum", "B", "memory the guest may have", _KIB),
    "balloon.rss": _field(1, "balloon.rss", "B", "resident memory of its QEMU on the host", _KIB),
    "vcpu.current": _field(2, "vcpu.current", "", "virtual CPUs the guest has now"),
    "vcpu.maximum": _field(2, "vcpu.maximum", "", "virtual CPUs the guest may have"),
}
# What the guest's own balloon driver reports: only as good as it is fresh.
BALLOON_REPORTED: dict[str, Field] = {
    "balloon.available": _field(1, "balloon.available", "B", "memory as the guest's own kernel sees it", _KIB),
    "balloon.usable": _field(1, "balloon.usable", "B", "memory usable without swapping (caches given up)", _KIB),
    "balloon.unused": _field(2, "balloon.unused", "B", "memory the guest leaves wholly unused", _KIB),
    "balloon.disk_caches": _field(2, "balloon.disk_caches", "B", "memory used for caches that can be given up", _KIB),
    "balloon.swap_in": _field(2, "balloon.swap_in", "c", "bytes swapped in", _KIB),
    "balloon.swap_out": _field(2, "balloon.swap_out", "c", "bytes swapped out", _KIB),
    "balloon.major_fault": _field(2, "balloon.major_fault", "c", "page faults that needed the disk"),
    "balloon.minor_fault": _field(2, "balloon.minor_fault", "c", "page faults that did not"),
    "balloon.hugetlb_pgalloc": _field(2, "balloon.hugetlb_pgalloc", "c", "huge pages allocated"),
    "balloon.hugetlb_pgfail": _field(2, "balloon.hugetlb_pgfail", "c", "huge pages that could not be allocated"),
}
_VCPU = {
    "time": _field(2, "vcpu.<n>.time", "c", "time this vCPU ran, in seconds", _NANO),
    "wait": _field(2, "vcpu.<n>.wait", "c", "time this vCPU waited for I/O, in seconds", _NANO),
    "delay": _field(
        2, "vcpu.<n>.delay", "c", "time this vCPU was ready but not run by the host (steal), in seconds", _NANO
    ),
}
_NET = {
    f"{way}.{key}": _field(rank, f"net.<n>.{way}_{key}", "c", f"{what} {word} the guest")
    for way, word in (("rx", "to"), ("tx", "from"))
    for key, rank, what in (
        ("bytes", 1, "bytes"),
        ("pkts", 2, "packets"),
        ("errs", 2, "packets with errors on the way"),
        ("drop", 2, "packets dropped on the way"),
    )
}
_BLOCK = {
    **{
        f"{way}.{key}": _field(rank, f"block.<disk>.{way}_{key}", "c", meaning.format(what), factor)
        for way, what in (("rd", "read"), ("wr", "write"))
        for key, rank, factor, meaning in (
            ("bytes", 1, 1, "bytes of {} requests"),
            ("reqs", 2, 1, "{} requests"),
            ("times", 2, _NANO, "time spent in {} requests, in seconds"),
        )
    },
    "fl.reqs": _field(2, "block.<disk>.fl_reqs", "c", "flush requests"),
    "fl.times": _field(2, "block.<disk>.fl_times", "c", "time spent in flush requests, in seconds", _NANO),
    "capacity": _field(2, "block.<disk>.capacity", "B", "size the guest sees"),
    "allocation": _field(2, "block.<disk>.allocation", "B", "highest byte written, or space in use, of the image"),
    "physical": _field(2, "block.<disk>.physical", "B", "size of the image on its storage"),
}
_INDEXED = {"vcpu": _VCPU, "net": _NET, "block": _BLOCK}

DERIVED = (
    Measure("<guest>.cpu.percent", "%", GAUGE, "CPU used since the last run, of the guest's own vCPUs"),
    Measure("<guest>.vcpu.steal_percent", "%", GAUGE, "time its vCPUs were ready but not run, since the last run"),
    Measure("<guest>.balloon.used_percent", "%", GAUGE, "memory used in the guest: (available - usable) / available"),
    Measure("<guest>.balloon.last_update_age", "s", GAUGE, "age of what the guest's balloon driver reported"),
    Measure("<guest>.block.<disk>.rd_latency", "s", GAUGE, "mean time of a read request since the last run"),
    Measure("<guest>.block.<disk>.wr_latency", "s", GAUGE, "mean time of a write request since the last run"),
    Measure("<guest>.block.<disk>.allocation_percent", "%", GAUGE, "allocation of the capacity"),
)
HOST = (
    Measure("host.guests.<state>", "", GAUGE, "guests in this state (running, paused, shutoff, crashed, ...)"),
    Measure("host.guests.total", "", GAUGE, "guests defined or running"),
    Measure("host.guests.stuck", "", GAUGE, "guests whose QEMU does not answer"),
    Measure("host.guests.autostart_missing", "", GAUGE, "guests marked autostart that do not run"),
    Measure("host.vcpu.allocated", "", GAUGE, "virtual CPUs of all active guests"),
    Measure("host.vcpu.overcommit_percent", "%", GAUGE, "virtual CPUs of all active guests, of the host's CPUs"),
    Measure("host.memory.allocated", "B", GAUGE, "memory all active guests may have"),
    Measure("host.memory.overcommit_percent", "%", GAUGE, "memory all active guests may have, of the host's memory"),
    Measure("<pool>.pool.state", "", GAUGE, "0 inactive, 1 building, 2 running, 3 degraded, 4 inaccessible"),
    Measure("<pool>.pool.capacity", "B", GAUGE, "size of the storage pool"),
    Measure("<pool>.pool.allocation", "B", GAUGE, "space in use in the storage pool"),
    Measure("<pool>.pool.available", "B", GAUGE, "space left in the storage pool"),
    Measure("<pool>.pool.used_percent", "%", GAUGE, "space in use, of the storage pool's size"),
)
MEASURES = (
    *HOST,
    *DERIVED,
    *(
        Measure(f"<guest>.{field.label}", field.unit, field.kind, field.meaning)
        for table in (_GUEST, BALLOON_REPORTED, *_INDEXED.values())
        for field in table.values()
    ),
)


_Fetch = Callable[[dict[str, Any]], tuple[Any, ...]]
Limits = tuple[object, object]
"""Warning and critical range of an item, None for none."""


class _Template:
    """One rank of all guests with one layout: how to fetch the values, their factors, and the text with \\0 for the guest."""

    def __init__(self, fields: list[tuple[str, Field, str]]) -> None:
        self.number = len(fields)
        self._keys = [key for key, _, _ in fields]
        self._fetch = _fetch(self._keys)
        self._factors = tuple(field.factor for _, field, _ in fields)
        self._items = [
            f"\0.{label}={'%.6f' if field.factor == _NANO else '%d'}{field.unit}" for _, field, label in fields
        ]
        self._text = " ".join(self._items)

    def fill(self, stats: dict[str, Any]) -> str:
        """Return the items with the values of one guest."""
        try:
            return self._text % tuple(map(operator.mul, self._fetch(stats), self._factors))
        except TypeError:  # only in a recording: text where other guests have numbers
            good = zip(self._keys, self._factors, self._items, strict=True)
            return " ".join(item % (stats[key] * factor) for key, factor, item in good if type(stats[key]) is int)


class Perfdata:
    """The items of all guests by rank; of what can't fit anyway only the number is made."""

    def __init__(self, budget: int, with_state: bool = True) -> None:
        self._budget, self._with_state = budget, with_state
        self._items: list[str] = []
        self._derived: tuple[list[tuple[str, float, str, Limits]], ...] = ([], [], [])
        self._guests: list[tuple[str, dict[str, Any], tuple[_Template, ...]]] = []
        self._templates: dict[tuple[int, bool], tuple[_Template, ...]] = {}

    def add(self, item: str) -> None:
        """Add an item that comes before everything else."""
        self._items.append(item)

    def add_derived(self, rank: int, label: str, value: float | None, unit: str, limits: Limits = (None, None)) -> None:
        """Add a computed figure, unless it is unknown."""
        if value is not None:
            self._derived[rank].append((label, value, unit, limits))

    def add_guest(self, label: str, guest: Guest, layout: Layout, fresh_balloon: bool) -> None:
        """Add everything libvirt reports of a guest; what its balloon driver reported only where that is fresh."""
        variant = (layout.identity, fresh_balloon)
        templates = self._templates.get(variant)
        if templates is None:
            templates = self._templates[variant] = self._make_templates(guest.stats, layout, fresh_balloon)
        self._guests.append((label, guest.stats, templates))

    def chunks(self) -> tuple[list[str], int]:
        """Return items, the most important first, several of them in one text with blanks between; and how many were not made."""
        chunks = self._items
        size = left_out = 0
        for rank, derived in enumerate(self._derived):
            for label, value, unit, (warning, critical) in derived:
                if size > self._budget:
                    left_out += 1
                    continue
                item = perfdata(label, round(value, 6 if unit == "s" else 2), unit, warning, critical)
                size += len(item)
                chunks.append(item)
            for label, stats, templates in self._guests:
                template = templates[rank]
                if size > self._budget:
                    left_out += template.number
                elif template.number:
                    text = template.fill(stats).replace("\0", label)
                    size += len(text)
                    if text:
                        chunks.append(text)
        return chunks, left_out

    def _make_templates(self, stats: dict[str, Any], layout: Layout, fresh_balloon: bool) -> tuple[_Template, ...]:
        ranks: tuple[list[tuple[str, Field, str]], ...] = ([], [], [])
        disks = {key.partition(".")[2]: label for label, key in layout.disks}
        for key in stats:
            field, label = _find(key, disks, fresh_balloon)
            if field and (self._with_state or not key.startswith("state.")):
                ranks[field.rank].append((key, field, label))
        return tuple(_Template(rank) for rank in ranks)


def _fetch(keys: Sequence[str]) -> _Fetch:
    """Return what gets the values of `keys` as a tuple."""
    if len(keys) > 1:
        return operator.itemgetter(*keys)
    return (lambda stats: (stats[keys[0]],)) if keys else lambda _: ()


def _find(key: str, disks: dict[str, str], fresh_balloon: bool) -> tuple[Field | None, str]:
    """Return the field of one of libvirt's keys and its label after the guest, or None for what we do not report."""
    field = _GUEST.get(key) or (BALLOON_REPORTED.get(key) if fresh_balloon else None)
    if field:
        return field, field.label
    family, _, rest = key.partition(".")
    index, _, name = rest.partition(".")
    field = _INDEXED.get(family, {}).get(name)
    if not field or not (index.isascii() and index.isdigit()) or (family == "block" and index not in disks):
        return None, ""
    return field, field.label.replace("<disk>", disks.get(index, "")).replace("<n>", index)
