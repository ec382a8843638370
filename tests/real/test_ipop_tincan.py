"""check_ipop_links and a tincan: healthy, hung, back, gone and started again, in every manner, and one that must not be sent anything."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ipop.tincan import HEADERS, Tincan
from tests.real.drill import CRITICAL, OK, UNKNOWN, Answer, Double, Drill, Row, by_hand, drilled, started
from tests.real.monitoring import read_output
from tests.soak import count

RUNS = count(10, 200)
# What is wrong, and what to do.
TOO_NEW = r"newer than 16.*--controller-json"
ROWS = [
    Row("tincan_v4", "tests.ipop.tincan --peers 4", "check_ipop_links --tincan 127.0.0.1:{port} -c 4:4 -t 2"),
    Row("tincan_v6", "tests.ipop.tincan --peers 4", "check_ipop_links --tincan [::1]:{port} -c 4:4 -t 2"),
]
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@pytest.fixture(scope="module")
def root(make_stack_root: Callable[[str], Path]) -> Path:
    """The folder of the doubles and of NRPE."""
    return make_stack_root("ipop-tincan")


@pytest.fixture(scope="module")
def doubles(root: Path) -> Iterator[dict[str, Double]]:
    """A tincan for each row, each a process."""
    with started(root, ROWS) as doubles:
        yield doubles


@pytest.fixture(scope="module")
def drill(root: Path, doubles: dict[str, Double], stack_user: str | None) -> Iterator[Drill]:
    """What the check said at every stage; all tincans are there again at its end."""
    with drilled(root, ROWS, doubles, stack_user, "tincan") as drill:
        yield drill


@every_row
@pytest.mark.parametrize("stage", Drill.STAGES)
def test_the_check_names_what_a_tincan_does_by_hand_and_over_nrpe(drill: Drill, row: Row, stage: str) -> None:
    by_operator, over_nrpe = drill.said(row, stage)
    hung = r" CRITICAL - tincan \S+:\d+ does not answer"
    gone = r" CRITICAL - tincan \S+:\d+: nothing listens.*IPOP running"
    code, wanted = {"hung": (CRITICAL, hung), "gone": (CRITICAL, gone)}.get(stage, (OK, " OK - 4 of 4 links active"))
    for answer in (by_operator, over_nrpe):
        assert answer.code == code, answer
        assert re.search(wanted, answer.first), answer
        assert "Traceback" not in answer.output
        assert not answer.errors
    assert by_operator.shape == over_nrpe.shape


def test_many_runs_raise_no_false_alarm(drill: Drill, doubles: dict[str, Double]) -> None:
    def run(row: Row) -> Answer:
        return by_hand(row.argv(doubles[row.name].port))

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(run, ROWS * RUNS))
    assert [answer for answer in answers if answer.code != OK or answer.errors] == []


# What it may say of a tincan in this manner: states, and words of the first line.
SAID = {
    "whole": ({OK}, "1 of 2 links active"),
    "deaf": ({OK}, "1 of 2 links active"),
    "late": ({OK}, "1 of 2 links active"),
    "forged": ({OK}, "1 of 2 links active"),
    "silent": ({CRITICAL}, "does not answer"),
    "cut": ({CRITICAL}, "tincan 127.0.0.1:"),
    "empty": ({CRITICAL}, "tincan 127.0.0.1:"),
    "junk": ({CRITICAL}, "tincan 127.0.0.1:"),
    "error": ({CRITICAL}, "tincan 127.0.0.1:"),
    # On a busy machine this double, too, is silent for a moment: then that was the end of an answer.
    "endless": ({CRITICAL, OK}, ""),
    "newer": ({UNKNOWN}, "newer than 16"),
}


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Answer, list[bytes]]]:
    """What the check said of each manner, and what it sent; it mostly waits, so several are asked at once."""

    def ask(manner: str) -> tuple[Answer, list[bytes]]:
        with Tincan(manner=manner) as tincan:
            return by_hand(["check_ipop_links", "--tincan", f"127.0.0.1:{tincan.port}", "-t", "2"]), tincan.requests

    with ThreadPoolExecutor(len(SAID)) as pool:
        return dict(zip(SAID, pool.map(ask, SAID), strict=True))


@pytest.mark.parametrize("manner", SAID)
def test_whatever_a_tincan_answers_the_check_has_a_word_for_it(
    answers: dict[str, tuple[Answer, list[bytes]]], manner: str
) -> None:
    answer, _ = answers[manner]
    codes, words = SAID[manner]
    assert answer.code in codes, answer
    assert words in answer.first, answer
    assert not answer.errors
    assert "Traceback" not in answer.output
    assert all(sign.isprintable() or sign == "\n" for sign in answer.output)


def test_an_answer_of_a_newer_tincan_ends_everything(answers: dict[str, tuple[Answer, list[bytes]]]) -> None:
    _, requests = answers["newer"]
    assert len(requests) == 1


@pytest.mark.parametrize("version", HEADERS)
def test_every_version_tells_its_links_and_their_bytes(version: str) -> None:
    with Tincan(version=version) as tincan:
        answer = by_hand(["check_ipop_links", "--tincan", f"127.0.0.1:{tincan.port}", "-t", "3"])
    values = read_output(answer.output).perfdata
    assert answer.code == OK, answer
    assert values["links.active"] == 1
    assert values["172_31_0_101.recv_total_bytes"] == 2000
    assert values["172_31_0_101.sent_total_bytes"] == 1000
    assert values["172_31_0_102.status"] == 0


@pytest.fixture
def recording() -> Iterator[socket.socket]:
    """A UDP socket on 127.0.0.1 that nobody reads from but the test: whatever is sent to it is still there afterwards."""
    with _recording("127.0.0.1", 0) as heard:
        yield heard


def _recording(host: str, port: int) -> socket.socket:
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind((host, port))
    heard.setblocking(False)
    return heard


def _heard(recording: socket.socket) -> bytes | None:
    try:
        return recording.recv(65536)
    except BlockingIOError:
        return None


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts harmless processes that look as the given words on the process list; ended with the test."""
    with ExitStack() as started:

        def start(*words: str) -> None:
            script = "import time; print(flush=True); time.sleep(600)"
            argv = [words[0], "-c", script, *words[1:]]
            child = subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE)
            started.callback(child.wait)
            started.callback(child.kill)
            assert child.stdout
            child.stdout.readline()
            child.stdout.close()

        yield start


def test_the_recording_socket_hears_what_is_sent_to_a_tincan_that_may_be_asked(recording: socket.socket) -> None:
    port = recording.getsockname()[1]
    answer = by_hand(["check_ipop_links", "--tincan", f"127.0.0.1:{port}", "-t", "1"])
    assert answer.code == CRITICAL
    assert _heard(recording)


@pytest.mark.parametrize("version", ["16.08", "18", "20.2.20", "24.1.2.1061", "v20"])
def test_nothing_is_sent_to_a_tincan_that_is_said_to_be_newer(recording: socket.socket, version: str) -> None:
    port = recording.getsockname()[1]
    line = ["check_ipop_links", "--tincan", f"127.0.0.1:{port}", "--tincan-version", version, "-t", "2"]
    answer = by_hand(line)
    assert answer.code == UNKNOWN
    assert re.search(TOO_NEW, answer.first), answer
    assert _heard(recording) is None


@pytest.mark.parametrize(
    "words",
    [
        ["/opt/ipop-vpn/ipop-tincan", "-p={port}"],
        ["./ipop-tincan", "-p={port}"],
        ["/opt/evio/tincan", "-p={port}"],
    ],
    ids=["ipop-vpn", "option", "evio"],
)
def test_nothing_is_sent_to_a_tincan_that_runs_as_a_newer_one(
    recording: socket.socket, process: Callable[..., None], words: list[str]
) -> None:
    port = recording.getsockname()[1]
    process(*(word.format(port=port) for word in words))
    # What the operator says does not outweigh what runs.
    for more in ([], ["--tincan-version", "16.01"]):
        answer = by_hand(["check_ipop_links", "--tincan", f"127.0.0.1:{port}", "-t", "2", *more])
        assert answer.code == UNKNOWN, answer
        assert re.search(TOO_NEW, answer.first), answer
        assert _heard(recording) is None


def test_nothing_is_sent_to_the_usual_port_where_a_newer_controller_runs(tmp_path: Path) -> None:
    # An address of this process alone, so that the port is free.
    host = f"127.{os.getpid() >> 16}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    line = ["check_ipop_links", "--tincan", f"{host}:5800", "--tincan-version", "16.01", "-t", "1"]
    configuration = tmp_path / "config.json"
    with _recording(host, 5800) as heard:
        for script, sections in (("evio_controller.py", ()), ("Controller.py", ("Signal",)), ("Controller.py", ())):
            configuration.write_text(json.dumps({name: {} for name in ("CFx", *sections)}), encoding="utf-8")
            (tmp_path / script).write_text("import time\nprint(flush=True)\ntime.sleep(600)\n", encoding="utf-8")
            argv = [sys.executable, str(tmp_path / script), "-c", str(configuration)]
            with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
                assert child.stdout
                child.stdout.readline()
                answer = by_hand(line)
                child.kill()
            if script == "Controller.py" and not sections:  # one of IPOP 16
                assert _heard(heard), answer
            else:
                assert answer.code == UNKNOWN, answer
                assert re.search(TOO_NEW, answer.first), answer
                assert _heard(heard) is None
