"""The thresholds of an item as values of their own: warn, crit, min and max.

A range `low:high` is two values, `warn_low` and `warn`. `10` (alert outside of 0 to 10) and `~:10` are `warn` only, `10:` is `warn_low` only.
Whether it alerts inside (`@`) or outside is not a value, and not shipped. What is absent has no value: it is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphios.perfdata import Item, limit


def values(item: Item, wanted: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Field (warn, warn_low, crit, crit_low, min, max) and number, a plain decimal, of a whole item; None: no number or range."""
    unit = item[2]
    for field, text in zip(("warn", "crit", "min", "max"), item[3:7], strict=True):
        if field not in wanted or text in ("", "U"):
            continue
        if field in ("min", "max"):
            yield field, _number(text, unit)
            continue
        low, colon, high = text.removeprefix("@").rpartition(":")
        if colon and low not in ("", "~"):
            yield f"{field}_low", _number(low, unit)
        if high or not colon:
            yield field, _number(high, unit)


def _number(text: str, unit: str) -> str | None:
    """Some plugins repeat the unit: `80%`."""
    return limit(text.removesuffix(unit) if unit else text)
