"""From a line of a spool file to what a backend takes: lines of carbon's plaintext protocol, `name value timestamp`, or points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from graphios import perfdata, thresholds, units
from graphios.backends.base import LINES, POINTS
from graphios.configuration.settings import Names
from graphios.inputs.line import Line, LineReader, Rejected, Source
from graphios.inputs.spool import Cut
from graphios.naming.cleaning import Graphios
from graphios.naming.rules import LONGEST_NAME, BadName, Rules
from graphios.naming.schemes import LONGEST_LABEL, Head, Namer, fields_used
from graphios.perfdata import Bad, Found, Item
from graphios.points import Point

_NEVER_CUT = 4000


class Reject(NamedTuple):
    """What is not shipped: a short slug to count it by, why, and the bytes."""

    kind: str
    reason: str
    raw: bytes


class Traced(NamedTuple):
    """What becomes of one value of a line; of a piece that is no item, or of the whole line, if `label` is empty."""

    label: str
    field: str  # value, or the threshold it is: warn, warn_low ...
    value: str  # as it is shipped; as it was written where it is not
    unit: str
    name: str | None  # None: not shipped
    outcome: str  # shipped, rejected, filtered, U, unprefixed
    why: str  # the reason or the rule; empty for what is shipped
    rewritten: tuple[str, ...] = ()  # the rules that changed the name, in order


_Made = tuple[Any, ...]
"""What stands before the label and behind it, then, where that is not all it takes, the source; nothing if it is not shipped."""

Converted = tuple[list[str] | list[Point], list[Reject]]


class Converter:
    """Makes items of lines, and counts what is neither shipped nor rejected. For one thread."""

    def __init__(self, names: Names, takes: str = LINES, warn: Callable[[str], None] = lambda text: None) -> None:
        """`takes` is LINES or POINTS; `warn` is told when two hosts or services meet in one name. Raises ValueError, see schemes.check."""
        self._names = names
        self._namer = Namer(names, warn)
        self._reader = LineReader(fields_used(names), self._made, names.cleaning == "graphios")
        self._rules = Rules(names)
        self._points = takes != LINES
        self._whole = self._points or bool(names.thresholds) or names.normalize
        self._plain = not self._whole and not self._rules.any
        self._simple_points = self._points and not names.thresholds and not names.normalize
        self._exact = names.cleaning == "graphios"
        self.skipped: Counter[str] = Counter()

    def _made(self, source: Source) -> _Made:
        """What is remembered of a source."""
        head = self._namer.head(source)
        if not head:
            return ()
        if self._plain and len(head.before) + len(head.behind) + LONGEST_LABEL <= LONGEST_NAME:
            return head.before, f"{head.behind} "
        return head + source

    def convert(self, raw: bytes | Cut, now: float) -> Iterable[Converted]:
        """The items and the rejects of one spool line at the time `now`, a bounded number at a time. Never raises."""
        if isinstance(raw, Cut):
            return (([], [Reject("too-long" if "longer" in raw.reason else "cut", raw.reason, raw.start)]),)
        found = self._reader.quick(raw, now)
        if found is None:
            return self._slowly(raw, now)
        made, timestamp, text = found
        if len(made) != 2:
            if not made:
                return self._unprefixed()
            return self._carefully(Line(Source._make(made[2:]), timestamp, text), Head._make(made[:2]))
        if len(raw) > _NEVER_CUT and perfdata.perhaps_cut(text):
            return self._slowly(raw, now)
        items, unknown = perfdata.fast(text), None
        if items is None:
            odd = perfdata.nearly(text)
            if odd is None:
                return self._slowly(raw, now)
            items, unknown = odd
        before, behind = made
        end = f" {timestamp}\n"
        names = self._namer.labels
        names.long = False
        if self._exact and (unknown is not None or "'" in text):
            # There may be blanks in labels: those of a line look at each other.
            named = self._named(Head(before, behind), items)
            names.long = names.long or any(len(name) > LONGEST_NAME for name in named)
            lines = [f"{name}{item[1]}{end}" for item, name in zip(items, named, strict=True)]
        else:
            lines = [f"{before}{names[label]}{behind}{value}{end}" for label, value in items]
        if names.long:
            return self._slowly(raw, now)
        if unknown:
            self.skipped["U"] += len(unknown)
        return ((lines, []),)

    def _slowly(self, raw: bytes, now: float) -> Iterable[Converted]:
        try:
            line = self._reader.read(raw, now)
        except Rejected as error:
            return (([], [Reject(error.kind, str(error), raw)]),) if raw.strip() else ()
        head = self._namer.head(line.source)
        return self._carefully(line, head) if head else self._unprefixed()

    def _unprefixed(self) -> Iterable[Converted]:
        self.skipped["unprefixed"] += 1
        return ()

    def _carefully(self, line: Line, head: Head) -> Iterator[Converted]:
        if isinstance(line.perfdata, str):
            every: Iterable[Found] = (_short(line.perfdata, self._whole),)
        else:
            every = perfdata.stream(line.perfdata, self._whole)
        suspect = [Bad("behind a tab, it may be a field as well as perfdata", line.suspect)] if line.suspect else []
        for good, bad, unknown in every:
            if unknown:
                self.skipped["U"] += len(unknown)
                self._note_unknown(unknown)
            yield self._chunk(line, head, good, bad + suspect)
            suspect = []

    def _note_unknown(self, labels: list[str]) -> None:
        """For those who want to know more than their number."""

    def _chunk(self, line: Line, head: Head, good: list[Item], bad: list[Bad]) -> Converted:
        named = self._named(head, good)
        points: list[Point] = []
        lines: list[str] = []
        if self._simple_points:
            host, service = line.source[:2]
            for item, name in zip(good, named, strict=True):
                if shipped := self._shipped(name, bad):
                    label = perfdata.unquoted(item[0])
                    points.append(Point(shipped, item[1], line.timestamp, host, service, label, "value", item[2]))
        elif self._whole:
            for item, name in zip(good, named, strict=True):
                self._item_points(line, item, name, points, bad)
            if not self._points:
                lines = [f"{point.name} {point.value} {point.timestamp}\n" for point in points]
        else:
            finished = [self._shipped(name, bad) for name in named]
            end = f" {line.timestamp}\n"
            lines = [f"{name} {item[1]}{end}" for item, name in zip(good, finished, strict=True) if name]
        return points if self._points else lines, [_reject(line.source, item) for item in bad]

    def _named(self, head: Head, items: list[Item]) -> list[str]:
        """The names of items, before rules."""
        labels = self._namer.labels
        parts = [labels[item[0]] for item in items]
        cleaner = self._namer.cleaner
        if isinstance(cleaner, Graphios) and any(" " in item[0] for item in items):
            # Graphios took the last word of a label with blanks; where words meet, that is no name of one value.
            counts = Counter([part for part, _ in {(part, item[0]) for part, item in zip(parts, items, strict=True)}])
            for index, (part, item) in enumerate(zip(parts, items, strict=True)):
                if counts[part] > 1 and " " in item[0]:
                    parts[index] = cleaner.whole_label(item[0])
        return [f"{head.before}{part}{head.behind}" for part in parts]

    def _shipped(self, name: str, bad: list[Bad]) -> str:
        """The finished name; empty if it is filtered, which is counted, or bad, which is noted."""
        if len(name) > LONGEST_NAME:
            bad.append(Bad(f"metric name longer than {LONGEST_NAME} characters", name, "name"))
            return ""
        if not self._rules.any:
            return name
        try:
            finished = self._rules.finish(name)
        except BadName as error:
            bad.append(Bad(str(error), name, "name"))
            return ""
        if not finished:
            self.skipped["filtered"] += 1
        return finished

    def _item_points(self, line: Line, item: Item, name: str, points: list[Point], bad: list[Bad]) -> None:
        label, source = perfdata.unquoted(item[0]), line.source
        for field, number, unit in self._values(item):
            if number is None:
                bad.append(Bad(f"{field} of {label[:100]} is no number or range", ";".join(item[1:])[:200]))
            elif shipped := self._shipped(with_field(name, field), bad):
                points.append(Point(shipped, number, line.timestamp, source.host, source.service, label, field, unit))

    def _values(self, item: Item) -> Iterator[tuple[str, str | None, str]]:
        """Field, number (None: the plugin wrote none) and unit of an item's value and of its thresholds, in base units if asked for."""
        fields: list[tuple[str, str | None]] = [("value", item[1])]
        if self._names.thresholds:
            fields += thresholds.values(item, self._names.thresholds)
        unit = item[2]
        scaled = self._names.normalize and unit in units.FACTORS
        base = units.FACTORS[unit][0] if scaled else unit
        for field, number in fields:
            yield field, units.to_base(number, unit) if scaled and number else number, base

    def trace(self, raw: bytes | Cut, now: float) -> list[Traced]:
        """What becomes of every value of one spool line, and why. Slow, and all in memory at once; never raises."""
        return _Tracer(self._names).trace(raw, now)


class _Tracer(Converter):
    """Notes what it does."""

    def __init__(self, names: Names) -> None:
        super().__init__(names, POINTS)
        self._simple_points = False
        self._told: list[Traced] = []

    def trace(self, raw: bytes | Cut, now: float) -> list[Traced]:
        rejected = []
        for _, rejects in self.convert(raw, now):
            for kind, reason, text in rejects:
                if kind != "name":
                    shown = text[:200].decode("utf-8", "backslashreplace")
                    rejected.append(Traced("", "", shown, "", None, "rejected", reason))
        if self.skipped["unprefixed"]:
            why = "neither prefix nor postfix, and unprefixed lines are not shipped"
            self._told.append(Traced("", "", "", "", None, "unprefixed", why))
        return self._told + rejected

    def _note_unknown(self, labels: list[str]) -> None:
        why = "the plugin could not determine the value"
        self._told += [Traced(perfdata.unquoted(label), "value", "U", "", None, "U", why) for label in labels]

    def _item_points(self, line: Line, item: Item, name: str, points: list[Point], bad: list[Bad]) -> None:
        label = perfdata.unquoted(item[0])
        for field, number, unit in self._values(item):
            whole = with_field(name, field)
            outcome, why = "shipped", ""
            rewritten: list[str] = []
            if number is None:
                outcome, why = "rejected", "no number or range"
            elif len(whole) > LONGEST_NAME:
                outcome, why = "rejected", f"metric name longer than {LONGEST_NAME} characters"
            else:
                try:
                    whole, rewritten = self._rules.rewritten(whole)
                    why = self._rules.why_filtered(whole)
                    outcome, why = ("filtered", f"{whole}: {why}") if why else ("shipped", "")
                except BadName as error:
                    outcome, why = "rejected", str(error)
            shipped = whole if outcome == "shipped" else None
            self._told.append(Traced(label, field, number or "", unit, shipped, outcome, why, tuple(rewritten)))


def with_field(name: str, field: str) -> str:
    """The name of a threshold of the metric `name`."""
    if field == "value":
        return name
    path, semicolon, tags = name.partition(";")
    return f"{path}.{field}{semicolon}{tags}"


def _short(text: str, whole: bool) -> Found:
    """All items of a short text; its last one counts as cut off where Nagios may have done that."""
    value = perfdata.perhaps_cut(text)
    if not value:
        return perfdata.items(text, whole)
    good, bad, unknown = perfdata.items(text[:value], whole)
    if bad and bad[-1].reason == "no value":
        reason = f"may have been cut off: it ends perfdata of {len(text)} characters, and Nagios cuts long output"
        bad[-1] = Bad(reason, bad[-1].text + text[value:], "cut")
    return good, bad, unknown


def _reject(source: Source, item: Bad) -> Reject:
    return Reject(item.kind, f"perfdata of {source}: {item.reason}", item.text.encode("utf-8", "surrogateescape"))
