"""A spool over its limits: the oldest go, counted and named; what a receiver may ask for again stays."""

import os
import time
from pathlib import Path

import pytest

from graphios.configuration.settings import Limits
from graphios.delivery import limits as limits_module
from graphios.delivery.limits import SteadyClock
from tests.unit.graphios.deliveries import Place, refused_connection, wait_for
from tests.unit.graphios.spool_lines import service_line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, monkeypatch)
    place.receiver().answer = lambda items: refused_connection()
    return place


def fill(place: Place, count: int) -> int:
    for number in range(count):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1") * 3, 1000 - 100 * number)
    return (place.spool / "service-perfdata.0").stat().st_size


@pytest.mark.parametrize("by", ["files", "bytes", "age"])
def test_the_oldest_go_first_and_are_counted(place: Place, by: str, caplog: pytest.LogCaptureFixture) -> None:
    size = fill(place, 6)
    limit = {"files": Limits(0, 4), "bytes": Limits(4 * size + 1, 0), "age": Limits(0, 0, 850)}[by]
    place.change(limits=limit)
    with place.running() as ship:
        wait_for(lambda: len(place.files()) == 4, "the limit")
        document = ship.reporter.document(running=True)
    assert place.files() == [f"service-perfdata.{number}" for number in (2, 3, 4, 5)]
    assert document["dropped"] == {"files": 2, "bytes": 2 * size, "lines": 6}
    assert "2 files with 6 lines" in caplog.text
    assert "service-perfdata.0 to " in caplog.text


def test_what_another_receiver_took_and_may_forget_goes_to_the_window(place: Place) -> None:
    place.change(backends=(place.backend("carbon"), place.backend("carbon:lab")))
    fill(place, 3)
    with place.running() as ship:
        wait_for(lambda: len(place.receiver("carbon:lab").names) == 9, "the good one to have it all")
        ship.limiter._limits = Limits(0, 1)
        wait_for(lambda: len(place.files()) == 1, "the limit")
        assert len(place.window()) == 2


def test_a_stepped_clock_makes_nothing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    changed = time.time_ns()
    now = time.time()
    monkeypatch.setattr(limits_module.time, "time", lambda: now + 1_000_000)
    assert clock.age(changed) < 1000
    monkeypatch.setattr(limits_module.time, "time", lambda: now - 1_000_000)
    assert clock.age(changed) < 1000
    assert SteadyClock().age(int((now - 1_000_000) * 1e9) - 10**12) == pytest.approx(1000, abs=100)


def test_nothing_is_dropped_below_the_limits(place: Place) -> None:
    fill(place, 3)
    os.utime(place.spool / "service-perfdata.0", (1, 1))
    with place.running() as ship:
        wait_for(lambda: len(place.receiver().attempts) > 3, "some work")
        assert ship.reporter.document(running=True)["dropped"] == {"files": 0, "bytes": 0, "lines": 0}
    assert len(place.files()) == 3
