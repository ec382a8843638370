"""The journal of jobs: a successor finds what was not struck, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.engine.worker.journal import Entry, InUse, Journal
from checks.engine.worker.messages import Work


def entry(number: int, command: bytes = b"check_nrpe -H a\xff\0b") -> Entry:
    return Entry(Work(number, 0, 60, command, b"NAGIOS_HOSTNAME=a\n"), 7, "nagios-one", "1:2:3", 1700000000.25)


def test_a_successor_finds_what_was_not_struck_in_order(tmp_path: Path) -> None:
    first = Journal(tmp_path / "new" / "journal")
    for number in (100, 9, 20):
        first.enter(entry(number))
    first.strike(20)
    first.close()
    second = Journal(tmp_path / "new" / "journal")
    assert list(second.entries()) == [entry(9), entry(100)]
    second.close()


def test_two_brokers_never_have_the_same_jobs(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    with pytest.raises(InUse, match=str(tmp_path)):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


@pytest.mark.parametrize("content", [b"", b"{}", b"{}\n\0\0\0\1w", b"\xff" * 100, b'{"job_id": []}\n'], ids=repr)
def test_a_broken_file_costs_only_itself(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path)
    journal.enter(entry(2))
    whole = (tmp_path / "job.2").read_bytes()
    (tmp_path / "job.1").write_bytes(content)
    (tmp_path / "job.3").write_bytes(whole[:-3])
    (tmp_path / "job.4").write_bytes(whole)
    (tmp_path / "somebody elses").write_text("x")
    assert list(journal.entries()) == [entry(2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.2", "lock", "somebody elses"]
    assert {"job.1", "job.3", "job.4"} <= {word.rpartition("/")[2] for word in caplog.text.split()}
    journal.close()


def test_what_can_not_be_written_is_not_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.enter(entry(1))
    with pytest.raises(FileExistsError):
        journal.enter(entry(1, b"another"))
    assert list(journal.entries()) == [entry(1)]
    journal.strike(5)
    journal.close()


def test_a_successor_knows_whether_a_broker_was_killed(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    assert first.killed == ""
    first.serves("1:2:345")
    first.serves("1:2:34")
    os.close(first._lock)  # as when it is killed
    second = Journal(tmp_path)
    assert second.killed == "1:2:34"
    second.serves("1:2:34")
    second.close()
    third = Journal(tmp_path)
    assert third.killed == ""
    third.close()
