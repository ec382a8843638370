"""A receiver that forgets what it acknowledged gets it again: the window, what is still in the spool, and the file it was at."""

from pathlib import Path

import pytest

from graphios.delivery.progress import uptime
from tests.unit.graphios.deliveries import Place, Receiver, refused_connection, wait_for
from tests.unit.graphios.spool_lines import service_line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def spool(place: Place, *labels: str) -> None:
    for number, label in enumerate(labels):
        place.write(f"service-perfdata.{label}", service_line(f"{label}=1"), 60 - number)


def taken_since(receiver: Receiver, batches: int) -> set[str]:
    return {line.split(" ")[0].rpartition(".")[2] for batch in receiver.taken[batches:] for line in batch}


def test_a_lost_memory_brings_everything_again_before_what_is_new(place: Place) -> None:
    carbon = place.receiver()
    with place.running() as ship:
        spool(place, "a", "b")
        wait_for(lambda: not place.files(), "both to be delivered")
        before = len(carbon.taken)
        carbon.lost = True
        wait_for(lambda: taken_since(carbon, before) == {"a", "b"}, "both to be sent again")
        spool(place, "c")
        wait_for(lambda: taken_since(carbon, before) == {"a", "b", "c"}, "the new one")
        wait_for(lambda: ship.lanes[0].state == "idle" and not ship.lanes[0].pending, "rest")
        counts = ship.reporter.document(running=True)["backends"][0]
        assert (counts["acknowledged"], counts["replayed"], counts["sent"]) == (3, 2, 5)
        assert ship.reporter.document(running=True)["metrics_read"] == 3


def test_the_window_is_sent_again_at_every_start(place: Place) -> None:
    carbon = place.receiver()
    spool(place, "a", "b")
    place.once()
    assert sorted(carbon.names) == ["web01.load.a", "web01.load.b"]
    with place.running():
        wait_for(lambda: len(carbon.names) == 4, "the window")


def test_a_receiver_that_does_not_forget_gets_nothing_twice(place: Place) -> None:
    carbon = place.receiver()
    carbon.forgets = False
    spool(place, "a")
    place.once()
    with place.running():
        spool(place, "b")
        wait_for(lambda: len(carbon.names) == 2, "the new one")
    assert carbon.names == ["web01.load.a", "web01.load.b"]


def test_what_waits_for_another_receiver_is_sent_again_as_well(place: Place) -> None:
    place.change(backends=(place.backend("carbon"), place.backend("carbon:lab")))
    good, dead = place.receiver("carbon"), place.receiver("carbon:lab")
    dead.answer = lambda items: refused_connection()
    with place.running():
        spool(place, "a", "b", "c")
        wait_for(lambda: len(good.names) == 3, "the good one to have them")
        before = len(good.taken)
        good.lost = True
        wait_for(lambda: taken_since(good, before) == {"a", "b", "c"}, "what is in the spool again")
        assert len(place.files()) == 3
        dead.answer = lambda items: None
        wait_for(lambda: not place.files(), "the other one")
        before = len(good.taken)
        good.lost = True
        wait_for(lambda: taken_since(good, before) == {"a", "b", "c"}, "what is in the window now")
    assert taken_since(dead, 0) == {"a", "b", "c"}


def test_the_beginning_of_the_file_it_was_at_is_sent_again(place: Place) -> None:
    place.change(backends=(place.backend("carbon", batch_bytes=1000),))
    carbon = place.receiver()
    labels = [f"a{number}" for number in range(200)]
    text = "".join(service_line(f"{label}=1") for label in labels)
    down = iter([None, None, None, *[refused_connection()] * 3])

    def answer(items: object) -> Exception | None:
        said = next(down, None)
        if said:
            carbon.lost = True  # carbon died after three batches
            carbon.taken.clear()
        return said

    carbon.answer = answer
    with place.running():
        place.write("service-perfdata.1", text)
        wait_for(lambda: not place.files(), "the file")
        wait_for(lambda: taken_since(carbon, 0) == set(labels), "all of it, after the loss")


def test_a_memory_lost_during_the_replay_begins_it_anew(place: Place) -> None:
    place.change(backends=(place.backend("carbon", batch_bytes=1000),))
    carbon = place.receiver()
    labels = [f"a{number}" for number in range(300)]
    place.write("service-perfdata.1", "".join(service_line(f"{label}=1") for label in labels))
    place.once()
    attempts = 0

    def answer(items: object) -> None:
        nonlocal attempts
        attempts += 1
        if attempts in (4, 9):
            carbon.lost = True
            carbon.taken.clear()

    carbon.taken.clear()
    carbon.answer = answer  # type: ignore[assignment]
    with place.running() as ship:
        wait_for(lambda: taken_since(carbon, 0) == set(labels), "everything after the last loss")
        wait_for(lambda: not ship.lanes[0].pending, "the end of it")


@pytest.mark.slow
def test_while_a_receiver_is_away_the_window_does_not_expire(place: Place) -> None:
    carbon = place.receiver()
    down, hours = False, 0.0
    carbon.answer = lambda items: refused_connection() if down else None
    with place.running() as ship:
        spool(place, "a")
        wait_for(lambda: carbon.names and not place.files(), "the file to be delivered")
        down = True
        carbon.lost = True
        wait_for(lambda: len(carbon.attempts) > 5, "several tries")
        ship.window._clock = lambda: uptime() + hours
        hours = 100_000.0
        wait_for(lambda: len(carbon.attempts) > 9, "more tries")
        assert len(place.window()) == 1
        down = False
        wait_for(lambda: len(carbon.names) > 1 and not ship.lanes[0].pending, "it to be sent again")
        hours = 200_000.0
        wait_for(lambda: not place.window(), "the window to expire then")


def test_a_single_run_asks_once_more_before_it_ends(place: Place) -> None:
    carbon = place.receiver()
    answers = iter([True, False])
    carbon.lost_memory = lambda: next(answers)  # type: ignore[method-assign]
    spool(place, "a")
    place.once()
    assert carbon.names == ["web01.load.a", "web01.load.a"]


@pytest.mark.parametrize(
    ("then", "again"),
    [("its first run", []), ("its second run", ["a"]), ("", ["a"])],
    ids=["same", "restarted", "unknown"],
)
def test_a_single_run_sends_the_window_again_unless_the_receiver_is_surely_the_same(
    place: Place, then: str, again: list[str]
) -> None:
    carbon = place.receiver()
    spool(place, "a")
    place.once()
    carbon.known_as = then
    spool(place, "b")
    place.once()
    assert [name.rpartition(".")[2] for name in carbon.names] == ["a", *again, "b"]


def test_a_receiver_that_restarted_is_remembered_only_when_it_has_everything(place: Place) -> None:
    carbon = place.receiver()
    spool(place, "a")
    place.once()
    carbon.known_as = "its second run"
    carbon.answers = iter([refused_connection()])
    ship = place.open(running=False)
    errors, _ = ship.once()
    ship.close()
    assert errors
    place.once()
    assert carbon.names == ["web01.load.a"] * 2
