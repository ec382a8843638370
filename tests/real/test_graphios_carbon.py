"""The carbon backend against the real carbon-cache and carbon-c-relay: every value is equal, and nothing is lost over kills, failover and
MAX_CREATES_PER_MINUTE.
"""

from __future__ import annotations

import math
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import whisper  # type: ignore[import-untyped]

from graphios.backends.base import DeliveryError
from graphios.backends.carbon import Carbon as Backend
from graphios.backends.drops import DroppedCreates
from graphios.configuration.settings import CarbonBackend, Delivery, Timeouts, Tls
from tests.real.shipping_site import Site
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.relay import Relay
from tests.unit.graphios import certificates
from tests.unit.graphios.spool_lines import service_line

PROTOCOLS = ("plaintext", "pickle")
VALUES = (
    "0",
    "-1",
    "1",
    "0.1",
    "0.2",
    "-0.3",
    "0.000000001",
    "0.0000012345678901234",
    "123456789.123456789",
    "9007199254740991",
    "9007199254740993",
    "18446744073709551615",
    "-9223372036854775808",
    "99999999999999999999999999",
    "3.141592653589793238462643",
)
Make = Callable[..., Backend]


@pytest.fixture(scope="module")
def own(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Carbon]:
    """A carbon that these tests stop and kill."""
    daemon = Carbon(make_stack_root("carbon-own"), stack_user, sparse=True)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def make_backend() -> Iterator[Make]:
    """make_backend(port..., **settings): a backend before carbons on these ports, closed with the test."""
    made: list[Backend] = []

    def make(*ports: int, **options: object) -> Backend:
        servers = tuple(("127.0.0.1", port) for port in ports)
        delivery = Delivery(timeouts=Timeouts(2, 5, 20))
        made.append(Backend(CarbonBackend("carbon", servers, **({"delivery": delivery} | options))))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def port(carbon: Carbon, protocol: str) -> int:
    return carbon.pickle_port if protocol == "pickle" else carbon.port


def stored(carbon: Carbon, name: str, since: int) -> dict[int, float]:
    """The points of a series that are in its file, from the second `since` on."""
    path = carbon.whisper / (name.replace(".", "/") + ".wsp")
    if not path.exists():
        return {}
    try:
        fetched = whisper.fetch(str(path), since - 1)
    except (whisper.CorruptWhisperFile, struct.error):  # it is just being made
        return {}
    (start, _, step), values = fetched
    return {start + number * step: value for number, value in enumerate(values) if value is not None}


Points = dict[str, dict[int, float]]


def missing(points: Points, *carbons: Carbon) -> int:
    """How many of the points none of the carbons has in its files. A wrong value is an error."""
    number = 0
    for name, expected in points.items():
        found: dict[int, float] = {}
        for carbon in carbons:
            found |= stored(carbon, name, min(expected))
        number += sum(second not in found for second in expected)
        assert {second: value for second, value in found.items() if expected.get(second) != value} == {}
    return number


def check_stored(points: Points, *carbons: Carbon, seconds: float = 60) -> None:
    wait_until(lambda: not missing(points, *carbons), seconds, f"{missing(points, *carbons)} points in carbon's files")


def lines_of(points: Points) -> list[str]:
    return [f"{name} {value!r} {second}\n" for name, series in points.items() for second, value in series.items()]


def many(prefix: str, series: int, seconds: int) -> Points:
    """Points of which every one has a value of its own."""
    last = int(time.time()) - 2
    return {
        f"{prefix}.s{number}": {last - second: number + second / 1000 for second in range(seconds)}
        for number in range(series)
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_value_arrives_as_it_was(own: Carbon, make_backend: Make, protocol: str) -> None:
    second = int(time.time()) - 5
    backend = make_backend(port(own, protocol), protocol=protocol)
    backend.deliver([f"exact.{protocol}.v{number} {text} {second}\n" for number, text in enumerate(VALUES)])
    expected = {f"exact.{protocol}.v{number}": {second: float(text)} for number, text in enumerate(VALUES)}
    check_stored(expected, own)
    assert not any(math.isnan(value) for series in expected.values() for value in series.values())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_batch_of_many_frames_arrives_whole(own: Carbon, make_backend: Make, protocol: str) -> None:
    points = many(f"frames.{protocol}.{'x' * 150}", 200, 50)
    backend = make_backend(port(own, protocol), protocol=protocol)
    backend.deliver(lines_of(points))
    check_stored(points, own)
    assert not backend.lost_memory()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_carbon_that_is_stopped_has_lost_nothing_and_one_that_is_killed_has(
    own: Carbon, make_backend: Make, protocol: str
) -> None:
    points = many(f"stopped.{protocol}", 20, 5)
    backend = make_backend(port(own, protocol), protocol=protocol, delivery=Delivery(timeouts=Timeouts(1, 1, 1)))
    patient = make_backend(port(own, protocol), protocol=protocol)
    backend.deliver(lines_of(points))
    # carbon can't use a file any more in whose making it was killed.
    check_stored(points, own)
    newer = {name: {second + 1: value + 0.5 for second, value in series.items()} for name, series in points.items()}
    points = {name: {max(series): series[max(series)]} | points[name] for name, series in newer.items()}
    assert own.daemon
    own.daemon.pause()
    try:
        for _ in range(2):
            with pytest.raises(DeliveryError, match="does not acknowledge it for 1 s"):
                backend.deliver(lines_of(points))
            assert not backend.lost_memory()
    finally:
        own.daemon.resume()
    patient.deliver(lines_of(points))
    assert not patient.lost_memory()
    assert not backend.lost_memory()
    own.kill()
    for one in (backend, patient):
        wait_until(one.lost_memory, 20, "the loss to be noticed")
        assert not one.lost_memory()
    own.start()
    backend.deliver(lines_of(points))
    assert not backend.lost_memory()
    check_stored(points, own)


def test_a_carbon_restarted_between_two_batches_has_lost_its_memory(own: Carbon, make_backend: Make) -> None:
    backend = make_backend(own.port)
    backend.deliver(lines_of(many("restarted", 1, 1)))
    own.kill()
    own.start()
    backend.deliver(lines_of(many("restarted", 1, 1)))
    assert backend.lost_memory()


@pytest.fixture
def pair(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[tuple[Carbon, Carbon]]:
    """Two carbons of the test's own."""
    carbons = [Carbon(make_stack_root(f"carbon-{name}"), stack_user, sparse=True) for name in "ab"]
    for carbon in carbons:
        carbon.start()
    yield carbons[0], carbons[1]
    for carbon in carbons:
        carbon.stop()


def test_two_carbons_that_die_in_turn_lose_nothing(pair: tuple[Carbon, Carbon], tmp_path: Path) -> None:
    first, second = pair
    site = Site(tmp_path, 0, {"carbon": {"host": f"127.0.0.1:{first.port}, 127.0.0.1:{second.port}"}})
    del site.sections["carbon"]["port"]
    site.configure({})
    points: Points = {}
    moment = int(time.time()) - 300

    def spool(number: int) -> None:
        rows = []
        for service in range(100):
            value = float(number * 1000 + service)
            points.setdefault(f"pair.s{service}.m", {})[moment + number] = value
            rows.append(service_line(f"m={value}", host="pair", service=f"s{service}", timet=moment + number))
        site.write(f"service-perfdata.{number}", "".join(rows))
        site.wait_until_empty()

    site.start()
    try:
        spool(1)
        assert site.wait(lambda: site.backend().get("acknowledged"), "the figures") == 100
        first.kill()  # with what it had in memory
        spool(2)
        check_stored(points, first, second)
        first.start()
        spool(3)
        second.kill()
        spool(4)
        check_stored(points, first, second)
        second.start()
        spool(5)
        check_stored(points, first, second)
        assert missing({name: {moment + 5: series[moment + 5]} for name, series in points.items()}, first) == 0
    finally:
        site.stop(signal.SIGTERM)
    assert len(points) == 100


LIMIT = 600
"""New series a minute; carbon's bucket begins with as many."""


def drops_of(carbon: Carbon, since: int) -> list[float]:
    """What it reported to have dropped, second by second."""
    (path,) = (carbon.whisper / "carbon" / "agents").glob("*/droppedCreates.wsp")
    return list(stored(carbon, ".".join(path.relative_to(carbon.whisper).with_suffix("").parts), since).values())


@pytest.fixture(scope="module")
def stingy(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Carbon]:
    """A carbon that creates LIMIT series a minute, and has none left for now; it reports on itself every second."""
    daemon = Carbon(
        make_stack_root("carbon-stingy"), stack_user, creates_per_minute=str(LIMIT), sparse=True, metric_interval=1
    )
    daemon.start()
    own_drops = Path("carbon", "agents")
    wait_until(
        lambda: list((daemon.whisper / own_drops).glob("*/droppedCreates.wsp")), 30, "carbon's reports on itself"
    )
    flood = many("flood", LIMIT, 1)
    backend = Backend(CarbonBackend("carbon", (("127.0.0.1", daemon.port),)))
    backend.deliver(lines_of(flood))
    backend.close()
    wait_until(lambda: missing(flood, daemon) < LIMIT / 10, 30, "the flood to be created")
    # Its reports come late: those from before the flood say nothing.
    flooded = int(time.time()) + 2
    wait_until(lambda: time.time() > flooded + 1, 5, "reports from after the flood")
    wait_until(lambda: drops_of(daemon, flooded)[-3:] == [0] * 3, 30, "the end of what it drops of the flood")
    yield daemon
    daemon.stop()


def test_with_pacing_no_new_series_is_dropped(stingy: Carbon, tmp_path: Path) -> None:
    # Its bucket is empty now: without pacing, nearly all of these are dropped, see the next test.
    began = int(time.time()) + 1
    wait_until(lambda: time.time() > began, 5, "the next second")
    site = Site(tmp_path, stingy.port, {"carbon": {"creates_per_minute": LIMIT}})
    points: Points = {}
    moment = int(time.time()) - 200
    for number in range(3):
        rows = []
        for service in range(150):
            value = float(number * 1000 + service)
            points.setdefault(f"paced.s{service}.m", {})[moment + number] = value
            rows.append(service_line(f"m={value}", host="paced", service=f"s{service}", timet=moment + number))
        site.write(f"service-perfdata.{number}", "".join(rows))
    site.start()
    try:
        site.wait(lambda: site.backend().get("parked_series", 0) > 50, "series to be parked")
        site.wait_until_empty()
        site.kill()  # what is parked is on disk
        site.start()
        check_stored(points, stingy, seconds=120)
    finally:
        site.stop()
    assert sum(drops_of(stingy, began)) == 0


def test_dropped_series_are_read_from_graphite_and_sent_again(
    stingy: Carbon,
    stack_user: str | None,
    caplog: pytest.LogCaptureFixture,
    make_backend: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web = GraphiteWeb(stingy.folder.parent, stingy, stack_user)
    web.start()
    monkeypatch.setattr("graphios.backends.drops.INTERVAL", 1.0)
    try:
        backend = make_backend(stingy.port, graphite_url=web.url)
        assert isinstance(backend._drops, DroppedCreates)
        wait_until(lambda: backend.report()["dropped_creates"] == 0, 30, "the first answer")
        points = many("unpaced", 2 * LIMIT, 1)
        backend.deliver(lines_of(points))
        wait_until(backend.lost_memory, 30, "the drops to be noticed")
        count = backend.report()["dropped_creates"]
        assert isinstance(count, int)
        assert count >= LIMIT / 2
        assert "carbon dropped" in caplog.text
        assert "creates_per_minute" in caplog.text
        assert missing(points, stingy) > 0
    finally:
        web.stop()


@pytest.fixture(scope="module")
def relay(
    own: Carbon,
    make_stack_root: Callable[[str], Path],
    stack_user: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Relay, Path]]:
    """carbon-c-relay before `own`, and the authority that signed its certificate."""
    made = certificates.make(tmp_path_factory.mktemp("certificates"))
    daemon = Relay(make_stack_root("relay"), own.port, stack_user, made.server)
    daemon.start()
    yield daemon, made.authority
    daemon.stop()


def test_a_relay_takes_and_acknowledges_as_carbon_does(
    own: Carbon, relay: tuple[Relay, Path], make_backend: Make
) -> None:
    points = many("relayed", 200, 20)
    backend = make_backend(relay[0].port)
    backend.deliver(lines_of(points))
    assert not backend.lost_memory()
    check_stored(points, own)
    relay[0].stop()
    wait_until(backend.lost_memory, 20, "the end of the relay to be noticed")
    relay[0].start()
    backend.deliver(lines_of(points))


def test_a_relay_behind_tls_takes_and_acknowledges_as_carbon_does(
    own: Carbon, relay: tuple[Relay, Path], make_backend: Make
) -> None:
    points = many("tls", 200, 20)
    backend = make_backend(relay[0].tls_port, tls=Tls(relay[1]))
    for _ in range(3):
        backend.deliver(lines_of(points))
        assert not backend.lost_memory()
    check_stored(points, own)
    with pytest.raises(DeliveryError, match="TLS: its certificate is not trusted"):
        make_backend(relay[0].tls_port, tls=Tls()).deliver(lines_of(points))
