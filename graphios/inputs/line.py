"""One line of a perfdata spool file: tab-separated KEY::value fields, in whatever order the site's template has them.

Templates in use: Graphios's, PNP4Nagios's, that of OMD and nagflux, and the default ones of Icinga 2's PerfdataWriter. In most of them the
perfdata stands in the middle, and Nagios passes tabs of plugin output on: a known key that occurs twice, or one at a place where no template
has it, makes the line unusable.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from graphios.perfdata import CHUNK
from graphios.remembered import Remembered

KNOWN = frozenset(
    (
        *("DATATYPE", "TIMET", "HOSTNAME", "SERVICEDESC", "SERVICEPERFDATA", "HOSTPERFDATA"),
        *("SERVICECHECKCOMMAND", "SERVICESTATE", "SERVICESTATETYPE", "SERVICEOUTPUT"),
        *("HOSTCHECKCOMMAND", "HOSTSTATE", "HOSTSTATETYPE", "HOSTOUTPUT"),
        *("GRAPHITEPREFIX", "GRAPHITEPOSTFIX", "METRICTYPE"),
    )
)
"""Keys of the templates in use. Others are ignored, unless the metric names use them."""

EARLIEST = 1_000_000_000
"""TIMET before 2001 is a clock that was not set."""
LEEWAY = 86_400
"""Seconds a TIMET may lie in the future: clocks differ, and carbon files such points where nobody finds them."""

_KEY = re.compile(rb"(?:\A|(?<=\t))([A-Z][A-Z0-9_]{0,60}(?::[A-Z0-9_]{1,60})?)::")
_ITEM_INSIDE = re.compile(rb"=[-+.,]{0,2}[0-9]")
_UNDEFINED = re.compile(r"\$[^$\s]+\$")
_UNDEFINED_INSIDE = re.compile(r"\$_?[A-Za-z][A-Za-z0-9_.]*\$")
_TIME = re.compile(r"[0-9]{1,10}")
_SHAPES = 8
_MOST_FIELDS = 40
_LONGEST_FIELD = 4000
_LONGEST_KEY = 1000
_SERVICES_BYTES, _HOSTS_BYTES = 8_000_000, 2_000_000
_ENTRY_BYTES = 150


class Rejected(ValueError):
    """The line can't be used; the message is the reason, `kind` a slug to count it by."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Source(NamedTuple):
    """What a line's values belong to; an undefined macro is an empty text."""

    host: str
    service: str | None  # None: host perfdata
    prefix: str = ""
    postfix: str = ""
    more: tuple[tuple[str, str], ...] = ()  # fields asked for by name

    def __str__(self) -> str:
        return self.host if self.service is None else f"{self.host}, {self.service}"


class Line(NamedTuple):
    """A usable line. Its perfdata is text, or a view of the raw bytes where it is longer than CHUNK."""

    source: Source
    timestamp: int  # epoch seconds
    perfdata: str | memoryview
    suspect: str = ""  # what follows a tab in the perfdata, and may be items as well as a field


class _Shape(NamedTuple):
    """The fields of a template, in its order, none of them with a tab: what nearly all lines of a site look like."""

    match: Callable[[str], re.Match[str] | None]
    time: int  # the group of TIMET
    perfdata: int
    source: int  # fields of the source that stand together, with their keys
    more: tuple[int, ...]  # further such groups
    made: Remembered[str, Any]


class LineReader:
    """Reads lines, and remembers templates and what was made of sources, a bounded number of them."""

    def __init__(
        self,
        more: tuple[str, ...] = (),
        make: Callable[[Source], Any] = lambda source: source,
        as_graphios: bool = False,
    ) -> None:
        """
        `more` are keys whose values are wanted in Source.more; `make` gives what to remember of a source, a tuple. With `as_graphios`, only a custom
        variable that begins with an undefined one is absent; an undefined one inside it stays.
        """
        self._make = make
        self._custom = _custom_of_graphios if as_graphios else _custom
        self._wanted = ("HOSTNAME", "SERVICEDESC", "GRAPHITEPREFIX", "GRAPHITEPOSTFIX", *more)
        self._more = more
        self._known = {key.encode() for key in KNOWN | set(more)}
        self._shapes: list[_Shape] = []
        self._shape_keys: set[tuple[bytes, ...]] = set()
        self._services = Remembered(lambda key: self._made(key, True), _entry_size, _SERVICES_BYTES)
        self._hosts = Remembered(lambda key: self._made(key, False), _entry_size, _HOSTS_BYTES)

    def quick(self, raw: bytes, now: float) -> tuple[Any, int, str] | None:
        """What was made of the source, the timestamp and the perfdata of a line such as read() has seen before; None: read() it."""
        if len(raw) > CHUNK:
            return None
        text = raw.decode("utf-8", "surrogateescape")
        for match, time, perfdata, source, more, made in self._shapes:
            if found := match(text):
                groups = found.groups()
                timestamp = int(groups[time])
                text = groups[perfdata]
                if not EARLIEST <= timestamp <= now + LEEWAY or text[:1] == "$":
                    return None
                key = groups[source]
                for group in more:
                    key = f"{key}\t{groups[group]}"
                thing = made[key]
                return None if thing is None else (thing, timestamp, text)
        return None

    def _made(self, key: str, is_service: bool) -> Any:
        if len(key) > _LONGEST_KEY:
            return None
        values = dict([field.split("::", 1) for field in key.split("\t")])
        try:
            return self._make(self._source(values, is_service))
        except Rejected:
            return None

    def read(self, raw: bytes, now: float) -> Line:
        """The line `raw` (without its newline, not blank) at the time `now`, epoch seconds. Raises Rejected."""
        fields, suspect = self._fields(raw)
        kind = _text(raw, fields.get("DATATYPE"))
        if kind not in ("SERVICEPERFDATA", "HOSTPERFDATA"):
            what = f"DATATYPE is {kind[:40]!r}, not SERVICEPERFDATA or HOSTPERFDATA" if kind else "no DATATYPE"
            raise Rejected("line", what)
        where = fields.get(kind)
        if where is None:
            raise Rejected("line", f"no {kind}")
        self._refuse_forged(fields, where[0])
        source = self._source({key: _text(raw, fields.get(key)) for key in self._wanted}, kind == "SERVICEPERFDATA")
        timestamp = _timestamp(_text(raw, fields.get("TIMET")), now)
        perfdata = memoryview(raw)[slice(*where)]
        self._learn(raw, kind)
        if len(perfdata) > CHUNK:
            return Line(source, timestamp, perfdata, suspect)
        return Line(source, timestamp, _perfdata(str(perfdata, "utf-8", "surrogateescape")), suspect)

    def _source(self, values: dict[str, str], is_service: bool) -> Source:
        host = _defined(values.get("HOSTNAME", ""))
        if not host:
            raise Rejected("line", "no HOSTNAME")
        service = _defined(values.get("SERVICEDESC", "")) if is_service else None
        custom = self._custom
        prefix, postfix = custom(values.get("GRAPHITEPREFIX", "")), custom(values.get("GRAPHITEPOSTFIX", ""))
        if service == "" and not prefix and not postfix:
            raise Rejected("line", "no SERVICEDESC, GRAPHITEPREFIX or GRAPHITEPOSTFIX")
        return Source(host, service, prefix, postfix, tuple([(key, custom(values.get(key, ""))) for key in self._more]))

    def _fields(self, raw: bytes) -> tuple[dict[str, tuple[int, int]], str]:
        """Where the value of each known key begins and ends, and what behind the perfdata may be more of it."""
        fields: dict[str, tuple[int, int]] = {}
        suspect = b""
        behind_perfdata = False
        key, start = b"", 0
        ends = chain(((match.start() - 1, match) for match in _KEY.finditer(raw)), ((len(raw), None),))
        for end, match in ends:
            if key in self._known:
                if key.decode() in fields:
                    raise Rejected("field-twice", f"{key.decode()} occurs twice")
                fields[key.decode()] = (start, end)
                behind_perfdata = key.endswith(b"PERFDATA")
            elif behind_perfdata and not suspect and _ITEM_INSIDE.search(raw, start, max(end, start)):
                suspect = raw[start - len(key) - 2 : min(end, start + 200)]
            if match:
                key, start = match[1], match.end()
        return fields, suspect.decode("utf-8", "surrogateescape")

    def _refuse_forged(self, fields: dict[str, tuple[int, int]], perfdata: int) -> None:
        """All templates with the perfdata in the middle have the check command right behind it."""
        command = fields.get("SERVICECHECKCOMMAND") or fields.get("HOSTCHECKCOMMAND")
        for key in ("GRAPHITEPREFIX", "GRAPHITEPOSTFIX", "METRICTYPE", *self._more):
            if command and key in fields and perfdata < fields[key][0] < command[0]:
                raise Rejected(
                    "forged",
                    f"{key} between perfdata and check command: plugin output with a tab may have put it there",
                )

    def _learn(self, raw: bytes, kind: str) -> None:
        """Remembers the template of a line, if every piece between tabs is a field and a known one follows the perfdata."""
        found = tuple(_KEY.findall(raw)) if len(raw) <= CHUNK else ()
        if not found or found in self._shape_keys or raw.count(b"\t") != len(found) - 1 or len(found) > _MOST_FIELDS:
            return
        keys = [key.decode() for key in found]
        behind = found[keys.index(kind) + 1 :]
        if keys[0] != "DATATYPE" or (behind and behind[0] not in self._known):
            return
        if {"DATATYPE", "TIMET", kind}.intersection(self._wanted):
            return  # nothing of the source would come again
        if len(self._shapes) == _SHAPES:
            self._shapes.pop()
            self._shape_keys.clear()
        self._shapes.insert(0, _shape(keys, kind, self._wanted, self._services if kind[0] == "S" else self._hosts))
        self._shape_keys.add(found)


def _shape(keys: list[str], kind: str, wanted: tuple[str, ...], made: Remembered[str, Any]) -> _Shape:
    """The shape of lines with these keys. Wanted fields that stand together are one group, with their keys."""
    pattern, number = f"DATATYPE::{kind}", 0
    time = perfdata = 0
    source = []
    for before, key, behind in zip(keys[:-1], keys[1:], [*keys[2:], ""], strict=True):
        opening = closing = ""
        value = r"[^\t]*+"
        if key in wanted:
            opening, closing = "(" * (before not in wanted), ")" * (behind not in wanted)
        elif key == "TIMET":
            value = "([0-9]{1,10})"
        elif key == kind:
            value = f"({value})"
        if opening or value[0] == "(":
            if key == "TIMET":
                time = number
            elif key == kind:
                perfdata = number
            else:
                source.append(number)
            number += 1
        pattern += f"\t{opening}{key}::{value}{closing}"
    return _Shape(re.compile(pattern).fullmatch, time, perfdata, source[0], tuple(source[1:]), made)


def _entry_size(key: str, made: Any) -> int:
    """Bytes of an entry, about."""
    return _ENTRY_BYTES + sys.getsizeof(key) + sum(map(sys.getsizeof, made or ()))


def _perfdata(text: str) -> str:
    return "" if text[:1] == "$" and _UNDEFINED.fullmatch(text.strip()) else text


def _text(raw: bytes, where: tuple[int, int] | None) -> str:
    """A field, up to the first tab."""
    return (
        raw[where[0] : min(where[1], where[0] + _LONGEST_FIELD)].partition(b"\t")[0].decode("utf-8", "surrogateescape")
        if where
        else ""
    )


def _defined(value: str) -> str:
    value = value.strip()
    return "" if "$" in value and _UNDEFINED.fullmatch(value) else value


def _custom(value: str) -> str:
    """A custom variable; what begins with an undefined one is absent, as with Graphios."""
    value = value.strip()
    if "$" not in value:
        return value
    return "" if value.startswith("$_") else _UNDEFINED_INSIDE.sub("", value)


def _custom_of_graphios(value: str) -> str:
    value = value.strip()
    return "" if value.startswith("$_") else value


def _timestamp(text: str, now: float) -> int:
    text = text.strip()
    if not _TIME.fullmatch(text):
        raise Rejected("time", f"TIMET is {text[:40]!r}, not epoch seconds" if text else "no TIMET")
    timestamp = int(text)
    if not EARLIEST <= timestamp <= now + LEEWAY:
        reason = "before 2001" if timestamp < EARLIEST else "more than a day ahead"
        raise Rejected("time", f"TIMET {timestamp} is {reason}")
    return timestamp
