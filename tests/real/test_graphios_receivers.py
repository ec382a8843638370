"""InfluxDB, VictoriaMetrics, Prometheus and statsd: what graphios's backends send reads back equal, also after the receiver was killed; what
they will never take is named; and a dead one neither stops nor doubles what another gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graphios.backends.base import DeliveryError, Refused
from graphios.backends.influxdb import Influx
from graphios.backends.prometheus import Prometheus as RemoteWrite
from graphios.backends.statsd import Statsd as StatsdBackend
from graphios.configuration import settings
from graphios.convert import Converter
from graphios.errors import Stopped
from graphios.points import Point
from tests.stack.influxdb import ADMIN, InfluxDb
from tests.stack.nrpe import make_certificates
from tests.stack.prometheus import Prometheus
from tests.stack.statsd import Statsd
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


@pytest.fixture(scope="module")
def root(make_stack_root: Callable[[str], Path]) -> Path:
    return make_stack_root("receivers")


@pytest.fixture(scope="module")
def influxdb(root: Path, stack_user: str | None) -> Iterator[InfluxDb]:
    daemon = InfluxDb(root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def secure_influxdb(root: Path, stack_user: str | None) -> Iterator[InfluxDb]:
    daemon = InfluxDb(root, stack_user, tls=True, auth=True, name="influxdb-tls")
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def victoriametrics(root: Path, stack_user: str | None) -> Iterator[VictoriaMetrics]:
    daemon = VictoriaMetrics(root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def prometheus(root: Path, stack_user: str | None) -> Iterator[Prometheus]:
    daemon = Prometheus(root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def statsd(root: Path, stack_user: str | None) -> Iterator[Statsd]:
    daemon = Statsd(root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


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


# What arrives


def test_every_value_reads_back_equal_from_influxdb(influxdb: InfluxDb) -> None:
    sent = mixed("zürich-01")
    influx_backend(influxdb).deliver(sent)
    found = in_influxdb(influxdb.query("SELECT * FROM perfdata WHERE host = 'zürich-01'"))
    assert found == values(sent)


def test_every_value_reads_back_equal_over_https_with_our_ca_and_a_login(secure_influxdb: InfluxDb) -> None:
    sent = mixed("zürich-02")
    tls = settings.Tls(ca=secure_influxdb.ca)
    influx_backend(secure_influxdb, tls=tls, username=ADMIN[0], password=ADMIN[1]).deliver(sent)
    found = in_influxdb(secure_influxdb.query("SELECT * FROM perfdata WHERE host = 'zürich-02'"))
    assert found == values(sent)


def test_every_value_reads_back_equal_from_victoriametrics(victoriametrics: VictoriaMetrics) -> None:
    sent = [*mixed("zürich-03"), *points(service_line(r"'C:\'=1 'E:\ '=2 'a\\b\\'=3", host="zürich-03", service="end"))]
    v2_backend(victoriametrics).deliver(sent)
    found = in_series(victoriametrics.series('{__name__=~"perfdata.*",host="zürich-03"}'), "perfdata")
    assert {key: pytest.approx(value, rel=1e-15) for key, value in values(sent).items()} == found


def test_every_value_reads_back_equal_from_prometheus(prometheus: Prometheus) -> None:
    sent = mixed("zürich-04")
    remote_write(prometheus).deliver(sent)
    found = prometheus.series('{__name__=~"nagios_perfdata.*",host="zürich-04"}', NOW, NOW)
    assert in_series(found, "nagios_perfdata") == values(sent)


def test_every_value_reads_back_equal_from_victoriametrics_over_remote_write(victoriametrics: VictoriaMetrics) -> None:
    sent = mixed("zürich-05")
    url = f"{victoriametrics.url}/api/v1/write"
    RemoteWrite(settings.PrometheusBackend("prometheus", url, delivery=QUICK), never).deliver(sent)
    found = in_series(victoriametrics.series('{__name__=~"nagios_perfdata.*",host="zürich-05"}'), "nagios_perfdata")
    assert {key: pytest.approx(value, rel=1e-15) for key, value in values(sent).items()} == found


def test_a_label_that_ends_in_a_backslash_is_followed_by_a_blank_in_influxdb(influxdb: InfluxDb) -> None:
    influx_backend(influxdb).deliver(points(service_line(r"'C:\'=1 'C:\ '=2 'C:/'=3", host="windows")))
    rows = influxdb.query("SELECT * FROM perfdata WHERE host = 'windows'")
    assert sorted((row["label"], row["value"]) for row in rows) == [("C:/", 3), ("C:\\ ", 1), ("C:\\  ", 2)]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_statsd_holds_every_value_as_a_gauge(statsd: Statsd, protocol: str) -> None:
    rows = [f"{protocol}.s{i}.m {i - 500}.25 {NOW}\n" for i in range(2000)]
    rows += [f"{protocol}.counter 18446744073709551615 {NOW}\n", f"{protocol}.tag;host=a 3 {NOW}\n"]
    backend = StatsdBackend(settings.StatsdBackend("statsd", "127.0.0.1", statsd.port, protocol, QUICK), never)
    backend.deliver(rows)
    backend.deliver(rows)  # a gauge is set, not changed
    expected = {row.split()[0]: float(row.split()[1]) for row in rows}
    deadline = time.monotonic() + 30
    while (found := {k: v for k, v in statsd.gauges().items() if k.startswith(protocol)}) != expected:
        assert time.monotonic() < deadline, {k: found.get(k) for k, v in expected.items() if found.get(k) != v}
        time.sleep(0.05)


# What is never taken


def test_influxdb_stores_everything_but_what_conflicts(influxdb: InfluxDb) -> None:
    """What another shipper wrote as an integer stays one: only the points of that field's shard are refused, each by name."""
    batch = points(
        "".join(service_line(f"m=1 n{i}=2", host=f"h{i}", service="conflict", timet=NOW - i) for i in range(60))
    )
    strange = points(service_line("m=1;5", host="h7", service="conflict", timet=NOW - 3))
    influxdb.query("CREATE DATABASE conflicts")
    backend = influx_backend(influxdb, database="conflicts", measurement="{host}")
    with_integer = settings.InfluxBackend("influxdb", influxdb.url, database="conflicts", delivery=QUICK)
    Influx(with_integer, never)._http.post(  # an integer, as other shippers write
        f"{influxdb.url}/write?db=conflicts&precision=s", f"h7 value=1i {NOW}\nh7,host=h7 warn=5i {NOW}\n".encode()
    )
    reasons = refused(backend, batch + strange)
    guilty = {i for i, one in enumerate(batch + strange) if one.host == "h7"}
    assert set(reasons) == guilty
    assert all("field type conflict" in reason for reason in reasons.values())
    for one in batch:
        count = len(influxdb.query(f"SELECT * FROM {one.host} WHERE label = '{one.label}'", "conflicts"))
        assert count == (one.host != "h7"), one


def test_influxdb_names_what_its_retention_policy_drops(influxdb: InfluxDb) -> None:
    influxdb.query("CREATE RETENTION POLICY short ON nagios DURATION 1h REPLICATION 1")
    batch = points(
        "".join(
            service_line("m=1", host="old", service=f"s{i}", timet=NOW - age)
            for i, age in enumerate([10, 90_000, 20, 95_000])
        )
    )
    reasons = refused(influx_backend(influxdb, retention_policy="short"), batch)
    assert set(reasons) == {1, 3}
    assert all("retention policy" in reason for reason in reasons.values())
    rows = influxdb.query("SELECT * FROM short.perfdata WHERE host = 'old'")
    assert {row["service"] for row in rows} == {"s0", "s2"}


def test_a_missing_database_or_a_wrong_login_holds_everything_up_and_says_why(
    influxdb: InfluxDb, secure_influxdb: InfluxDb
) -> None:
    batch = points(service_line("m=1", host="late"))
    backend = influx_backend(influxdb, database="later")
    with pytest.raises(DeliveryError, match=r"404: .*database not found"):
        backend.deliver(batch)
    influxdb.query("CREATE DATABASE later")
    backend.deliver(batch)
    assert len(influxdb.query("SELECT * FROM perfdata", "later")) == 1
    no_database = Influx(settings.InfluxBackend("influxdb", influxdb.url, delivery=QUICK), never)
    with pytest.raises(DeliveryError, match=r"400: .*database is required"):
        no_database.deliver(batch)  # not the points' fault, although the status says so
    tls = settings.Tls(ca=secure_influxdb.ca)
    with pytest.raises(DeliveryError, match="401") as caught:
        influx_backend(secure_influxdb, tls=tls, username="admin", password="sesame-open").deliver(batch)
    assert "sesame" not in str(caught.value)


def test_a_certificate_of_another_authority_is_not_trusted(secure_influxdb: InfluxDb, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    batch = points(service_line("m=1", host="wrong-ca"))
    login = {"username": ADMIN[0], "password": ADMIN[1]}
    for tls in (settings.Tls(ca=tmp_path / "ca.pem"), settings.Tls()):
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            influx_backend(secure_influxdb, tls=tls, **login).deliver(batch)
    assert not secure_influxdb.query("SELECT * FROM perfdata WHERE host = 'wrong-ca'")
    influx_backend(secure_influxdb, tls=settings.Tls(verify=False), **login).deliver(batch)
    assert len(secure_influxdb.query("SELECT * FROM perfdata WHERE host = 'wrong-ca'")) == 1


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


def test_prometheus_takes_a_batch_that_is_sent_again_with_news(
    prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """graphios may be killed before it knows that a batch was taken: then most of what it sends is out of order for Prometheus."""
    backend = remote_write(prometheus)
    first = rows("again", [300, 240, 180, 120])
    backend.deliver(first)
    counted = Counted(backend, monkeypatch)
    backend.deliver(first)
    backend.deliver(first[40:] + rows("again", [60, 0]))
    assert counted.requests <= 12
    found = in_series(prometheus.series('nagios_perfdata{host="again"}', NOW - 300, NOW), "nagios_perfdata")
    assert found == values(rows("again", [300, 240, 180, 120, 60, 0]))


def test_prometheus_refuses_what_is_late_and_stores_the_rest(
    prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = remote_write(prometheus)
    backend.deliver(rows("late", [100], services=20))
    late, other = rows("late", [200], services=10), rows("late", [100], services=5, value=7)
    good = rows("late", [50, 40, 30])
    counted = Counted(backend, monkeypatch)
    reasons = refused(backend, [*good[:60], *late, *good[60:], *other])
    assert set(reasons) == {*range(60, 70), *range(130, 135)}
    assert {reasons[60], reasons[130]} == {
        "out of order sample: newer ones are stored already",
        "another value (1.5) is stored for this time",
    }
    assert counted.requests <= 12
    found = in_series(prometheus.series('nagios_perfdata{host="late"}', NOW - 300, NOW), "nagios_perfdata")
    assert found == values(rows("late", [100], services=20) + good)


def test_prometheus_refuses_what_is_out_of_bounds_and_stores_the_rest(
    prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog of hours, after Prometheus has had newer samples from elsewhere."""
    backend = remote_write(prometheus)
    backend.deliver(rows("elsewhere", [0], services=1))
    hours = [6 * 3600 - 60 * i for i in range(20)]
    batch = rows("bounds", [*hours, 1500, 1200, 900])
    counted = Counted(backend, monkeypatch)
    reasons = refused(backend, batch)
    assert set(reasons) == set(range(20 * 40))
    assert all("out of bounds" in reason for reason in reasons.values())
    assert counted.requests <= 40
    found = in_series(prometheus.series('nagios_perfdata{host="bounds"}', NOW - 7 * 3600, NOW), "nagios_perfdata")
    assert found == values(rows("bounds", [1500, 1200, 900]))


def test_prometheus_stores_late_samples_within_its_window(root: Path, stack_user: str | None) -> None:
    daemon = Prometheus(root, stack_user, window="30m", name="prometheus-window")
    daemon.start()
    try:
        backend = remote_write(daemon)
        backend.deliver(rows("window", [0]))
        batch = rows("window", [7 * 3600, 1500, 600])
        reasons = refused(backend, batch)
        assert set(reasons) == set(range(40))
        assert all("too old sample" in reason for reason in reasons.values())
        found = daemon.series('nagios_perfdata{host="window"}', NOW - 8 * 3600, NOW)
        assert in_series(found, "nagios_perfdata") == values(rows("window", [1500, 600, 0]))
    finally:
        daemon.stop()


def test_prometheus_is_spared_what_would_make_it_drop_without_a_word(prometheus: Prometheus) -> None:
    """Two values for one second, an earlier one after a later one, and a clock that is ahead."""
    ahead = Point("x", "3", NOW + 5000, "clock", "s", "m", "value", "")
    batch = [*rows("clock", [10, 20], services=3), *rows("clock", [20], services=1, value=9), ahead]
    reasons = refused(remote_write(prometheus), batch)
    assert set(reasons) == {6, 7}
    assert "another value (1.5) came first" in reasons[6]
    assert "in the future" in reasons[7]
    found = in_series(prometheus.series('nagios_perfdata{host="clock"}', NOW - 60, NOW), "nagios_perfdata")
    assert found == values(batch[:6])


# Receivers that go away


def test_influxdb_and_prometheus_killed_after_they_acknowledged_lose_nothing(
    influxdb: InfluxDb, prometheus: Prometheus
) -> None:
    expected = values(rows("killed", [200, 150, 100, 50]))
    influx, remote = influx_backend(influxdb), remote_write(prometheus)
    for age in (200, 150, 100, 50):
        for daemon, backend in ((influxdb, influx), (prometheus, remote)):
            batch = rows("killed", [age])
            backend.deliver(batch)
            daemon.kill()
            with pytest.raises(DeliveryError, match=r"(?i)refused|without an answer|reset"):
                backend.deliver(batch)
            daemon.stop()
            daemon.start()
            backend.deliver(batch)
    assert in_influxdb(influxdb.query("SELECT * FROM perfdata WHERE host = 'killed'")) == expected
    found = prometheus.series('nagios_perfdata{host="killed"}', NOW - 300, NOW)
    assert in_series(found, "nagios_perfdata") == expected


def test_a_receiver_that_is_stopped_is_given_up_in_time_and_gets_everything_later(
    influxdb: InfluxDb, prometheus: Prometheus
) -> None:
    short = settings.Delivery(timeouts=settings.Timeouts(connect=0.5, send=0.5, acknowledge=0.5))
    influx = influx_backend(influxdb, delivery=short)
    remote = RemoteWrite(settings.PrometheusBackend("prometheus", prometheus.write_url, delivery=short), never)
    for daemon, backend in ((influxdb, influx), (prometheus, remote)):
        assert daemon.daemon
        batch = rows("stopped", [30])
        daemon.daemon.pause()
        with pytest.raises(DeliveryError, match=r"within|did not answer"):
            backend.deliver(batch)
        daemon.daemon.resume()
    slow = [influx_backend(influxdb), remote_write(prometheus)]
    for backend in slow:
        backend.deliver(rows("stopped", [30, 20]))
    expected = values(rows("stopped", [30, 20]))
    assert in_influxdb(influxdb.query("SELECT * FROM perfdata WHERE host = 'stopped'")) == expected
    found = prometheus.series('nagios_perfdata{host="stopped"}', NOW - 300, NOW)
    assert in_series(found, "nagios_perfdata") == expected


def test_the_end_of_the_process_is_heeded_while_a_receiver_hangs(influxdb: InfluxDb) -> None:
    ending: list[bool] = []
    backend = Influx(settings.InfluxBackend("influxdb", influxdb.url, database="nagios"), lambda: bool(ending))
    assert influxdb.daemon
    influxdb.daemon.pause()
    try:
        ending.append(True)
        with pytest.raises(Stopped):
            backend.deliver(rows("ending", [10]))
    finally:
        influxdb.daemon.resume()


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_dead_statsd_is_noticed(statsd: Statsd, protocol: str) -> None:
    backend = StatsdBackend(settings.StatsdBackend("statsd", "127.0.0.1", statsd.port, protocol, QUICK), never)
    statsd.kill()
    with pytest.raises(DeliveryError, match="refused"):
        backend.deliver([f"dead.{protocol} 1 {NOW}\n"])
    statsd.stop()
    statsd.start()
    backend.deliver([f"dead.{protocol} 2 {NOW}\n"])
    deadline = time.monotonic() + 20
    while statsd.gauges().get(f"dead.{protocol}") != 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
