"""The progress line: in a real pseudo-terminal, and silent everywhere else."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from checks.engine.results import Result
from checks.engine.run.progress import Progress
from checks.engine.run.terminal import columns


class Terminal:
    """A pseudo-terminal: its two ends."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        os.set_blocking(self.ours, False)

    def resize(self, width: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def shown(self) -> str:
        """What was written since the last call."""
        try:
            return os.read(self.ours, 65536).decode("utf-8")
        except BlockingIOError:
            return ""

    def close(self) -> None:
        self.stream.close()
        os.close(self.ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal()
    made.resize(80)
    yield made
    made.close()


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_says_how_many_are_done_what_was_found_and_what_runs_the_longest_first() -> None:
    clock = Clock()
    progress = Progress(None, 4, clock)
    for name in ("old", "bad", "young"):
        progress.started(name)
        clock.now += 2
    progress.ended(Result("bad", 2, b"BAD\n"))
    assert progress.line(200).endswith("] 1/4  6 s  1 CRITICAL  2 running: old 6 s, young 2 s")


def test_before_the_first_check_it_says_that_it_starts() -> None:
    assert Progress(None, 4, Clock()).line(60) == "0/4  0 s  starting"


@pytest.mark.parametrize("width", [1, 5, 40, 75, 110, 200])
def test_the_line_fits(width: int) -> None:
    progress = Progress(None, 1000)
    for number in range(1000):
        progress.started(f"check_日本_{number}\x1b[2J")
    assert columns(progress.line(width)) <= width
    assert progress.line(width).isprintable()


def test_a_check_that_is_over_no_longer_runs() -> None:
    progress = Progress(None, 1, Clock())
    progress.started("one")
    progress.ended(Result("one", 0, b"OK\n"))
    assert "running" not in progress.line(100)


def test_it_is_redrawn_in_place_follows_the_width_and_leaves_nothing_behind(terminal: Terminal) -> None:
    progress = Progress(terminal.stream, 3)
    for number in range(3):
        progress.started(f"check_with_a_long_name_{number}")
    progress.draw()
    wide = terminal.shown()
    terminal.resize(40)
    progress.draw()
    narrow = terminal.shown()
    for drawn, width in ((wide, 80), (narrow, 40)):
        assert drawn.startswith("\r")
        assert drawn.endswith("\x1b[K")
        assert "\n" not in drawn
        assert len(drawn[1:-3]) < width
    assert len(narrow) < len(wide)
    progress.erase()
    assert terminal.shown() == "\r\x1b[K"
    progress.draw()
    assert terminal.shown() == ""


def test_a_stopped_terminal_is_not_waited_for(terminal: Terminal) -> None:
    progress = Progress(terminal.stream, 3)
    termios.tcflow(terminal.stream.fileno(), termios.TCOOFF)
    progress.draw()
    assert terminal.shown() == ""
    termios.tcflow(terminal.stream.fileno(), termios.TCOON)
    progress.draw()
    assert "0/3" in terminal.shown()


def test_a_terminal_that_went_away_ends_the_drawing() -> None:
    made = Terminal()
    progress = Progress(made.stream, 3)
    progress.shown = True
    os.close(made.ours)
    progress.draw()
    assert not progress.shown
    made.stream.close()


def test_it_is_silent_where_no_line_can_be_drawn_again(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    closed = io.StringIO()
    closed.close()
    for stream in (pipe, closed, None):
        progress = Progress(stream, 3)
        progress.draw()
        progress.erase()
        assert not progress.shown
    assert pipe.getvalue() == ""
    monkeypatch.setenv("TERM", "dumb")
    Progress(terminal.stream, 3).draw()
    assert terminal.shown() == ""
