"""The replay window: delivered files in one place each, let go in time, and nothing lost that is appended late."""

import os
from pathlib import Path

import pytest

from graphios.delivery import window as window_module
from graphios.delivery.window import Window
from graphios.inputs.spool import FileKey, SpoolError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Room:
    def __init__(self, root: Path) -> None:
        self.spool, self.state, self.inbox = root / "spool", root / "state", root / "state" / "inbox"
        self.spool.mkdir()
        self.inbox.mkdir(parents=True)
        self.clock = Clock()
        self.window = self.open()

    def open(self, running: bool = True, keep: float = 900, most: int = 10**9) -> Window:
        return Window(self.state, [str(self.spool)], self.inbox, running, keep, most, self.clock)

    def take(self, name: str, data: bytes = b"one\n") -> None:
        path = self.spool / name
        path.write_bytes(data)
        self.window.take(FileKey(str(self.spool), name, path.stat().st_ino), len(data))

    def kept(self) -> list[str]:
        return sorted(path.name.split(".", 2)[2] for path in (self.state / "delivered").glob("*/*"))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_what_is_taken_leaves_the_spool_and_comes_again_oldest_first(room: Room) -> None:
    for name, changed in (("b", 20), ("a", 30), ("c", 10)):
        (room.spool / name).write_bytes(b"x\n")
        os.utime(room.spool / name, (changed, changed))
        room.window.take(FileKey(str(room.spool), name, 0), 2)
    assert list(room.spool.iterdir()) == []
    again = list(room.window.replay(0, room.window.cut()))
    assert [Path(kept.path).name[-1] for kept in again] == ["c", "b", "a"]
    assert {kept.size for kept in again} == {2}
    assert (room.window.files, room.window.bytes) == (3, 6)


def test_nothing_goes_before_every_receiver_is_known_to_be_well(room: Room) -> None:
    room.take("a")
    room.clock.now += 100_000
    room.window.expire(1000.0 + 900)
    assert room.kept() == ["a"]
    room.window.expire(1000.0 + 901)
    assert room.kept() == []
    assert room.window.files == 0
    assert list((room.state / "delivered").iterdir()) == []


def test_what_was_sent_again_is_as_good_as_new(room: Room) -> None:
    room.take("a")
    room.clock.now += 800
    room.window.replayed()
    room.window.expire(room.clock.now + 200)
    assert room.kept() == ["a"]


def test_a_restart_finds_it_all_and_counts_it_as_new(room: Room) -> None:
    room.take("a")
    room.clock.now += 5000
    again = room.open()
    assert (again.files, again.bytes) == (1, 4)
    again.expire(room.clock.now + 899)
    assert room.kept() == ["a"]
    assert [kept.size for kept in again.replay(0, again.cut())] == [4]


def test_single_runs_let_go_of_what_earlier_ones_delivered(room: Room) -> None:
    room.take("a")
    room.clock.now += 800
    room.open(running=False).expire(room.clock.now)
    assert room.kept() == ["a"]
    room.clock.now += 200
    room.open(running=False).expire(room.clock.now)
    assert room.kept() == []


def test_over_its_bytes_the_oldest_go_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "_BUCKET_FILES", 1)
    room.window = room.open(most=10)
    for name in ("a", "b", "c", "d"):
        room.take(name)
    room.window.expire(room.clock.now)
    assert room.kept() == ["c", "d"]


def test_what_a_writer_appends_after_the_delivery_goes_to_the_inbox(room: Room) -> None:
    with (room.spool / "a").open("wb", buffering=0) as writer:
        writer.write(b"one\n")
        room.window.take(FileKey(str(room.spool), "a", 0), 4)
        writer.write(b"two\nthr")
        room.clock.now += 1
        assert room.window.watch() == 1
        assert [path.read_bytes() for path in room.inbox.iterdir()] == [b"two\n"]
        writer.write(b"ee\n")
        room.clock.now += 5
        assert room.window.watch() == 1
        assert room.window.watch() == 0
        writer.write(b"cut of")
    room.window.expire(room.clock.now + 10_000)
    assert sorted(path.read_bytes() for path in room.inbox.iterdir()) == [b"cut of", b"three\n", b"two\n"]
    assert room.kept() == []


def test_what_is_gone_is_not_missed_and_what_cannot_be_moved_is_said(room: Room) -> None:
    room.window.take(FileKey(str(room.spool), "gone", 0), 4)
    assert room.window.files == 0
    (room.state / "delivered").rename(room.state / "x") if (room.state / "delivered").exists() else None
    (room.state / "delivered").write_text("in the way")
    (room.spool / "a").write_bytes(b"one\n")
    with pytest.raises(
        SpoolError, match=r"spool/a was delivered, but can't be moved away: (Not a directory|File exists)"
    ):
        room.window.take(FileKey(str(room.spool), "a", 0), 4)
    assert (room.spool / "a").exists()


def test_where_the_state_lies_on_another_file_system_the_window_lies_in_the_spool(tmp_path: Path) -> None:
    # /dev/shm is a file system of its own wherever there is one.
    other = Path("/dev/shm") / f"graphios-test-{os.getpid()}"
    other.mkdir()
    try:
        assert other.stat().st_dev != tmp_path.stat().st_dev
        spool, inbox = tmp_path / "spool", other / "inbox"
        spool.mkdir()
        inbox.mkdir()
        window = Window(other, [str(spool)], inbox, True, 900, 10**9)
        for name in ("a", "b"):
            (spool / name).write_bytes(b"one\n")
            window.take(FileKey(str(spool), name, 0), 4)
        assert len(list((spool / ".delivered").glob("*/*"))) == 2
        again = Window(other, [str(spool)], inbox, True, 900, 10**9)
        assert len(list(again.replay(0, again.cut()))) == 2
        again.expire(again.now() + 1000)
        assert list((spool / ".delivered").iterdir()) == []
    finally:
        for path in sorted(other.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        other.rmdir()
