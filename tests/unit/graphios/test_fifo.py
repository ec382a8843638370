"""Named pipes and standard input: every whole line ends up in the inbox, whatever its writers do."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphios.configuration.settings import FifoInput
from graphios.inputs import fifo
from graphios.inputs.fifo import FifoError, FifoReader, read_all


class Site:
    """A reader, its pipe and its inbox."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pipe"
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.stopping = threading.Event()
        self.reader = FifoReader(FifoInput("fifo", str(self.path)), str(self.inbox), self.stopping)

    def files(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.inbox.glob("service-perfdata.*"))]

    def lines(self) -> list[bytes]:
        return [line for data in self.files() if data.endswith(b"\n") for line in data.splitlines()]

    def fragments(self) -> list[bytes]:
        return [data for data in self.files() if not data.endswith(b"\n")]

    def stop(self) -> None:
        self.stopping.set()
        assert self.reader.join(20)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fifo, "INTERVAL", 0.05)
    site = Site(tmp_path)
    yield site
    site.stop()


def test_writers_come_and_go(site: Site) -> None:
    site.reader.start()
    for number in range(3):
        site.path.write_bytes(b"line %d\n" % number)
    until(lambda: site.lines() == [b"line 0", b"line 1", b"line 2"])
    assert site.reader.trouble is None


def test_a_new_pipe_can_be_written_by_the_group_only(site: Site) -> None:
    old = os.umask(0o077)
    try:
        site.reader.start()
    finally:
        os.umask(old)
    status = site.path.stat()
    assert stat.S_ISFIFO(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o620


@pytest.mark.parametrize("kind", ["file", "directory", "nowhere"])
def test_something_else_is_refused(site: Site, kind: str) -> None:
    if kind == "file":
        site.path.write_text("x")
    elif kind == "directory":
        site.path.mkdir()
    else:
        site.path = site.path / "deeper"
        site.reader = FifoReader(FifoInput("fifo", str(site.path)), str(site.inbox), site.stopping)
    with pytest.raises(FifoError, match=str(site.path)):
        site.reader.start()
    assert kind != "file" or site.path.read_text() == "x"


def test_several_writers_at_once_lose_nothing(site: Site) -> None:
    site.reader.start()
    program = f"f = open({str(site.path)!r}, 'wb', 0)\nfor i in range(300): f.write(b'%s %03d ' % (b'W', i) + b'x' * 1000 + b'\\n')"
    writers = [subprocess.Popen([sys.executable, "-c", program.replace("W", str(number))]) for number in range(3)]
    for writer in writers:
        assert writer.wait(30) == 0
    until(lambda: len(site.lines()) == 900)
    expected = {b"%d %03d " % (number, i) + b"x" * 1000 for number in range(3) for i in range(300)}
    assert set(site.lines()) == expected
    assert site.fragments() == []


def test_the_fragment_of_a_killed_writer_is_not_glued_to_the_next_line(site: Site) -> None:
    site.reader.start()
    program = f"import time\nf = open({str(site.path)!r}, 'wb', 0)\nf.write(b'first\\nhalf a li')\nprint(flush=True)\ntime.sleep(60)"
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer.stdout:
        writer.stdout.readline()
        until(lambda: site.lines() == [b"first"])
        assert site.fragments() == []
        writer.send_signal(signal.SIGKILL)
        writer.wait(30)
    until(lambda: site.fragments() == [b"half a li"])
    site.path.write_bytes(b"second\n")
    until(lambda: site.lines() == [b"first", b"second"])


def test_a_fragment_is_cut_after_a_while_when_another_writer_keeps_the_pipe_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fifo, "STALE", 0.1)
    site.reader.start()
    with site.path.open("wb", 0) as nagios:
        site.path.write_bytes(b"half")
        until(lambda: site.fragments() == [b"half"])
        nagios.write(b"whole\n")
        until(lambda: site.lines() == [b"whole"])


def test_a_line_in_two_pieces_is_one_line(site: Site) -> None:
    site.reader.start()
    with site.path.open("wb", 0) as writer:
        writer.write(b"first\nsec")
        until(lambda: site.lines() == [b"first"])
        writer.write(b"ond\n")
        until(lambda: site.lines() == [b"first", b"second"])
    assert site.fragments() == []


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_fine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "LONGEST_LINE", 200_000)
    site.reader.start()
    with site.path.open("wb", 0) as writer:
        writer.write(b"before\n" + b"x" * 500_000 + b"\nafter\n")
        until(lambda: site.lines() == [b"before", b"after"])
    assert site.fragments() == [b"x" * 4000]


def test_many_lines_become_few_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "INTERVAL", 60)
    site.reader.start()
    with site.path.open("wb", 0) as writer:
        for _ in range(10):
            writer.write(b"y" * 65_535 + b"\n")
        until(lambda: len(site.files()) == 2)  # 4 * 64 kB each
        writer.write(b"the rest\n")
    site.stop()
    assert len(site.lines()) == 11
    assert len(site.files()) == 3


def test_a_full_disk_stops_reading_and_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.inbox.rmdir()
    site.reader.start()
    with site.path.open("wb", 0) as writer:
        os.set_blocking(writer.fileno(), False)
        written = 0
        until(lambda: site.reader.trouble is not None or not writer.write(b"%099d\n" % 0))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and written < 100_000_000:
            taken = writer.write(b"%099d\n" % written * 40)
            if taken is None:
                break
            written += taken
        assert written < 10_000_000  # the pipe is full, as nobody reads
    trouble = site.reader.trouble
    assert trouble is not None
    assert "No such file or directory" in trouble
    assert caplog.text.count("not read until it can be written") == 1
    site.inbox.mkdir()
    until(lambda: len(site.lines()) * 100 >= written)
    until(lambda: site.reader.trouble is None)
    assert {len(line) for line in site.lines()} == {99}


def test_stopping_takes_what_is_in_the_pipe_still(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "INTERVAL", 60)
    site.reader.start()
    with site.path.open("wb", 0) as writer:
        writer.write(b"a\nb\nc")
        site.stop()
    assert site.lines() == [b"a", b"b"]
    assert site.fragments() == [b"c"]


def test_a_pipe_that_is_made_anew_is_read(site: Site) -> None:
    site.reader.start()
    site.path.write_bytes(b"old\n")
    until(lambda: site.lines() == [b"old"])
    site.path.unlink()
    until(site.path.exists)  # graphios makes it again
    until(lambda: site.reader.trouble is None)
    site.path.write_bytes(b"new\n")
    until(lambda: site.lines() == [b"old", b"new"])


def test_a_pipe_that_became_something_else_is_told(site: Site) -> None:
    site.reader.start()
    (site.path.parent / "other").write_text("")
    (site.path.parent / "other").rename(site.path)
    until(lambda: "not a named pipe" in (site.reader.trouble or ""))


@pytest.mark.parametrize("last", [b"", b"cut"])
def test_standard_input_is_read_to_its_end(tmp_path: Path, last: bytes) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    data = b"".join(b"line %06d\n" % number for number in range(50_000)) + last
    (tmp_path / "input").write_bytes(data)
    with (tmp_path / "input").open("rb") as stream:
        assert read_all(stream, str(inbox), threading.Event()) == len(data)
    found = [path.read_bytes() for path in sorted(inbox.iterdir())]
    whole = [text for text in found if text.endswith(b"\n")]
    assert b"".join(whole) + last == data
    assert len(found) == len(whole) + bool(last)


def test_standard_input_can_be_left(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    stopping = threading.Event()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", 0) as writer:
        writer.write(b"a\nb")
        thread = threading.Thread(target=read_all, args=(stream, str(tmp_path), stopping))
        thread.start()
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()
