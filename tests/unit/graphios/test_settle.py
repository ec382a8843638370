"""When a file whose last line has no newline counts as cut off."""

import os
from pathlib import Path

import pytest

from graphios.inputs.settle import Settling
from graphios.inputs.spool import FileKey, SpoolFile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def written(path: Path, settling: Settling) -> bool:
    with SpoolFile(str(path), path.name) as file:
        return settling.still_written(file, FileKey(str(path.parent), path.name, file.inode))


@pytest.mark.parametrize("changed", [0, 4_000_000_000])
def test_a_daemon_goes_by_what_it_sees_whatever_the_clock_says(tmp_path: Path, changed: int) -> None:
    clock = Clock()
    settling = Settling(10, True, clock)
    path = tmp_path / "f"
    path.write_bytes(b"one\ntw")
    os.utime(path, (changed, changed))
    assert written(path, settling)
    clock.now += 9
    assert written(path, settling)
    path.write_bytes(b"one\ntwo, th")
    os.utime(path, (changed, changed))
    clock.now += 9
    assert written(path, settling)  # it grew
    clock.now += 10
    assert not written(path, settling)


def test_a_newline_at_the_end_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\n")
    assert not written(path, Settling(10, True))
    assert not written(path, Settling(10, False))


@pytest.mark.parametrize("data", [b"", b"x\ny"])
def test_a_single_run_goes_by_the_time_of_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    assert written(path, Settling(10, False))
    os.utime(path, (1, 1))
    assert not written(path, Settling(10, False))
