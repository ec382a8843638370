"""The reject file: every reject with file, line and reason, in a bounded file that can't be forged."""

from pathlib import Path

import pytest

from graphios.delivery.rejects import RejectError, RejectFile, Watermark
from graphios.inputs.spool import FileKey


def test_a_reject_has_file_line_reason_and_text(tmp_path: Path) -> None:
    rejects = RejectFile(tmp_path / "state" / "rejects.log", 1_000_000)
    rejects.check()
    rejects.add("service-perfdata.1", 7, "no HOSTNAME", b"DATATYPE::X\tforged\nline \xff")
    rejects.flush()
    (line,) = rejects.path.read_text(encoding="ascii").splitlines()
    assert line.split("\t")[1:] == ["service-perfdata.1:7", "no HOSTNAME", "DATATYPE::X\\x09forged\\x0aline \\xff"]
    assert rejects.count == 1


def test_the_file_and_its_predecessor_stay_below_the_cap(tmp_path: Path) -> None:
    rejects = RejectFile(tmp_path / "rejects.log", 100_000)
    for number in range(2000):
        rejects.add("service-perfdata.1", number, "reason", b"x" * 200)
        if number % 10 == 0:
            rejects.flush()
    rejects.flush()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["rejects.log", "rejects.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    assert ":1999\t" in rejects.path.read_text(encoding="ascii").splitlines()[-1]


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    rejects = RejectFile(tmp_path / "later" / "rejects.log", 100_000)
    rejects.add("f", 1, "reason", b"text")
    with pytest.raises(RejectError, match=r"later/rejects.log: No such file or directory"):
        rejects.flush()
    (tmp_path / "later").mkdir()
    rejects.flush()
    rejects.flush()
    assert len(rejects.path.read_text(encoding="ascii").splitlines()) == 1


def test_a_full_disk_is_told_and_nothing_is_lost() -> None:
    rejects = RejectFile(Path("/dev/full"), 100_000)
    rejects.add("f", 1, "reason", b"text")
    with pytest.raises(RejectError, match=r"/dev/full"):
        rejects.flush()
    assert rejects.count == 1
    with pytest.raises(RejectError):
        rejects.flush()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "rejects.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RejectError, match=r"rejects.log"):
        RejectFile(tmp_path / "rejects.log", 100_000).check()
    assert not (tmp_path / "elsewhere").exists()


def test_several_lanes_record_a_reject_once() -> None:
    key, marks = FileKey("/spool", "f", 1), Watermark()
    marks.open(key, 0)
    assert [marks.is_new(key, 3, 1), marks.is_new(key, 3, 2)] == [True, True]
    marks.open(key, 0)  # the second lane
    assert [marks.is_new(key, 3, 1), marks.is_new(key, 3, 2), marks.is_new(key, 4, 1)] == [False, False, True]
    assert [marks.lines(key, 5), marks.lines(key, 5), marks.lines(key, 7)] == [5, 0, 2]
    marks.forget(key)
    marks.open(key, 7)  # what was read in an earlier run
    assert [marks.is_new(key, 7, 1), marks.is_new(key, 8, 1)] == [False, True]
