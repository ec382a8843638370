"""Traffic of links between two runs: what really went over them, never more, and nothing where that can't be known."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checks.ipop import traffic
from checks.ipop.records import AGE_WRAP, Link, Pair
from checks.ipop.traffic import compare, keep, pack, unpack

NOW = 1_790_000_000.0


def link(*pairs, age=None, active=True, **fields):
    """A link with pairs given as (key, received, sent)."""
    return Link("b", "b", active, "online", age=age, pairs=tuple(Pair(*pair) for pair in pairs), **fields)


def change(before, after, seconds=10.0, bits=32, wraps=True, active=(True, True)):
    """What the second of two runs finds, `seconds` after the first."""
    old = before and unpack(pack(keep(before, active[0], before.age, NOW, None)))
    new = keep(after, active[1], after.age, NOW + seconds, old)
    return compare(old, new, seconds, bits, wraps)


def rates(*args, **keywords):
    found = change(*args, **keywords)
    return found.received, found.sent, found.why


A, B = "192.0.2.10:1 198.51.100.7:1", "192.0.2.10:1 198.51.100.7:2"


def test_a_rate_is_the_sum_over_the_pairs():
    assert rates(link((A, 100, 10), (B, 1, 1)), link((A, 150, 30), (B, 51, 1))) == (10.0, 2.0, "")


def test_a_new_pair_gained_all_it_has_and_one_that_is_gone_is_no_loss():
    assert rates(link((A, 10**9, 10**9)), link((B, 50, 20))) == (5.0, 2.0, "")


def test_a_32_bit_counter_that_wraps_goes_on():
    assert rates(link((A, 2**32 - 100, 0)), link((A, 100, 0))) == (20.0, 0.0, "")


def test_a_64_bit_counter_goes_past_32_bits():
    assert rates(link((A, 2**32 - 100, 0)), link((A, 2**32 + 100, 0)), bits=64) == (20.0, 0.0, "")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (None, link((A, 10**9, 10**9)), traffic.NOT_LISTED),
        (link(active=False), link((A, 10**9, 10**9)), traffic.WAS_DOWN),
        (link(), link((A, 10**9, 10**9)), traffic.NO_COUNTERS),
        (link((A, 10**9, 0)), link((A, 10**6, 5)), traffic.BEGAN_ANEW),
        (link((A, 0, 10**9)), link((A, 10**6, 5)), traffic.BEGAN_ANEW),
        (link((A, 1, 1), age=500), link((A, 10**6, 5), age=4), traffic.MADE_ANEW),
        (link((A, 2**32 - 1, 1), age=500), link((A, 5, 5), age=4), traffic.MADE_ANEW),
        (link((A, 1, 1), incarnation="t1"), link((A, 10**6, 5), incarnation="t2"), traffic.MADE_ANEW),
        (link((A, 1, 1)), link(), traffic.UNKNOWN),
        (link((A, 1, 1), sampled=NOW), link((A, 10**6, 5), sampled=NOW), traffic.SAME_SAMPLE),
        (link((A, 1, 1), sampled=NOW), link((A, 10**6, 5), sampled=NOW - 3600), traffic.SAME_SAMPLE),
        (link((A, 1, 1), sampled=NOW), link((A, 10**6, 5), sampled=NOW + 0.1), traffic.SAME_SAMPLE),
    ],
)
def test_without_a_rate_it_says_why(before, after, why):
    found = change(before, after, active=(bool(before and before.active), True))
    assert (found.received, found.sent, found.why) == (None, None, why)
    assert found.remade == (why == traffic.MADE_ANEW)


def test_bytes_of_one_direction_that_are_not_reported_cost_that_direction():
    assert rates(link((A, 5, None)), link((A, 15, 20))) == (1.0, None, traffic.NO_COUNTERS)
    assert rates(link((A, 5, 10)), link((A, 15, None))) == (1.0, None, traffic.UNKNOWN)


def received(*runs):
    """What each run finds of one link, every 10 s."""
    old, found = None, []
    for number, pairs in enumerate(runs):
        new = keep(link(*pairs), True, None, NOW + 10 * number, old)
        found.append(compare(old, new, 10.0, 32, False))
        old = unpack(pack(new))
    return [(one.received, one.why) for one in found[1:]]


def test_a_pair_that_was_not_shown_for_a_while_gives_no_spike():
    both = [(A, 10**9 + 50, 0), (B, 1, 1)]
    assert received([(A, 10**9, 0), (B, 1, 1)], [(B, 1, 1)], both, both) == [
        (0.0, ""),
        (None, traffic.CAME_BACK),
        (0.0, ""),
    ]


def test_a_new_pair_of_the_same_addresses_counts_from_0():
    assert received([(A, 10**9, 0), (B, 1, 1)], [(B, 1, 1)], [(A, 50, 0), (B, 1, 1)]) == [(0.0, ""), (5.0, "")]
    assert received([(A, 0, 0), (B, 1, 1)], [(B, 1, 1)], [(A, 0, 0), (B, 1, 1)]) == [(0.0, ""), (0.0, "")]


def test_the_time_of_a_rate_is_that_between_the_files_not_between_the_runs():
    before, after = link((A, 0, 0), sampled=NOW - 14), link((A, 240, 24), sampled=NOW + 58)
    found = change(before, after, seconds=60.0)
    assert (found.received, found.sent) == (pytest.approx(240 / 72), pytest.approx(24 / 72))


@pytest.mark.parametrize("step", [-3600, -50, 50, 3600])
def test_a_clock_that_was_set_is_no_spike(step):
    old = keep(link((A, 0, 0), sampled=NOW - 5, age=70), True, 70, NOW, None)
    new = keep(link((A, 6000, 0), sampled=NOW + 55 + step, age=130), True, 130, NOW + 60 + step, old)
    assert compare(old, new, 60.0, 32, True) == traffic.Change(why=traffic.CLOCK_SET, age=130)


def test_a_link_that_is_not_active_now_has_nothing_to_say():
    assert change(link((A, 1, 1), age=5), link((A, 9, 9), age=15), active=(True, False)) == traffic.Change()


def test_an_age_that_wrapped_is_no_link_made_anew_and_goes_on():
    before, after = link((A, 100, 0), age=AGE_WRAP - 4), link((A, 200, 0), age=6)
    found = change(before, after)
    assert (found.remade, found.age, found.received) == (False, AGE_WRAP + 6, 10.0)
    # And at the run after that, which keeps the true age.
    old = keep(after, True, found.age, NOW, None)
    assert (
        compare(unpack(pack(old)), keep(link((A, 300, 0), age=16), True, 16, NOW, old), 10.0, 32, True).age
        == AGE_WRAP + 16
    )
    # Twice made anew is another matter.
    assert change(before, link((A, 1, 0), age=2)).remade
    assert change(before, after, wraps=False).remade


def test_a_link_made_anew_between_two_quick_runs_is_seen_by_its_age():
    assert change(link((A, 1, 1), age=100), link((A, 2, 2), age=50)).remade
    assert not change(link((A, 1, 1), age=100), link((A, 2, 2), age=109)).remade


def test_what_another_version_kept_is_a_first_run():
    assert unpack({}) is None
    assert unpack({"active": 1, "rff": "x"}) is None
    assert unpack({"active": 1, "rff": 1 << 70}) is None


# Any sequence of readings

COUNT = st.none() | st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**32 - 1, 3 << 30, (1 << 30) - 1])
ANY_PAIRS = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.tuples(COUNT, COUNT), max_size=3)
ANY_LINK = st.builds(
    lambda pairs, age, active, sampled, incarnation: link(
        *((key, *counted) for key, counted in pairs.items()),
        age=age,
        active=active,
        sampled=sampled,
        incarnation=incarnation,
    ),
    ANY_PAIRS,
    st.none() | st.integers(0, AGE_WRAP),
    st.booleans(),
    st.none() | st.floats(NOW - 1000, NOW + 1000),
    st.sampled_from(["", "t1", "t2"]),
)


def allowed(before, after, way, bits):
    """The most that the readings of one direction allow: every pair gained what it shows, going once round at the most where it is less."""
    known = {pair.key: getattr(pair, way) for pair in before.pairs}
    gained = 0
    for pair in after.pairs:
        old, new = known.get(pair.key) or 0, getattr(pair, way)
        gained += new - old + (1 << bits if new < old else 0)
    return gained


@given(st.lists(st.none() | ANY_LINK, min_size=2, max_size=6), st.floats(0.5, 10**6))
def test_any_readings_give_no_negative_rate_and_none_above_what_they_allow(readings, interval):
    old = before = None
    for number, after in enumerate(readings):
        if after is None:  # not listed
            old = before = None
            continue
        new = keep(after, after.active, after.age, NOW + number * interval, old)
        found = compare(old, new, interval, 32, True)
        for way, rate in (("received", found.received), ("sent", found.sent)):
            if rate is not None:
                assert before
                assert before.active
                assert after.active
                assert not found.why or None in (found.received, found.sent)
                # The shortest time between two readings is half a second, and files may be as far apart as the runs.
                assert 0 <= rate <= allowed(before, after, way, 32) / 0.5
                if after.sampled is None:
                    assert before.sampled is None
                    assert rate <= allowed(before, after, way, 32) / interval * (1 + 1e-9)
        old, before = unpack(pack(new)), after


BYTES = st.integers(0, 2**30 - 1)
STEP = st.tuples(
    st.integers(5, 600),
    st.sampled_from(["goes on", "goes on", "new pair", "pair pruned", "made anew", "offline", "not listed"]),
    st.dictionaries(st.sampled_from(["p", "q", "r"]), BYTES, max_size=3),
)


@given(st.integers(0, AGE_WRAP), st.integers(0, 2**33), st.lists(STEP, min_size=1, max_size=8))
def test_a_link_as_tincan_counts_it_shows_what_went_over_it_and_never_more(age, counted, steps):
    """Counters wrap at 32 bits, ages after 49.7 days; pairs come and go; a link made anew counts from 0."""
    pairs = {"p": counted}
    old = keep(link(("p", counted % 2**32, 0), age=age % AGE_WRAP), True, age, NOW, None)
    fresh = 0
    for seconds, event, gains in steps:
        went = 0
        age += seconds
        if event == "made anew":
            age = seconds - 5
            pairs = {"p": 0}
        elif event == "new pair":
            fresh += 1
            pairs[f"new {fresh}"] = went = 1000
        elif event == "pair pruned" and len(pairs) > 1:
            del pairs[min(pairs)]
        for key in pairs:
            pairs[key] += gains.get(key, 0)
            went += gains.get(key, 0)
        if event == "not listed":
            old = None
            continue
        active = event != "offline"
        shown = link(*((key, total % 2**32, 0) for key, total in pairs.items()), age=age % AGE_WRAP, active=active)
        new = keep(shown, active, shown.age, NOW, old)
        found = compare(old, new, float(seconds), 32, True)
        if active and old and old.active:
            assert found.remade == (event == "made anew")
            if event == "made anew":
                assert found.received is None
            else:
                assert found.received == pytest.approx(went / seconds)
                assert found.age == age
        else:
            assert found.received is None
        age = int(found.age) if active else age
        old = unpack(pack(new._replace(age=found.age)))


@given(st.integers(0, AGE_WRAP - 1), st.integers(1, 10**6), st.integers(-2, 2))
def test_an_age_alone_never_makes_a_link_anew_by_wrapping(age, seconds, rounding):
    now = (age + seconds + rounding) % AGE_WRAP
    assume(age + seconds + rounding < AGE_WRAP or now >= 0)
    assert not change(link((A, 1, 1), age=age), link((A, 1, 1), age=now), seconds=float(seconds)).remade
