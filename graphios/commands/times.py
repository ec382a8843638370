"""Points in time as an operator types them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(s|min|h|d|w)", re.ASCII)
_EPOCH = re.compile(r"@?(\d{9,11}(?:\.\d{1,6})?)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_time(text: str, now: float) -> float:
    """Epoch seconds of `text`: ISO 8601 (local time where it names no zone), epoch seconds, or an age such as `36h`. Raises ValueError."""
    text = text.strip()
    if found := _AGE.fullmatch(text):
        return now - float(found[1]) * _SECONDS[found[2]]
    if found := _EPOCH.fullmatch(text):
        return float(found[1])
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.astimezone()).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError(
        f"{text!r} is no time: 2026-11-21, 2026-11-21T14:30, 2026-11-21T14:30Z, epoch seconds, or an age such as 90min, 36h, 2d, 1w"
    )


def shown(epoch: float) -> str:
    """The time with its zone, local and, where that is another, in UTC."""
    utc = datetime.fromtimestamp(epoch, UTC)
    local = utc.astimezone()
    text = local.strftime("%Y-%m-%d %H:%M:%S ") + (local.tzname() or "local time")
    return text if not local.utcoffset() else f"{text} ({utc:%Y-%m-%d %H:%M:%S} UTC)"
