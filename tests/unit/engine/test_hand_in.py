"""Results as files for Nagios's folder of check results. What Nagios makes of them, tests/real/test_worker_faults.py asks the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.engine.worker import hand_in
from checks.engine.worker.messages import TIMED_OUT, Answer

ANSWER = Answer(
    1, 1700000000.25, 1700000001.5, 1 << 8, output=b"WARNING: x|a=1\nmore\n", host=b"web01", service=b"disk"
)


def fields(answer: Answer) -> dict[bytes, bytes]:
    text = hand_in.text(answer, 1700000002.9)
    assert text.endswith(b"\n")
    return dict(line.split(b"=", 1) for line in text.splitlines())


def test_it_is_the_result_of_the_check_nagios_waits_for() -> None:
    assert fields(ANSWER) == {
        b"file_time": b"1700000002",
        b"host_name": b"web01",
        b"service_description": b"disk",
        b"check_type": b"0",
        b"check_options": b"0",
        b"scheduled_check": b"1",
        b"reschedule_check": b"1",
        b"latency": b"0",
        b"start_time": b"1700000000.250000",
        b"finish_time": b"1700000001.500000",
        b"early_timeout": b"0",
        b"exited_ok": b"1",
        b"return_code": b"1",
        b"output": rb"WARNING: x|a=1\nmore ",
    }


def test_a_host_check_names_no_service() -> None:
    assert b"service_description" not in fields(ANSWER._replace(service=b""))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ANSWER._replace(wait_status=9), {b"return_code": b"3", b"exited_ok": b"1"}),
        (ANSWER._replace(error_code=TIMED_OUT), {b"early_timeout": b"1", b"exited_ok": b"0"}),
        (ANSWER._replace(error_code=2), {b"early_timeout": b"0", b"exited_ok": b"0"}),
        (ANSWER._replace(output=b""), {b"output": b"(No output returned from plugin) "}),
        (ANSWER._replace(output=b" \n", errors=b"no\nway"), {b"output": rb"(No output on stdout) stderr: no\nway "}),
        (ANSWER._replace(output=b"a\0b\\n\\"), {b"output": b"a b\\\\n\\\\ "}),
        (
            ANSWER._replace(output=b"OK\r\nhost_name=other\n\nreturn_code=0"),
            {b"output": rb"OK \nhost_name=other\n\nreturn_code=0 "},
        ),
    ],
    ids=["signal", "timeout", "not-started", "no-output", "errors-only", "backslashes", "forged-fields"],
)
def test_every_end_of_a_check(answer: Answer, expected: dict[bytes, bytes]) -> None:
    found = fields(answer)
    assert {name: found[name] for name in expected} == expected
    assert found[b"host_name"] == b"web01"


@pytest.mark.parametrize(
    "answer", [ANSWER._replace(host=b""), ANSWER._replace(host=b"a\nb"), ANSWER._replace(service=b"a\tb")]
)
def test_a_result_that_is_nobodys_is_not_handed_in(tmp_path: Path, answer: Answer) -> None:
    with pytest.raises(hand_in.Unnamed):
        hand_in.hand_in(tmp_path, answer)
    assert not list(tmp_path.iterdir())


def test_a_file_has_its_name_for_nagios_and_is_complete_before_it_is_released(tmp_path: Path) -> None:
    paths = [hand_in.hand_in(tmp_path, ANSWER) for _ in range(20)]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {name for path in paths for name in (path.name, path.name + ".ok")}
    assert len(names) == 40
    assert all(len(path.name) == 7 and path.name[0] == "c" for path in paths)
    assert paths[0].read_bytes().startswith(b"file_time=")


def test_a_folder_that_takes_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no such folder"):
        hand_in.usable(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        hand_in.hand_in(tmp_path / "absent", ANSWER)
