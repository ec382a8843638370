"""One round: every job once, in parallel, until all are done or a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, TextIO

from checks.engine.forks.client import ForkServer, NotStarted
from checks.engine.jobs import CANCELLED, LOST, Job
from checks.engine.pool import Pool
from checks.engine.results import Result, result
from checks.engine.run.progress import EVERY, Progress
from checks.options import UsageError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 1.0
"""Seconds that running checks get to end after a signal."""


class Round(NamedTuple):
    """What became of the jobs. `stopped` and `not_begun` name those without a result, where a signal ended the round."""

    results: list[Result]
    stopped: list[str]
    not_begun: list[str]
    began: float
    """Seconds since the epoch."""
    seconds: float
    interrupted: bool
    figures: dict[str, float]
    troubles: list[str]
    """What could not be warmed, and why."""


def run(jobs: Sequence[Job], parallel: int = 0, progress: TextIO | None = None) -> Round:
    """Run the jobs; `progress` is where to show how far it is, if that is a terminal. Raises UsageError where nothing can be run at all."""
    return asyncio.run(_Running(jobs, parallel).run(progress))


class _Running:
    """A round that goes on."""

    def __init__(self, jobs: Sequence[Job], parallel: int) -> None:
        self._jobs, self._parallel = jobs, parallel
        self._begun: set[str] = set()
        self._results: list[Result] = []
        self._stop = asyncio.Event()

    async def run(self, stream: TextIO | None) -> Round:
        began, clock = time.time(), time.monotonic()
        server = ForkServer(sorted({job.entry for job in self._jobs if job.entry}))
        pool = Pool(server, self._parallel)
        with Progress(stream, len(self._jobs)) as progress, _signals(self._stop.set):
            drawing = asyncio.create_task(_draw(progress)) if progress.shown else None
            try:
                if await self._unless_stopped(server.start()):
                    runs = [asyncio.create_task(self._one(pool, job, progress)) for job in self._jobs]
                    await self._unless_stopped(asyncio.gather(*runs))
                    await pool.close(_PATIENCE)
                    await asyncio.gather(*runs)
            except NotStarted as error:
                raise UsageError(f"no check can be started: {error}") from None
            finally:
                if drawing:
                    drawing.cancel()
                await server.close()
        done = {one.name for one in self._results}
        left = [job.name for job in self._jobs if job.name not in done]
        return Round(
            self._results,
            [name for name in left if name in self._begun],
            [name for name in left if name not in self._begun],
            began,
            time.monotonic() - clock,
            bool(left),
            pool.figures.as_dict(),
            server.troubles,
        )

    async def _one(self, pool: Pool, job: Job, progress: Progress) -> None:
        def started() -> None:
            self._begun.add(job.name)
            progress.started(job.name)

        ended = await pool.run(job, started)
        if ended.trouble == LOST:
            # Some other check, or the kernel short of memory, killed the fork server: there is a new one.
            ended = await pool.run(job, started)
        if ended.trouble != CANCELLED:
            found = result(job, ended)
            self._results.append(found)
            progress.ended(found)

    async def _unless_stopped(self, work: Awaitable[object]) -> bool:
        """Wait for this or for a signal; return whether it is done."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return True
        return False


async def _draw(progress: Progress) -> None:
    while True:
        progress.draw()
        await asyncio.sleep(EVERY)


@contextlib.contextmanager
def _signals(call: Callable[[], None]) -> Iterator[None]:
    """Have these signals do nothing but this call; one that is ignored (nohup) stays so."""
    loop = asyncio.get_running_loop()
    ours = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    for number in ours:
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in ours:
            loop.remove_signal_handler(number)
