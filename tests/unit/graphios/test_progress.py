"""Positions on disk: kept over restarts, never trusted for another file, and never in the way when the disk is."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphios.delivery import progress as progress_module
from graphios.delivery.progress import Position, Progress
from graphios.inputs.spool import FileKey, SpoolFile

KEY = FileKey("/spool", "service-perfdata.1", 7)
AT = Position(100, 3, 12345, b"12345678")


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[Progress]:
    found = Progress(tmp_path / "progress.db")
    yield found
    found.close()


def again(old: Progress, tmp_path: Path) -> Progress:
    old.close()
    return Progress(tmp_path / "progress.db")


def test_positions_are_of_a_file_and_a_lane_and_survive(progress: Progress, tmp_path: Path) -> None:
    odd = FileKey("/spool", os.fsdecode(b"caf\xe9\n"), 2**63 - 1)
    progress.mark("carbon", [(KEY, AT), (odd, AT._replace(offset=5))])
    progress.mark("lab", [(KEY, AT._replace(offset=7))])
    progress = again(progress, tmp_path)
    assert progress.position("carbon", KEY) == AT
    assert progress.position("carbon", odd) == AT._replace(offset=5)
    assert progress.position("carbon", KEY._replace(inode=8)) is None
    assert {lane: at.offset for lane, at in progress.of_file(KEY).items()} == {"carbon": 100, "lab": 7}
    assert dict(progress.all_of("carbon")) == {KEY: AT, odd: AT._replace(offset=5)}
    assert (progress.count("carbon"), progress.count("lab"), progress.count("other")) == (2, 1, 0)
    progress.forget([KEY])
    assert progress.position("carbon", KEY) is None
    progress.close()


def test_all_positions_of_a_lane_come_however_many(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [FileKey("/spool", f"f{number}", number) for number in range(1234)]
    progress.mark("carbon", [(key, AT) for key in keys])
    assert {key for key, _ in progress.all_of("carbon")} == set(keys)
    assert len(list(progress.all_of("carbon", within=1000))) == 1234
    now = progress_module.uptime()
    monkeypatch.setattr(progress_module, "uptime", lambda: now + 2000)
    assert list(progress.all_of("carbon", within=1000)) == []


def test_a_position_fits_its_file_only(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo\n")
    with SpoolFile(str(path), "f") as file:
        at = Position(4, 1, 0, file.fingerprint(4))
        assert at.fits(file)
    for other, fits in ((b"one\nmore\nand more\n", True), (b"two\none\n", False), (b"one", False), (b"", False)):
        path.write_bytes(other)
        with SpoolFile(str(path), "f") as file:
            assert at.fits(file) is fits


def test_a_broken_database_is_put_aside(progress: Progress, tmp_path: Path) -> None:
    progress.mark("carbon", [(KEY, AT)])
    progress.close()
    for rubbish in (b"not a database at all" * 1000, b"SQLite format 3\0" + os.urandom(5000)):
        (tmp_path / "progress.db").write_bytes(rubbish)
        fresh = Progress(tmp_path / "progress.db")
        assert (fresh.position("carbon", KEY), fresh.trouble) == (None, "")
        fresh.mark("carbon", [(KEY, AT)])
        fresh = again(fresh, tmp_path)
        assert fresh.position("carbon", KEY) == AT
        fresh.close()
        assert (tmp_path / "progress.db.broken").read_bytes() == rubbish


def test_one_of_another_version_is_put_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "progress.db") as other:
        other.execute("CREATE TABLE progress (x)")
    fresh = Progress(tmp_path / "progress.db")
    fresh.mark("carbon", [(KEY, AT)])
    assert fresh.position("carbon", KEY) == AT
    fresh.close()


def test_a_full_disk_is_said_and_work_goes_on_from_memory(
    progress: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress.mark("carbon", [(KEY, AT)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = [(FileKey("/spool", f"f{number}" * 20, number), AT) for number in range(2000)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # what a full disk looks like: the next write fails
    try:
        progress.mark("carbon", many)
        assert "progress.db" in progress.trouble
        assert progress.position("carbon", KEY) == AT
        assert progress.count("carbon") == 2001
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.setattr(progress, "_retry", 0.0)
    progress.recover()
    assert progress.trouble == ""
    progress = again(progress, tmp_path)
    assert progress.count("carbon") == 2001
    progress.close()


def test_what_is_gone_is_cleaned_out(tmp_path: Path, progress: Progress) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "here").write_text("x\n")
    here = FileKey(str(spool), "here", (spool / "here").stat().st_ino)
    keys = [here, here._replace(inode=1), FileKey(str(spool), "gone", 5), FileKey("/elsewhere", "here", here.inode)]
    progress.mark("carbon", [(key, AT) for key in keys])
    progress.mark("old", [(here, AT)])
    progress.clean(["carbon"], [str(spool)])
    progress = again(progress, tmp_path)
    assert dict(progress.all_of("carbon")) == {here: AT}
    assert list(progress.of_file(here)) == ["carbon"]
    progress.close()
