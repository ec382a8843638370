"""Rates of a node's counters between two readings. The node's uptime tells how much time lies between them, and whether it was restarted.

Tahoe-LAFS counts from 0 at each start, and a counter appears when it first counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from checks.counters import SHORTEST_INTERVAL
from checks.tahoe.measures import STATISTICS
from checks.tahoe.records import Statistics

# Beside the counters, in milliseconds. No counter of Tahoe's begins with a blank.
_UPTIME, _GATHERED = " uptime", " gathered"
# By how much two clocks may differ on the time between two readings: a slow answer, and drift over long times.
_LEEWAY, _DRIFT = 10.0, 0.01
_COUNTED = [one.key for one in STATISTICS if one.counted]


class Gained(NamedTuple):
    """Rates per second by Tahoe's own names of the counters, or why there are none."""

    rates: Mapping[str, float]
    why: str = ""
    restarted: bool = False
    is_first: bool = False
    """whether it is because nothing is known of an earlier reading"""


def to_keep(statistics: Statistics, gathered: float | None = None) -> dict[str, int]:
    """Return one reading as the state file keeps it; `gathered` is when the gatherer got it."""
    kept = {key: statistics.counters[key] for key in _COUNTED if key in statistics.counters}
    if statistics.uptime is not None:
        kept[_UPTIME] = round(statistics.uptime * 1000)
    if gathered is not None:
        kept[_GATHERED] = round(gathered * 1000)
    return kept


def gained(old: Mapping[str, int], new: Mapping[str, int], interval: float | None) -> Gained:
    """Return what the counters gained per second between two readings of `to_keep`; no rate is negative.

    `interval` is the time between them in seconds by our own clock; by the gatherer's, where it is in both, which counts more.
    """
    old = {key: value for key, value in old.items() if isinstance(value, int)}
    if not old:
        return Gained({}, "first run", is_first=True)
    if _GATHERED in old and _GATHERED in new:
        interval = (new[_GATHERED] - old[_GATHERED]) / 1000
        if interval == 0:
            return Gained({}, "not gathered again since the last run")
    if interval is None or interval < SHORTEST_INTERVAL:
        return Gained({}, f"less than {SHORTEST_INTERVAL} s since the last run")
    if any(new.get(key, -1) < value for key, value in old.items() if key[:1] != " "):
        return Gained({}, "restarted since the last run", restarted=True)
    if _UPTIME in old and _UPTIME in new:
        elapsed = (new[_UPTIME] - old[_UPTIME]) / 1000
        leeway = _LEEWAY + _DRIFT * interval
        if elapsed < interval - leeway or elapsed <= 0:
            return Gained({}, "restarted since the last run", restarted=True)
        if elapsed > interval + leeway:
            return Gained({}, "a clock was changed since the last run")
        interval = max(interval, elapsed)  # whichever clock is right, no rate is too high
    return Gained({key: (value - old.get(key, 0)) / interval for key, value in new.items() if key[:1] != " "})
