"""The way from spool to receiver, where it is easier to watch from inside."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from graphios.convert import Converter
from graphios.inputs.spool import SpoolError, SpoolFile
from tests.unit.graphios.deliveries import Place, refused_connection, wait_for
from tests.unit.graphios.spool_lines import service_line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


@pytest.mark.slow
def test_while_a_receiver_is_down_nothing_is_parsed_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    original = Converter.convert

    def counting(self: Converter, raw: Any, now: float) -> Any:
        parsed.append(raw)
        return original(self, raw, now)

    monkeypatch.setattr(Converter, "convert", counting)
    carbon = place.receiver()
    carbon.answers = iter([*[refused_connection()] * 8, None])
    place.write("service-perfdata.1", service_line("a=1") * 10)
    with place.running():
        wait_for(lambda: not place.files(), "the file to be delivered")
    assert len(parsed) == 10
    assert len(carbon.attempts) == 9
    assert len({tuple(attempt) for attempt in carbon.attempts}) == 1


def test_pauses_grow_up_to_the_longest(place: Place) -> None:
    ship = place.open()
    pauses = list(itertools.islice(ship.lanes[0]._pauses(), 12))
    assert pauses[-1] > 1.5 * pauses[0]
    assert max(pauses) <= place.settings.backends[0].delivery.longest_pause
    ship.close()


@pytest.mark.slow
def test_many_small_files_share_a_delivery_and_a_large_one_takes_several(place: Place) -> None:
    for number in range(200):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1"))
    place.write("service-perfdata.large", service_line("abc=1 def=2") * 20_000)
    place.once()
    carbon = place.receiver()
    assert 2 < len(carbon.taken) < 10
    assert max(sum(map(len, batch)) for batch in carbon.taken) < 600_000
    assert len(carbon.names) == 40_200
    assert place.files() == []


def test_a_file_is_there_until_its_last_batch_is_acknowledged(place: Place) -> None:
    carbon = place.receiver()
    carbon.answers = iter([None, None, *[refused_connection()] * 10_000])
    path = place.write("service-perfdata.1", service_line("abc=1 def=2") * 20_000)
    with place.running():
        wait_for(lambda: len(carbon.attempts) > 4, "the third batch to be refused")
        assert path.exists()
    assert path.exists()


@pytest.mark.slow
def test_a_restart_goes_on_where_it_was(place: Place) -> None:
    carbon = place.receiver()
    carbon.forgets = False
    place.change(backends=(place.backend("carbon", batch_bytes=100_000),))
    carbon.answers = iter([None, None, *[refused_connection()] * 10_000])
    place.write("service-perfdata.1", "".join(service_line(f"a{number}=1") for number in range(20_000)))
    place.write("service-perfdata.2", service_line("last=1"), 50)
    with place.running():
        wait_for(lambda: len(carbon.attempts) > 4, "the third batch to be refused")
    assert 0 < len(carbon.names) < 20_000
    carbon.answers = iter(())
    place.once()
    assert carbon.names == [*(f"web01.load.a{number}" for number in range(20_000)), "web01.load.last"]


def test_a_delivered_file_that_cannot_be_moved_is_not_sent_again(place: Place) -> None:
    (place.state / "delivered").parent.mkdir()
    (place.state / "delivered").write_text("in the way")
    place.write("service-perfdata.1", service_line("a=1"))
    place.receiver().forgets = False
    for _ in range(3):
        ship = place.once()
        assert "service-perfdata.1 was delivered, but can't be moved away" in " ".join(ship.troubles.current())
    assert place.files() == ["service-perfdata.1"]
    (place.state / "delivered").unlink()
    place.once()
    assert place.files() == []
    assert place.receiver().names == ["web01.load.a"]


def test_rejects_are_on_disk_before_their_file_leaves_the_spool(place: Place) -> None:
    path = place.write("service-perfdata.1", "garbage\n")
    ship = place.open(running=False)
    place.settings.reject_file.unlink()
    place.settings.reject_file.mkdir()
    errors, _ = ship.once()
    assert "reject file" in str(errors[0])
    assert path.exists()
    place.settings.reject_file.rmdir()
    assert ship.once()[0] == []
    assert place.settings.reject_file.read_text(encoding="ascii").count("no DATATYPE") == 1
    assert not path.exists()
    ship.close()


def test_an_unreadable_file_holds_up_itself_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SpoolFile.lines

    def broken(self: SpoolFile, *arguments: Any) -> Any:
        if self.name.endswith(".bad"):
            raise SpoolError(f"{self.path}: Input/output error")
        return original(self, *arguments)

    monkeypatch.setattr(SpoolFile, "lines", broken)
    place.write("service-perfdata.bad", service_line("a=1"))
    place.write("service-perfdata.good", service_line("b=2"))
    ship = place.once()
    assert place.receiver().names == ["web01.load.b"]
    assert place.files() == ["service-perfdata.bad"]
    assert any("Input/output error" in text for text in ship.troubles.current())
    monkeypatch.undo()


def two_lanes(place: Place) -> None:
    place.change(backends=(place.backend("carbon"), place.backend("carbon:lab")))


def test_a_dead_receiver_neither_stops_nor_duplicates_another(place: Place) -> None:
    two_lanes(place)
    good, dead = place.receiver("carbon"), place.receiver("carbon:lab")
    dead.answer = lambda items: refused_connection()
    for number in range(20):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1"), 60 - number)
    with place.running():
        wait_for(lambda: len(good.names) == 20, "the good receiver to have everything")
        place.write("service-perfdata.x", service_line("x=1"))
        wait_for(lambda: len(good.names) == 21, "the good receiver to have the next file")
        assert len(place.files()) == 21
        dead.answer = lambda items: None
        wait_for(lambda: not place.files(), "the spool to be worked off")
    assert sorted(dead.names) == sorted(good.names)
    assert len(good.names) == 21


def test_lanes_far_apart_go_on_where_each_was_after_a_restart(place: Place) -> None:
    two_lanes(place)
    good, dead = place.receiver("carbon"), place.receiver("carbon:lab")
    good.forgets = dead.forgets = False
    dead.answer = lambda items: refused_connection()
    for number in range(50):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1 b=x"), 60 - number)
    with place.running():
        wait_for(lambda: len(good.names) == 50, "the good receiver to have everything")
    dead.answer = lambda items: None
    with place.running():
        wait_for(lambda: not place.files(), "the spool to be worked off")
    assert len(good.names) == len(dead.names) == 50
    # What the first lane rejected is recorded once, whatever the number of lanes and of runs.
    assert place.settings.reject_file.read_text(encoding="ascii").count("not a number") == 50


def test_a_lane_that_is_no_more_holds_nothing_up(place: Place) -> None:
    two_lanes(place)
    place.receiver("carbon:lab").answer = lambda items: refused_connection()
    place.write("service-perfdata.1", service_line("a=1"))
    with place.running():
        wait_for(lambda: place.receiver().names, "the good receiver to have it")
    assert place.files() == ["service-perfdata.1"]
    place.change(backends=(place.backend("carbon"),))
    with place.running():
        wait_for(lambda: not place.files(), "the file to leave the spool")


def test_rejects_that_cannot_be_written_cost_no_good_line(place: Place) -> None:
    place.receiver().forgets = False
    with place.running() as ship:
        place.settings.reject_file.unlink()
        place.settings.reject_file.mkdir()  # as good as a full disk
        bad = place.write("service-perfdata.1", service_line("a=1 b=x"))
        place.write("service-perfdata.2", service_line("c=1"), 50)
        wait_for(lambda: set(place.receiver().names) >= {"web01.load.a", "web01.load.c"}, "the good lines")
        wait_for(lambda: place.files() == [bad.name], "the good file to leave the spool")
        assert any("reject file" in text for text in ship.troubles.current())
        place.settings.reject_file.rmdir()
        ship.lanes[0].reader.failed.clear()  # as if ten seconds had gone by
        wait_for(lambda: not place.files(), "the other one")
        assert ship.rejects.count == 1
    assert place.settings.reject_file.read_text(encoding="ascii").count("not a number") == 1
