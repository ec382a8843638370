"""The deadline holds whatever hangs, and its line names what was being done."""

import os
import subprocess
import sys

import pytest

from checks.deadline import CheckError, current_stage, stage, write_all

HANGS = {
    "a C call that no signal interrupts": """
        import ctypes
        lock = ctypes.create_string_buffer(64)
        libc = ctypes.CDLL(None)
        libc.pthread_mutex_lock(lock); libc.pthread_mutex_lock(lock)
    """,
    "a backtracking expression": "import re; re.fullmatch('(a|a)*b', 'a' * 200)",
    "a Python loop": "\n        while True: pass",
    "a blocked read": "import os; os.read(os.pipe()[0], 1)",
    "a loop that catches everything": """
        while True:
            try:
                import time; time.sleep(100)
            except BaseException:
                pass
    """,
}


def run(body, **keywords):
    program = f"""
import sys
from checks.deadline import Watchdog, stage
dog = Watchdog(0.3, lambda what: f"UNKNOWN while {{what}}\\n")
with stage("reading the moon"):
    if True:
        {body}
dog.finish(0, "OK\\n")
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, **keywords)


@pytest.mark.parametrize("body", HANGS.values(), ids=HANGS.keys())
def test_whatever_hangs_ends_with_one_line_that_names_the_stage(body):
    done = run(body)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"UNKNOWN while reading the moon\n", b"")


def test_what_ends_in_time_keeps_its_own_words():
    done = run("pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"OK\n", b"")


def test_a_reader_that_takes_nothing_does_not_hold_the_process():
    reading, writing = os.pipe()
    program = "from checks.deadline import Watchdog; Watchdog(0.3, lambda what: 'late').finish(0, 'x' * 1000000)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=writing)
    assert process.wait(20) == 3
    os.close(reading)
    os.close(writing)


def test_a_reader_that_left_is_exit_code_3():
    reading, writing = os.pipe()
    os.close(reading)
    program = "from checks.deadline import Watchdog; Watchdog(5, lambda what: 'late').finish(0, 'OK')"
    done = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, timeout=20)
    os.close(writing)
    assert (done.returncode, done.stderr) == (3, b"")


def test_the_innermost_stage_is_the_current_one():
    with stage("outside"):
        with stage("inside"):
            assert current_stage() == "inside"
        assert current_stage() == "outside"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory"), "reading x: No such file or directory"),
        (OSError("odd"), "reading x: odd"),
    ],
)
def test_an_os_error_becomes_one_line_that_begins_with_its_stage(error, said):
    with pytest.raises(CheckError) as told, stage("reading x"):
        raise error
    assert str(told.value) == said
    assert current_stage() != "reading x"


def test_other_errors_pass_unchanged():
    with pytest.raises(KeyError), stage("reading x"):
        raise KeyError("k")


def test_write_all_writes_everything_through_a_small_pipe():
    done = subprocess.run(
        [sys.executable, "-c", "import os; from checks.deadline import write_all; os._exit(write_all(b'x' * 3000000))"],
        capture_output=True,
        timeout=20,
    )
    assert (done.returncode, len(done.stdout)) == (1, 3_000_000)


def test_write_all_tells_a_failure(monkeypatch):
    def broken(*_):
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", broken)
    assert write_all(b"x") is False
