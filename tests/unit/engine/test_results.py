"""What a run means to Nagios."""

from __future__ import annotations

import signal

import pytest

from checks.engine.figures import MEASURES, Figures
from checks.engine.jobs import CANCELLED, DEADLINE, FLOOD, LOST, NOT_STARTED, Ended, Job
from checks.engine.results import result, severity, worst

JOB = Job("disk_root", ("/usr/bin/check_disk",), seconds=12.5, output_limit=1000)


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_what_a_plugin_prints_and_its_exit_code_pass_as_they_are(code: int) -> None:
    found = result(JOB, Ended(code, output=b"DISK - fine | a=1\nmore | b=2\n", errors=b"warning: x\n", seconds=0.5))
    assert (found.code, found.output) == (code, b"DISK - fine | a=1\nmore | b=2\n")
    assert found.completed
    assert found.first_line == "DISK - fine"
    assert found.seconds == 0.5


def test_a_missing_last_newline_is_added() -> None:
    assert result(JOB, Ended(0, output=b"OK")).output == b"OK\n"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ended(None, trouble=DEADLINE, signal=9), "no end within 12.5 s, it was stopped"),
        (Ended(None, trouble=FLOOD, signal=9, output=b"y\n" * 500), "printed more than 1000 bytes"),
        (Ended(None, trouble=FLOOD, signal=9, output=b"OK\n"), "wrote more than 16777216 bytes to standard error"),
        (Ended(None, trouble=CANCELLED, signal=15), "stopped before its end"),
        (Ended(None, trouble=LOST), "its process was lost"),
        (Ended(None, trouble=NOT_STARTED, reason="No such file"), "can't be started: No such file"),
        (Ended(None, signal=signal.SIGSEGV, output=b"half"), "ended by SIGSEGV; it printed: half"),
        (Ended(None, signal=200), "ended by signal 200"),
        (
            Ended(0, errors=b"Traceback\nValueError: bad\n"),
            "printed nothing, exit code 0; on standard error: ValueError",
        ),
        (Ended(127, errors=b"/bin/x: not found\n"), "UNKNOWN: disk_root: /bin/x: not found"),
        (Ended(0, output=b" \n"), "printed nothing, exit code 0"),
        (Ended(127, output=b"sh: not found\n"), "exit code 127 is none of a plugin's; it printed: sh: not found"),
        (Ended(-1, output=b"x\n"), "exit code -1 is none of a plugin's"),
    ],
)
def test_a_run_that_did_not_end_by_itself_is_unknown_and_named(ended: Ended, said: str) -> None:
    found = result(JOB, ended)
    assert found.code == 3
    assert found.output.startswith(b"UNKNOWN: disk_root: ")
    assert said in found.output.decode()
    assert found.output.count(b"\n") == 1
    assert b"|" not in found.output
    assert not found.completed


def test_nothing_a_plugin_printed_forges_a_line_or_perfdata() -> None:
    hostile = Ended(None, signal=6, output=b"\x1b[2Ja\rb\x00c|d=1\nnext", errors=b"|x=1")
    text = result(JOB._replace(name="evil\n|name"), hostile).output
    assert text.count(b"\n") == 1
    assert not any(byte < 32 for byte in text[:-1])
    assert b"|" not in text


def test_a_known_problem_outranks_what_could_not_be_found_out() -> None:
    assert worst([0, 3, 1]) == 1
    assert worst([0, 3]) == 3
    assert worst([3, 1, 2]) == 2
    assert worst([]) == 0
    assert sorted([2, 0, 1, 3], key=severity) == [0, 3, 1, 2]


def test_every_kind_of_end_is_counted_once_and_every_figure_is_declared() -> None:
    figures = Figures()
    for ended in (
        Ended(0, user=0.25, system=0.5),
        Ended(None, trouble=DEADLINE, signal=9),
        Ended(None, trouble=FLOOD, signal=9),
        Ended(None, trouble=CANCELLED),
        Ended(None, trouble=LOST),
        Ended(None, signal=11),
        Ended(None, trouble=NOT_STARTED),
    ):
        figures.count(ended)
    found = figures.as_dict()
    assert set(found) == {measure.label for measure in MEASURES}
    assert {name.partition(".")[2]: found[name] for name in found if found[name]} == {
        "done": 1,
        "killed": 1,
        "flooded": 1,
        "cancelled": 1,
        "crashed": 2,
        "not_started": 1,
        "cpu_user": 0.25,
        "cpu_system": 0.5,
    }
    assert figures.perfdata().startswith("checks.running=0 checks.waiting=0 checks.stuck=0 checks.done=1c ")
