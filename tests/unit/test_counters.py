"""Rates from counters between two runs: never negative, never a spike, and no file can make them so."""

import itertools
import json
import multiprocessing
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks import counters
from checks.counters import Counters, StateError, delta, state_directory
from tests.unit.clock import Clock

TARGETS = itertools.count()
READINGS = st.lists(st.none() | st.integers(0, 2**64 - 1), min_size=2, max_size=8)


@pytest.fixture
def clock(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    clock = Clock()
    monkeypatch.setattr(time, "clock_gettime", clock)
    monkeypatch.setattr(counters, "_boot_id", lambda: "boot-1")
    return clock


def run(reading, epoch="1", target="qemu:///system", bits=None, **keywords):
    """One run of a check that reads one counter: its rate."""
    kept = Counters("check_thing", target, **keywords)
    rate = kept.rate(kept.previous("web01", epoch).get("cpu"), reading, bits)
    kept.keep("web01", epoch, {} if reading is None else {"cpu": reading})
    kept.save()
    return rate


def the_file(tmp_path):
    (found,) = (tmp_path / "state").iterdir()
    return found


def test_the_second_run_gives_a_rate_in_units_per_second(clock):
    assert run(100) is None
    clock.now += 10
    assert run(150) == 5.0
    clock.now += 60
    assert run(150) == 0.0


def test_the_first_run_says_so(clock):
    assert Counters("check_thing", "x").why == "first run"
    assert Counters("check_thing", "x").interval is None


def test_a_reset_is_no_rate(clock):
    run(10**9)
    clock.now += 10
    assert run(5) is None
    clock.now += 10
    assert run(105) == 10.0


def test_a_32_bit_counter_that_wraps_goes_on(clock):
    run(2**32 - 100, bits=32)
    clock.now += 10
    assert run(100, bits=32) == 20.0
    clock.now += 10
    assert run(50, bits=32) is None


@pytest.mark.parametrize(
    ("old", "new", "bits", "gained"),
    [
        (5, 5, None, 0),
        (5, 9, None, 4),
        (9, 5, None, None),
        (9, 5, 32, None),
        (2**32 - 1, 0, 32, 1),
        (2**31, 1, 32, None),
        (2**64 - 1, 4, 64, 5),
        (2**32 + 1, 0, 32, None),
    ],
)
def test_delta(old, new, bits, gained):
    assert delta(old, new, bits) == gained


def test_a_new_epoch_of_the_source_begins_anew(clock):
    run(100, epoch="domain 7")
    clock.now += 10
    assert run(5000, epoch="domain 8") is None


def test_a_reboot_of_this_machine_is_a_first_run(clock, monkeypatch):
    run(100)
    clock.now += 10
    monkeypatch.setattr(counters, "_boot_id", lambda: "boot-2")
    assert run(1000) is None
    assert Counters("check_thing", "other").why == "first run"


def test_time_that_went_backwards_is_a_first_run(clock):
    run(100)
    clock.now -= 500
    assert run(1000) is None


def test_two_runs_at_once_give_no_rate_and_say_so(clock):
    run(100)
    clock.now += 0.1
    kept = Counters("check_thing", "qemu:///system")
    assert kept.interval is None
    assert "less than" in kept.why


def test_target_and_state_key_keep_their_own_state(clock):
    run(100, target="a")
    run(100, target="b")
    run(100, target="a", key="slow")
    clock.now += 10
    assert [run(200, target="a"), run(300, target="b"), run(400, target="a", key="slow"), run(1, target="c")] == [
        10,
        20,
        30,
        None,
    ]


def test_without_save_nothing_is_written(clock, tmp_path):
    kept = Counters("check_thing", "x")
    kept.keep("web01", "1", {"cpu": 1})
    assert not (tmp_path / "state").exists()


def test_the_state_is_for_its_user_only(clock, tmp_path):
    run(1)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_the_time_when_the_counters_arrived_counts(clock):
    run(0)
    clock.now += 10
    kept = Counters("check_thing", "qemu:///system")
    clock.now += 10
    kept.mark()
    assert kept.rate(kept.previous("web01", "1")["cpu"], 100) == 5.0


@pytest.mark.slow
@given(
    readings=READINGS,
    bits=st.sampled_from([None, 32, 64]),
    epochs=st.lists(st.sampled_from("12"), min_size=8, max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_sequence_of_readings_gives_a_negative_rate_or_more_than_the_counter_can_have_gained(
    clock, readings, bits, epochs
):
    old, old_epoch = None, None
    target = str(next(TARGETS))
    for reading, epoch in zip(readings, epochs, strict=False):
        clock.now += 10
        rate = run(reading, epoch=epoch, target=target, bits=bits)
        if rate is not None:
            assert old is not None
            assert reading is not None
            assert epoch == old_epoch
            gained = reading - old if reading >= old else reading + 2**bits - old
            assert 0 <= rate <= gained / 10 * (1 + 1e-12)
            assert reading >= old or reading + 2**bits - old <= 2**bits // 2
        old, old_epoch = reading, epoch


GOOD = {"version": 1, "boot": "boot-1", "clock": 990.0, "sources": {"web01": ["1", {"cpu": 100}]}, "notes": {}}
DAMAGED = {
    "empty": b"",
    "truncated": json.dumps(GOOD).encode()[:-9],
    "not json": b"\x80\x00garbage",
    "another type": b"[1, 2]",
    "a number": b"7",
    "no boot": json.dumps({**GOOD, "boot": None, "clock": None}).encode(),
    "no time": json.dumps({**GOOD, "clock": "x"}).encode(),
    "time not a number": json.dumps({**GOOD, "clock": float("nan")}).encode(),
    "time beyond all bounds": json.dumps(GOOD).replace("990.0", "1" + "0" * 400).encode(),
    "time before all bounds": json.dumps({**GOOD, "clock": float("-inf")}).encode(),
    "negative time": json.dumps({**GOOD, "clock": -5}).encode(),
    "another version": json.dumps({**GOOD, "version": 99}).encode(),
    "sources a list": json.dumps({**GOOD, "sources": [1]}).encode(),
    "deep": b"[" * 200_000,
    "number too long": b'{"version": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_state_costs_the_rates_is_named_and_heals(clock, tmp_path, content):
    run(1)
    the_file(tmp_path).write_bytes(content)
    kept = Counters("check_thing", "qemu:///system")
    assert kept.interval is None
    assert "damaged" in kept.why
    assert "first run" not in kept.why
    run(100)
    clock.now += 10
    assert run(200) == 10.0


@pytest.mark.parametrize(
    "sources",
    [
        {"web01": None},
        {"web01": ["1"]},
        {"web01": ["1", 5]},
        {"web01": ["1", {"cpu": "x"}]},
        {"web01": ["1", {"cpu": -5}]},
        {"web01": ["1", {"cpu": -(10**400)}]},
        {"web01": ["1", {"cpu": 1.5}]},
        {"web01": ["1", {"cpu": None}]},
        {"web01": 7},
        {},
    ],
)
def test_an_entry_that_can_not_be_is_no_rate(clock, tmp_path, sources):
    run(1)
    the_file(tmp_path).write_text(json.dumps({**GOOD, "sources": sources}))
    clock.now += 10
    assert run(200) is None


def test_a_huge_state_file_is_not_read(clock, tmp_path):
    run(1)
    with the_file(tmp_path).open("ab") as file:
        file.truncate(1 << 40)
    assert "too large" in Counters("check_thing", "qemu:///system").why


def test_a_directory_that_others_can_write_is_neither_read_nor_written(clock, tmp_path):
    run(1)
    clock.now += 10
    (tmp_path / "state").chmod(0o777)
    kept = Counters("check_thing", "qemu:///system")
    assert kept.interval is None
    assert "can be written by others" in kept.why
    with pytest.raises(StateError, match="can be written by others"):
        kept.save()


def test_state_that_can_not_be_written_is_one_named_error(clock, tmp_path):
    (tmp_path / "state").write_text("a file where the directory should be")
    kept = Counters("check_thing", "x")
    assert kept.interval is None
    with pytest.raises(StateError, match="can't write state"):
        kept.save()


def test_a_full_disk_keeps_the_state_before(clock, tmp_path, monkeypatch):
    run(100)
    clock.now += 10
    before = the_file(tmp_path).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(StateError, match="No space left"):
        run(200)
    monkeypatch.undo()
    assert before in [path.read_bytes() for path in (tmp_path / "state").iterdir()]


def test_no_symlink_is_followed(clock, tmp_path):
    run(1)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "state" / f".{the_file(tmp_path).name}.new").symlink_to(victim)
    clock.now += 10
    with pytest.raises(StateError):
        run(2)
    assert victim.read_text() == "precious"


def test_what_a_killed_writer_left_does_not_matter(clock, tmp_path):
    run(100)
    name = the_file(tmp_path).name
    (tmp_path / "state" / f".{name}.new").write_text("half a document that is much longer than the next one " * 100)
    clock.now += 10
    assert run(200) == 10.0
    assert [path.name for path in (tmp_path / "state").iterdir()] == [name]
    clock.now += 10
    assert run(300) == 10.0


def test_notes_travel_with_the_counters_and_alone(clock):
    kept = Counters("check_thing", "x")
    kept.keep("web01", "1", {"cpu": 100})
    kept.notes["stuck"] = ["db1"]
    kept.save()
    for seconds in (
        0.1,
        10,
    ):  # saved alone, also by a run too close to the one before, the notes leave counters and time as they are
        clock.now += seconds
        kept = Counters("check_thing", "x")
        assert kept.notes["stuck"]
        kept.notes["stuck"] = ["db1", "db2"]
        kept.save_notes()
    kept = Counters("check_thing", "x")
    assert kept.notes == {"stuck": ["db1", "db2"]}
    assert kept.rate(kept.previous("web01", "1")["cpu"], 201) == pytest.approx(10.0)


def _write_often(directory, number):
    os.environ["STATE_DIRECTORY"] = directory
    for turn in range(100):
        kept = Counters("check_thing", "x")
        assert "damaged" not in kept.why
        kept.keep("web01", "1", {f"counter{index}": number * 1000 + turn for index in range(300)})
        kept.save()


@pytest.mark.slow
def test_concurrent_writers_leave_a_whole_state(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(str(tmp_path / "state"), number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    document = json.loads(the_file(tmp_path).read_bytes())
    assert len(set(document["sources"]["web01"][1].values())) == 1
    assert len(document["sources"]["web01"][1]) == 300


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a"}, "/var/lib/a"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/testbed-checks"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/testbed-checks"),
        ({"HOME": "/h"}, "/h/.local/state/testbed-checks"),
    ],
)
def test_where_state_lies(monkeypatch, environment, expected):
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(state_directory()) == expected
