"""InfluxDB's line protocol: `measurement,tag=text field=number seconds`.

Source of the format: InfluxDB 1.8, "Line protocol reference", and what Debian's InfluxDB 1.6.7 and VictoriaMetrics
1.79 were seen to make of it. They differ in backslashes: InfluxDB has no escape for them, so that one at the end of a
text would take the comma or blank behind it along; VictoriaMetrics reads two as one. All numbers are 64-bit floats,
as in every other receiver: integers would conflict with what is there already, and counters are exact up to 2^53.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from graphios.configuration.settings import InfluxBackend
from graphios.points import Point

HOST = "_HOST_"
"""What stands for the service of host perfdata in a template."""

_TAGS = (("host", "{host}"), ("label", "{label}"), ("service", "{service}"), ("unit", "{unit}"))
_FIELD = re.compile(r"\{(host|service|label|unit)\}")
_END = re.compile(r"\\ *\Z")
_SPECIAL = re.compile(r"([,= ])")
_PLAIN = re.compile(r"[^,= \\\n\ud800-\udfff]*")
_MOST_HEADS = 20_000


class Written(NamedTuple):
    """One line (with its newline), and the positions in the batch that it came from."""

    text: str
    timestamp: int
    positions: tuple[int, ...]


def escape(text: str, doubled: bool) -> str:
    """A tag's text as it stands in a line. `doubled`: the receiver reads two backslashes as one.

    Where it does not, a blank is added to a text that ends in a backslash (or in one and blanks): it can't be the
    last character. Line breaks become blanks.
    """
    if _PLAIN.fullmatch(text):
        return text
    text = text.encode("utf-8", "backslashreplace").decode().replace("\n", " ")
    if "\\" in text:
        if doubled:
            text = text.replace("\\", "\\\\")
        elif _END.search(text):
            text += " "
    return _SPECIAL.sub(r"\\\1", text)


class Layout:
    """What becomes measurement, tags and fields."""

    def __init__(self, settings: InfluxBackend) -> None:
        """The tags of `settings`, or else host, service, label and unit. The fields are those of Point."""
        self._measurement = settings.measurement
        self._tags = tuple(sorted(settings.tags)) or _TAGS
        self._own = not settings.tags
        self._heads: dict[tuple[object, ...], str] = {}

    def lines(self, points: Iterable[tuple[int, Point]], doubled: bool) -> Iterator[Written]:
        """A line for each value with the thresholds that follow it. A repeated field begins a line of its own: the
        later one wins, as in carbon.

        `points`: each with its position in the batch.
        """
        of: tuple[object, ...] | None = None
        fields: dict[str, str] = {}
        positions: list[int] = []
        head, timestamp = "", 0
        for position, point in points:
            one = (point.host, point.service, point.label, point.unit, point.timestamp)
            if one != of or point.field in fields:
                if fields:
                    yield _line(head, fields, timestamp, positions)
                if one != of:
                    head = self._head(point, doubled)
                of, timestamp, fields, positions = one, point.timestamp, {}, []
            fields[point.field] = point.value
            positions.append(position)
        if fields:
            yield _line(head, fields, timestamp, positions)

    def _head(self, point: Point, doubled: bool) -> str:
        """Measurement and tags. Series come again and again, so that most are known."""
        key = (point.host, point.service, point.label, point.unit, doubled)
        if (head := self._heads.get(key)) is None:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            head = self._heads[key] = self._new_head(point, doubled)
        return head

    def _new_head(self, point: Point, doubled: bool) -> str:
        values = {
            "host": point.host,
            "service": HOST if point.service is None else point.service,
            "label": point.label,
            "unit": point.unit,
        }
        name = _fill(self._measurement, values) or "_"
        # A line that begins with # is a comment.
        parts = [escape("_" + name[1:] if name.startswith("#") else name, doubled)]
        for tag, template in self._tags:
            text = _fill(template, values)
            if self._own and tag == "service" and point.service is None:
                continue
            if text:  # an empty tag is an error
                parts.append(f"{escape(tag, doubled)}={escape(text, doubled)}")
        return ",".join(parts)


def number(text: str) -> bool:
    """Whether a value is one that a 64-bit float can hold."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _line(head: str, fields: dict[str, str], timestamp: int, positions: list[int]) -> Written:
    values = ",".join(f"{name}={value}" for name, value in fields.items())
    return Written(f"{head} {values} {timestamp}\n", timestamp, tuple(positions))


def _fill(template: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda found: values[found[1]], template)
