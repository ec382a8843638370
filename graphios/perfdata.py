"""The grammar of Nagios perfdata: `'label'=value[unit];[warn];[crit];[min];[max]`, separated by blanks.

Source: monitoring-plugins developer guidelines, section "Performance data", and what plugins really write: unquoted labels with blanks,
lone quotes in labels, decimal commas, exponents, `U`, tabs and newlines between items. Where texts disagree: a quoted label ends at the `'`
that is followed by `=`; `''` is one quote; an unquoted label runs to `=` and may hold blanks, but no `;` or `|`; a unit holds no digit,
quote, `=` or `|`.

`parse` gives whole items; `chunks` gives what a shipper needs, label and value, much faster. Both yield the same labels and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from graphios.decimals import NotANumber, plain

LONGEST_LABEL = 1000
"""Characters in a label; beyond it, an item is refused. It also bounds how far a missing quote or bracket is looked for."""

CHUNK = 65536
"""Characters parsed at a time: what bounds the memory for a perfdata text of any size."""

_EXCERPT = 200

WS = r" \t\n\r\v\f"
_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?"

# What nearly every item looks like. Anything else goes the careful way, one item at a time. Possessive quantifiers stand on single
# characters only: around groups Python 3.11 before 3.11.5 (Debian 12) matches wrongly.
_PLAIN_VALUE = r"=(-?[0-9]{1,40}+(?:\.[0-9]{1,40}+)?)"
_PLAIN_TAIL = rf"[a-zA-Zµμ%]*+(?:;[^{WS}'|=]*+)?"
_PLAIN_ITEM = rf"(?:'([^'={WS}][^'=]{{0,300}}+)'|([^{WS}=';|\[\]]{{1,300}}+)){_PLAIN_VALUE}{_PLAIN_TAIL}"
_FAST = re.compile(rf"{_PLAIN_ITEM}(?:[{WS}]++|\Z)|(.+)", re.DOTALL)
_FAST_RUN = re.compile(rf"(?:{_PLAIN_ITEM}[{WS}]++)*".replace("(-?", "(?:-?").replace("([^", "(?:[^"), re.DOTALL)

_BLANKS = re.compile(rf"[{WS}]*+")
_QUOTED = re.compile(r"'((?:[^']|'')*)'(?!')[ ]*=")
_VALUE_TOKEN = re.compile(rf"(?:[^{WS};]|;(?!'))*;?")
_VALUE = re.compile(rf"({_NUMBER})([^\d'|=;]*)", re.DOTALL)
_RANGE_NUMBER = re.compile(_NUMBER)
_LONE_NUMBER = re.compile(rf"[{WS}]++[-+]?[0-9.,]++[^{WS}='|]*+(?=[{WS}]|\Z)")
_NEW_ITEM_INSIDE = re.compile(rf"=[^{WS}]*[{WS}]+'")
_BRACKETS = re.compile(rf"\[[^\[\]]{{0,{LONGEST_LABEL}}}+\]")
_WORD_BREAK = re.compile(rf"[{WS};|]")


class Metric(NamedTuple):
    """One item of perfdata. Numbers are plain decimals as text, exact; `warn` and `crit` are ranges as written; absent is None."""

    label: str
    value: str | None  # None: the plugin wrote U, the value could not be determined
    uom: str
    warn: str | None
    crit: str | None
    min: str | None
    max: str | None


class Bad(NamedTuple):
    """A piece of perfdata that is no item: why, and its text (at most 200 characters)."""

    reason: str
    text: str


Values = tuple[list[tuple[str, str]], list[Bad]]
"""Labels with their values as plain decimals (items with the value U are left out), and what is no item."""


def parse(text: str) -> tuple[list[Metric], list[Bad]]:
    """Every item of `text`, and every piece that is none with the reason. Never raises."""
    metrics: list[Metric] = []
    bad: list[Bad] = []
    position = _skip_blanks(text, 0)
    while position < len(text):
        metric, complaints, position = _item(text, position)
        if metric:
            metrics.append(metric)
        bad += complaints
        position = _skip_blanks(text, position)
    return metrics, bad


def values(text: str) -> Values:
    """As `chunks`, all at once: for texts known to be short."""
    good: list[tuple[str, str]] = []
    bad: list[Bad] = []
    for some, complaints in chunks(text):
        good += some
        bad += complaints
    return good, bad


def chunks(text: str) -> Iterator[Values]:
    """The labels and values of `text`, a bounded number of items at a time. Never raises."""
    position = _skip_blanks(text, 0)
    while position < len(text):
        end = len(text)
        if end - position > CHUNK:
            end = _FAST_RUN.match(text, position, position + CHUNK).end()  # type: ignore[union-attr]  # matches the empty string
        if end > position:
            good, position = _fast(text, position, end)
            yield good, []
        if position < len(text):
            good, bad, position = _careful(text, position)
            yield good, bad


def _fast(text: str, start: int, end: int) -> tuple[list[tuple[str, str]], int]:
    """The leading items of text[start:end] that are of the common shape, and the position behind them."""
    found = _FAST.findall(text, start, end)
    # Only the last match can be the rest that is not of that shape.
    rest = found[-1][3] if found else ""
    if rest:
        found.pop()
    return [(quoted or label, value) for quoted, label, value, _ in found], end - len(rest)


def _careful(text: str, position: int) -> tuple[list[tuple[str, str]], list[Bad], int]:
    """One item, whatever its shape."""
    metric, bad, position = _item(text, position)
    good = [(metric.label, metric.value)] if metric and metric.value is not None else []
    return good, bad, _skip_blanks(text, position)


def _skip_blanks(text: str, position: int) -> int:
    return _BLANKS.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string


def _bad(reason: str, text: str) -> Bad:
    return Bad(reason, text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...")


def _item(text: str, start: int) -> tuple[Metric | None, list[Bad], int]:
    """The item at `start` (not a blank), complaints, and the position behind it."""
    if text[start] == "'":
        label, equals = _quoted_label(text, start)
        if equals < 0:
            # Up to the end of the next value: what stands before it may be the rest of this label.
            equals = text.find("=", start, start + LONGEST_LABEL)
            end = _VALUE_TOKEN.match(text, max(equals, start) + 1).end()  # type: ignore[union-attr]
            return None, [_bad("a quote is not closed by '=", text[start:end])], end
        complaints: list[Bad] = []
    else:
        equals = text.find("=", start)
        if equals < 0:
            rest = text[start:].rstrip()
            return None, [] if _BRACKETS.fullmatch(rest) else [_bad("no =", rest)], len(text)
        skipped = _brackets(text, start, equals)
        if skipped:
            before = text[start : skipped[0]].strip()
            return None, [_bad("no =", before)] if before else [], skipped[1]
        label, complaints = _plain_label(text[start:equals])
    token = _VALUE_TOKEN.match(text, equals + 1)
    end = token.end() if token else equals + 1
    if len(label) > LONGEST_LABEL:
        return None, [_bad(f"label longer than {LONGEST_LABEL} characters", label)], end
    if not label.strip(" \t\n\r\v\f"):
        return None, [*complaints, _bad("no label", text[start:end])], end
    fields = text[equals + 1 : end].split(";")
    metric, reason = _metric(label, fields)
    if metric:
        return metric, complaints, end
    if not fields[0]:
        # `label= 5 next=6`: the 5 belongs to the bad item, not to the next label.
        stray = _LONE_NUMBER.match(text, end)
        end = stray.end() if stray else end
    return None, [*complaints, _bad(reason, text[start:end])], end


def _quoted_label(text: str, start: int) -> tuple[str, int]:
    """The label that opens with the quote at `start` and the position of its `=`; -1 when it is not closed."""
    match = _QUOTED.match(text, start, start + 2 * LONGEST_LABEL)
    if match and not _NEW_ITEM_INSIDE.search(match[1]):
        return match[1].replace("''", "'"), match.end() - 1
    # A lone quote inside the label (`'Bob's disk'=1`): it ends at the quote that is followed by =.
    close = text.find("'=", start + 1, start + LONGEST_LABEL + 2)
    if close < 0 or _NEW_ITEM_INSIDE.search(text, start, close + 1):
        return "", -1
    return text[start + 1 : close].replace("''", "'"), close + 1


def _plain_label(text: str) -> tuple[str, list[Bad]]:
    """The label an unquoted text before `=` stands for: all of it, or its last word where the rest can't be part of a label."""
    label = text.strip(" \t\n\r\v\f")
    if ";" not in label and "|" not in label and len(label) <= LONGEST_LABEL:
        return label, []
    if text[-1:].isspace():
        text = label
    word = _WORD_BREAK.split(text)[-1]
    junk = label[: len(label) - len(word)].strip()
    return word, [_bad("no =", junk)] if junk.strip(";| \t") else []


def _brackets(text: str, start: int, equals: int) -> tuple[int, int] | None:
    """Where a bracket group that holds the `=` begins and ends, or None: `[check_load!a=b]`, as distributed set-ups append it."""
    opening = text.rfind("[", start, equals)
    if opening < 0 or (opening > start and not text[opening - 1].isspace()):
        return None
    group = _BRACKETS.match(text, opening)
    return (opening, group.end()) if group and group.end() > equals else None


def _metric(label: str, fields: list[str]) -> tuple[Metric | None, str]:
    """The item with this label and the `;`-separated fields behind its `=`, or None and the reason."""
    first = fields[0].removesuffix(",")
    fields += [""] * (5 - len(fields))
    limits = (fields[1] or None, fields[2] or None, _limit(fields[3]), _limit(fields[4]))
    if first == "U":
        return Metric(label, None, "", *limits), ""
    if not first:
        return None, "no value"
    match = _VALUE.fullmatch(first)
    if not match:
        return None, "not a number with a unit"
    try:
        return Metric(label, plain(match[1]), match[2], *limits), ""
    except NotANumber as error:
        return None, str(error)


def _limit(text: str) -> str | None:
    """A minimum or maximum as a plain decimal; None where it is absent, U or no number."""
    text = text.removesuffix(",")
    try:
        return plain(text) if _RANGE_NUMBER.fullmatch(text) else None
    except NotANumber:
        return None
