"""The results of a run as text: the worst first, and a summary below, where the eye is when a long table has scrolled by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from checks.engine.results import OK, STATES, Result, severity
from checks.engine.run.terminal import CUT, columns, cut, padded, printable

_LONGEST = 1000
"""Characters of a text where no terminal's width bounds it."""
_STATE_ROOM = max(map(len, STATES))
_SECONDS_ROOM = 8
_NARROW = 60
"""Columns under which there is no room for times."""
_SHORT_NAME = 24
_SHORT_TEXT = 6
_COLOURS = {0: "32", 1: "33", 2: "31", 3: "35"}


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Return them by state, and those of one state by name."""
    return sorted(results, key=lambda result: (-severity(result.code), result.name))


def rows(results: Iterable[Result], width: int = 0, encoding: str = "utf-8", colours: bool = False) -> list[str]:
    """Return a line for each result: state, name, seconds and the first line of its output.

    `width`: columns of the terminal; 0 where there is none, and then nothing is cut to fit.
    """
    ordered = worst_first(results)
    names = [printable(result.name, encoding) for result in ordered]
    timed = not width or width >= _NARROW
    room = max(map(columns, names), default=0)
    if width:
        # A name tells checks apart, but something of what the check says has to be seen as well.
        room = min(room, max(_SHORT_NAME, width * 2 // 5))
    return [
        _row(result, padded(name, room), width, timed, encoding, colours)
        for result, name in zip(ordered, names, strict=True)
    ]


def summary(results: Sequence[Result], seconds: float) -> str:
    """Return how many there are, how many of each state, and how long it took: `12 checks: 1 CRITICAL, 11 OK; 3.2 s`."""
    states = f": {counted(results)}" if results else ""
    return f"{len(results)} check{'' if len(results) == 1 else 's'}{states}; {duration(seconds)}"


def counted(results: Iterable[Result]) -> str:
    """Return how many of each state there are, the worst first: `1 CRITICAL, 11 OK`."""
    counts = Counter(result.code for result in results)
    return ", ".join(f"{counts[code]} {STATES[code]}" for code in sorted(counts, key=severity, reverse=True))


def duration(seconds: float) -> str:
    """Return a time as a person reads it: `0.12 s`, `42.0 s`, `3 min 20 s`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def _row(result: Result, name: str, width: int, timed: bool, encoding: str, colours: bool) -> str:
    state = STATES[result.code]
    seconds = f"  {duration(result.seconds):>{_SECONDS_ROOM}}" if timed else ""
    row = f"{state:{_STATE_ROOM}}  {name}{seconds}"
    text = printable(result.first_line, encoding)
    if result.trouble:
        # The engine's own words begin with what stands in the columns before.
        text = text.removeprefix(f"UNKNOWN: {printable(result.name, encoding)}: ")
    if not width:
        text = text if len(text) <= _LONGEST else text[:_LONGEST] + CUT
    else:
        room = width - columns(row) - 2
        text = cut(text, room) if room >= _SHORT_TEXT else ""
        row = cut(row, width)
    row = f"{row}  {text}".rstrip()
    if not colours or not row.startswith(state):
        return row
    bold = "" if result.code == OK else "1;"
    return f"\x1b[{bold}{_COLOURS[result.code]}m{state}\x1b[0m{row[len(state) :]}"
