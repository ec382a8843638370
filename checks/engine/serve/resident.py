"""The resident engine: what is due runs, results are handed on, and the configuration is watched. Only the monotonic clock decides when."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from checks.engine.commands import catalog, commands
from checks.engine.commands.schedule import Schedule
from checks.engine.forks.client import ForkServer, NotStarted
from checks.engine.jobs import CANCELLED, LOST
from checks.engine.log import internal, log
from checks.engine.pool import Pool
from checks.engine.results import Result, result
from checks.engine.serve.command_file import CommandFile
from checks.engine.serve.outlets import Outlets
from checks.engine.serve.perfdata_spool import PerfdataSpool
from checks.engine.serve.submit import Submitter
from checks.engine.serve.submit_command import SubmitCommand
from checks.engine.serve.warm import WarmServer
from checks.output import clean_text, perfdata
from checks.plugin import COUNTER, Measure
from graphios import notify

MEASURES = (
    Measure("warm.served", "c", COUNTER, "checks of NRPE that ran warm"),
    Measure("warm.refused", "c", COUNTER, "checks of NRPE that asked to run warm and were told to run cold"),
)
_LOOK_SECONDS = 1.0
_STALE_SECONDS = 30.0
_FIGURES_SECONDS = 60.0
# So that who just started it sees them soon, and troubles that come or go.
_FIRST_FIGURES_SECONDS = 3.0
# How long to wait before what a dying fork server took along runs again.
_LOST_SECONDS = (0.5, 2.0)
# Together under the five seconds in which it has to have ended.
_CHECKS_END_SECONDS = 1.0
_LAST_HAND_ON_SECONDS = 1.5
_END_SECONDS = 4.5


class Resident:
    """One engine, from its start to its end."""

    def __init__(self, opts: argparse.Namespace, listening: socket.socket | None) -> None:
        """`opts`: of checks.engine.serve.command; `listening`: where warm checks are asked for."""
        self._opts, self._listening = opts, listening
        self._commands = commands.Commands(opts.paths)
        self._reading = commands.Reading({}, [])
        self._environment = commands.environment()
        self._schedule = Schedule()
        self._server = ForkServer(catalog.entries().values())
        self._pool = Pool(self._server, opts.parallel)
        self._submit_pool = Pool(self._server, 1)
        self._outlets = Outlets(opts, self._submitter(), PerfdataSpool(opts.spool) if opts.spool else None)
        self._warm = WarmServer(
            self._pool, log=lambda text: log.info("not warm: %s", text), renew=self._server.renew_if_stale
        )
        self._named: set[str] = set()
        self._status = ""
        self._troubles_told: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT. Return the exit code."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_name_trouble)
        self._stop, self._reload = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        self._stale_at, self._figures_at = loop.time() + _STALE_SECONDS, loop.time() + _FIRST_FIGURES_SECONDS
        handing_on = asyncio.create_task(self._outlets.run())
        try:
            if not await self._start():
                return 3
            await self._serve()
        finally:
            notify.stopping("ending")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end(handing_on), _END_SECONDS)
        log.info("ended%s", self._outlets.left())
        return 0

    def _submitter(self) -> Submitter | None:
        host = os.fsencode(self._opts.host)
        if self._opts.submit:
            return Submitter(SubmitCommand(self._submit_pool, self._opts.submit, host, self._environment))
        return Submitter(CommandFile(self._opts.command_file, host)) if self._opts.command_file else None

    async def _start(self) -> bool:
        """Start what runs checks. Returns False where that can't be, or where it is to end already."""
        starting = asyncio.ensure_future(self._server.start())
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return True
        try:
            await starting
        except NotStarted as error:
            log.error("%s", error)
            return False
        for trouble in (*catalog.catalog().troubles, *self._server.troubles):
            log.warning("not warm: %s", trouble)
        if self._listening:
            await self._warm.start(self._listening)
        self._read()
        if os.geteuid() == 0:
            log.warning("runs as root, and so do the checks; a user without privileges is enough")
        notify.ready(self._told())
        log.info("runs: %s", self._told())
        return True

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = 0.0
        while not self._stop.is_set():
            now = loop.time()
            if self._reload.is_set():
                self._reload.clear()
                notify.reloading()
                self._read()
                self._renew(always=True)
                notify.ready(self._told())
            if now >= look_at:
                look_at = now + _LOOK_SECONDS
                self._look(now)
            for name in self._schedule.due(now):
                task = asyncio.create_task(self._run_one(name))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await self._pause(look_at)

    def _look(self, now: float) -> None:
        """What is done once a second."""
        notify.watchdog()
        if self._commands.changed():
            self._read()
        if now >= self._stale_at:
            self._stale_at = now + _STALE_SECONDS
            self._renew(always=False)
        troubles = self._troubles()
        soon = self._figures_at - _FIGURES_SECONDS + _FIRST_FIGURES_SECONDS
        if now >= self._figures_at or (troubles != self._troubles_told and now >= soon):
            self._figures_at, self._troubles_told = now + _FIGURES_SECONDS, troubles
            self._outlets.figures(self._own_figures(), troubles)
        self._outlets.flush()
        self._outlets.show(self._reading)
        if (status := self._told()) != self._status:
            self._status = status
            notify.status(status)

    async def _pause(self, until: float) -> None:
        """Until something is due, or it is time to look, or it is to end."""
        next_at = self._schedule.next_at()
        until = until if next_at is None else min(until, next_at)
        seconds = max(0.01, until - asyncio.get_running_loop().time())
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, self._reload)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _read(self) -> None:
        """Read the configuration; what is broken is named once, and costs only itself."""
        before = self._reading
        self._reading = self._commands.read()
        self._schedule.update(self._scheduled(), asyncio.get_running_loop().time())
        for name in before.commands.keys() - self._reading.commands.keys():
            self._outlets.forget(name)
        broken = {str(one) for one in self._reading.broken}
        for text in sorted(broken - self._named):
            log.warning("%s", text)
        self._named = broken
        if before.commands != self._reading.commands:
            log.info("commands: %s", self._told())
            if not self._outlets.any and any(command.interval for command in self._reading.commands.values()):
                log.warning(
                    "what has an interval does not run: none of --spool, --submit, --command-file and --html says where results go"
                )

    def _scheduled(self) -> dict[str, commands.Command]:
        """What runs by itself: nothing, where its results would go nowhere."""
        found = self._reading.commands
        return {name: one for name, one in found.items() if one.interval} if self._outlets.any else {}

    def _renew(self, *, always: bool) -> None:
        if self._renewing and not self._renewing.done():
            return

        async def renew() -> None:
            try:
                if always:
                    await self._server.renew()
                elif await self._server.renew_if_stale():
                    log.info("files of checks have changed: loaded anew")
            except NotStarted as error:
                log.error("%s", error)

        self._renewing = asyncio.create_task(renew())

    async def _run_one(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        completed = False
        try:
            found = await self._result(name)
            completed = found is None or found.completed
            if found and name in self._reading.commands:
                self._outlets.hand_on(found, int(time.time()))
        except Exception as error:  # costs this run
            log.error("%s: %s", name, internal(error))
        finally:
            self._schedule.ended(name, loop.time(), completed)

    async def _result(self, name: str) -> Result | None:
        """Run it. Returns None where it was stopped by us, which says nothing about what it looks at."""
        command = self._reading.commands.get(name)
        if not command:
            return None
        job = commands.job(command, environment=self._environment, seconds=self._opts.timeout)
        ended = await self._pool.run(job)
        for seconds in _LOST_SECONDS:
            if ended.trouble != LOST:
                break
            # Not its own fault, most of the time: whoever killed the fork server took it along.
            await asyncio.sleep(seconds)
            ended = await self._pool.run(job)
        return None if ended.trouble == CANCELLED or self._stop.is_set() else result(job, ended)

    def _own_figures(self) -> str:
        self._pool.figures.late = self._schedule.late
        warm = {"warm.served": self._warm.served, "warm.refused": self._warm.refused.total()}
        items = [perfdata(label, value, "c") for label, value in warm.items()]
        return " ".join([self._pool.figures.perfdata(), *items])

    def _troubles(self) -> list[str]:
        """What the operator should look at, worst first."""
        failing = sorted(self._schedule.failing())
        return [
            *self._outlets.troubles(),
            *(f"broken: {one}" for one in self._reading.broken),
            *([f"keep failing, and run less often: {', '.join(failing)}"] if failing else []),
            *self._server.troubles,
        ]

    def _told(self) -> str:
        figures = self._pool.figures
        told = f"{len(self._scheduled())} commands with an interval, {figures.running} running, {figures.done} done"
        troubles = self._troubles()
        return (
            f"{told}; {troubles[0]}" + (f" (and {len(troubles) - 1} more)" if troubles[1:] else "")
            if troubles
            else told
        )

    async def _end(self, handing_on: asyncio.Task[None]) -> None:
        """End all checks, hand on what is left where that takes no time, and end the fork server."""
        if self._renewing:
            self._renewing.cancel()
        ends = asyncio.gather(self._warm.close(), self._pool.close(_CHECKS_END_SECONDS))
        self._outlets.finish()
        await asyncio.wait((handing_on,), timeout=_LAST_HAND_ON_SECONDS)
        handing_on.cancel()
        await self._submit_pool.close(0.2)
        await ends
        await self._server.close()


def _name_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An operator never sees a traceback."""
    error = context.get("exception")
    log.error("%s", internal(error) if error else clean_text(str(context.get("message"))))
