"""Files and directories that change under the shipper's hands: grown, truncated, replaced, gone, back."""

import shutil
from pathlib import Path

import pytest

from tests.unit.graphios.deliveries import Place, Receiver, refused_connection, wait_for
from tests.unit.graphios.spool_lines import service_line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, monkeypatch)
    place.change(backends=(place.backend("carbon", batch_bytes=1000),))
    place.receiver().forgets = False
    return place


def text(letter: str, count: int = 100) -> str:
    return "".join(service_line(f"{letter}{number}=1") for number in range(count))


def labels(receiver: Receiver) -> list[str]:
    return [name.rpartition(".")[2] for name in receiver.names]


def half_way(place: Place, path: Path) -> int:
    """Delivers a part of the file, and no more: how many lines."""
    receiver = place.receiver()
    receiver.answers = iter([None, None, *[refused_connection()] * 100_000])
    with place.running():
        wait_for(lambda: len(receiver.attempts) > 3, "a refusal")
    receiver.answers = iter(())
    assert 0 < len(receiver.names) < 100
    assert path.exists()
    return len(receiver.names)


def test_what_is_appended_in_the_spool_is_shipped_once(place: Place) -> None:
    path = place.write("service-perfdata.1", text("a"))
    half_way(place, path)
    with path.open("a") as writer:
        writer.write(text("b", 3))
    place.once()
    assert labels(place.receiver()) == [*(f"a{number}" for number in range(100)), "b0", "b1", "b2"]
    assert place.files() == []


@pytest.mark.parametrize("shorter", [True, False])
def test_a_file_that_was_truncated_and_written_anew_is_shipped_from_its_beginning(place: Place, shorter: bool) -> None:
    path = place.write("service-perfdata.1", text("a"))
    done = half_way(place, path)
    inode = path.stat().st_ino
    path.write_text(text("b", 3 if shorter else 200))
    assert path.stat().st_ino == inode
    place.once()
    assert labels(place.receiver())[done:] == [f"b{number}" for number in range(3 if shorter else 200)]
    assert place.files() == []


def test_a_file_that_took_the_name_of_another_is_shipped_from_its_beginning(place: Place) -> None:
    path = place.write("service-perfdata.1", text("a"))
    done = half_way(place, path)
    other = place.write("other", text("b"))
    other.rename(path)
    place.once()
    assert labels(place.receiver())[done:] == [f"b{number}" for number in range(100)]


def test_a_position_of_a_file_that_is_gone_says_nothing_about_one_that_gets_its_name_and_inode(place: Place) -> None:
    # A kill between the move and the removal of the positions leaves them behind; the window lets go of the inode.
    path = place.write("service-perfdata.1", text("a", 3))
    ship = place.open(running=False)
    ship.progress.forget = lambda keys: None  # type: ignore[method-assign]
    assert ship.once()[0] == []
    ship.close()
    (kept,) = place.window()
    kept.write_text(text("b", 3))  # the same inode and size
    kept.rename(path)
    place.once()
    assert labels(place.receiver()) == ["a0", "a1", "a2", "b0", "b1", "b2"]


@pytest.mark.slow
def test_a_file_that_grows_after_it_left_the_spool_is_shipped_whole(place: Place) -> None:
    path = place.spool / "service-perfdata.1"
    with place.running(), path.open("w") as writer:
        writer.write(text("a", 3))
        writer.flush()
        wait_for(lambda: not place.files(), "the file to be delivered")
        writer.write(text("b", 3))
        writer.flush()
        wait_for(lambda: len(labels(place.receiver())) == 6, "its tail")
    assert sorted(labels(place.receiver())) == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_spool_that_vanishes_is_said_and_work_goes_on_when_it_is_back(place: Place) -> None:
    with place.running() as ship:
        shutil.rmtree(place.spool)
        wait_for(lambda: any("No such file" in text for text in ship.troubles.current()), "the trouble to be said")
        place.spool.mkdir()
        place.write("service-perfdata.1", text("a", 3))
        wait_for(lambda: labels(place.receiver()) == ["a0", "a1", "a2"], "the file")
        wait_for(lambda: not ship.troubles.current(), "the end of the trouble")


def test_files_of_several_spools_go_oldest_first(place: Place) -> None:
    other = place.root / "icinga"
    other.mkdir()
    (spool,) = place.settings.spools
    place.change(spools=(spool, spool._replace(name="spool:icinga", directory=str(other), files=("perfdata.*",))))
    place.write("perfdata.1", service_line("a=1"), 50, other)
    place.write("service-perfdata.1", service_line("x=1"), 45, other)  # not ours there
    place.write("service-perfdata.1", service_line("b=1"), 40)
    place.write("perfdata.2", service_line("c=1"), 30, other)
    place.once()
    assert labels(place.receiver()) == ["a", "b", "c"]
    assert [path.name for path in other.iterdir()] == ["service-perfdata.1"]


def test_more_files_than_fit_into_memory_are_all_delivered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphios.inputs import spool

    monkeypatch.setattr(spool, "OLDEST", 20)
    for number in range(150):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1"), 200 - number)
    with place.running():
        wait_for(lambda: not place.files(), "all files")
    assert labels(place.receiver()) == [f"a{number}" for number in range(150)]


def test_a_single_run_delivers_more_files_than_fit_into_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphios.inputs import spool

    monkeypatch.setattr(spool, "OLDEST", 20)
    for number in range(150):
        place.write(f"service-perfdata.{number}", service_line(f"a{number}=1"), 200 - number)
    place.once()
    assert labels(place.receiver()) == [f"a{number}" for number in range(150)]
