"""Lines to a file or to standard output: whole ones, once, or a reason."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from graphios.backends.base import DeliveryError
from graphios.backends.output import Output
from graphios.configuration.settings import OutputBackend

LINES = [f"web.m{i} {i} 1795253480\n" for i in range(1000)]


def to_file(path: Path) -> Output:
    return Output(OutputBackend("file", path), lambda: False)


def test_a_file_is_appended_to_and_may_be_rotated(tmp_path: Path) -> None:
    path = tmp_path / "out"
    backend = to_file(path)
    backend.deliver(LINES[:10])
    backend.deliver(LINES[10:20])
    assert path.read_text() == "".join(LINES[:20])
    path.rename(tmp_path / "out.1")
    backend.deliver(LINES[20:30])
    assert path.read_text() == "".join(LINES[20:30])


def test_a_disk_that_fills_up_holds_nothing_of_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "out"
    backend = to_file(path)
    backend.deliver(LINES[:10])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5000, hard))
    try:
        with pytest.raises(DeliveryError, match=f"file {path}: File too large"):
            backend.deliver(LINES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    backend.deliver(LINES)
    assert path.read_bytes() == before + "".join(LINES).encode()


def test_the_half_line_of_one_who_was_killed_goes_because_its_batch_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text(LINES[0] + "web.m1 1 17952")
    to_file(path).deliver(LINES[1:3])
    assert path.read_text() == "".join(LINES[:3])


@pytest.mark.parametrize("path", ["missing/out", "."])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(DeliveryError, match=f"file {tmp_path / path}: "):
        to_file(tmp_path / path).deliver(LINES)


def test_a_named_pipe_that_nobody_reads_is_an_error_and_one_that_is_read_gets_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        to_file(path).deliver(LINES[:5])
        assert os.read(reader, 65536) == "".join(LINES[:5]).encode()
    finally:
        os.close(reader)


PROGRAM = """
import sys
from graphios.backends.base import DeliveryError
from graphios.backends.output import Output
from graphios.configuration.settings import OutputBackend
try:
    Output(OutputBackend("stdout"), lambda: False).deliver(["web.m 1 1795253480\\n"] * 100_000)
except DeliveryError as error:
    sys.exit(f"said: {error}")
"""


def test_standard_output_to_a_pipe_that_is_read_slowly_and_to_one_that_breaks() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 100_000)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == "said: stdout standard output: Broken pipe\n"
        assert process.wait(60) == 1
