"""From the spool to two receivers at once, one of them dead: the other gets every point once, the dead one all when it is back."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.real.receivers import NOW, Key, in_influxdb, in_series, points, values
from tests.real.shipping_site import Site
from tests.stack.influxdb import ADMIN, InfluxDb
from tests.stack.prometheus import Prometheus
from tests.stack.statsd import Statsd
from tests.stack.victoriametrics import VictoriaMetrics
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.receiver_fixtures",)

FILES, LINES = 20, 50
DELIVERY = {"connect_timeout": 2, "send_timeout": 5, "ack_timeout": 5, "longest_pause": 0.3, "batch_bytes": 20_000}


class Receiver(NamedTuple):
    """A receiver as graphios is configured for it; `taken`: how many points it has ever taken, with every copy; `read`: what it shows of a host."""

    section: str
    options: Mapping[str, object]
    daemon: InfluxDb | VictoriaMetrics | Prometheus | Statsd
    taken: Callable[[], int]
    read: Callable[[str], dict[Key, float]]


def metric(url: str, pattern: str) -> int:
    """The sum of a daemon's own counters."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return sum(int(float(number)) for number in re.findall(pattern, text))


@pytest.fixture
def receivers(
    influxdb: InfluxDb,
    secure_influxdb: InfluxDb,
    victoriametrics: VictoriaMetrics,
    prometheus: Prometheus,
    statsd: Statsd,
    tmp_path: Path,
) -> dict[str, Receiver]:
    """All of them, by name."""
    (tmp_path / "password").write_text(ADMIN[1] + "\n", encoding="ascii")
    (tmp_path / "token").write_text("throwaway\n", encoding="ascii")
    for secret in ("password", "token"):
        (tmp_path / secret).chmod(0o600)
    select = "SELECT * FROM perfdata WHERE host = '{}'"
    login = {"username": ADMIN[0], "password_file": tmp_path / "password", "tls_ca": secure_influxdb.ca}
    bucket = {"version": 2, "organisation": "lab", "bucket": "nagios", "token_file": tmp_path / "token"}
    return {
        "influxdb": Receiver(
            "influxdb",
            {"url": influxdb.url, "database": "nagios"},
            influxdb,
            lambda: metric(f"{influxdb.url}/debug/vars", r'"pointsWrittenOK":(\d+)'),
            lambda host: in_influxdb(influxdb.query(select.format(host))),
        ),
        "influxdb over https": Receiver(
            "influxdb:secure",
            {"url": secure_influxdb.url, "database": "nagios", **login},
            secure_influxdb,
            lambda: 0,
            lambda host: in_influxdb(secure_influxdb.query(select.format(host))),
        ),
        "victoriametrics": Receiver(
            "influxdb:two",
            {"url": victoriametrics.url, **bucket},
            victoriametrics,
            lambda: metric(f"{victoriametrics.url}/metrics", r'vm_rows_inserted_total{type="influx"} (\d+)'),
            lambda host: in_series(victoriametrics.series(f'{{__name__=~"perfdata.*",host="{host}"}}'), "perfdata"),
        ),
        "prometheus": Receiver(
            "prometheus",
            {"url": prometheus.write_url},
            prometheus,
            lambda: metric(f"{prometheus.url}/metrics", r"(?m)^prometheus_tsdb_head_samples_appended_total\S* (\d\S*)"),
            lambda host: in_series(
                prometheus.series(f'{{__name__=~"nagios_perfdata.*",host="{host}"}}', NOW - 600, NOW),
                "nagios_perfdata",
            ),
        ),
        "statsd": Receiver(
            "statsd",
            {"port": statsd.port, "protocol": "tcp"},
            statsd,
            lambda: 0,
            lambda host: {},
        ),
    }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without a carbon."""
    running = Site(tmp_path, 1, {"carbon": {}})
    yield running
    if running.process and running.process.poll() is None:
        running.process.kill()
        running.process.wait(30)


def spooled(site: Site, host: str) -> dict[Key, float]:
    """FILES files of LINES lines with three values each, and every value of them."""
    expected: dict[Key, float] = {}
    for number in range(FILES):
        text = "".join(
            service_line(
                f"rta={number}.{line}ms 'pl %'=-{line}% n={number * line}c", host, f"s{line}", NOW - 100 + number
            )
            for line in range(LINES)
        )
        site.write(f"service-perfdata.{number:03}", text, age=100 - number)
        expected |= values(points(text))
    assert len(expected) == FILES * LINES * 3
    return expected


PAIRS = [
    ("influxdb", "prometheus"),
    ("influxdb over https", "victoriametrics"),
    ("victoriametrics", "influxdb"),
    ("prometheus", "influxdb"),
    ("statsd", "victoriametrics"),
]


@pytest.mark.parametrize(("dead", "healthy"), PAIRS, ids=[f"{dead} is dead" for dead, _ in PAIRS])
def test_the_healthy_one_gets_each_point_once_and_the_dead_one_all_of_them_later(
    receivers: dict[str, Receiver], site: Site, dead: str, healthy: str
) -> None:
    down, up = receivers[dead], receivers[healthy]
    host = re.sub(r"\W", "-", f"dead-{dead}")
    site.configure({one.section: {**one.options, **DELIVERY} for one in (down, up)})
    expected = spooled(site, host)
    before = up.taken()
    down.daemon.stop()
    try:
        site.start()
        site.wait(lambda: up.taken() - before >= len(expected), f"{healthy} to have everything")
        site.wait(lambda: _backend(site, down.section)["retries"] >= 5, f"{dead} to be tried again and again")
        assert len(site.waiting()) == FILES
    finally:
        down.daemon.start()
    site.wait_until_empty()
    assert site.stop() == 0
    assert up.taken() - before == len(expected)
    assert up.read(host) == expected
    if isinstance(down.daemon, Statsd):
        newest = {key[1:3]: value for key, value in expected.items() if key[5] == NOW - 100 + FILES - 1}
        assert len([name for name in down.daemon.gauges() if name.startswith(f"{host}.")]) == len(newest)
    else:
        assert down.read(host) == expected


def test_victoriametrics_killed_after_it_acknowledged_gets_everything_again(
    receivers: dict[str, Receiver], site: Site
) -> None:
    """It writes to the disk only half a minute later what it acknowledged: graphios keeps its files for so long, and sends them again."""
    two = receivers["victoriametrics"]
    assert isinstance(two.daemon, VictoriaMetrics)
    site.configure({two.section: {**two.options, **DELIVERY}})
    expected = spooled(site, "forgotten")
    site.start()
    site.wait_until_empty()
    two.daemon.kill()
    two.daemon.stop()
    two.daemon.start()
    text = service_line("m=1", "forgotten", "later", NOW)
    site.write("service-perfdata.later", text)
    expected |= values(points(text))
    site.wait(lambda: two.read("forgotten") == expected, "everything to be there again")
    assert site.stop() == 0


def _backend(site: Site, name: str) -> dict[str, object]:
    return next(one for one in site.status().get("backends", []) if one["name"] == name)


def test_once_delivers_all_and_names_what_the_receiver_refuses(receivers: dict[str, Receiver], site: Site) -> None:
    """Exit code 1, and the reject file says which value and why."""
    prometheus = receivers["prometheus"]
    site.configure({prometheus.section: {**prometheus.options, **DELIVERY}})
    twice = service_line("m=1 other=2", "once", "s", NOW) + service_line("m=2", "once", "s", NOW)
    site.write("service-perfdata.1", twice)
    done = site.once()
    assert done.returncode == 1, done.stderr
    assert site.empty()
    assert {key[2]: value for key, value in prometheus.read("once").items()} == {"m": 1, "other": 2}
    rejects = (site.root / "rejects.log").read_text(encoding="utf-8")
    assert "another value (1) came first for this time" in rejects


def test_a_file_and_standard_output_get_every_line(site: Site, tmp_path: Path) -> None:
    site.sections["stdout"] = {}
    site.configure({"file": {"path": tmp_path / "out.txt"}})
    expected = spooled(site, "lines")
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(expected)
    assert sorted((tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()) == sorted(done.stdout.splitlines())
