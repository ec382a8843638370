"""What graphios's backends send to InfluxDB, VictoriaMetrics, Prometheus and statsd reads back equal, also after the receiver was killed."""

from __future__ import annotations

import time

import pytest

from graphios.backends.base import DeliveryError
from graphios.backends.influxdb import Influx
from graphios.backends.prometheus import Prometheus as RemoteWrite
from graphios.backends.statsd import Statsd as StatsdBackend
from graphios.configuration import settings
from graphios.errors import Stopped
from tests.real.receivers import (
    NOW,
    QUICK,
    in_influxdb,
    in_series,
    influx_backend,
    mixed,
    never,
    points,
    remote_write,
    rows,
    v2_backend,
    values,
)
from tests.stack.influxdb import ADMIN, InfluxDb
from tests.stack.prometheus import Prometheus
from tests.stack.statsd import Statsd
from tests.stack.victoriametrics import VictoriaMetrics
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.receiver_fixtures",)


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
