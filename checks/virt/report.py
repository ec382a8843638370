"""What is said of guests and host: the first line, a line for each guest, and the host's own figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.options import Values
from checks.output import clean_name, label_part, perfdata
from checks.virt.derive import Derived
from checks.virt.measures import Perfdata
from checks.virt.records import RUNNING, Guest, Snapshot, state_word
from checks.virt.thresholds import Thresholds


def headline(guests: list[Guest], opts: Values) -> str:
    """Return the fact of the first line: how many guests run."""
    running = sum(guest.state == RUNNING for guest in guests)
    said = f"{running} of {len(guests)} guests running"
    if opts.part:
        said = "part {}/{}: ".format(*opts.part) + said
    return f"REPLAY {said}" if opts.replay else said


def describe(guest: Guest, derived: Derived) -> str:
    """Return the line that -v shows for a guest."""
    stats = guest.stats
    said = [f"{clean_name(guest.name)} ({guest.uuid}): {guest.state_word} ({guest.reason_word})"]
    if guest.condition:
        said.append(f"{guest.condition}: {guest.detail}")
    if guest.active:
        vcpus = stats.get("vcpu.current")
        if derived.cpu_percent is not None:
            said.append(f"CPU {derived.cpu_percent:.1f} % of {vcpus} vCPUs")
        if derived.steal_percent is not None:
            said.append(f"steal {derived.steal_percent:.1f} %")
        said.append(_memory(guest, derived))
        said += [
            f"{stats[key]} {word}" for key, word in (("net.count", "NICs"), ("block.count", "disks")) if key in stats
        ]
    return ", ".join(part for part in said if part)


def _memory(guest: Guest, derived: Derived) -> str:
    current = guest.stats.get("balloon.current")
    if not isinstance(current, int):
        return ""
    size = f"{current / 1024:.0f} MiB"
    if derived.memory_percent is not None:
        return f"memory {derived.memory_percent:.1f} % of {size}"
    why = "the guest reports none" if derived.balloon_age is None else f"reported {derived.balloon_age:.0f} s ago"
    return f"memory {size}, use unknown ({why})"


def listed(guest: Guest, _: Derived) -> str:
    """Return the line that --list shows for a guest."""
    return f"{clean_name(guest.name)}  {guest.uuid}  {guest.state_word} ({guest.reason_word})"


def add_derived(out: Perfdata, label: str, name: str, derived: Derived, limits: Thresholds) -> None:
    """Add the computed figures of a guest, with the thresholds that hold for it."""
    out.add_derived(0, f"{label}.cpu.percent", derived.cpu_percent, "%", limits.limits("cpu", name))
    out.add_derived(0, f"{label}.balloon.used_percent", derived.memory_percent, "%", limits.limits("memory", name))
    out.add_derived(0, f"{label}.vcpu.steal_percent", derived.steal_percent, "%", limits.limits("steal", name))
    out.add_derived(2, f"{label}.balloon.last_update_age", derived.balloon_age, "s")
    for disk, way, value in derived.latencies:
        out.add_derived(2, f"{label}.block.{disk}.{way}_latency", value, "s", limits.limits("disk-latency", name))
    for disk, value in derived.allocations:
        metric = f"{label}.block.{disk}.allocation_percent"
        out.add_derived(2, metric, value, "%", limits.limits("disk-allocation", name))


def host_items(
    snapshot: Snapshot, guests: list[Guest], thresholds: Thresholds, words: tuple[str, ...]
) -> Iterator[str]:
    """Yield the host's perfdata; allocation counts all active guests, whatever the filters."""
    if "host" in words:
        states = Counter(state_word(guest.state) for guest in guests)
        for word in sorted({"running", "paused", "shutoff", "crashed", *states}):
            yield perfdata(f"host.guests.{word}", states[word])
        yield perfdata("host.guests.total", len(guests))
        yield perfdata("host.guests.stuck", sum(guest.condition == "stuck" for guest in guests))
        if snapshot.autostart_missing is not None:
            yield perfdata("host.guests.autostart_missing", len(snapshot.autostart_missing))
        yield from _overcommit(snapshot)
    for pool in (snapshot.pools or ()) if "pool" in words else ():
        label = f"{label_part(pool.name)}.pool"
        yield perfdata(f"{label}.state", pool.state)
        for word in ("capacity", "allocation", "available"):
            yield perfdata(f"{label}.{word}", getattr(pool, word), "B")
        if pool.capacity:
            used = round(100 * pool.allocation / pool.capacity, 2)
            yield perfdata(f"{label}.used_percent", used, "%", *thresholds.limits("pool", pool.name))


def _overcommit(snapshot: Snapshot) -> Iterator[str]:
    active = [guest.stats for guest in snapshot.guests if guest.active]
    for label, key, unit, factor, size in (
        ("host.vcpu", "vcpu.current", "", 1, snapshot.host and snapshot.host.cpus),
        ("host.memory", "balloon.maximum", "B", 1024, snapshot.host and snapshot.host.memory),
    ):
        known = [stats[key] for stats in active if type(stats.get(key)) is int]
        if len(known) != len(active):
            continue  # a sum without the stuck guest, or without the family, would be a wrong number
        allocated = sum(known) * factor
        yield perfdata(f"{label}.allocated", allocated, unit)
        if size:
            yield perfdata(f"{label}.overcommit_percent", round(100 * allocated / size, 2), "%")
