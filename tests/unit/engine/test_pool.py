"""Runs in the pool, in real processes of a real fork server."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.engine.forks.client import ForkServer
from checks.engine.jobs import CANCELLED, DEADLINE, FLOOD, LOST, NOT_STARTED, Ended, Job
from checks.engine.pool import Pool

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class Engine:
    """A pool and its event loop, for tests that are not coroutines."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = ForkServer()
        self.runner.run(self.server.start())
        self.pool = Pool(self.server, 4)

    def run(self, *jobs: Job) -> list[Ended]:
        async def all_of_them() -> list[Ended]:
            return list(await asyncio.gather(*map(self.pool.run, jobs)))

        return self.runner.run(all_of_them())

    def stop(self) -> None:
        self.runner.run(self.server.close())
        self.runner.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop()


def shell(line: str, **more: object) -> Job:
    return Job("test", ("/bin/sh", "-c", line), environment=ENVIRONMENT)._replace(**more)


async def until(predicate: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_output_errors_exit_code_and_times_come_back(engine: Engine) -> None:
    before = time.time()
    (ended,) = engine.run(shell("echo out; echo err >&2; exit 2"))
    assert (ended.code, ended.signal, ended.trouble) == (2, 0, "")
    assert (ended.output, ended.errors) == (b"out\n", b"err\n")
    assert before <= ended.began <= time.time()
    assert 0 < ended.seconds < 20
    assert ended.user + ended.system > 0


def test_a_run_killed_by_a_signal_says_so(engine: Engine) -> None:
    (ended,) = engine.run(shell("kill -SEGV $$"))
    assert (ended.code, ended.signal, ended.trouble) == (None, signal.SIGSEGV, "")


def test_what_can_not_be_started_says_why(engine: Engine) -> None:
    (ended,) = engine.run(Job("test", ("/usr/nowhere/check_x",), environment=ENVIRONMENT))
    assert ended.trouble == NOT_STARTED
    assert "No such file" in ended.reason


def test_at_its_deadline_a_run_gets_term_and_may_still_say_something(engine: Engine) -> None:
    (ended,) = engine.run(shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done", seconds=0.1))
    assert (ended.trouble, ended.output) == (DEADLINE, b"bye\n")


@pytest.mark.slow
def test_who_ignores_term_is_killed_with_the_whole_group(engine: Engine, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    line = f"trap '' TERM; sleep 60 & echo $! > {note}; while :; do sleep 0.02; done"
    (ended,) = engine.run(shell(line, seconds=0.3))
    assert (ended.trouble, ended.signal) == (DEADLINE, signal.SIGKILL)
    engine.runner.run(until(lambda: not alive(int(note.read_text()))))


@pytest.mark.parametrize("where", ["", ">&2"])
def test_output_without_end_is_stopped_at_the_limit(engine: Engine, where: str) -> None:
    (ended,) = engine.run(shell(f"yes flood {where}", output_limit=100_000))
    assert ended.trouble == FLOOD
    assert len(ended.output if not where else ended.errors) <= 100_000


def test_a_background_process_that_holds_the_output_open_is_not_waited_for_and_ends(
    engine: Engine, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    (ended,) = engine.run(shell(f"sleep 600 & echo $! > {note}; echo done"))
    assert (ended.code, ended.output, ended.trouble) == (0, b"done\n", "")
    engine.runner.run(until(lambda: not alive(int(note.read_text()))))


def test_as_much_output_as_the_limit_allows_arrives_whole(engine: Engine) -> None:
    (ended,) = engine.run(shell("head -c 500000 /dev/zero", output_limit=500_000))
    assert (ended.code, ended.trouble, len(ended.output)) == (0, "", 500_000)


def test_no_more_busy_runs_at_once_than_allowed_and_hung_ones_hold_nobody_up(engine: Engine, tmp_path: Path) -> None:
    hung = [shell("exec sleep 60") for _ in range(5)]
    log = tmp_path / "log"

    async def scene() -> list[Ended]:
        waiting = [asyncio.ensure_future(engine.pool.run(job)) for job in hung]
        # More hung ones than places: the others run nevertheless.
        good = await asyncio.gather(*(engine.pool.run(shell(f"echo {n} >> {log}; echo {n}")) for n in range(8)))
        assert engine.pool.figures.running == 5
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert all(task.cancelled() for task in waiting)
        return list(good)

    before = engine.pool.figures.cancelled
    good = engine.runner.run(scene())
    assert [int(ended.output) for ended in good] == list(range(8))
    assert engine.pool.figures.cancelled == before + 5
    assert (engine.pool.figures.running, engine.pool.figures.waiting) == (0, 0)


def test_runs_that_compute_keep_their_places(engine: Engine, tmp_path: Path) -> None:
    # Each notes its start and its end, and how many others there are. Nothing but the shell itself works, so it never waits.
    spin = f"""cd {tmp_path}; : > start.$$; set -- start.*; n=$#; set -- end.*; echo $((n + 1 - $#))
    i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; : > end.$$"""
    (tmp_path / "end.").touch()
    found = engine.run(*(shell(spin) for _ in range(16)))
    assert max(int(ended.output) for ended in found) <= 4


def test_a_cancelled_run_is_gone_when_the_cancelling_is_over(engine: Engine, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def scene() -> int:
        begun = asyncio.Event()
        task = asyncio.ensure_future(engine.pool.run(shell(f"echo $$ > {note}; trap '' TERM; sleep 60; :"), begun.set))
        await begun.wait()
        await until(lambda: note.exists() and note.read_text())
        task.cancel()
        await asyncio.wait([task])
        return int(note.read_text())

    assert not alive(engine.runner.run(scene()))


def test_when_the_fork_server_dies_its_runs_are_lost_and_the_next_ones_run(engine: Engine) -> None:
    async def scene() -> tuple[Ended, Ended]:
        begun = asyncio.Event()
        task = asyncio.ensure_future(engine.pool.run(shell("sleep 60"), begun.set))
        await begun.wait()
        os.kill(engine.server.pid, signal.SIGKILL)
        return await task, await engine.pool.run(shell("echo again"))

    lost, again = engine.runner.run(scene())
    assert lost.trouble == LOST
    assert again.output == b"again\n"
    assert engine.pool.figures.restarts >= 1


def test_closing_ends_every_run_and_starts_none(engine: Engine) -> None:
    async def scene() -> list[Ended]:
        pool = Pool(engine.server, 2)
        begun: list[None] = []
        tasks = [asyncio.ensure_future(pool.run(shell("sleep 60"), lambda: begun.append(None))) for _ in range(2)]
        await until(lambda: len(begun) == 2)
        tasks.append(asyncio.ensure_future(pool.run(shell("echo never"))))
        await asyncio.sleep(0)
        await pool.close(0.5)
        return list(await asyncio.gather(*tasks))

    found = engine.runner.run(scene())
    assert [ended.trouble for ended in found] == [CANCELLED] * 3
    assert found[2].output == b""
