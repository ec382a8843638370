"""What a storage node tells of its crawlers, /storage?t=json: how many shares it holds, what they take, and which are damaged.

Format: web/storage.py and storage/expirer.py of Tahoe-LAFS. The lease checker looks at every share, twice a day at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from checks.deadline import BadInput
from checks.sources import count, number, read_json, table


class Storage(NamedTuple):
    """What the crawlers of a storage server counted last; None is not counted yet."""

    buckets: int | None
    """files of which it holds shares"""
    shares: int | None
    """shares that could be read"""
    shares_size: int | None
    """what these take on disk, bytes"""
    corrupt: int | None
    """shares beside these that could not be read"""
    checked: float | None
    """when all shares had been looked at, epoch seconds"""


def read(data: bytes, what: str) -> Storage:
    """Return what a storage node's document, called `what`, says. Raises BadInput."""
    document = read_json(data, what, nan_is_null=True, doubled_is_null=True)
    if not isinstance(document, dict) or not isinstance(document.get("stats"), dict):
        raise BadInput(f"{what} is not what a storage node of Tahoe-LAFS tells")
    last = _last_cycle(table(table(document.get("lease-checker")).get("history")))
    examined = table(last.get("space-recovered"))
    times, corrupt = last.get("cycle-start-finish-times"), last.get("corrupt-shares")
    return Storage(
        count(table(document.get("bucket-counter")).get("last-complete-bucket-count")),
        count(examined.get("examined-shares")),
        count(examined.get("examined-diskbytes")),
        len(corrupt) if isinstance(corrupt, list) else None,
        number(times[1]) if isinstance(times, list) and len(times) == 2 else None,
    )


def _last_cycle(history: dict[str, Any]) -> dict[str, Any]:
    """Return the cycle with the highest number; the last ten are kept."""
    numbers = [key for key in history if key.isascii() and key.isdigit() and len(key) < 20]
    return table(history[max(numbers, key=int)]) if numbers else {}
