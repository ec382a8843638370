"""Nagios ranges and the rules that choose one for an object: strict reading, and no range where none was given.

Format: monitoring-plugins developer guidelines, "Threshold and Ranges". nagiosplugin's Range does the matching; what it
reads too kindly (an empty text, a number instead of text) never gets there, because it would alert on negative values.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from nagiosplugin import Range

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = rf"@?(?:(?P<start>~|{_NUMBER})?(?P<colon>:))?(?P<end>{_NUMBER})?"
_REGEX_LENGTH = 1000
_LONGEST_NUMBER = 30
_SIZE = r"(\d+(?:\.\d*)?|\.\d+)([KMGTPE])(?:i?B)?(?=:|$)"


class Limit(Range):  # type: ignore[misc]
    """A range whose text has no exponent, as perfdata needs it (nagiosplugin writes 0.00001 as 1e-05)."""

    def __new__(cls, text: str) -> Limit:
        # nagiosplugin 1.3.2 can't make ranges of a class of its own.
        return tuple.__new__(cls, Range(text))

    def __str__(self) -> str:
        start = "~:" if self.start == float("-inf") else f"{plain(self.start)}:" if self.start else ""
        end = "" if self.end == float("inf") else plain(self.end)
        return ("@" if self.invert else "") + (f"{start}{end}" or "0:")


def parse_range(text: str, sizes: bool = False) -> Limit | None:
    """Return the range written in `text`, or None where it is empty: no range, no alert.

    `sizes`: numbers may end in K, M, G, T, P or E (powers of 1024). Raises ValueError with a text for the operator.
    """
    text = text.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER:
        return Limit(text)
    plainly = re.sub(_SIZE, _bytes, text, flags=re.ASCII | re.IGNORECASE) if sizes else text
    found = re.fullmatch(_RANGE, plainly, re.ASCII)
    if not found or not (found["colon"] or found["end"]):
        written = "with or without K, M, G, T" if sizes else "plain decimals"
        raise ValueError(f"{text!r} is not a Nagios range (such as 90, 10:, ~:5, 10:20 or @10:20, {written})")
    if max(len(found["start"] or ""), len(found["end"] or "")) > _LONGEST_NUMBER:
        raise ValueError(f"a number of more than {_LONGEST_NUMBER} characters in a range")
    start = 0.0 if found["start"] is None else float("-inf") if found["start"] == "~" else float(found["start"])
    if found["end"] is not None and start > float(found["end"]):
        raise ValueError(f"the range {text!r} ends before it starts")
    return Limit(plainly.replace("+", ""))


def _bytes(found: re.Match[str]) -> str:
    return str(round(float(found[1]) * 1024 ** ("KMGTPE".index(found[2].upper()) + 1)))


def plain(number: float) -> str:
    """Return `number` as a plain decimal with all its places."""
    if number == int(number):
        return str(int(number))
    digits, _, exponent = str(number).partition("e-")
    if not exponent:
        return digits
    sign = "-" if number < 0 else ""
    return f"{sign}0.{'0' * (int(exponent) - 1)}{digits.lstrip('-').replace('.', '')}"


def violation(limit: Range, value: float, show: Callable[[float], str] = plain) -> str:
    """Say how `value` breaks `limit`, such as "> 90"; meant for a value that does."""
    if limit.invert:
        start = "" if limit.start == float("-inf") else show(limit.start)
        end = "" if limit.end == float("inf") else show(limit.end)
        return f"inside {start}..{end}"
    return f"< {show(limit.start)}" if value < limit.start else f"> {show(limit.end)}"


def compile_regex(text: str) -> re.Pattern[str]:
    """Return the compiled expression. Raises ValueError with a text for the operator."""
    if len(text) > _REGEX_LENGTH:
        raise ValueError(f"a regular expression of more than {_REGEX_LENGTH} characters")
    try:
        with warnings.catch_warnings():  # "possible nested set" would go to standard error
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def specificity(expression: str) -> tuple[int, bool, int, str]:
    """Rank an expression: more literal characters in its shortest alternative first, then one without wildcards, then the longer.

    So a plain name beats `db.*`, which beats `.*`, in whatever order they were given.
    """
    text = _FLAGS.sub("", _ESCAPED.sub("x", _CLASS.sub(".", expression)))
    is_name = not _META.search(text)
    count = 1
    while count:
        text, count = _GROUP.subn(lambda group: "" if group[2] else min(group[1].split("|"), key=_literals), text)
    return min(map(_literals, text.split("|"))), is_name, len(expression), expression


def _literals(text: str) -> int:
    return len(_WILD.sub("", text))


# A class or an escape such as \w stands for any character of a kind; any other escape for one literal character.
_CLASS = re.compile(r"\\[wWdDsSbBAZ]|(?<!\\)\[\^?\]?(?:\\.|[^]\\])*\]")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_FLAGS = re.compile(r"\(\?[aiLmsux-]+\)")
# What need not be there at all, and what is no literal.
_NEEDLESS = r"[*?]|\{0?,\d*\}"
_GROUP = re.compile(rf"\((?:\?(?:P<\w+>|[aiLmsux-]*:|<?[=!]))?([^()]*)\)({_NEEDLESS})?")
_WILD = re.compile(rf".(?:{_NEEDLESS})\??|\{{[\d,]*\}}|[.+^$]", re.DOTALL)
_META = re.compile(r"[.*+?^$()|{\[]")


class RangeRules:
    """A range for everything, and ranges for the objects whose whole name matches an expression; the most specific wins."""

    def __init__(self, default: str = "", sizes: bool = False) -> None:
        """`sizes`: numbers may end in K, M, G, T, P or E."""
        self._sizes = sizes
        self.default = parse_range(default, sizes)
        self._rules: list[tuple[tuple[int, bool, int, str], re.Pattern[str], Limit | None]] = []

    def add(self, text: str) -> None:
        """Take `RANGE` or `REGEX=RANGE`. Raises ValueError."""
        expression, equals, limit = text.rpartition("=")
        if not equals:
            self.default = parse_range(limit, self._sizes)
            return
        if not expression:
            raise ValueError(f"{text!r} has no expression before its '='")
        self._rules.append((specificity(expression), compile_regex(expression), parse_range(limit, self._sizes)))
        self._rules.sort(key=lambda rule: rule[0], reverse=True)

    def __bool__(self) -> bool:
        return self.default is not None or any(limit is not None for _, _, limit in self._rules)

    def find(self, name: str) -> Limit | None:
        """Return the range that holds for `name`, or None."""
        for _, expression, limit in self._rules:
            if expression.fullmatch(name):
                return limit
        return self.default


def human(number: float) -> str:
    """Return a number of bytes as a person reads it, such as 12.3 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(number) < 1024 or unit == "PiB":
            break
        number /= 1024
    return f"{plain(round(number, 1))} {unit}"


def duration(seconds: float) -> str:
    """Return a time as a person reads it, such as 43 s, 12 min or 3.5 h."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{plain(round(seconds / size, 1))} {word}"
    return f"{plain(round(max(0.0, seconds), 1))} s"
