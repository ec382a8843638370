"""What becomes of one line: its items with names, values and units, each backend's form of them, what is rejected and what is not shipped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from graphios.backends.base import LINES, POINTS
from graphios.commands.status_document import printable
from graphios.commands.status_table import table
from graphios.commands.units import many
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    InfluxBackend,
    Names,
    PrometheusBackend,
    StatsdBackend,
)
from graphios.convert import Converter, Reject
from graphios.delivery.rejects import escaped
from graphios.inputs.line import LineReader, Rejected
from graphios.inputs.spool import Cut
from graphios.points import Point

if TYPE_CHECKING:
    from graphios.backends.remote_write import Sample

_LONGEST_TRACED = 262_144
"""Bytes of a line whose every item is traced, which takes many times their memory; of longer ones only what comes out is shown."""

_UNPREFIXED = (
    "to ship it, define the custom variables _graphiteprefix or _graphitepostfix of this host or service in Nagios;",
    "or set use_service_desc = True in a configuration of Graphios 2, which changes all names;",
    "or move to a graphios.ini, where [names] unprefixed = yes ships it as host.service.label",
)


class Explanation(NamedTuple):
    """What the line is about, and the lines that explain it."""

    source: str
    lines: list[str]


class Explainer:
    """Explains lines under one configuration, and counts `metrics`, `rejected` and `skipped` over all of them."""

    def __init__(self, names: Names, backends: Sequence[BackendSettings], most_items: int) -> None:
        """`most_items` of a line are shown. Raises ValueError for names that contradict each other."""
        self._backends, self._most = backends, most_items
        self._points = Converter(names, POINTS)
        self._text = Converter(names, LINES)
        self.metrics = self.rejected = self.skipped = 0

    def explain(self, raw: bytes | Cut, now: float) -> Explanation:
        """What becomes of the line `raw` at the time `now`."""
        points: list[Point] = []
        rejects: list[Reject] = []
        metrics = rejected = 0
        skipped = self._points.skipped.total()
        for items, bad in self._points.convert(raw, now):
            metrics += len(items)
            rejected += len(bad)
            points += [item for item in items[: self._most - len(points)] if isinstance(item, Point)]
            rejects += bad[: self._most - len(rejects)]
        skipped = self._points.skipped.total() - skipped
        self.metrics, self.rejected, self.skipped = (
            self.metrics + metrics,
            self.rejected + rejected,
            self.skipped + skipped,
        )
        if isinstance(raw, bytes) and len(raw) <= _LONGEST_TRACED:
            shown = self._traced(raw, now)
        else:
            shown = [*table([_HEAD, *(_row(point) for point in points)], left=3)] if points else []
            shown += [f"rejected ({reject.kind}): {_plain(reject)}" for reject in rejects]
            shown += [f"not shipped: {many(skipped, 'item')}"] if skipped else []
        if metrics > len(points):
            shown.append(f"... and {many(metrics - len(points), 'more metric')} (--max-items)")
        wire = self._wire(raw, now, len(points))
        shown += [line for backend in self._backends if points for line in _for(backend, points, wire)]
        return Explanation(_source(raw, now), shown or ["no perfdata, so nothing comes out"])

    def _traced(self, raw: bytes, now: float) -> list[str]:
        """A row for every value, shipped or not, in the order of the perfdata; then what is no item, with the reason."""
        rows = [_HEAD]
        below: list[str] = []
        for found in self._points.trace(raw, now):
            unit = f" {printable(found.unit)}" if found.unit else ""
            field = "" if found.field in ("value", "") else f" ({found.field})"
            why = "" if found.outcome == "shipped" else f"{found.outcome}: {printable(found.why)}"
            if not found.label:
                text = escaped(found.value.encode("utf-8", "surrogateescape"))
                below.append(f"{why}: {text}" if text else why)
                below += _UNPREFIXED if found.outcome == "unprefixed" else ()
            elif len(rows) <= self._most:
                rules = f"  (rewritten by {', '.join(map(printable, found.rewritten))})" if found.rewritten else ""
                value = f"{printable(found.value)}{unit}"
                rows.append(
                    (f"{printable(found.label)}{field}", value, f"{found.name}{rules}" if found.name else f"- {why}")
                )
        return (table(rows, left=3) if len(rows) > 1 else []) + below[: self._most]

    def _wire(self, raw: bytes | Cut, now: float, number: int) -> list[str]:
        """The first items as carbon gets them."""
        found: list[str] = []
        for items, _ in self._text.convert(raw, now):
            found += [item.rstrip("\n") for item in items[: number - len(found)] if isinstance(item, str)]
            if len(found) >= number:
                break
        return found


_HEAD = ("LABEL", "VALUE", "NAME")


def _row(point: Point) -> tuple[str, str, str]:
    unit = f" {printable(point.unit)}" if point.unit else ""
    field = "" if point.field == "value" else f" ({point.field})"
    return f"{printable(point.label)}{field}", f"{point.value}{unit}", point.name


def _source(raw: bytes | Cut, now: float) -> str:
    """What the line is about; empty where it does not say."""
    if isinstance(raw, Cut) or not raw.strip():
        return ""
    try:
        line = LineReader().read(raw, now)
    except Rejected:
        return ""
    kind = "host perfdata of" if line.source.service is None else f"{printable(line.source.service)} of"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.timestamp))
    return f"{kind} {printable(line.source.host)}, checked at {when} ({line.timestamp})"


def _for(backend: BackendSettings, points: list[Point], wire: list[str]) -> list[str]:
    """What `backend` gets of the items; modules of backends are imported only where they are used."""
    how = ""
    if isinstance(backend, InfluxBackend):
        from graphios.backends.line_protocol import Layout

        found = [line.text for line in Layout(backend).lines(enumerate(points), doubled=False)]
    elif isinstance(backend, PrometheusBackend):
        from graphios.backends.remote_write import sample

        found = [_sample(sample(0, point, backend.metric)) for point in points]
    elif isinstance(backend, StatsdBackend):
        from graphios.backends.statsd import gauge

        found = [part for line in wire for part in gauge(f"{line}\n").decode().splitlines()]
    else:
        found = wire
        if isinstance(backend, CarbonBackend) and backend.protocol == "pickle":
            how = " (as a pickle of the same)"
    return [f"to {backend.name}{how}:", *(f"  {printable(line.rstrip(chr(10)), 4000)}" for line in found)]


def _sample(sample: Sample) -> str:
    name = next(value for key, value in sample.series if key == "__name__")
    labels = ", ".join(f'{key}="{value}"' for key, value in sample.series if key != "__name__")
    return f"{name}{{{labels}}} {sample.value:.17g} {sample.milliseconds}"


def _plain(reject: Reject) -> str:
    reason = escaped(reject.reason.encode("utf-8", "surrogateescape"))
    text = escaped(reject.raw[:200])
    return f"{reason}: {text}" + ("..." if len(reject.raw) > 200 else "")
