"""New files are noticed at once, and waiting ends in time where they can't be."""

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import inotify_simple
import pytest

from graphios.inputs import watch
from graphios.inputs.watch import Watcher

LONG = 60.0
"""Seconds no test takes: a wait that ends was ended by news."""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def watcher(spool: Path) -> Iterator[Watcher]:
    with Watcher([str(spool)]) as found:
        assert found.notified
        yield found


def moved(spool: Path) -> None:
    (spool.parent / "x").write_text("a\n")
    (spool.parent / "x").rename(spool / "service-perfdata.1")


def linked(spool: Path) -> None:
    (spool.parent / "x").write_text("a\n")
    (spool / "service-perfdata.1").hardlink_to(spool.parent / "x")


def written(spool: Path) -> None:
    (spool / "service-perfdata.1").write_text("a\n")


def renamed(spool: Path) -> None:
    (spool / ".service-perfdata.1").write_text("a\n")
    (spool / ".service-perfdata.1").rename(spool / "service-perfdata.1")


@pytest.mark.parametrize("arrive", [moved, linked, written, renamed])
def test_a_whole_file_is_noticed(watcher: Watcher, spool: Path, arrive: Callable[[Path], None]) -> None:
    arrive(spool)
    assert watcher.wait(0, LONG) > 0


def test_what_arrives_while_nobody_waits_is_not_missed(watcher: Watcher, spool: Path) -> None:
    written(spool)
    first = watcher.wait(0, LONG)
    assert first > 0
    assert watcher.wait(0, LONG) == watcher.wait(0, LONG)  # still news for somebody else


def test_hidden_and_unfinished_files_are_no_news(watcher: Watcher, spool: Path) -> None:
    (spool / ".service-perfdata.1").write_text("a\n")
    with (spool / "service-perfdata.2").open("w") as file:
        file.flush()
        (spool / "service-perfdata.3").symlink_to("nowhere-at-all")
        seen = watcher.wait(0, 0.2)
        assert seen <= 1  # a symbolic link has a size, and may count
        file.write("x")
    assert watcher.wait(seen, LONG) > seen


def test_every_waiting_thread_is_woken(watcher: Watcher, spool: Path) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(watcher.wait(0, LONG))) for _ in range(5)]
    for thread in threads:
        thread.start()
    moved(spool)
    for thread in threads:
        thread.join(LONG)
    assert len(results) == 5
    assert min(results) > 0


def test_wake_and_close_end_waiting(spool: Path) -> None:
    watcher = Watcher([str(spool)])
    watcher.start()
    for end in (watcher.wake, watcher.close):
        seen = watcher.wait(-1, 0)
        thread = threading.Thread(target=watcher.wait, args=(seen, LONG))
        thread.start()
        end()
        thread.join(LONG)
        assert not thread.is_alive()
    assert not watcher._thread.is_alive()
    watcher.close()  # twice does no harm


def test_waiting_ends_when_nothing_arrives(watcher: Watcher) -> None:
    assert watcher.wait(0, 0.05) == 0


def test_a_directory_that_is_replaced_is_watched_again(
    watcher: Watcher, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK_AGAIN", 0.05)
    for number in range(2):
        if number:
            spool.rename(spool.parent / "old")
        else:
            spool.rmdir()
        spool.mkdir()
        seen = watcher.wait(-1, 0)
        deadline = time.monotonic() + 20
        # The new directory itself is news once it is watched; whatever arrives after that is, too.
        while watcher._seen.get(str(spool)) != (spool.stat().st_dev, spool.stat().st_ino):
            assert time.monotonic() < deadline
            seen = watcher.wait(seen, 0.05)
        seen = watcher.wait(seen, 0.3)
        (spool / "service-perfdata.1").write_text("x\n")
        assert watcher.wait(seen, LONG) > seen


def test_a_directory_that_appears_later_is_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LOOK_AGAIN", 0.05)
    with Watcher([str(tmp_path / "later")]) as watcher:
        (tmp_path / "later").mkdir()
        assert watcher.wait(0, LONG) > 0


def test_an_overflow_is_news(watcher: Watcher) -> None:
    assert watcher._is_news(-1, watch._OVERFLOW, "")


def test_without_the_library_waiting_is_a_pause(
    spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    with Watcher([str(spool)]) as watcher:
        assert not watcher.notified
        moved(spool)
        assert watcher.wait(0, 0.05) == 0
        watcher.wake()
        assert watcher.wait(0, LONG) == 1
    assert "by looking for them" in caplog.text


@pytest.mark.parametrize(("where", "notified"), [("__init__", False), ("add_watch", True)])
def test_the_limits_of_the_kernel_are_told_once(
    spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, notified: bool
) -> None:
    def full(*_: object, **__: object) -> None:
        number = errno.EMFILE if where == "__init__" else errno.ENOSPC
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(watch, "_LOOK_AGAIN", 0.02)
    monkeypatch.setattr(inotify_simple.INotify, where, full)
    with Watcher([str(spool)]) as watcher:
        assert watcher.notified == notified
        moved(spool)
        assert watcher.wait(0, 0.2) == 0
    assert caplog.text.count("by looking for them") == 1
