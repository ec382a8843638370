"""Perfdata gets into the spool in files that hold what came together while the one before was written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from checks.engine.worker import spooler as module
from checks.engine.worker.spooler import Spooler
from graphios import spool_writer

PATIENCE = 20.0


class SlowDisk:
    """In the place of spool_writer.write: the first file takes until go(), and all are remembered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.begun, self.gate = threading.Event(), threading.Event()
        self._write = spool_writer.write
        monkeypatch.setattr(spool_writer, "write", self.write)

    def write(self, directory: bytes, data: bytearray, kind: str = "service") -> bytes:
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        self.files.append((kind, bytes(data)))
        return self._write(directory, data, kind)


def test_what_comes_while_a_file_is_written_goes_into_one_file_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, spooler = SlowDisk(monkeypatch), Spooler(tmp_path)
    spooler.put(1, "service", b"a\n")
    assert disk.begun.wait(PATIENCE)
    for number, kind, lines in [(2, "service", b"b\n"), (3, "host", b"c\n"), (4, "service", b"d\nd\n")]:
        spooler.put(number, kind, lines)
    assert spooler.done() == []
    disk.gate.set()
    assert spooler.close(PATIENCE)
    assert disk.files == [("service", b"a\n"), ("service", b"b\nd\nd\n"), ("host", b"c\n")]
    assert spooler.done() == [(1, ""), (2, ""), (4, ""), (3, "")]
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["host", "service", "service"]


def test_a_file_is_bounded_and_every_result_is_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_FILE", 10)
    disk, spooler = SlowDisk(monkeypatch), Spooler(tmp_path)
    spooler.put(0, "service", b"first\n")
    assert disk.begun.wait(PATIENCE)
    for number in range(1, 6):
        spooler.put(number, "service", b"%d..\n" % number)
    spooler.put(6, "service", b"longer than a file\n")
    disk.gate.set()
    assert spooler.close(PATIENCE)
    texts = [data for _, data in disk.files]
    assert texts == [b"first\n", b"1..\n2..\n", b"3..\n4..\n", b"5..\n", b"longer than a file\n"]


def test_what_can_not_be_written_is_named_and_costs_nothing_else(tmp_path: Path) -> None:
    spooler = Spooler(tmp_path / "absent")
    spooler.put(1, "service", b"a\n")
    assert not list(tmp_path.iterdir())
    found: list[tuple[int, str]] = []
    deadline = threading.Event()
    while not found:
        deadline.wait(0.001)
        found = spooler.done()
    assert found == [(1, f"{tmp_path}/absent: No such file or directory")]
    (tmp_path / "absent").mkdir()
    spooler.put(2, "service", b"b\n")
    assert spooler.close(PATIENCE)
    assert spooler.done() == [(2, "")]


def test_a_disk_that_hangs_keeps_nobody_from_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, spooler = SlowDisk(monkeypatch), Spooler(tmp_path)
    spooler.put(1, "service", b"a\n")
    assert disk.begun.wait(PATIENCE)
    assert not spooler.close(0.01)
    disk.gate.set()
    assert spooler.close(PATIENCE)
