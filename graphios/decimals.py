"""Numbers of perfdata as plain decimals: the digits are kept, so a 64-bit counter does not pass through a float."""

from __future__ import annotations

from decimal import Decimal

LONGEST = 400
"""Characters in a number as it is written; nothing that means a measurement needs more."""


class NotANumber(ValueError):
    """The text is no number a receiver can store; the message says why."""


def plain(number: str) -> str:
    """`number` (sign, digits with one `.` or `,`, exponent) as a plain decimal: `[-]digits[.digits]`, exactly equal to it.

    What is so small that a double can't hold it becomes 0. Raises NotANumber when it is too long, or too large for a double: carbon would
    store inf.
    """
    if len(number) > LONGEST:
        raise NotANumber(f"number longer than {LONGEST} characters")
    text = number.replace(",", ".").removeprefix("+")
    if "e" in text or "E" in text or len(text) > 40:
        approximate = float(text)
        if approximate in (float("inf"), float("-inf")):
            raise NotANumber("number too large for a 64-bit float")
        text = f"{Decimal(text):f}" if approximate else "0"
    whole, point, fraction = text.partition(".")
    if not point:
        return text
    if whole in ("", "-"):
        whole += "0"
    return f"{whole}.{fraction}" if fraction else whole
