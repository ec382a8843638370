"""New series go to carbon no faster than it creates them; every point arrives once its series may exist, in its order, whatever dies."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphios.backends.base import DeliveryError
from graphios.delivery.pacing import Bucket, Pacer, whisper_file
from tests.soak import count


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class CarbonModel:
    """Creates files as carbon's writer does: from a bucket of a minute's worth, and drops what it has no token for."""

    def __init__(self, per_minute: int, clock: Clock, tokens: float) -> None:
        self.per_minute, self.clock, self.tokens, self.filled = per_minute, clock, tokens, clock.now
        self.files: dict[str, list[str]] = {}
        self.dropped = 0

    def take(self, lines: Iterable[str]) -> None:
        self.tokens = min(self.per_minute, self.tokens + (self.clock.now - self.filled) * self.per_minute / 60)
        self.filled = self.clock.now
        by_series: dict[str, list[str]] = {}
        for text in lines:
            by_series.setdefault(text.split()[0], []).append(text)
        for name, series in by_series.items():
            if name not in self.files and self.tokens < 1:
                self.dropped += 1
                continue
            if name not in self.files:
                self.tokens -= 1
            self.files.setdefault(name, []).extend(series)


def line(name: str, second: int = 0, value: float = 1) -> str:
    return f"{name} {value} {1795253480 + second}\n"


class Site:
    """A pacer, its clock, and the carbon it feeds."""

    def __init__(self, folder: Path, per_minute: int = 60, tokens: float = 0) -> None:
        self.path = folder / "pacing.db"
        self.clock = Clock()
        self.per_minute = per_minute
        self.carbon = CarbonModel(per_minute, self.clock, tokens)
        self.pacer = self.fresh()

    def fresh(self) -> Pacer:
        return Pacer(self.path, self.per_minute, 900, clock=self.clock)

    def ship(self, lines: list[str]) -> None:
        """What a lane does with a batch."""
        admitted = self.pacer.admit(lines)
        self.pacer.commit()
        if admitted:
            self.carbon.take(admitted)
            self.pacer.delivered(admitted)

    def ship_due(self, limit: int = 10**6) -> list[str]:
        due = self.pacer.due(limit)
        if due:
            self.carbon.take(due)
            self.pacer.delivered(due)
        return due

    def until_nothing_waits(self, steps: int = 100_000) -> None:
        for _ in range(steps):
            self.ship_due()
            if self.pacer.waiting == (0, 0):
                return
            self.clock.now += 1
        raise AssertionError(f"{self.pacer.waiting} still wait")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("tokens", [0, 60], ids=["carbon-used-up-its-minute", "carbon-just-began"])
def test_nothing_is_dropped_and_everything_arrives(tmp_path: Path, tokens: float) -> None:
    site = Site(tmp_path, tokens=tokens)
    lines = [line(f"s{number % 200}", number // 200) for number in range(1000)]
    for start in range(0, 1000, 100):
        site.ship(lines[start : start + 100])
        site.clock.now += 0.5
    assert site.pacer.waiting[0] > 150
    site.until_nothing_waits()
    assert site.carbon.dropped == 0
    assert {name: site.carbon.files[name] for name in site.carbon.files} == {
        f"s{number}": [line(f"s{number}", second) for second in range(5)] for number in range(200)
    }


def test_it_takes_no_longer_than_carbon_needs(site: Site) -> None:
    site.ship([line(f"s{number}") for number in range(120)])
    began = site.clock.now
    site.until_nothing_waits()
    assert site.clock.now - began < 135


def test_series_that_exist_pass_while_others_wait(site: Site) -> None:
    site.clock.now += 60
    site.ship([line("old")])
    assert "old" in site.carbon.files
    site.ship([line(f"s{number}") for number in range(100)])
    assert site.pacer.admit([line("old", 1), line("another")]) == [line("old", 1)]


def test_a_series_that_waits_parks_its_later_points_too(site: Site) -> None:
    site.ship([line("a", 0)])
    site.clock.now += 2
    site.ship([line("a", 1), line("b", 0)])  # a token would be there now
    assert site.carbon.files == {}
    assert site.ship_due() == [line("a", 0), line("a", 1)]
    assert site.pacer.admit([line("a", 2)]) == [line("a", 2)]


def test_a_large_series_comes_in_parts_in_its_order(site: Site) -> None:
    points = [line("a", second) for second in range(1000)]
    site.ship(points)
    site.clock.now += 10
    parts = 0
    while site.ship_due(limit=2000):
        parts += 1
        site.ship([line("a", 1000 + parts)])
    assert parts > 5
    assert site.carbon.files["a"] == sorted(site.carbon.files["a"], key=lambda text: int(text.split()[2]))
    assert len(site.carbon.files["a"]) == 1000 + parts


def test_carbon_may_write_half_a_minute_late(tmp_path: Path) -> None:
    # It sorts its cache, and what it got in that time reaches its bucket at once.
    site = Site(tmp_path, per_minute=60, tokens=60)
    waiting: list[tuple[float, list[str]]] = []
    site.ship([line(f"s{number}") for number in range(400)])
    while site.pacer.waiting != (0, 0):
        if due := site.pacer.due(10**6):
            site.pacer.delivered(due)
            waiting.append((site.clock.now, due))
        if waiting and site.clock.now - waiting[0][0] > 30:
            site.carbon.take([text for _, lines in waiting for text in lines])
            waiting.clear()
        site.clock.now += 1
    assert site.carbon.dropped == 0


def test_an_idle_hour_saves_up_no_more_than_a_quarter_of_a_minute() -> None:
    clock = Clock()
    bucket = Bucket(60, clock)
    assert not bucket.take()
    clock.now += 3600
    assert [bucket.take() for _ in range(16)] == [True] * 15 + [False]


@pytest.mark.parametrize("per_minute", [1, 7, 50, 100_000])
def test_any_limit_lets_everything_through_and_drops_nothing(tmp_path: Path, per_minute: int) -> None:
    site = Site(tmp_path, per_minute)
    site.ship([line(f"s{number}") for number in range(30)])
    site.until_nothing_waits()
    assert site.carbon.dropped == 0
    assert len(site.carbon.files) == 30


def test_a_restart_knows_what_carbon_has_and_what_waits(site: Site) -> None:
    site.clock.now += 60
    site.ship([line("old")])
    site.ship([line(f"s{number}") for number in range(100)])
    waiting = site.pacer.waiting
    assert waiting[0] > 50
    site.pacer.close()
    site.pacer = site.fresh()
    assert site.pacer.admit([line("old", 1)]) == [line("old", 1)]
    assert site.pacer.waiting == waiting
    site.until_nothing_waits()
    assert site.carbon.dropped == 0
    assert len(site.carbon.files) == 101


def test_what_was_handed_out_and_not_acknowledged_is_handed_out_again(site: Site) -> None:
    site.ship([line("a", 0), line("a", 1)])
    site.clock.now += 10
    assert site.pacer.due(10**6) == [line("a", 0), line("a", 1)]
    site.pacer = site.fresh()  # killed before the acknowledgement
    site.clock.now += 10
    assert site.pacer.due(10**6) == [line("a", 0), line("a", 1)]
    # Neither does a failed delivery let newer points overtake.
    assert site.pacer.admit([line("a", 2)]) == []
    site.clock.now += 10
    assert site.ship_due() == [line("a", 0), line("a", 1), line("a", 2)]


def test_lines_parked_twice_wait_once_and_keep_the_later_order(site: Site) -> None:
    # A shipper that was killed before it noted its progress reads the same file again.
    for _ in range(2):
        site.ship([line("a", 0, 1), line("a", 0, 2)])
    assert site.pacer.waiting == (1, 2)
    site.clock.now += 10
    assert site.ship_due() == [line("a", 0, 1), line("a", 0, 2)]


def test_when_carbon_lost_its_memory_young_series_are_new_and_their_points_come_again(site: Site) -> None:
    site.clock.now += 60
    site.ship([line("old")])
    site.clock.now += 1000
    site.ship([line("young")])
    site.ship([line(f"filler{number}") for number in range(20)])  # takes what turns there are
    site.ship([line(f"s{number}", second) for number in range(20) for second in range(3)])
    site.until_nothing_waits()
    site.carbon.files = {"old": site.carbon.files["old"]}
    site.carbon.tokens = 0
    site.pacer.lost()
    assert site.pacer.waiting[0] >= 20
    assert site.pacer.admit([line("old", 1), line("young", 1)]) == [line("old", 1)]
    site.pacer.commit()
    site.until_nothing_waits()
    assert site.carbon.dropped == 0
    for number in range(20):
        assert site.carbon.files[f"s{number}"] == [line(f"s{number}", second) for second in range(3)]


def test_what_was_delivered_before_the_replay_window_does_not_come_again(site: Site) -> None:
    site.ship([line("a")])
    site.clock.now += 10
    assert site.ship_due()
    site.clock.now += 1000
    site.pacer.lost()
    assert site.ship_due() == []
    assert site.pacer.admit([line("a", 1)]) == [line("a", 1)]


def test_a_series_whose_file_is_there_needs_no_turn(tmp_path: Path) -> None:
    (tmp_path / "whisper" / "a" / "b").mkdir(parents=True)
    (tmp_path / "whisper" / "a" / "b" / "c.wsp").touch()
    clock = Clock()
    pacer = Pacer(tmp_path / "p.db", 60, 900, whisper_file(tmp_path / "whisper"), clock)
    assert pacer.admit([line("a.b.c"), line("a.b.d"), line("x" * 5000), line("a\0b")]) == [line("a.b.c")]


@pytest.mark.parametrize("trouble", ["a directory", "no database", "no permission"])
def test_a_file_that_cannot_be_used_is_named_and_takes_nothing(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "pacing.db"
    if trouble == "a directory":
        path.mkdir()
    elif trouble == "no database":
        path.write_text("not a database\n" * 1000, encoding="ascii")
    else:
        path = Path("/proc/pacing/pacing.db")
    pacer = Pacer(path, 60, 900, clock=Clock())
    for _ in range(2):
        with pytest.raises(DeliveryError, match=r"pacing\.db: new series can't be paced: "):
            pacer.admit([line("a")])


def test_a_full_disk_keeps_the_lines_until_there_is_room(tmp_path: Path) -> None:
    clock = Clock()
    pacer = Pacer(tmp_path / "p.db", 60, 900, clock=clock, max_bytes=300_000)
    lines = [line(f"series.{number}.{'x' * 100}") for number in range(3000)]
    assert pacer.admit(lines) == []
    with pytest.raises(DeliveryError, match=r"full; 0 series wait in it: raise MAX_CREATES_PER_MINUTE"):
        pacer.commit()
    # More room, the same lines.
    pacer._store._max_bytes = 10**8
    pacer.commit()
    assert pacer.waiting == (3000, 3000)


def test_a_kill_after_commit_loses_no_parked_line(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from graphios.delivery.pacing import Pacer\n"
        f"pacer = Pacer(Path({str(tmp_path / 'p.db')!r}), 60, 900)\n"
        "pacer.admit([f's{n} {n} 1795253480\\n' for n in range(5000)]); pacer.commit()\n"
        "pacer.admit([f't{n} {n} 1795253480\\n' for n in range(5000)]); print('parked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"parked\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    pacer = Pacer(tmp_path / "p.db", 60, 900, clock=Clock())
    assert pacer.due(10**6) == []
    assert pacer.waiting == (5000, 5000)


@pytest.mark.slow
@settings(max_examples=count(25, 1000))
@given(st.integers(0, 2**32))
def test_whatever_dies_nothing_is_dropped_lost_or_overtaken(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    site = Site(tmp_path_factory.mktemp("pacing"), per_minute=chance.choice([6, 60, 600]), tokens=chance.random() * 6)
    sent: dict[str, list[str]] = {}
    for second in range(chance.randint(1, 25)):
        names = [f"s{chance.randint(0, 40)}" for _ in range(chance.randint(1, 30))]
        batch = [line(name, second * 100 + number) for number, name in enumerate(names)]
        for text in batch:
            sent.setdefault(text.split()[0], []).append(text)
        if chance.random() < 0.2:
            # Killed somewhere in the batch: progress was not noted, the spool file is read again.
            admitted = site.pacer.admit(batch)
            if chance.random() < 0.5:
                site.pacer.commit()
            if chance.random() < 0.5:
                site.carbon.take(admitted)
            site.pacer = site.fresh()
        site.ship(batch)
        if chance.random() < 0.5:
            site.ship_due(chance.choice([1, 100, 10_000]))
        if chance.random() < 0.1:
            site.pacer.due(1000)
            site.pacer = site.fresh()
        site.clock.now += chance.choice([0, 0.1, 1, 30])
    site.until_nothing_waits()
    assert site.carbon.dropped == 0
    for name, lines in sent.items():
        seen = list(dict.fromkeys(reversed(site.carbon.files[name])))  # a copy may come later; the last one counts
        assert list(reversed(seen)) == lines


def test_the_file_is_an_ordinary_one_that_sqlite_reads(site: Site) -> None:
    site.ship([line("a")])
    with sqlite3.connect(site.path) as database:
        assert database.execute("SELECT line FROM parked").fetchall() == [(line("a"),)]
