"""Numbers as a person reads them."""

from __future__ import annotations

import time


def duration(seconds: float | None) -> str:
    """`43 s`, `12 min`, `3 h 20 min`, `2 d 4 h`; `-` for None."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    for size, word, smaller, small_word in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {word}" + (f" {rest} {small_word}" if rest else "")
    return f"{whole // 60} min" if whole >= 120 else f"{whole} s"


def size(number: float) -> str:
    """Bytes with a decimal unit: `512 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def count(number: float) -> str:
    """A whole number, its thousands apart: `1,234,567`."""
    return f"{int(number):,}"


def many(number: float, word: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{count(number)} {word}" + ("" if int(number) == 1 else "s")


def clock(epoch: float | None, now: float) -> str:
    """Local time of day, with the date where it was another day; `never` for None."""
    if epoch is None:
        return "never"
    try:
        then = time.localtime(epoch)
    except (OverflowError, ValueError, OSError):
        return "?"
    return time.strftime("%H:%M:%S" if then[:3] == time.localtime(now)[:3] else "%Y-%m-%d %H:%M:%S", then)
