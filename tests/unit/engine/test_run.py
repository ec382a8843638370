"""`testbed-checks run`: what an operator sees of it, with real children."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from checks import cli
from checks.engine.run import page
from checks.version import VERSION

COMMANDS = """\
# interval=60
command[fine]=echo 'OK - fine | a=1'; echo 'second line'
command[wary]=echo 'WARNING - so so'; exit 1
command[bad]=echo 'CRITICAL - broken'; exit 2
command[warm]=check_disk --version
command[missing]=/nonexistent/check_it
"""
MAIN = [sys.executable, "-c", "from checks.cli import main; main()", "run"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "nrpe.d"
    made.mkdir()
    (made / "commands.cfg").write_text(COMMANDS)
    return made


def run(folder: Path, *words: str) -> tuple[int, str]:
    return cli.run(["run", "--commands", str(folder), *words])


def document(folder: Path, *words: str) -> tuple[int, Any]:
    code, text = run(folder, "--json", *words)
    return code, json.loads(text)


def script(folder: Path, name: str, text: str) -> None:
    """The only command: what NRPE does with a $ in a line is nothing to us here."""
    (folder / f"{name}.sh").write_text(f"#!/bin/sh\n{text}")
    (folder / f"{name}.sh").chmod(0o755)
    (folder / "commands.cfg").write_text(f"command[{name}]=exec {folder / name}.sh\n")


def gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_everything_runs_and_the_worst_comes_first(folder: Path) -> None:
    code, text = run(folder)
    rows = text.splitlines()
    assert code == 2
    assert [row.split()[:2] for row in rows[:5]] == [
        ["CRITICAL", "bad"], ["WARNING", "wary"], ["UNKNOWN", "missing"], ["UNKNOWN", "warm"], ["OK", "fine"],
    ]  # fmt: skip
    assert f"  check_disk {VERSION}" in rows[3]
    assert rows[4].endswith("OK - fine")
    assert rows[5].startswith("5 checks: 1 CRITICAL, 1 WARNING, 2 UNKNOWN, 1 OK; ")


def test_what_is_broken_is_named_below_and_costs_only_itself(folder: Path) -> None:
    (folder / "other.cfg").write_text("command[\ncommand[also]=echo OK\n")
    code, text = run(folder, "-q")
    assert code == 2
    assert f"broken: {folder / 'other.cfg'}, line 1: " in text
    assert "6 checks" in text


def test_a_broken_file_alone_is_unknown_but_not_for_who_names_commands(folder: Path) -> None:
    (folder / "commands.cfg").write_text("command[fine]=echo OK\nnonsense\n")
    assert run(folder)[0] == 3
    code, text = run(folder, "fine")
    assert code == 0
    assert "broken" not in text


def test_quiet_shows_only_what_is_not_ok(folder: Path) -> None:
    code, text = run(folder, "-q", "fine", "wary")
    assert code == 1
    assert "fine" not in text
    assert text.startswith("WARNING   wary")
    assert run(folder, "-q", "fine") == (0, "")


def test_json_tells_all_of_it_and_the_page_states_and_times(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    code, found = document(folder, "--html", str(path), "--title", "Our testbed", "fine", "bad", "fine")
    assert (code, found["code"], found["state"], found["interrupted"]) == (2, 2, "CRITICAL", False)
    assert found["counts"] == {"OK": 1, "WARNING": 0, "CRITICAL": 1, "UNKNOWN": 0}
    bad, fine = found["results"]
    assert (bad["name"], bad["state"], bad["trouble"]) == ("bad", "CRITICAL", "")
    assert fine["output"] == "OK - fine | a=1\nsecond line\n"
    assert (fine["text"], fine["source"], fine["line"]) == ("OK - fine", str(folder / "commands.cfg"), 2)
    assert found["figures"]["checks.done"] == 2
    text = path.read_text(encoding="utf-8")
    assert "Our testbed" in text
    assert "bad" in text
    assert "broken" not in text


def test_details_go_to_the_page_only_when_asked_for(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    run(folder, "bad", "--html", str(path), "--details")
    assert "CRITICAL - broken" in path.read_text(encoding="utf-8")


def test_a_page_that_can_not_be_written_at_the_end_is_told_and_not_ok(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write", full)
    code, text = run(folder, "fine", "--html", str(tmp_path / "x.html"))
    assert code == 3
    assert "OK - fine" in text
    assert "x.html: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fin"], "there is no command 'fin'; did you mean fine?"),
        (["zzzzzz"], "there are bad, fine, missing, warm, wary"),
        (["fine", "--html", "/nonexistent/x.html"], "/nonexistent is no directory"),
        (["--details"], "--html"),
        (["--parallel", "0"], "from 1 to 1000"),
        (["--timeout", "nan"], "number of seconds"),
        (["--commands", "/nonexistent/nrpe.d"], "/nonexistent/nrpe.d is not there"),
        (["--jsn"], "--jsn"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(folder: Path, words: list[str], said: str) -> None:
    code, text = run(folder, *words)
    assert code == 3
    assert said in text
    assert text.startswith("testbed-checks: ")
    assert text.count("\n") == 1


def test_where_no_command_is_there_it_says_so(tmp_path: Path) -> None:
    code, text = run(tmp_path)
    assert code == 3
    assert text.startswith(f"testbed-checks: no command[...] line in {tmp_path}; ")
    (tmp_path / "x.cfg").write_text("nonsense\n")
    code, text = run(tmp_path, "fine")
    assert code == 3
    assert "there are none" in text
    assert "x.cfg, line 1" in text


def test_who_reads_json_finds_mistakes_on_standard_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--json", "fin") == (3, "")
    assert "did you mean fine?" in capsys.readouterr().err


def test_a_check_that_hangs_is_stopped_and_named(folder: Path) -> None:
    (folder / "commands.cfg").write_text("command[hung]=echo begun; exec sleep 600\n")
    code, text = run(folder, "--timeout", "0.1")
    assert code == 3
    assert text.splitlines()[0].endswith("  no end within 0.1 s, it was stopped; it printed: begun")


def test_checks_that_were_lost_with_the_fork_server_run_again(folder: Path, tmp_path: Path) -> None:
    once = f"[ -e {tmp_path}/killed ] || {{ touch {tmp_path}/killed; kill -KILL $PPID; sleep 600; }}"
    script(folder, "killer", f"{once}\necho OK\n")
    code, found = document(folder)
    assert (code, found["results"][0]["output"]) == (0, "OK\n")
    assert found["figures"]["forks.restarts"] == 1


def test_a_signal_ends_the_children_and_shows_what_there_is(folder: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script(folder, "hung", f"sleep 600 &\necho $$ $! > {pids}\nkill -INT {os.getpid()}\nwait\n")
    code, found = document(folder)
    assert code == 3
    assert found["interrupted"]
    assert "hung" in found["not_run"]
    for pid in pids.read_text().split():
        assert gone(int(pid))


def test_an_interrupted_run_says_so_and_leaves_the_page_as_it_was(folder: Path) -> None:
    (folder / "commands.cfg").write_text(f"command[hung]=kill -TERM {os.getpid()}; exec sleep 600\n")
    path = folder / "status.html"
    path.write_text("old")
    code, text = run(folder, "--html", str(path))
    assert code == 3
    assert text.startswith("interrupted: 1 stopped, 0 not begun\n0 checks; ")
    assert path.read_text() == "old"


@pytest.mark.slow
def test_on_a_terminal_progress_is_drawn_and_erased_and_the_table_fits(folder: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    long = "x" * 300
    (folder / "commands.cfg").write_text(f"command[fine]=echo OK {long}\ncommand[slow]=sleep 0.3; echo OK\n")
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [*MAIN, "--commands", str(folder)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # what Linux says when the other end is closed
        while data := os.read(ours, 65536):
            said += data
    os.close(ours)
    assert process.wait(20) == 0
    drawn, _, table = said.decode().rpartition("\x1b[K")
    assert "/2" in drawn
    lines = table.split("\r\n")
    assert lines[0].startswith("OK        fine")
    assert lines[0].endswith("...")
    assert all(len(line) <= 70 for line in lines)


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error_of_ours(folder: Path) -> None:
    long = "x" * 900
    lines = "".join(f"command[c{number}]=echo OK {long}\n" for number in range(100))
    (folder / "commands.cfg").write_text(lines)
    process = subprocess.Popen(
        [*MAIN, "--commands", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(20) == 3


@pytest.mark.slow
def test_without_standard_output_or_error_it_still_judges(folder: Path) -> None:
    closing = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *MAIN]
    assert subprocess.run([*closing, "--commands", str(folder), "-q", "fine"], check=False).returncode == 0
    assert subprocess.run([*closing, "--commands", str(folder), "bad"], check=False).returncode == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "config|run|serve|worker"),
        (["confi"], "'confi'"),
        (["--version"], f"testbed-checks {VERSION}\n"),
        (["--help"], "run the configured checks once"),
        (["run", "--help"], "Exit code by the plugin rules"),
    ],
)
def test_what_the_command_says_of_itself(words: list[str], said: str) -> None:
    code, text = cli.run(words)
    assert code == 3
    assert said in text


def test_a_mistake_of_ours_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(sys, "argv", ["testbed-checks", "run", "--commands", str(folder)])
    monkeypatch.setattr("checks.engine.run.round.run", wrong)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert capsys.readouterr().out == "testbed-checks: internal error, please report it: RuntimeError: boom\n"
