"""check_ipop_links on the statistics directory of a controller that is careless, hangs, dies and comes back."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ipop.stats_writer import LONGEST, RECEIVED, SENT, address, write
from tests.real.drill import CRITICAL, OK, Answer, by_hand
from tests.real.monitoring import read_output
from tests.soak import count
from tests.stack import place
from tests.stack.daemon import Daemon, wait_until

RUNS = count(10, 200)
PEERS = 6


class Writer:
    """The controller's double as a process, and its directory."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "ganglia"
        self.directory.mkdir()
        self._log = root / "log" / "writer.log"
        argv = [sys.executable, "-m", "tests.ipop.stats_writer", str(self.directory), "--peers", str(PEERS)]
        self.daemon = Daemon("stats-writer", argv, self._log, cwd=place.CLONE, root=root)

    def start(self) -> None:
        """Start it, again where it was killed, and wait until it has written."""
        said = self._said()
        self.daemon.start()
        self.daemon.wait_ready(lambda: "serving" in self._said()[len(said) :], 30, "the writer writes")

    def slow(self, begin: float, end: float) -> bool:
        """Whether a file was not whole for longer than the check waits, between these moments (time.monotonic())."""
        moments = re.findall(r"^([0-9.]+) ([0-9.]+)$", self._said(), re.MULTILINE)
        return any(float(first) < end and begin < float(last) for first, last in moments)

    def wait_for(self, peer: int) -> None:
        """Wait until the file of this peer is written anew: each peer's is at another moment of a round."""
        file = self.directory / f"{address(peer)}_ganglia_data.json"
        before = _changed(file)
        wait_until(lambda: _changed(file) > before, 30, "the writer writes again")

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.fixture
def writer(make_stack_root: Callable[[str], Path]) -> Iterator[Writer]:
    """A running writer of the test's own."""
    writer = Writer(make_stack_root("ipop-stats"))
    writer.start()
    try:
        yield writer
    finally:
        writer.daemon.stop()


def _check(writer: Writer) -> Answer:
    return by_hand(["check_ipop_links", "--stats-dir", str(writer.directory)])


def _damaged_moments(directory: Path, ended: threading.Event, found: list[str]) -> None:
    """Read as the original module did, without a second look, and keep what went wrong."""
    while not ended.wait(0.002):
        for name in ("peer_list_ganglia.json", *(f"{address(peer)}_ganglia_data.json" for peer in range(PEERS))):
            try:
                json.loads((directory / name).read_bytes())
            except (OSError, ValueError) as error:
                found.append(type(error).__name__)


def test_files_away_and_half_written_are_no_alarm_and_rates_stay_those_of_the_links(
    writer: Writer, tmp_path: Path
) -> None:
    environment = {"STATE_DIRECTORY": str(tmp_path)}
    line = ["check_ipop_links", "--stats-dir", str(writer.directory), "--save-state", "-c", f"{PEERS}:{PEERS}"]
    ended, damaged = threading.Event(), list[str]()
    reader = threading.Thread(target=_damaged_moments, args=(writer.directory, ended, damaged))
    reader.start()
    alarms, rates = [], list[tuple[str, float]]()
    try:
        for number in range(RUNS):
            writer.wait_for(number % PEERS)
            begin = time.monotonic()
            answer = by_hand(line, environment)
            if writer.slow(begin - LONGEST, time.monotonic()):
                continue
            if answer.code != OK or answer.errors:
                alarms.append(answer)
            values = read_output(answer.output).perfdata
            rates += [(label, value) for label, value in values.items() if label.endswith("_bytes_second")]
    finally:
        ended.set()
        reader.join()
    assert alarms == []
    assert {"FileNotFoundError", "JSONDecodeError"} <= set(damaged), "there was nothing to be careful of"
    # The counters wrap in between; a file's time is not quite the moment its numbers are of.
    assert {label.partition(".")[2] for label, _ in rates} == {"recv_bytes_second", "sent_bytes_second"}
    for label, value in rates:
        rate = RECEIVED if "recv" in label else SENT
        assert rate / 4 <= value <= rate * 4, (label, value)


@pytest.mark.parametrize("way", ["hangs", "dies"])
def test_links_of_a_controller_that_writes_no_more_do_not_stay_up(writer: Writer, way: str) -> None:
    assert _check(writer).code == OK
    (writer.daemon.pause if way == "hangs" else writer.daemon.kill)()
    write(writer.directory, PEERS)  # as if it had not been in the middle of a file
    for path in writer.directory.iterdir():
        os.utime(path, (time.time() - 61, time.time() - 61))
    answer = _check(writer)
    assert answer.code == CRITICAL
    assert f"{writer.directory}: not written for" in answer.first, answer
    values = read_output(answer.output).perfdata
    assert values["links.active"] == 0
    assert values["links.listed"] == PEERS
    if way == "hangs":
        writer.daemon.resume()
    else:
        writer.daemon.stop()
        writer.start()
    assert wait_until(lambda: _check(writer).code == OK, 30, "the links are up again")
