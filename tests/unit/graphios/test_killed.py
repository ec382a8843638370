"""graphios killed (-9) at every stage of a file's life: really killed, and then run again; every line arrives."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.graphios.peers import Peer, peer
from tests.unit.graphios.spool_lines import NOW, service_line

PROGRESS = "graphios.delivery.progress:Progress"
MOMENTS = [
    ("graphios.backends.carbon:Carbon.deliver", "before", 2),  # parsed, not sent
    ("graphios.backends.carbon:Carbon.deliver", "after", 2),  # acknowledged, not noted
    (f"{PROGRESS}.mark", "after", 1),  # noted, not moved
    (f"{PROGRESS}.mark", "after", 3),
    ("os:rename", "before", 1),  # some files of the batch moved
    ("os:rename", "after", 2),
    (f"{PROGRESS}.forget", "before", 1),  # moved, positions still there
    (f"{PROGRESS}.commit", "before", 2),
    ("graphios.delivery.rejects:RejectFile.flush", "after", 1),
    ("graphios.delivery.window:Window.expire", "after", 1),
]


def write(spool: Path, round_: int) -> set[str]:
    """Small files and one of several batches; the metrics they hold."""
    names = set()
    for number in range(4):
        (spool / f"service-perfdata.{round_}.{number}").write_text(service_line(f"r{round_}small{number}=1"))
        names.add(f"web01.load.r{round_}small{number}")
    lines = [service_line(f"r{round_}large{number}=1") for number in range(100)]
    (spool / f"service-perfdata.{round_}.large").write_text("rubbish\n" + "".join(lines))
    return names | {f"web01.load.r{round_}large{number}" for number in range(100)}


def received(carbon: Peer) -> set[str]:
    lines = b"".join(carbon.received).decode().splitlines()
    assert all(line.endswith(f" 1 {NOW}") for line in lines)
    return {line.split(" ")[0] for line in lines}


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    expected: set[str] = set()
    with peer() as carbon:
        (tmp_path / "graphios.ini").write_text(
            f"[spool]\ndirectory = {spool}\n[state]\ndirectory = {tmp_path}/state\n[rejects]\nfile = {tmp_path}/rejects\n"
            f"[self]\ninterval_seconds = 0\n[carbon]\nport = {carbon.port}\nbatch_bytes = 1000\nlongest_pause = 0.2\n"
        )
        options = ["--config", f"{tmp_path}/graphios.ini", "--once"]
        for number, (where, when, count) in enumerate(MOMENTS):
            expected |= write(spool, number)
            argv = [sys.executable, "-m", "tests.unit.graphios.killed", where, when, str(count), *options]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == -9, (where, when, done.stderr)
        done = subprocess.run(
            [sys.executable, "-m", "graphios.cli", *options], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        assert received(carbon) == expected
    assert list(spool.iterdir()) == []
    kept = list((tmp_path / "state" / "delivered").glob("*/*"))
    assert len(kept) == 5 * len(MOMENTS)  # each file in one place
    rejected = (tmp_path / "rejects").read_text(encoding="ascii")
    assert all(f"service-perfdata.{number}.large:1\t" in rejected for number in range(len(MOMENTS)))


@pytest.mark.slow
def test_killed_while_it_throws_the_window_away_it_goes_on_with_the_rest(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    with peer() as carbon:
        (tmp_path / "graphios.ini").write_text(
            f"[spool]\ndirectory = {spool}\nsettle_seconds = 0\n[state]\ndirectory = {tmp_path}/state\n[self]\ninterval_seconds = 0\n"
            f"[rejects]\nfile = {tmp_path}/rejects\n[carbon]\nport = {carbon.port}\nreplay_minutes = 0\n"
        )
        options = ["--config", f"{tmp_path}/graphios.ini", "--once"]
        expected = write(spool, 0)
        once = [sys.executable, "-m", "graphios.cli", *options]
        subprocess.run(once, capture_output=True, timeout=60, check=False)
        argv = [sys.executable, "-m", "tests.unit.graphios.killed", "pathlib:Path.rmdir", "before", "1", *options]
        expected |= write(spool, 1)
        for _ in range(2):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == -9, done.stderr
        assert received(carbon) == expected
        expected |= write(spool, 2)
        assert subprocess.run(once, capture_output=True, timeout=60, check=False).returncode == 1
        assert received(carbon) == expected
    assert len(list((tmp_path / "state" / "delivered").glob("*/*"))) <= 5
