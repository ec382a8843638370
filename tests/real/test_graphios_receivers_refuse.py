"""What InfluxDB and Prometheus will never take is named, and everything else is stored; what is not the points' fault holds them up."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphios.backends.base import DeliveryError
from graphios.backends.influxdb import Influx
from graphios.configuration import settings
from graphios.points import Point
from tests.real.receivers import (
    NOW,
    QUICK,
    Counted,
    in_series,
    influx_backend,
    never,
    points,
    refused,
    remote_write,
    rows,
    values,
)
from tests.stack.influxdb import ADMIN, InfluxDb
from tests.stack.nrpe import make_certificates
from tests.stack.prometheus import Prometheus
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.receiver_fixtures",)


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


def test_prometheus_stores_late_samples_within_its_window(receivers_root: Path, stack_user: str | None) -> None:
    daemon = Prometheus(receivers_root, stack_user, window="30m", name="prometheus-window")
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
