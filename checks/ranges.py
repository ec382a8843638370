"""Nagios ranges and the rules that choose one for an object: strict reading, and no range where none was given.

Format: monitoring-plugins developer guidelines, "Threshold and Ranges". nagiosplugin's Range does the matching; what it
reads too kindly (an empty text, a number instead of text) never gets there, because it would alert on negative values.
"""

from __future__ import annotations

import re

from nagiosplugin import Range

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"@?(?:(?P<start>~|{_NUMBER})?(?P<colon>:))?(?P<end>{_NUMBER})?", re.ASCII)
_REGEX_LENGTH = 1000


def parse_range(text: str) -> Range | None:
    """Return the range written in `text`, or None where it is empty: no range, no alert.

    Raises ValueError with a text for the operator.
    """
    text = text.strip()
    if not text:
        return None
    found = _RANGE.fullmatch(text)
    if not found or not (found["colon"] or found["end"]):
        raise ValueError(f"{text!r} is not a Nagios range (such as 90, 10:, ~:5, 10:20 or @10:20, plain decimals)")
    start = 0.0 if found["start"] is None else float("-inf") if found["start"] == "~" else float(found["start"])
    if found["end"] is not None and start > float(found["end"]):
        raise ValueError(f"the range {text!r} ends before it starts")
    return Range(text.replace("+", ""))


def violation(limit: Range, value: float) -> str:
    """Say how `value` breaks `limit`, such as "> 90"; meant for a value that does."""
    if limit.invert:
        return f"inside {limit}".replace("@", "")
    return f"< {_short(limit.start)}" if value < limit.start else f"> {_short(limit.end)}"


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def compile_regex(text: str) -> re.Pattern[str]:
    """Return the compiled expression. Raises ValueError with a text for the operator."""
    if len(text) > _REGEX_LENGTH:
        raise ValueError(f"a regular expression of more than {_REGEX_LENGTH} characters")
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def specificity(expression: str) -> tuple[int, int, str]:
    """Rank an expression: more literal characters in its shortest alternative first, then its length, then its text.

    So a plain name beats `db.*`, which beats `.*`, in whatever order they were given.
    """
    literals = min(
        len(re.sub(r"\\[wWdDsSbBAZ]|\[[^]]*\]|\{[^}]*\}|[.*+?^$()]", "", re.sub(r"\\[^wWdDsSbBAZ]", "x", part)))
        for part in expression.split("|")
    )
    return literals, len(expression), expression


class RangeRules:
    """A range for everything, and ranges for the objects whose whole name matches an expression; the most specific wins."""

    def __init__(self, default: str = "") -> None:
        self.default = parse_range(default)
        self._rules: list[tuple[tuple[int, int, str], re.Pattern[str], Range | None]] = []

    def add(self, text: str) -> None:
        """Take `RANGE` or `REGEX=RANGE`. Raises ValueError."""
        expression, equals, limit = text.rpartition("=")
        if not equals:
            self.default = parse_range(limit)
            return
        if not expression:
            raise ValueError(f"{text!r} has no expression before its '='")
        self._rules.append((specificity(expression), compile_regex(expression), parse_range(limit)))
        self._rules.sort(key=lambda rule: rule[0], reverse=True)

    def __bool__(self) -> bool:
        return self.default is not None or any(limit is not None for _, _, limit in self._rules)

    def find(self, name: str) -> Range | None:
        """Return the range that holds for `name`, or None."""
        for _, expression, limit in self._rules:
            if expression.fullmatch(name):
                return limit
        return self.default
