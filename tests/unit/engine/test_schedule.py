"""When checks are due: spread, at their rate, never over themselves, seldom while they fail. No clock is read: every test says what time it is."""

from __future__ import annotations

import heapq
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.commands.commands import Command
from checks.engine.commands.schedule import Schedule


def commands(**intervals: float | None) -> dict[str, Command]:
    return {name: Command(name, "x", interval, Path("a.cfg"), 1) for name, interval in intervals.items()}


def starts(schedule: Schedule, until: float, now: float = 0.0, runs: float = 0.0) -> list[tuple[float, str]]:
    """What starts when, if each run takes `runs` seconds."""
    found: list[tuple[float, str]] = []
    ends: list[tuple[float, str]] = []
    while (at := min(schedule.next_at() or until, ends[0][0] if ends else until)) < until:
        now = max(at, now)
        while ends and ends[0][0] <= now:
            schedule.ended(heapq.heappop(ends)[1], now, completed=True)
        for name in schedule.due(now):
            schedule.started(name, now)
            found.append((now, name))
            heapq.heappush(ends, (now + runs, name))
    return found


def fail(schedule: Schedule, name: str, times: int) -> float:
    """Let it fail as often, each run when it is due; return the last start."""
    now = 0.0
    for _ in range(times):
        now = schedule.next_at() or 0.0
        assert schedule.due(now) == [name]
        schedule.ended(name, now + 1, completed=False)
    return now


def test_first_runs_are_spread_over_the_interval_but_a_minute_at_most() -> None:
    schedule = Schedule()
    schedule.update(
        commands(**{f"often{n}": 10 for n in range(200)}, **{f"seldom{n}": 86400 for n in range(200)}), 1000
    )
    first = {name: at - 1000 for at, name in starts(schedule, 1059.999, runs=1e6)}
    assert len(first) == 400
    for kind, width in (("often", 10), ("seldom", 60)):
        times = [at for name, at in first.items() if name.startswith(kind)]
        assert 0 <= min(times) < width / 10
        assert width * 0.9 < max(times) < width
        for third in range(3):
            assert 30 < sum(width * third / 3 <= at < width * (third + 1) / 3 for at in times) < 110


def test_a_check_begins_at_the_same_place_after_every_start() -> None:
    both = Schedule(), Schedule()
    for schedule in both:
        schedule.update(commands(check_disk=60), 5)
    assert both[0].next_at() == both[1].next_at()


def test_a_check_keeps_its_rate_whenever_it_is_started() -> None:
    schedule = Schedule()
    schedule.update(commands(x=60), 0)
    first = schedule.next_at() or 0
    for run in range(5):
        at = first + 60 * run
        assert schedule.next_at() == at
        assert schedule.due(at - 0.001) == []
        assert schedule.due(at + 13) == ["x"]
        schedule.ended("x", at + 20, completed=True)
    assert schedule.late == 0


def test_a_check_never_overlaps_itself_and_what_it_missed_is_counted_and_left_out() -> None:
    schedule = Schedule()
    schedule.update(commands(x=60), 0)
    first = schedule.next_at() or 0
    assert schedule.due(first) == ["x"]
    assert [schedule.due(first + 60 * run) for run in (1, 2, 3)] == [[], [], []]
    assert schedule.late == 3
    schedule.ended("x", first + 200, completed=True)
    assert schedule.due(first + 239) == []
    assert schedule.due(first + 240) == ["x"]
    assert schedule.late == 3


def test_nobody_asked_for_a_day() -> None:
    schedule = Schedule()
    schedule.update(commands(x=60, y=3600), 0)
    asked = 86400.0
    assert sorted(schedule.due(asked)) == ["x", "y"]
    assert 1439 + 23 <= schedule.late <= 1440 + 24
    assert asked < (schedule.next_at() or 0) <= asked + 60


def test_the_longest_due_comes_first_and_then_who_came_first() -> None:
    schedule = Schedule()
    schedule.update(commands(**{f"c{n}": 60 for n in range(50)}), 0)
    order = [name for _, name in starts(schedule, 60)]
    assert len(order) == 50
    assert schedule.due(120) == order


def test_without_an_interval_nothing_is_due() -> None:
    schedule = Schedule()
    schedule.update(commands(x=None), 0)
    assert schedule.next_at() is None
    assert schedule.due(1e9) == []


def test_what_is_gone_is_not_due_and_what_stays_keeps_its_time() -> None:
    schedule = Schedule()
    schedule.update(commands(x=60, y=60), 0)
    schedule.due(60)
    for name in ("x", "y"):
        schedule.ended(name, 61, completed=True)
    before = schedule.next_at()
    schedule.update(commands(x=60, y=60), 62)
    assert schedule.next_at() == before
    schedule.update(commands(y=60), 62)
    assert {name for _, name in starts(schedule, 300)} == {"y"}
    schedule.ended("x", 300, completed=False)


def test_who_is_removed_and_comes_back_while_it_runs_does_not_overlap() -> None:
    schedule = Schedule()
    schedule.update(commands(x=10), 0)
    assert schedule.due(10) == ["x"]
    schedule.update({}, 11)
    schedule.update(commands(x=10), 12)
    assert schedule.due(30) == []
    schedule.ended("x", 31, completed=True)
    assert schedule.due(45) == ["x"]


@pytest.mark.parametrize(("interval", "at"), [(300.0, 300), (10.0, 10), (1.0, 1.5)])
def test_a_changed_interval_counts_from_the_last_run(interval: float, at: float) -> None:
    schedule = Schedule()
    schedule.update(commands(x=60), 0)
    first = schedule.next_at() or 0
    schedule.due(first)
    schedule.ended("x", first + 1, completed=True)
    schedule.update(commands(x=interval), first + 1.5)
    assert schedule.next_at() == pytest.approx(first + at)


@pytest.mark.parametrize(
    ("failures", "step"), [(1, 60), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960), (7, 960), (99, 960)]
)
def test_who_keeps_failing_runs_less_often(failures: int, step: float) -> None:
    schedule = Schedule()
    schedule.update(commands(x=60), 0)
    last = fail(schedule, "x", failures)
    assert schedule.next_at() == pytest.approx(last + step)
    assert schedule.failing() == ({"x": step} if failures >= 3 else {})


@pytest.mark.parametrize(("interval", "step"), [(1800, 3600), (3600, 3600), (86400, 86400), (600, 3600)])
def test_but_once_an_hour_where_its_interval_is_shorter(interval: float, step: float) -> None:
    schedule = Schedule()
    schedule.update(commands(x=interval), 0)
    last = fail(schedule, "x", 20)
    assert schedule.next_at() == pytest.approx(last + step)


def test_the_first_run_that_ends_by_itself_brings_back_its_rate() -> None:
    schedule = Schedule()
    schedule.update(commands(x=60), 0)
    last = fail(schedule, "x", 10)
    assert schedule.due(last + 960) == ["x"]
    schedule.ended("x", last + 961, completed=True)
    assert schedule.next_at() == pytest.approx(last + 1020)
    assert schedule.failing() == {}
    assert schedule.due(last + 1020) == ["x"]
    schedule.ended("x", last + 1021, completed=False)
    assert schedule.next_at() == pytest.approx(last + 1080)


def test_a_failure_that_took_long_does_not_start_again_at_once() -> None:
    schedule = Schedule()
    schedule.update(commands(x=10), 0)
    first = schedule.next_at() or 0
    for run in range(2):
        schedule.due(first + 10 * run)
        schedule.ended("x", first + 10 * run + 1, completed=False)
    schedule.due(first + 20)
    schedule.due(first + 30)  # it hangs
    schedule.ended("x", first + 95, completed=False)
    assert schedule.next_at() == pytest.approx(first + 110)


def test_the_heap_does_not_grow_with_time_and_changes() -> None:
    schedule = Schedule()
    for change in range(2000):
        schedule.update(commands(x=60 + change % 2, y=60), change)
        for name in schedule.due(change):
            schedule.ended(name, change, completed=True)
    assert len(schedule._heap) < 200


STEPS = st.lists(
    st.tuples(st.sampled_from(["due", "end", "fail", "change"]), st.floats(0, 500), st.integers(0, 3)), max_size=60
)


@given(steps=STEPS)
def test_whatever_happens_nothing_overlaps_piles_up_or_is_forgotten(steps: list[tuple[str, float, int]]) -> None:
    schedule = Schedule()
    intervals: dict[str, float] = {"a": 5, "b": 60, "c": 3600}
    schedule.update(commands(**intervals), 0)
    now, running = 0.0, set[str]()
    for what, passed, which in steps:
        now += passed
        name = "abca"[which]
        if what == "due":
            names = schedule.due(now)
            assert len(set(names)) == len(names)
            assert not running & set(names)
            running |= set(names)
            assert (schedule.next_at() or 0) > now
        elif what == "change":
            intervals[name] = 5 + passed
            schedule.update(commands(**intervals), now)
        elif name in running:
            running.remove(name)
            schedule.ended(name, now, completed=what == "end")
    for name in running:
        schedule.ended(name, now, completed=True)
    assert set(schedule.due(now + 20000)) == {"a", "b", "c"}
