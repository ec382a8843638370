"""The links of one reading as the check sees them: chosen, named, fresh or not, and compared with the last run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from checks.counters import Counters
from checks.deadline import BadInput
from checks.ipop import tap, traffic
from checks.ipop.names import Prefixes, labels, shown
from checks.ipop.records import Link, Pair, Reading
from checks.ipop.traffic import Change
from checks.output import clean_name
from checks.ranges import duration

_SOME = 5
LEEWAY = 60.0
"""Seconds by which the clock that dates a source may be ahead of ours."""


class Seen(NamedTuple):
    """A link, and what this run makes of it."""

    link: Link
    name: str
    """as the text calls it, not cleaned"""
    label: str
    active: bool
    """as the source says, unless that is too old"""
    trouble: str
    """why it has no data, or none that is fresh; "" where it has"""
    change: Change

    @property
    def connection(self) -> str:
        """How an active link runs: one of CONNECTIONS, or ""."""
        return self.link.connection if self.active else ""


class View(NamedTuple):
    """What one run sees."""

    reading: Reading
    seen: Sequence[Seen]
    age: float | None
    """seconds since the source was written; None where it was asked just now, or does not say"""
    ahead: float
    """seconds by which it is dated in the future"""
    stale: bool
    """whether it is too old, or dated too far in the future, for any link to count as active"""

    @property
    def active(self) -> int:
        """How many links are active."""
        return sum(one.active for one in self.seen)


def choose(reading: Reading, overlay: str | None, node: str | None) -> Reading:
    """Return the reading with the links of one overlay and node only. Raises BadInput where it has others, but none of these."""
    for what, wanted, names in (("overlay", overlay, _overlay), ("node", node, _nodes(reading))):
        if not wanted:
            continue
        chosen = tuple(link for link in reading.links if wanted in names(link))
        if reading.links and not chosen and not (what == "overlay" and wanted in reading.overlays):
            there = some(sorted({names(link)[0] for link in reading.links} - {""})) or "none is named"
            raise BadInput(f"no link of {what} {clean_name(wanted)[:100]} in {reading.source}; there: {there}")
        reading = reading._replace(links=chosen, overlays=(wanted,) if what == "overlay" else reading.overlays)
    return reading


def _overlay(link: Link) -> tuple[str, ...]:
    return (link.overlay,)


def _nodes(reading: Reading) -> Callable[[Link], tuple[str, ...]]:
    return lambda link: (link.node or reading.node, link.node_id)


def some(names: Sequence[str]) -> str:
    """Return names for the operator, not too many of them, clean."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(clean_name(name)[:100] for name in names[:_SOME]) + more


def with_taps(reading: Reading, sysfs: Path, now: float) -> Reading:
    """Return the reading with the counters of network devices for active links whose source counts no bytes."""
    if not any(link.tap for link in reading.links):
        return reading
    links = tuple(_with_tap(link, sysfs, now) if link.active and link.tap else link for link in reading.links)
    return reading._replace(links=links)


def _with_tap(link: Link, sysfs: Path, now: float) -> Link:
    if any(pair.received is not None or pair.sent is not None for pair in link.pairs):
        return link
    counted = tap.read(sysfs, link.tap)
    if not counted:
        return link
    best = next((pair for pair in link.pairs if pair.best), Pair("", None, None))
    device = best._replace(key=f"{link.tap} {counted.ifindex}", received=counted.received, sent=counted.sent, best=True)
    # The device is counted now, whenever the document was written.
    age = link.age if link.age is None or link.sampled is None else link.age + max(0.0, now - link.sampled)
    return link._replace(pairs=(device,), age=age, sampled=None)


def view(
    reading: Reading,
    counters: Counters,
    now: float,
    *,
    by_node: bool,
    own_files: bool,
    is_stale: Callable[[float], bool],
) -> View:
    """Return what this run sees, and keep in `counters` what the next one needs; `now`: epoch seconds.

    `by_node`: whether names say which node reports a link; `own_files`: whether each link has a file, which can be old by itself; `is_stale`:
    whether data of that many seconds are too old.
    """
    written = _written(reading, now)
    ahead = max(0.0, (written or now) - now)
    age = None if written is None else max(0.0, now - written)
    stale = ahead > LEEWAY or (age is not None and is_stale(age))
    overlays = {*reading.overlays, *(link.overlay for link in reading.links)}
    prefixes = Prefixes(overlay=len(overlays) > 1, node=by_node and any(link.node for link in reading.links))
    seen = []
    for link, label in zip(reading.links, labels(reading.links, prefixes), strict=True):
        trouble = "" if link.active else link.trouble
        if own_files and not stale and not trouble:
            trouble = _out_of_date(link, now, is_stale)
        active = link.active and not stale and not trouble
        seen.append(Seen(link, shown(link, prefixes), label, active, trouble, Change()))
    return View(reading, _compared(seen, reading, counters, now), age, ahead, stale)


def _written(reading: Reading, now: float) -> float | None:
    """When the source was written; what is dated in the future says nothing of that, as long as something else is not."""
    if reading.changed is None or reading.changed <= now + LEEWAY:
        return reading.changed
    others = (link.sampled for link in reading.links if link.sampled is not None and link.sampled <= now + LEEWAY)
    return max(others, default=reading.changed)


def _out_of_date(link: Link, now: float, is_stale: Callable[[float], bool]) -> str:
    """Why a link's own file says nothing of how it is now; "" where it does."""
    age = 0.0 if link.sampled is None else now - link.sampled
    if age < -LEEWAY:
        return f"its data are dated {duration(-age)} in the future"
    return f"its data are {duration(age)} old, while others are fresh" if age > 0 and is_stale(age) else ""


def _compared(seen: Iterable[Seen], reading: Reading, counters: Counters, now: float) -> list[Seen]:
    """The links with what they did since the last run."""
    found = []
    for one in seen:
        link = one.link
        old = traffic.unpack(counters.previous(link.key, ""))
        new = traffic.keep(link, one.active, link.age, now, old)
        change = traffic.compare(old, new, counters.interval, reading.bits, reading.age_wraps)
        counters.keep(link.key, "", traffic.pack(new._replace(age=change.age)))
        found.append(one._replace(change=change))
    return found
