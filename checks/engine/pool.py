"""Runs jobs in children of the fork server: so many at once, each with its deadline, its output bounded.

A run takes one of the places for busy checks while it is young or computes. One that only waits moves to the larger room of waiting ones, so that
checks that hang delay nobody. The idea is MonALISA's pool, which grows while its workers are held up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from checks.engine.figures import Figures
from checks.engine.forks.client import Child, ForkServer, NotStarted
from checks.engine.jobs import CANCELLED, DEADLINE, FLOOD, LOST, NOT_STARTED, Ended, Job
from checks.engine.output_pipe import OutputPipe

YOUNG = 0.25
"""Seconds after which a run that does not compute gives up its place."""
PATIENCE = 1.0
"""Seconds from TERM to KILL."""
_UNKILLABLE = 2.0
_ROOMS = 16


class Pool:
    """Runs jobs. To be used by one event loop, without threads."""

    def __init__(self, server: ForkServer, parallel: int = 0, waiting: int = 0) -> None:
        """`parallel`: how many busy checks at once; 0 chooses eight for each core. `waiting`: how many that only wait; 0: 16 times that."""
        self.parallel = parallel or 8 * (os.cpu_count() or 1)
        self._most_idle = waiting or self.parallel * _ROOMS
        self.figures = Figures()
        self._server = server
        self._busy = 0
        self._idle = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._runs: dict[_Run, asyncio.Task[object] | None] = {}
        self._stuck: dict[str, int] = {}
        self._closing = False

    async def run(self, job: Job, started: Callable[[], None] | None = None) -> Ended:
        """Run the job, as soon as there is a place. `started` is called when it has begun.

        Raises nothing but CancelledError: whoever cancels this ends the run, and its whole process group, at once.
        """
        self.figures.waiting += 1
        try:
            await self._enter()
        finally:
            self.figures.waiting -= 1
        ended = Ended(None, trouble=CANCELLED, began=time.time())
        run = _Run(self, job)
        try:
            if self._closing:
                return ended
            if job.name in self._stuck:
                why = f"its last run, process {self._stuck[job.name]}, hangs in the kernel and can't be ended"
                ended = ended._replace(trouble=NOT_STARTED, reason=why)
            else:
                self._runs[run] = asyncio.current_task()
                self.figures.running += 1
                try:
                    ended = await run.run(started)
                finally:
                    self.figures.running -= 1
                    del self._runs[run]
        finally:
            self._leave(run.waits)
            self.figures.count(ended)
            self.figures.started, self.figures.restarts = self._server.forks, self._server.restarts
        return ended

    async def close(self, seconds: float = 2.0) -> None:
        """End every run: TERM now, KILL after `seconds`; nothing is started any more. Runs end as CANCELLED."""
        self._closing = True
        for place in self._queue:
            if not place.done():
                place.set_result(None)
        tasks = [task for task in self._runs.values() if task]
        for run in list(self._runs):
            run.stop(CANCELLED, seconds)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds + _UNKILLABLE + 1)

    async def _enter(self) -> None:
        if self._busy < self.parallel and not self._queue and self._has_room():
            self._busy += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(False)
            raise

    def _has_room(self) -> bool:
        return self._idle < self._most_idle

    def _leave(self, waits: bool) -> None:
        if waits:
            self._idle -= 1
        else:
            self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._busy < self.parallel and self._has_room():
            place = self._queue.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)

    def moved(self) -> None:
        """A run that only waits goes from the busy ones to the others."""
        self._busy -= 1
        self._idle += 1
        self._admit()

    def abandon(self, job: Job, child: Child) -> None:
        """Remember a child that KILL did not end, until it does end."""
        self._stuck[job.name] = child.pid
        self.figures.stuck += 1

        def over(_: object) -> None:
            self._stuck.pop(job.name, None)
            self.figures.stuck -= 1

        child.ended.add_done_callback(over)

    async def launch(self, job: Job, stdout: int, stderr: int) -> Child:
        """Start the job's process. Raises NotStarted."""
        return await self._server.launch(job, stdout, stderr)


class _Run:
    """One run, from its start to its end."""

    def __init__(self, pool: Pool, job: Job) -> None:
        self.waits = False
        self._pool, self._job = pool, job
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._trouble = ""
        self._gone = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self, started: Callable[[], None] | None) -> Ended:
        """Run it to its end."""
        job = self._job
        began, clock = time.time(), time.monotonic()
        try:
            output = OutputPipe(self._loop, job.output_limit, self._flooded)
        except OSError as error:
            return Ended(None, trouble=NOT_STARTED, reason=error.strerror or str(error), began=began)
        try:
            try:
                child = self._child = await self._launch(output)
            except NotStarted as error:
                return Ended(None, trouble=NOT_STARTED, reason=str(error), began=began)
            output.started()
            child.ended.add_done_callback(self._over)
            if self._trouble:
                self._end()
            self._timers.append(self._loop.call_later(job.seconds, self.stop, DEADLINE, PATIENCE))
            self._timers.append(self._loop.call_later(YOUNG, self._grown))
            if started:
                started()
            try:
                await self._gone
            except asyncio.CancelledError:
                await self._kill(child)
                raise
            return self._ended(child, output, began, time.monotonic() - clock)
        finally:
            for timer in self._timers:
                timer.cancel()
            output.close()

    async def _launch(self, output: OutputPipe) -> Child:
        launching = asyncio.ensure_future(self._pool.launch(self._job, output.stdout, output.stderr))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            # It may have begun already.
            with contextlib.suppress(NotStarted):
                self._child = await launching
                await self._kill(self._child)
            raise

    def _over(self, _: object) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def stop(self, trouble: str, patience: float) -> None:
        """End it for this reason: TERM, and KILL after `patience` seconds."""
        if self._trouble:
            return
        self._trouble = trouble
        if self._child:
            self._child.signal_group(signal.SIGTERM)
            self._timers.append(self._loop.call_later(patience, self._end))

    def _flooded(self) -> None:
        if not self._trouble:
            self._trouble = FLOOD
            if self._child:
                self._end()

    def _end(self) -> None:
        """KILL; and where even that does not help, wait no longer."""
        assert self._child
        self._child.signal_group(signal.SIGKILL)
        self._timers.append(self._loop.call_later(_UNKILLABLE, self._give_up))

    def _give_up(self) -> None:
        if not self._gone.done():
            assert self._child
            self._pool.abandon(self._job, self._child)
            self._gone.set_result(None)

    async def _kill(self, child: Child) -> None:
        """Nobody waits for it any more."""
        self._trouble = self._trouble or CANCELLED
        self._gone = self._loop.create_future()
        child.ended.add_done_callback(self._over)
        self._end()
        await asyncio.shield(self._gone)

    def _grown(self) -> None:
        """It is no longer young: unless it computes, its place is another's."""
        if self.waits or self._gone.done():
            return
        if self._child and _computes(self._child.pid):
            self._timers.append(self._loop.call_later(YOUNG, self._grown))
        else:
            self.waits = True
            self._pool.moved()

    def _ended(self, child: Child, output: OutputPipe, began: float, seconds: float) -> Ended:
        output.drain()
        trouble, code, number, user, system = self._trouble, None, 0, 0.0, 0.0
        if child.ended.done():
            how = child.ended.result()
            user, system = how.user, how.system
            if how.lost:
                trouble = trouble or LOST
            elif os.WIFSIGNALED(how.status):
                number = os.WTERMSIG(how.status)
            else:
                code = os.waitstatus_to_exitcode(how.status)
        return Ended(code, number, output.output(), output.errors(), trouble, "", began, seconds, user, system)


def _computes(pid: int) -> bool:
    """Whether a process is running rather than waiting for something, by /proc (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1] == [b"R"]
    except OSError:
        return False
