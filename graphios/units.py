"""Units of perfdata, and their base units: seconds and bytes; percent stays 0-100.

The guidelines name KB, MB and TB without saying how many bytes they are. The plugins that write them (check_disk, check_swap, NSClient++)
count in powers of 1024, so KB is 1024 bytes here, as KiB is. `m`, which may be minutes, metres or milli-anything, and bits are left as they
are.
"""

from __future__ import annotations

from decimal import Context, Decimal

_SECONDS = {"ns": "0.000000001", "us": "0.000001", "ms": "0.001", "min": "60", "h": "3600", "d": "86400"}
_EXACT = Context(prec=2000)


def _factors() -> dict[str, tuple[str, Decimal]]:
    seconds = _SECONDS | {"µs": _SECONDS["us"], "μs": _SECONDS["us"]}
    factors = {unit: ("s", Decimal(factor)) for unit, factor in seconds.items()}
    for power, letter in enumerate("KMGTPEZY", 1):
        factor = Decimal(1024**power)
        for unit in (f"{letter}B", f"{letter}iB", f"{letter.lower()}B"):
            factors[unit] = ("B", factor)
    # Metric prefixes are capital but for k; mB and the like would be millibytes, which nobody means.
    return factors | {"Bytes": ("B", Decimal(1)), "bytes": ("B", Decimal(1)), "sec": ("s", Decimal(1))}


FACTORS = _factors()
"""Unit: its base unit, and how many of it the unit is. Units that are not here are left as they are."""


def to_base(number: str, unit: str) -> str:
    """`number` (a plain decimal) of `unit` in its base unit, exactly, as a plain decimal."""
    factor = FACTORS[unit][1]
    if factor == 1:
        return number
    text = f"{_EXACT.multiply(Decimal(number), factor):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
