"""The grammar of Nagios perfdata: `'label'=value[unit];[warn];[crit];[min];[max]`, separated by blanks.

Source: monitoring-plugins developer guidelines, section "Performance data", and what plugins really write: unquoted labels with blanks,
lone quotes in labels, decimal commas, exponents, `U`, tabs and newlines between items. Where texts disagree: a quoted label ends at the `'`
that is followed by `=`; `''` is one quote; an unquoted label runs to `=` and may hold blanks, but no `;` or `|`; a unit holds no digit,
quote, `=` or `|`.

`parse` gives whole items, one at a time. `fast`, `items` and `stream` give what a shipper needs, much faster; all yield the same items.
Their labels are as written, quotes included: `unquoted` gives the label itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from graphios.decimals import NotANumber, plain

LONGEST_LABEL = 1000
"""Characters in a label; beyond it, an item is refused. It also bounds how far a missing quote or bracket is looked for."""

CHUNK = 65536
"""Characters or bytes parsed at a time: what bounds the memory for a perfdata text of any size."""

_LOOKAHEAD = 8192
"""Characters of a piece of a long text within which no item may begin: it could reach beyond the piece."""
_EXCERPT = 200

WS = r" \t\n\r\v\f"
_STRIP = " \t\n\r\v\f"
_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?"

# What nearly every item looks like. Anything else goes the careful way, one item at a time. Possessive quantifiers stand on single
# characters only: around groups Python 3.11 before 3.11.5 (Debian 12) matches wrongly.
_PLAIN_LABEL = rf"'[^'={WS}][^'=]{{0,300}}+'|[^{WS}=';|\[\]]{{1,300}}+"
_PLAIN_VALUE = r"-?[0-9]{1,20}+(?:\.[0-9]{1,18}+)?"
_PLAIN_UNIT = "[a-zA-Zµμ%]*+"
_PLAIN_LIMITS = rf"(?:;[^{WS}'|=]*+)?"
_LIMIT = rf"(?:;([^{WS}'|=;]*+)"
_PLAIN_ITEM = rf"(?:{_PLAIN_LABEL})={_PLAIN_VALUE}{_PLAIN_UNIT}{_PLAIN_LIMITS}"
_SHORT = re.compile(
    rf"({_PLAIN_LABEL})=({_PLAIN_VALUE}){_PLAIN_UNIT}{_PLAIN_LIMITS}(?:[{WS}]++|\Z)|.+",
    re.DOTALL,
)
_WHOLE = re.compile(
    rf"({_PLAIN_LABEL})=({_PLAIN_VALUE})({_PLAIN_UNIT}){_LIMIT * 4}{_PLAIN_LIMITS}{')?' * 4}(?:[{WS}]++|\Z)|.+",
    re.DOTALL,
)
# What nearly all others look like: blanks in labels without quotes, exponents, decimal commas, a sign, U.
_ODD_LABEL = rf"'[^'={WS}][^'=]{{0,300}}+'|[^{WS}=';|\[\]][^\t\n\r\v\f=';|\[\]]{{0,300}}+"
_ODD_NUMBER = r"[-+]?(?:[0-9]{1,40}+(?:[.,][0-9]{0,40}+)?|[.,][0-9]{1,40}+)(?:[eE][-+]?[0-9]{1,3}+)?"
_ODD_VALUE = rf"{_ODD_NUMBER}|U(?=[;{WS}]|\Z)"
_ODD_SHORT, _ODD_WHOLE = (
    re.compile(pattern.pattern.replace(_PLAIN_LABEL, _ODD_LABEL).replace(_PLAIN_VALUE, _ODD_VALUE), re.DOTALL)
    for pattern in (_SHORT, _WHOLE)
)
_RUN = re.compile(rf"(?:{_PLAIN_ITEM}[{WS}]++)*")
_LAST = re.compile(rf"{_PLAIN_ITEM}\Z")

_BLANKS = re.compile(rf"[{WS}]*+")
_QUOTED = re.compile(r"'((?:[^']|'')*)'(?!')[ ]*=")
_VALUE_TOKEN = re.compile(rf"(?:[^{WS};]|;(?!'))*;?")
_VALUE = re.compile(rf"({_NUMBER})([^\d'|=;]*)", re.DOTALL)
_RANGE_NUMBER = re.compile(_NUMBER)
_LONE_NUMBER = re.compile(rf"[{WS}]++[-+]?[0-9.,]++[^{WS}='|]*+(?=[{WS}]|\Z)")
_NEW_ITEM_INSIDE = re.compile(rf"=[^{WS}]*[{WS}]+'")
_BRACKETS = re.compile(rf"\[[^\[\]]{{0,{LONGEST_LABEL}}}+\]")
_WORD_BREAK = re.compile(rf"[{WS};|]")
_BLANK_BYTE = re.compile(rf"[{WS}]".encode())
_BARE_END = re.compile(rf"=[^{WS};=]*\Z")
_CUT_LENGTHS = (range(4001, 4097), range(7168, 8193))
"""Bytes of perfdata that Nagios may have cut: it keeps 8,192 bytes of output (its workers 4,096), the text before the perfdata included."""


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
    """A piece of perfdata that is no item: why, its text (at most 200 characters), and a slug to count it by."""

    reason: str
    text: str
    kind: str = "perfdata"


Item = tuple[str, ...]
"""The label as written and the value as a plain decimal; in whole items also unit, warn, crit, min and max as written, absent is empty."""

Found = tuple[list[Item], list[Bad], list[str]]
"""Items, what is no item, and the labels (as written) of items with the value U."""


class _Parsed(NamedTuple):
    """An item that was looked at carefully; `label` as written."""

    label: str
    value: str | None
    rest: tuple[str, str, str, str, str]  # unit, warn, crit, min, max as written


def unquoted(label: str) -> str:
    """The label that is written `label`: without its quotes, `''` as one quote."""
    if label[0] == "'" and label[-1] == "'" and len(label) > 1:
        return label[1:-1].replace("''", "'")
    return label


def parse(text: str) -> tuple[list[Metric], list[Bad]]:
    """Every item of `text`, and every piece that is none with the reason. Never raises."""
    metrics: list[Metric] = []
    bad: list[Bad] = []
    position = _skip_blanks(text, 0)
    while position < len(text):
        item, complaints, position = _item(text, position)
        if item:
            unit, warn, crit, low, high = item.rest
            limits = (warn or None, crit or None, limit(low), limit(high))
            metrics.append(Metric(unquoted(item.label), item.value, unit, *limits))
        bad += complaints
        position = _skip_blanks(text, position)
    return metrics, bad


def fast(text: str, whole: bool = False) -> list[Item] | None:
    """The items of `text` if all of them have the common shape, else None."""
    found: list[Item] = (_WHOLE if whole else _SHORT).findall(text)
    # Only the last match can be the rest that is not of that shape; then it has no value.
    return found if not found or found[-1][1] else None


def nearly(text: str, whole: bool = False) -> tuple[list[Item], list[str]] | None:
    """The items of `text`, and the labels of those with the value U, if each of them has one of the less common shapes; else None."""
    found: list[Item] = (_ODD_WHOLE if whole else _ODD_SHORT).findall(text)
    if found and not found[-1][1]:
        return None
    good: list[Item] = []
    unknown: list[str] = []
    try:
        for label, value, *rest in found:
            if value == "U":
                unknown.append(label.rstrip(" "))
            else:
                good.append((label.rstrip(" "), plain(value), *rest))
    except NotANumber:
        return None
    return good, unknown


def items(text: str, whole: bool = False) -> Found:
    """The items of `text` (all of them in memory at once), short ones or `whole`. Never raises."""
    found = fast(text, whole)
    if found is not None:
        return found, [], []
    if odd := nearly(text, whole):
        return odd[0], [], odd[1]
    return _consume(text, whole, len(text))[0]


def stream(raw: bytes | memoryview, whole: bool = False) -> Iterator[Found]:
    """As `items`, for UTF-8 text of any size, a bounded number of items at a time."""
    offset = 0
    while offset < len(raw):
        piece = bytes(raw[offset : offset + CHUNK])
        text = piece.decode("utf-8", "surrogateescape")
        if offset + len(piece) == len(raw):
            yield _consume(text, whole, len(text))[0]
            return
        found, position = _consume(text, whole, len(text) - _LOOKAHEAD)
        yield found
        offset += len(text[:position].encode("utf-8", "surrogateescape"))
        if not position:
            # An item without end: nothing of it is used.
            blank = _BLANK_BYTE.search(raw, offset + len(piece))
            offset = blank.start() if blank else len(raw)


def perhaps_cut(text: str) -> int:
    """Where the last value of `text` begins if Nagios may have cut it off, else 0.

    Nagios cuts plugin output at its limits without a word: `size=12` may have been `size=128766`. So an item at the end of perfdata of such a
    length counts as cut off, unless a `;` shows that its value is complete.
    """
    if not any(len(text.encode("utf-8", "surrogateescape")) in lengths for lengths in _CUT_LENGTHS):
        return 0
    match = _BARE_END.search(text, len(text) - 500)
    return match.start() + 1 if match else 0


def limit(text: str) -> str | None:
    """A minimum or maximum as a plain decimal; None where it is absent, U or no number."""
    text = text.removesuffix(",")
    try:
        return plain(text) if _RANGE_NUMBER.fullmatch(text) else None
    except NotANumber:
        return None


def _consume(text: str, whole: bool, last_start: int) -> tuple[Found, int]:
    """The items that begin before `last_start`, and the position behind them; 0 if one item fills the whole text and may go on."""
    good: list[Item] = []
    bad: list[Bad] = []
    unknown: list[str] = []
    complete = last_start == len(text)
    pattern = _WHOLE if whole else _SHORT
    position = _skip_blanks(text, 0)
    while position < last_start:
        end: int = _RUN.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string
        if complete and (rest := _LAST.match(text, end)):
            end = rest.end()
        if end > position:
            good += pattern.findall(text, position, end)
            position = end
            continue
        item, complaints, end = _item(text, position)
        if end == len(text) and not complete:
            # It may go on in the next piece: read again from there, unless it fills a whole piece.
            if not position:
                bad.append(_bad(f"no item within {CHUNK} bytes", text))
            break
        if item and item.value is None:
            unknown.append(item.label)
        elif item:
            good.append((item.label, item.value or "", *item.rest) if whole else (item.label, item.value or ""))
        bad += complaints
        position = _skip_blanks(text, end)
    return (good, bad, unknown), position


def _skip_blanks(text: str, position: int) -> int:
    return _BLANKS.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string


def _bad(reason: str, text: str) -> Bad:
    return Bad(reason, text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...")


def _item(text: str, start: int) -> tuple[_Parsed | None, list[Bad], int]:
    """The item at `start` (not a blank), complaints, and the position behind it."""
    if text[start] == "'":
        equals = _quoted_label(text, start)
        if equals < 0:
            # Up to the end of the next value: what stands before it may be the rest of this label.
            equals = text.find("=", start, start + LONGEST_LABEL)
            end = _VALUE_TOKEN.match(text, max(equals, start) + 1).end()  # type: ignore[union-attr]
            return None, [_bad("a quote is not closed by '=", text[start:end])], end
        label = text[start:equals].rstrip(" ")
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
    if len(label) > LONGEST_LABEL + 2:
        return None, [_bad(f"label longer than {LONGEST_LABEL} characters", label)], end
    if not label or not unquoted(label).strip(_STRIP):
        return None, [*complaints, _bad("no label", text[start:end])], end
    fields = text[equals + 1 : end].split(";")
    item, reason = _parsed(label, fields)
    if item:
        return item, complaints, end
    if not fields[0]:
        # `label= 5 next=6`: the 5 belongs to the bad item, not to the next label.
        stray = _LONE_NUMBER.match(text, end)
        end = stray.end() if stray else end
    return None, [*complaints, _bad(reason, text[start:end])], end


def _quoted_label(text: str, start: int) -> int:
    """The position of the `=` behind the label that opens with the quote at `start`; -1 when it is not closed."""
    match = _QUOTED.match(text, start, start + 2 * LONGEST_LABEL)
    if match and not _NEW_ITEM_INSIDE.search(match[1]):
        return match.end() - 1
    # A lone quote inside the label (`'Bob's disk'=1`): it ends at the quote that is followed by =.
    close = text.find("'=", start + 1, start + LONGEST_LABEL + 2)
    return -1 if close < 0 or _NEW_ITEM_INSIDE.search(text, start, close + 1) else close + 1


def _plain_label(text: str) -> tuple[str, list[Bad]]:
    """The label an unquoted text before `=` stands for: all of it, or its last word where the rest can't be part of a label."""
    label = text.strip(_STRIP)
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


def _parsed(label: str, fields: list[str]) -> tuple[_Parsed | None, str]:
    """The item with this label and the `;`-separated fields behind its `=`, or None and the reason."""
    first = fields[0].removesuffix(",")
    fields += [""] * (5 - len(fields))
    warn, crit, low, high = fields[1:5]
    if first == "U":
        return _Parsed(label, None, ("", warn, crit, low, high)), ""
    if not first:
        return None, "no value"
    match = _VALUE.fullmatch(first)
    if not match:
        return None, "not a number with a unit"
    try:
        return _Parsed(label, plain(match[1]), (match[2], warn, crit, low, high)), ""
    except NotANumber as error:
        return None, str(error)
