"""From a line of a spool file to what a backend takes: lines of carbon's plaintext protocol, `name value timestamp`, or points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from graphios import perfdata
from graphios.backends.base import LINES
from graphios.configuration import settings
from graphios.inputs.line import Line, Rejected, parse_line
from graphios.inputs.spool import Cut
from graphios.names import LONGEST_NAME, Namer
from graphios.points import Point


class Reject(NamedTuple):
    """What is not shipped: a short slug to count it by, why, and the bytes."""

    kind: str
    reason: str
    raw: bytes


Converted = tuple[list[str] | list[Point], list[Reject]]


class Converter:
    """Makes items of lines, and counts what is neither shipped nor rejected. For one thread."""

    def __init__(
        self, names: settings.Names, takes: str = LINES, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        """`takes` is LINES or POINTS; `warn` is told when two hosts or services meet in one name."""
        self._namer = Namer(names.base, names.cleaning == "unique", warn)
        self._points = takes != LINES
        self.skipped: Counter[str] = Counter()

    def convert(self, raw: bytes | Cut, now: float) -> Iterator[Converted]:
        """The items and the rejects of one spool line at the time `now`, a bounded number at a time. Never raises."""
        for lines, rejects in convert(raw, self._namer, now):
            if not self._points:
                yield lines, rejects
                continue
            line = parse_line(raw.decode("utf-8", "surrogateescape"), now) if lines and isinstance(raw, bytes) else None
            yield [_point(item, line) for item in lines] if line else [], rejects


def _point(item: str, line: Line) -> Point:
    name, value, timestamp = item.split()
    label = name.rpartition(".")[2]
    return Point(name, value, int(timestamp), line.host, line.service, label, "value", "")


def convert(raw: bytes | Cut, namer: Namer, now: float) -> Iterator[tuple[list[str], list[Reject]]]:
    """The carbon lines (ASCII, each with its newline) and the rejects of one spool line, a bounded number at a time. Never raises."""
    if isinstance(raw, Cut):
        yield [], [Reject("too-long" if "longer" in raw.reason else "cut", raw.reason, raw.start)]
        return
    if not raw.strip():
        return
    try:
        line = parse_line(raw.decode("utf-8", "surrogateescape"), now)
    except Rejected as error:
        yield [], [Reject(_kind(str(error)), str(error), raw)]
        return
    path = namer.path(line.host, line.service, line.prefix, line.postfix)
    end = f" {line.timestamp}\n"
    whose = f"{line.host}, {line.service}" if line.service is not None else line.host
    label_name = namer.label
    for good, bad in perfdata.chunks(line.perfdata):
        rejects = [_reject(whose, item) for item in bad]
        lines = [f"{path}{label_name(label)} {value}{end}" for label, value in good]
        if lines and max(map(len, lines)) > LONGEST_NAME:
            lines, too_long = _short_enough(path, good, lines)
            rejects += [_reject(whose, item) for item in too_long]
        yield lines, rejects


def _short_enough(path: str, good: list[tuple[str, str]], lines: list[str]) -> tuple[list[str], list[perfdata.Bad]]:
    fine, bad = [], []
    for (label, _), line in zip(good, lines, strict=True):
        if line.index(" ") <= LONGEST_NAME:
            fine.append(line)
        else:
            bad.append(perfdata.Bad(f"metric name longer than {LONGEST_NAME} characters", f"{path}{label}"))
    return fine, bad


def _reject(whose: str, item: perfdata.Bad) -> Reject:
    return Reject(
        "name" if "metric name" in item.reason else "perfdata",
        f"perfdata of {whose}: {item.reason}",
        item.text.encode("utf-8", "surrogateescape"),
    )


def _kind(reason: str) -> str:
    return "field-twice" if reason.endswith("twice") else "time" if "TIMET" in reason else "line"
