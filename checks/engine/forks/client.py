"""The engine's side of the fork server: starts it, has it start jobs, is told how they ended, and starts it anew when it died."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import time
from collections.abc import Iterable
from typing import Final

from checks.engine.forks import kinship
from checks.engine.forks.fork_process import Child, Died, Exit, ForkProcess, NotStarted
from checks.engine.forks.warmth import Signature, signature
from checks.engine.jobs import Job

__all__ = ["Child", "Exit", "ForkServer", "NotStarted"]

START_SECONDS: Final = 60.0
"""How long a fork server may take to load what it is told to."""
_LOOK_EACH = 1.0
_AFTER_FAILURE = 10.0
# A fork server that died sooner than this is started anew with a growing delay.
_QUICK_DEATH = 5.0
_LONGEST_DELAY = 10.0
_TRIES = 3
_DESCRIPTORS = 65536
_CLOSED = "the engine is ending"
_CLOSE_SECONDS = 0.9


class ForkServer:
    """Starts jobs in children of a process that has the checks' libraries loaded. The engine that has one adopts what it leaves when it dies."""

    _open = 0
    _adopted_before = False
    _limits = (1024, 1024)

    def __init__(self, entries: Iterable[str] = (), *, import_seconds: float = 10.0) -> None:
        """`entries` ("module:attribute") are what it loads ahead; others are loaded when they are first run.

        `import_seconds`: how long the import of what is not ours may take.
        """
        self.forks = 0
        """Jobs started since the beginning."""
        self.restarts = 0
        """How often the fork server died and was started anew."""
        self._entries, self._import_seconds = list(dict.fromkeys(entries)), import_seconds
        self._process: ForkProcess | None = None
        self._processes: set[ForkProcess] = set()
        self._beginning: asyncio.Task[None] | None = None
        self._avoid: dict[str, str] = {}
        self._suspected: set[str] = set()
        self._trouble = ""
        self._settled = self._closed = False
        self._born = 0.0
        self._quick_deaths = 0
        self._look_at = 0.0
        self._seen: dict[str, Signature | None] = {}

    @property
    def pid(self) -> int:
        """Process id of the fork server; 0 where none runs."""
        return self._process.pid if self._process and self._process.alive else 0

    @property
    def troubles(self) -> list[str]:
        """What can't be loaded ahead, and why, for the operator; it is started cold."""
        cold = self._process.cold if self._process else {}
        return [f"{entry}: {why}" for entry, why in cold.items()] + ([self._trouble] if self._trouble else [])

    async def start(self) -> None:
        """Start it and wait until what is ours is loaded. Raises NotStarted."""
        await self._running()

    async def launch(self, job: Job, stdout: int, stderr: int) -> Child:
        """Start a job with these descriptors as standard output and error; they stay the caller's. Raises NotStarted."""
        for _ in range(_TRIES):
            process = await self._running()
            with contextlib.suppress(Died):
                child = await process.launch(job, stdout, stderr)
                self.forks += 1
                return child
        raise NotStarted(f"{job.argv[0]}: the fork server died {_TRIES} times")

    async def close(self) -> None:
        """Kill all children and end it; takes less than a second, and leaves nothing behind."""
        self._closed = True
        if self._beginning:
            self._beginning.cancel()
        for process in self._processes:
            process.hang_up()
        if self._processes:
            await asyncio.wait([process.ended for process in self._processes], timeout=_CLOSE_SECONDS)
        for process in list(self._processes):
            process.kill()
            await process.ended
        self._move_out()

    async def renew(self) -> None:
        """Have a new one take over; the old one ends with its last child. Raises NotStarted, and keeps the old one then."""
        if self._closed:
            raise NotStarted(_CLOSED)
        new = await self._begin()
        old, self._process = self._process, new
        self._seen = {}
        if old and old.alive:
            old.retire()

    async def renew_if_stale(self) -> bool:
        """Renew it where a file that it has loaded was changed and has come to rest; return whether it did. Looks once a second at most."""
        now = time.monotonic()
        process = self._process
        if now < self._look_at or not process or not process.alive:
            return False
        self._look_at = now + _LOOK_EACH
        changed = {file: found for file, was in process.files.items() if (found := signature(file)) != was}
        if not changed or changed != self._seen:
            self._seen = changed
            return False
        try:
            await self.renew()
        except NotStarted as error:
            self._trouble = f"what changed can't be loaded, the old version still runs: {error}"
            self._look_at = time.monotonic() + _AFTER_FAILURE
            return False
        self._trouble = ""
        return True

    async def _running(self) -> ForkProcess:
        """Return the fork server; where it died, that is the next one."""
        while True:
            if self._closed:
                raise NotStarted(_CLOSED)
            if self._process and self._process.alive:
                return self._process
            await asyncio.shield(self._again())

    def _again(self) -> asyncio.Task[None]:
        """Return what starts it, or starts it anew: one at a time."""
        if not self._beginning:
            self._beginning = asyncio.create_task(self._begin_again())
            self._beginning.add_done_callback(self._begun)
        return self._beginning

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._beginning = None
        if not task.cancelled():
            task.exception()  # told to who waits for it, if anyone does

    async def _begin_again(self) -> None:
        if self._process:
            self.restarts += 1
        if self._quick_deaths > 1:
            await asyncio.sleep(min(0.1 * 2**self._quick_deaths, _LONGEST_DELAY))
        try:
            self._process = await self._begin()
        except NotStarted:
            self._quick_deaths += 1
            raise

    def _settle_in(self) -> None:
        """Make this process one that has children: their orphans become its own, and it may have open what many of them print into.

        What is left when the fork server dies can be ended then without hitting somebody else.
        """
        if not self._settled:
            self._settled = True
            if not ForkServer._open:
                ForkServer._adopted_before = kinship.adopt_orphans()
                soft, hard = ForkServer._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
                most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
                if soft != resource.RLIM_INFINITY and soft < most:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            ForkServer._open += 1

    def _move_out(self) -> None:
        if self._settled:
            self._settled = False
            ForkServer._open -= 1
            if not ForkServer._open:
                kinship.adopt_orphans(ForkServer._adopted_before)
                resource.setrlimit(resource.RLIMIT_NOFILE, ForkServer._limits)

    async def _begin(self) -> ForkProcess:
        self._settle_in()
        while True:
            try:
                process = ForkProcess(self._entries, self._avoid, self._import_seconds, ForkServer._limits)
            except OSError as error:
                raise NotStarted(f"can't start the fork server: {error.strerror}") from None
            self._processes.add(process)
            process.ended.add_done_callback(functools.partial(self._ended, process))
            try:
                await self._loaded(process)
                if process.alive:
                    self._born = time.monotonic()
                    return process
                raise NotStarted("the fork server ended as soon as it had started")
            except NotStarted:
                # Each module is tried twice at most, so this comes to an end.
                if self._closed or process.alive or not self._blame(process):
                    raise

    async def _loaded(self, process: ForkProcess) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(process.ready), START_SECONDS)
        except TimeoutError:
            process.kill()
            raise NotStarted(f"the fork server was not ready within {START_SECONDS:.0f} s") from None
        except asyncio.CancelledError:
            process.kill()
            raise

    def _blame(self, process: ForkProcess) -> bool:
        """Have what it was importing when it died not imported again; where that was in a trial process, the second time it happens.

        Return whether it was importing anything.
        """
        if not process.blamed:
            process.blamed = bool(process.loading or process.trying)
            guilty = {process.loading} if process.loading else self._suspected & set(process.trying)
            self._avoid |= dict.fromkeys(guilty, "its import ended the fork server")
            self._suspected |= set(process.trying)
        return process.blamed

    def _ended(self, process: ForkProcess, _: object) -> None:
        self._processes.discard(process)
        self._blame(process)
        if process is self._process and not self._closed:
            self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - self._born < _QUICK_DEATH else 0
            with contextlib.suppress(RuntimeError):  # the loop is closing
                self._again()
