"""One value on its way to a receiver that takes more than a name: what it belongs to, in the words of the perfdata."""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """A value of one item of perfdata, or one of its thresholds."""

    name: str
    """The metric's name as carbon would get it, after templates and rewrite rules; in tag mode with its `;key=value` parts."""
    value: str
    """A plain decimal."""
    timestamp: int
    """Epoch seconds."""
    host: str
    service: str | None
    """None: host perfdata."""
    label: str
    """As the plugin wrote it, without quotes."""
    field: str
    """value, warn, warn_low, crit, crit_low, min or max."""
    unit: str
    """As the plugin wrote it; the base unit where `normalize` is on; empty where there is none. `c` marks a counter."""
