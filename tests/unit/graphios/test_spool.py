"""The spool directory: whose files are touched, in which order, and how lines come out of them."""

import os
import socket
from pathlib import Path

import pytest

from graphios.inputs import spool as spool_module
from graphios.inputs.spool import Cut, Oldest, Spool, SpoolError, Waiting


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def names(directory: Path) -> list[str]:
    return [entry.name for entry in Spool(str(directory)).scan()]


def aged(path: Path, seconds: float, data: bytes = b"x\n") -> Path:
    path.write_bytes(data)
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))
    return path


def test_oldest_first_whatever_the_names_say(directory: Path) -> None:
    aged(directory / "service-perfdata.1", 10)
    aged(directory / "service-perfdata.2", 30)
    aged(directory / "host-perfdata.9", 20)
    assert names(directory) == ["service-perfdata.2", "host-perfdata.9", "service-perfdata.1"]


def test_what_is_not_ours_is_not_seen(directory: Path) -> None:
    target = aged(directory / "README", 5)
    for name in (
        ".service-perfdata.1",
        "service-perfdata",
        "service-perfdata.",
        "xservice-perfdata.1",
        "perfdata.1",
        "core",
    ):
        aged(directory / name, 5)
    (directory / "service-perfdata.dir").mkdir()
    (directory / "service-perfdata.link").symlink_to(target)
    (directory / "service-perfdata.dangling").symlink_to(directory / "nowhere")
    os.mkfifo(directory / "service-perfdata.fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "service-perfdata.sock"))
        assert names(directory) == []


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(directory: Path) -> None:
    secret = aged(directory / "secret", 5)
    (directory / "service-perfdata.1").symlink_to(secret)
    with pytest.raises(SpoolError, match=r"service-perfdata\.1: Too many levels"):
        Spool(str(directory)).open("service-perfdata.1")


def test_a_fifo_that_takes_the_place_of_a_file_does_not_hang(directory: Path) -> None:
    os.mkfifo(directory / "service-perfdata.1")
    with pytest.raises(SpoolError, match="not a regular file"):
        Spool(str(directory)).open("service-perfdata.1")


def test_two_shippers_never_work_on_one_spool(directory: Path) -> None:
    first, second = Spool(str(directory)), Spool(str(directory))
    first.lock()
    with pytest.raises(SpoolError, match="another graphios works on the spool"):
        second.lock()
    assert list(directory.iterdir()) == []  # the lock leaves nothing in the spool
    first.unlock()
    second.lock()
    second.unlock()


def test_a_missing_spool_is_named(directory: Path) -> None:
    for action in (Spool(f"{directory}/nowhere").lock, Spool(f"{directory}/nowhere").scan):
        with pytest.raises(SpoolError, match="nowhere: No such file or directory"):
            action()


@pytest.fixture(params=[1, 7, 65536])
def _read_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_READ", request.param)


def lines(directory: Path, data: bytes) -> list[tuple[int, bytes | Cut]]:
    (directory / "service-perfdata.1").write_bytes(data)
    with Spool(str(directory)).open("service-perfdata.1") as file:
        found = list(file.lines())
        for number, end, line in found[:-1]:
            # From behind any line it goes on with the next.
            assert list(file.lines(end, number)) == found[number:]
            if isinstance(line, bytes):
                assert data[:end].endswith(line + b"\n")
    return [(number, line) for number, _, line in found]


@pytest.mark.usefixtures("_read_size")
def test_lines_come_out_whole_however_they_are_read(directory: Path) -> None:
    assert lines(directory, b"one\n\ntwo two\n\x00\xff\n") == [(1, b"one"), (2, b""), (3, b"two two"), (4, b"\x00\xff")]


@pytest.mark.usefixtures("_read_size")
def test_a_last_line_without_newline_is_never_a_line(directory: Path) -> None:
    found = lines(directory, b"one\nrta=123.4")
    assert found[0] == (1, b"one")
    assert isinstance(found[1][1], Cut)
    assert found[1][1].start == b"rta=123.4"


def test_a_line_that_is_too_long_costs_itself_only(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "LONGEST_LINE", 100)
    monkeypatch.setattr(spool_module, "_READ", 64)
    found = lines(directory, b"one\n" + b"x" * 1000 + b"\ntwo\n")
    assert [number for number, _ in found] == [1, 2, 3]
    assert isinstance(found[1][1], Cut)
    assert "longer than 100 bytes" in found[1][1].reason
    assert found[2][1] == b"two"


def test_a_file_is_read_as_it_was_when_it_was_opened(directory: Path) -> None:
    path = directory / "service-perfdata.1"
    path.write_bytes(b"one\n")
    with Spool(str(directory)).open(path.name) as file:
        with path.open("ab") as writer:
            writer.write(b"two\n")
        assert [line for _, _, line in file.lines()] == [b"one"]


@pytest.mark.usefixtures("_read_size")
def test_a_file_truncated_while_it_is_read_ends_early(directory: Path) -> None:
    path = directory / "service-perfdata.1"
    path.write_bytes(b"one\ntwo\n")
    with Spool(str(directory)).open(path.name) as file:
        os.truncate(path, 4)
        assert [(end, line) for _, end, line in file.lines()] == [(4, b"one")]


def test_patterns_say_which_files_are_ours(directory: Path) -> None:
    for name in ("perfdata.1", "icinga.2", "x", ".perfdata.3", "perfdata."):
        aged(directory / name, 5)
    found = [entry.name for entry in Spool(str(directory), ("perfdata.*", "icinga.?")).scan()]
    assert sorted(found) == ["icinga.2", "perfdata.1"]


def test_of_many_files_only_the_oldest_are_held(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "OLDEST", 20)
    oldest = Oldest()
    for number in range(1000):
        oldest.add(Waiting(number * 7919 % 1000, f"f{number}", 3, number, "/"))
    assert [entry.age for entry in oldest.sorted()] == list(range(20))
    assert (oldest.files, oldest.bytes) == (1000, 3000)


def test_a_directory_that_came_back_is_locked_again(directory: Path) -> None:
    spool = directory / "spool"
    spool.mkdir()
    first = Spool(str(spool))
    first.lock()
    spool.rename(directory / "old")
    spool.mkdir()
    first.lock()
    with pytest.raises(SpoolError, match="another graphios"):
        Spool(str(spool)).lock()
    first.unlock()
