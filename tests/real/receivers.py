"""What a test needs to send to the receivers of graphios other than carbon, and to read it back in one form."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphios.backends.base import Refused
from graphios.backends.influxdb import Influx
from graphios.backends.prometheus import Prometheus as RemoteWrite
from graphios.configuration import settings
from graphios.convert import Converter
from graphios.points import Point
from tests.stack.influxdb import InfluxDb
from tests.stack.prometheus import Prometheus
from tests.stack.victoriametrics import VictoriaMetrics
from tests.unit.graphios.spool_lines import host_line, service_line

QUICK = settings.Delivery(timeouts=settings.Timeouts(connect=5, send=20, acknowledge=20))
NOW = int(time.time())

PERFDATA = (
    r"'C:\ Used Space'=12.5GB;80;90;0;100 'it''s a=b, c'=-3.25ms rta=0.000123s;0.1;0.5 größe=4 'x\,y'=7;@10:20;~:30 "
    r"if_in=18446744073709551615c drift=-0.5 /var/lib=55%;80:;90 'D:\temp'=3 '\\server\share'=1 nothing=0"
)
"""Labels, units, signs, 64-bit counters and thresholds as plugins write them."""

Key = tuple[str, str, str, str, str, int]


def points(text: str, thresholds: tuple[str, ...] = ("warn", "crit", "min", "max")) -> list[Point]:
    """What graphios makes of spool lines."""
    converter = Converter(settings.Names(thresholds=thresholds), "points")
    found: list[Point] = []
    for line in text.encode().splitlines(keepends=True):
        for items, rejects in converter.convert(line, time.time()):
            assert not rejects
            found += [item for item in items if isinstance(item, Point)]
    return found


def mixed(host: str, moment: int = NOW) -> list[Point]:
    """PERFDATA of a service and of a host, both with names beyond ASCII."""
    found = points(
        service_line(PERFDATA, host=host, service="Größe µ, all=1", timet=moment)
        + host_line("rta=1.5ms;3000;5000;0 pl=0%;80;100", host=host, timet=moment)
    )
    assert len(found) > 20
    return found


def values(found: list[Point]) -> dict[Key, float]:
    """Every value by what it belongs to."""
    keys = {(one.host, one.service or "", one.label, one.unit, one.field, one.timestamp): one for one in found}
    assert len(keys) == len(found)
    return {key: float(one.value) for key, one in keys.items()}


def in_influxdb(rows: list[dict[str, Any]]) -> dict[Key, float]:
    """The same of `SELECT *` from InfluxDB."""
    tags = ("host", "service", "label", "unit")
    return {
        (*(row.get(tag) or "" for tag in tags), field, row["time"]): float(value)  # type: ignore[misc]
        for row in rows
        for field, value in row.items()
        if field not in (*tags, "time") and value is not None
    }


def in_series(series: list[tuple[dict[str, str], dict[int, float]]], metric: str) -> dict[Key, float]:
    """The same of labels and values as Prometheus and VictoriaMetrics give them."""
    found = {}
    for labels, points_of in series:
        field = labels["__name__"].removeprefix(metric).lstrip("_") or "value"
        where = [labels.get(name, "") for name in ("host", "service", "label", "unit")]
        for moment, value in points_of.items():
            found[where[0], where[1], where[2], where[3], field, moment] = value
    return found


def never() -> bool:
    return False


def influx_backend(daemon: InfluxDb, **options: Any) -> Influx:
    options = {"database": "nagios", "delivery": QUICK, **options}
    return Influx(settings.InfluxBackend("influxdb", daemon.url, **options), never)


def v2_backend(daemon: VictoriaMetrics) -> Influx:
    return Influx(
        settings.InfluxBackend(
            "influxdb", daemon.url, version=2, organisation="lab", bucket="nagios", token="t", delivery=QUICK
        ),
        never,
    )


def remote_write(daemon: Prometheus) -> RemoteWrite:
    return RemoteWrite(settings.PrometheusBackend("prometheus", daemon.write_url, delivery=QUICK), never)


def refused(backend: Influx | RemoteWrite, batch: list[Point]) -> dict[int, str]:
    """Delivers the batch: positions and reasons of what was refused."""
    with pytest.raises(Refused) as caught:
        backend.deliver(batch)
    return dict(caught.value.items)


class Counted:
    """A backend whose requests are counted."""

    def __init__(self, backend: RemoteWrite, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests = 0
        post = backend._http.post

        def counting(*words: Any, **options: Any) -> Any:
            self.requests += 1
            return post(*words, **options)

        monkeypatch.setattr(backend._http, "post", counting)


def rows(host: str, ages: list[int], services: int = 40, value: float = 1.5) -> list[Point]:
    """A value of each service for each age in seconds."""
    return points(
        "".join(
            service_line(f"m={value}", host=host, service=f"s{i}", timet=NOW - age)
            for age in ages
            for i in range(services)
        )
    )
