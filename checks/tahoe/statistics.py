"""A node's statistics, as it serves them at /statistics?t=json and as the stats gatherer keeps them: {"counters": {...}, "stats": {...}}."""

from __future__ import annotations

from checks.deadline import BadInput
from checks.sources import count, number, read_json
from checks.tahoe.records import Statistics

NONE = Statistics({}, {})


def read(data: bytes, what: str) -> Statistics:
    """Return the statistics in a document, which is called `what`. Raises BadInput."""
    return parse(read_json(data, what, nan_is_null=True, doubled_is_null=True), what)


def parse(document: object, what: str) -> Statistics:
    """Return the statistics; a value that can't be one costs itself. Raises BadInput where it is no statistics at all.

    A storage server that has done nothing yet has `counters` of {}. No statistic of Tahoe's is below 0; its CPU time was at times (ticket 472).
    """
    if not isinstance(document, dict):
        raise BadInput(f"{what} is no statistics of Tahoe-LAFS")
    counters, stats = document.get("counters"), document.get("stats")
    if not isinstance(counters, dict) or not isinstance(stats, dict):
        raise BadInput(f"{what} is no statistics of Tahoe-LAFS")
    counted = ((key, count(value)) for key, value in counters.items())
    measured = ((key, number(value)) for key, value in stats.items())
    return Statistics(
        {key: value for key, value in counted if value is not None},
        {key: value for key, value in measured if value is not None and value >= 0},
    )
