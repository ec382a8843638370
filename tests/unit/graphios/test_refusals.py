"""Items a receiver never takes: found, recorded, and in nobody's way; a receiver that takes nothing at all is another matter."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from graphios.backends.base import ClosedEarly, DeliveryError, Refused
from graphios.delivery.isolation import Verdict, isolate
from tests.unit.graphios.deliveries import Place, wait_for
from tests.unit.graphios.spool_lines import service_line


class Fussy:
    """Takes everything but some numbers."""

    def __init__(self, *never: int, words: bool = False) -> None:
        self.never, self.words = never, words
        self.taken: list[int] = []
        self.tries = 0

    def __call__(self, items: Sequence[int]) -> None:
        self.tries += 1
        if set(items) & set(self.never):
            raise Refused("400 bad") if self.words else ClosedEarly("hung up")
        self.taken += items


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("never", [(0,), (999,), (3, 4, 700)])
def test_the_guilty_are_found_and_the_rest_is_delivered_once_and_in_order(never: tuple[int, ...], words: bool) -> None:
    receiver = Fussy(*never, words=words)
    verdict = isolate(range(1000), receiver)
    reason = "400 bad" if words else "hung up"
    assert verdict == Verdict([(number, reason) for number in never], True)
    rest = [number for number in range(1000) if number not in never]
    assert receiver.taken[: len(rest)] == rest
    assert receiver.tries < 100


def test_a_receiver_that_takes_nothing_condemns_nobody() -> None:
    assert isolate(range(50), Fussy(*range(50))) is None
    assert isolate([1], Fussy(1)) is None
    assert isolate([1], Fussy(1, words=True)) == Verdict([(0, "400 bad")], True)


def test_one_that_recovers_half_way_condemns_nobody() -> None:
    receiver = Fussy()
    calls = 0

    def sick_at_first(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if calls < 30:
            raise ClosedEarly("hung up")
        receiver(items)

    assert isolate(range(64), sick_at_first) == Verdict([], True)
    assert set(receiver.taken) == set(range(64))


def test_too_many_to_find_each() -> None:
    verdict = isolate(range(10_000), Fussy(*range(0, 10_000, 3), words=True))
    assert verdict is not None
    assert not verdict.certain
    assert {index for index, _ in verdict.guilty} >= set(range(0, 10_000, 3))


def test_what_cannot_be_reached_is_said() -> None:
    def away(items: Sequence[int]) -> None:
        raise DeliveryError("Connection refused")

    with pytest.raises(DeliveryError, match="refused"):
        isolate(range(5), away)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_refused_items_are_recorded_with_backend_and_file_and_hold_nothing_up(place: Place) -> None:
    carbon = place.receiver()
    carbon.answers = iter([Refused("2 points", [(1, "field type conflict"), (2, "too old")])])
    place.write("service-perfdata.1", service_line("a=1 b=2"))
    place.write("service-perfdata.2", service_line("c=3"), 50)
    ship = place.once()
    assert place.files() == []
    rejected = place.settings.reject_file.read_text(encoding="ascii").splitlines()
    assert [line.split("\t")[1:3] for line in rejected] == [
        ["service-perfdata.1:0", "refused by carbon: field type conflict"],
        ["service-perfdata.2:0", "refused by carbon: too old"],
    ]
    (backend,) = ship.reporter.document(running=False)["backends"]
    assert (backend["acknowledged"], backend["refused"]) == (1, 2)
    assert ship.reporter.document(running=False)["rejected"]["by_reason"] == {"refused": 2}


def test_a_poisoned_file_is_set_aside_and_the_others_go_on(place: Place) -> None:
    carbon = place.receiver()
    carbon.answer = lambda items: (
        ClosedEarly("carbon: closed the connection early") if any(".poison " in item for item in items) else None
    )
    place.write("service-perfdata.1", service_line("a=1"))
    place.write("service-perfdata.2", service_line("b=1 poison=2 c=3"), 50)
    with place.running() as ship:
        wait_for(lambda: not place.files(), "the spool to be worked off")
        place.write("service-perfdata.3", service_line("d=1"))
        wait_for(lambda: not place.files(), "the next file")
        document = ship.reporter.document(running=True)
    assert set(carbon.names) == {f"web01.load.{label}" for label in "abcd"}
    aside = place.state / "set-aside" / "carbon"
    assert sorted(path.name for path in aside.iterdir()) == ["service-perfdata.2", "service-perfdata.2.reason"]
    assert (aside / "service-perfdata.2").read_text() == service_line("b=1 poison=2 c=3")
    assert "closed the connection early" in (aside / "service-perfdata.2.reason").read_text()
    assert document["set_aside"] == {"files": 1, "directory": str(place.state / "set-aside")}
    assert "web01.load.poison 2 " in place.settings.reject_file.read_text(encoding="ascii")


@pytest.mark.slow
def test_a_poisoned_file_that_is_alone_waits_for_company(place: Place) -> None:
    carbon = place.receiver()
    carbon.answer = lambda items: ClosedEarly("hung up") if any(".poison " in item for item in items) else None
    place.write("service-perfdata.1", service_line("poison=2"))
    with place.running():
        wait_for(lambda: len(carbon.attempts) > 8, "many tries")
        assert place.files() == ["service-perfdata.1"]
        place.write("service-perfdata.2", service_line("a=1"))
        wait_for(lambda: not place.files(), "both")
    assert set(carbon.names) == {"web01.load.a"}
    assert (place.state / "set-aside" / "carbon" / "service-perfdata.1").exists()


def test_a_receiver_that_closes_for_a_while_has_nothing_set_aside(place: Place) -> None:
    carbon = place.receiver()
    carbon.answers = iter([ClosedEarly("closed the connection early")] * 60)
    for number in range(8):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1 b{number}=2"), 60 - number)
    with place.running() as ship:
        wait_for(lambda: not place.files(), "the spool to be worked off")
        assert ship.reporter.document(running=True)["set_aside"]["files"] == 0
    assert len(set(carbon.names)) == 16
