"""Rates of a node's counters: never negative, never above what was counted, whatever happens between two readings."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.tahoe.rates import gained, to_keep
from checks.tahoe.records import Statistics

READS, WRITES = "storage_server.read", "storage_server.write"


def reading(uptime=None, gathered=None, **counters):
    named = {f"storage_server.{name}": value for name, value in counters.items()}
    return to_keep(Statistics(named, {} if uptime is None else {"node.uptime": uptime}), gathered)


def test_a_rate_is_what_was_counted_by_the_time_between_two_readings():
    found = gained(reading(100.0, read=10, write=5), reading(160.0, read=70, write=5), 60.0)
    assert found.rates == {READS: 1.0, WRITES: 0.0}
    assert found.why == ""


@pytest.mark.parametrize("seconds", [54.0, 66.0])
def test_of_two_clocks_that_differ_a_little_the_one_counts_that_gives_the_lower_rate(seconds):
    found = gained(reading(100.0, read=0), reading(100.0 + seconds, read=660), 60.0)
    assert found.rates == {READS: 660 / max(60.0, seconds)}


def test_a_counter_that_appears_began_at_0():
    assert gained(reading(100.0), reading(160.0, read=30), 60.0).rates == {READS: 0.5}


def test_what_is_no_counter_of_ours_is_not_kept():
    assert to_keep(Statistics({"x" * 9000: 1, "storage_server.read": 2}, {})) == {"storage_server.read": 2}


@pytest.mark.parametrize(
    ("old", "new", "interval", "why"),
    [
        ({}, reading(60.0, read=1), 60.0, "first run"),
        (reading(100.0, read=10), reading(30.0, read=40), 60.0, "restarted since the last run"),
        (reading(10.0, read=10), reading(250.0, read=4000), 300.0, "restarted since the last run"),
        (reading(None, read=10), reading(None, read=9), 60.0, "restarted since the last run"),
        (reading(100.0, read=10, write=1), reading(160.0, read=10), 60.0, "restarted since the last run"),
        (reading(100.0, read=10), reading(400.0, read=20), 60.0, "a clock was changed since the last run"),
        (
            reading(100.0, 5000.0, read=1),
            reading(160.0, 5010.0, read=9),
            60.0,
            "a clock was changed since the last run",
        ),
        (reading(100.0, 5000.0, read=1), reading(100.0, 5000.0, read=1), 60.0, "not gathered again since the last run"),
        (reading(100.0, read=1), reading(100.1, read=9), 0.1, "less than 0.5 s since the last run"),
        (reading(100.0, 5000.0, read=1), reading(110.0, 4990.0, read=9), 60.0, "less than 0.5 s since the last run"),
        (reading(100.0, read=1), reading(160.0, read=9), None, "less than 0.5 s since the last run"),
    ],
)
def test_no_rate_and_why(old, new, interval, why):
    found = gained(old, new, interval)
    assert (found.rates, found.why) == ({}, why)
    assert found.restarted == why.startswith("restarted")


def test_the_gatherers_own_times_count_more_than_ours():
    old, new = reading(100.0, 5000.0, read=0), reading(220.0, 5120.0, read=60)
    assert gained(old, new, 60.0).rates == {READS: 0.5}


def test_a_damaged_state_file_costs_no_more_than_a_rate():
    assert gained({READS: "x", " uptime": None}, reading(60.0, read=5), 60.0).why == "first run"  # type: ignore[dict-item]


NUMBERS = st.integers(0, 1 << 64)
COUNTERS = st.dictionaries(st.sampled_from(["read", "write", "get", "bytes_added"]), NUMBERS)
TIMES = st.none() | st.floats(0, 1e18)
READING = st.builds(lambda counters, uptime, moment: reading(uptime, moment, **counters), COUNTERS, TIMES, TIMES)


@given(st.lists(READING, max_size=6), st.none() | st.floats(0, 1e12))
def test_whatever_is_read_no_rate_is_negative_or_above_what_the_readings_allow(readings, interval):
    for old, new in itertools.pairwise(readings):
        for key, rate in gained(old, new, interval).rates.items():
            assert 0 <= rate <= (new[key] - old.get(key, 0)) / 0.5


EVENTS = st.one_of(
    st.tuples(st.just("run"), st.floats(0, 400), st.integers(0, 10**6)),
    st.tuples(st.just("restart"), st.just(0.0), st.just(0)),
    st.tuples(st.just("node's clock"), st.floats(-100, 1000), st.just(0)),
    st.tuples(st.just("gatherer's clock"), st.floats(-1000, 1000), st.just(0)),
    st.tuples(st.just("read"), st.just(0.0), st.just(0)),
)


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_no_rate_is_above_what_truly_was_counted(events, gathering):
    """A node that counts, is restarted, and whose clock or whose gatherer's clock is set now and then, one of them between two readings."""
    now = uptime = 0.0
    ahead = 1e6
    counter = counted = 0
    old, last, steps = None, 0.0, 0
    for kind, amount, number in [*events, ("read", 0.0, 0)]:
        match kind:
            case "run":
                now, uptime, counter, counted = now + amount, uptime + amount, counter + number, counted + number
            case "restart":
                uptime, counter = 0.0, 0
            case "node's clock" if not steps:
                uptime, steps = max(uptime + amount, 0.0), 1
            case "gatherer's clock" if gathering and not steps:
                ahead, steps = ahead + amount, 1
            case "read":
                new = reading(uptime, now + ahead if gathering else None, read=counter)
                for rate in gained(old, new, now - last).rates.values() if old else ():
                    # Times are kept to the millisecond.
                    assert 0 <= rate * (now - last - 0.002) <= counted * 1.000001
                old, last, counted, steps = new, now, 0, 0
