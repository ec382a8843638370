"""The executor of a worker of Nagios Core: runs the jobs that its broker hands it, and answers each once. It writes nothing itself.

Started by the broker, as `python -P -m checks.engine.worker.executor --nagios-cfg FILE`, with their socket as standard input. When that ends, or on
SIGTERM, every child is killed and it exits: the broker has the jobs, and another executor runs them again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from checks.engine.commands import catalog
from checks.engine.forks.client import ForkServer, NotStarted
from checks.engine.jobs import CANCELLED, DEADLINE, LOST, NOT_STARTED, Ended, Job
from checks.engine.pool import Pool
from checks.engine.worker import answers, command_line, macros, nagios_config
from checks.engine.worker.messages import CHECK, Answer, BadFrame, Cancel, Decoder, Ready, Work, encode
from graphios.plugin_output import LONGEST_RAW

_CHUNK = 256 * 1024
_REMEMBER_SECONDS = 5.0
_LOOK_SECONDS = 30.0
# Checks that hang: when a whole site is out of reach, nearly all do, and none is to wait for another.
_WAITING = 4000
# Beyond its timeout: where very many checks hang, one that waits for a place is over as well, as Nagios reckons.
_GRACE = 5.0
# What a service manager or an interpreter of ours was told concerns nobody else.
_OURS = re.compile(
    r"NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|.*_DIRECTORY|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_.*|MAINPID|PYTHON.*|VIRTUAL_ENV"
)


class Executor:
    """Runs jobs in the pool; `send` takes the answers, as frames."""

    def __init__(self, pool: Pool, config: nagios_config.NagiosConfig, limit: int = answers.SHORT) -> None:
        """`limit`: bytes of the short form for Nagios."""
        self._pool, self._limit = pool, limit
        self._own = nagios_config.OwnPerfdata(config)
        self._jobs = _Jobs()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._told = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run what comes until the other side hangs up. Raises BadFrame; then the connection is of no use."""
        self._writer = writer
        decoder = Decoder()
        try:
            while data := await reader.read(_CHUNK):
                for message in decoder.feed(data):
                    if isinstance(message, Work):
                        self._begin(message)
                    elif isinstance(message, Cancel):
                        self._cancel(message.number)
        except ConnectionError:
            pass
        finally:
            for task in list(self._tasks.values()):
                task.cancel()

    def _begin(self, work: Work) -> None:
        self._cancel(work.number)
        task = self._tasks[work.number] = asyncio.ensure_future(self._answer(work))
        task.add_done_callback(lambda task: self._done(work.number, task))

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(number) is task:
            del self._tasks[number]

    def _cancel(self, number: int) -> None:
        if task := self._tasks.pop(number, None):
            task.cancel()

    async def _answer(self, work: Work) -> None:
        try:
            answer = await self.run(work)
        except Exception as error:  # whatever is wrong here, Nagios gets an answer
            log(f"job {work.number}: {type(error).__name__}: {error}")
            answer = answers.failed(work, f"testbed-checks worker: internal error ({type(error).__name__})")
        if answer and self._writer:
            self._writer.write(encode(answer))

    async def run(self, work: Work) -> Answer | None:
        """Run a job to its end; None where nobody waits for the answer any more."""
        whose: macros.Whose | str = "it is no check"
        if work.kind == CHECK:
            try:
                whose = macros.whose(work.environment)
            except macros.Unclear as error:
                whose = f"it is not certain whose it is: {error}"
        name = f"job {work.number}" if isinstance(whose, str) else str(whose)
        received = time.time()
        try:
            async with asyncio.timeout(max(1, work.timeout) + _GRACE):
                ended = await self._run(self._jobs.job(work, name))
                if ended.trouble == LOST:  # the fork server died, and took it along
                    ended = await self._run(self._jobs.job(work, name))
        except TimeoutError:
            ended = Ended(None, trouble=DEADLINE, began=received, seconds=time.time() - received)
        if ended.trouble == CANCELLED:
            return None
        if work.kind == CHECK:
            found = answers.answer(work, ended, whose, self._own, self._limit)
            if self._own.trouble != self._told:
                self._told = self._own.trouble
                log(self._told or "perfdata that Nagios writes itself is left to it again")
            return found
        return answers.helper_answer(work, ended)

    async def _run(self, job: Job | None) -> Ended:
        if job is None:
            return Ended(None, trouble=NOT_STARTED, reason="there is no command", began=time.time())
        return await self._pool.run(job)


class _Jobs:
    """Makes jobs for the pool. Which programs can run warm is remembered for some seconds."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], str] = {}
        self._until = 0.0
        self._environment = {name: value for name, value in os.environ.items() if not _OURS.fullmatch(name)}

    def job(self, work: Work, name: str) -> Job | None:
        """Return how this is run; None where it names no program."""
        line = command_line.parse(os.fsdecode(work.command))
        if not line.argv:
            return None
        environment = {**self._environment, **macros.variables(work.environment), **line.variables}
        return Job(
            name,
            line.argv,
            self._entry(line.argv[0], environment),
            environment,
            seconds=max(1, work.timeout),
            output_limit=LONGEST_RAW,
        )

    def _entry(self, program: str, environment: Mapping[str, str]) -> str:
        if program == command_line.SHELL:
            return ""
        now = time.monotonic()
        if now > self._until:
            self._entries.clear()
            self._until = now + _REMEMBER_SECONDS
        key = (program, environment.get("PATH", os.defpath))
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = catalog.entry_for(*key)
        return entry if entry and catalog.can_be_warm(environment) else ""


def log(text: str) -> None:
    """Write a line for the operator to standard error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"executor: {text}\n")
        sys.stderr.flush()


async def serve(channel: socket.socket, opts: argparse.Namespace) -> int:
    """Serve the broker at the other end of `channel`; return the exit code."""
    loop = asyncio.get_running_loop()
    config = nagios_config.read(opts.nagios_cfg)
    server = ForkServer(catalog.entries().values())
    try:
        await server.start()
        for trouble in server.troubles:
            log(f"not warm: {trouble}")
        executor = Executor(Pool(server, opts.parallel, _WAITING), config, opts.max_output)
        reader, writer = await asyncio.open_connection(sock=channel, limit=_CHUNK)
        writer.write(encode(Ready(os.getpid())))
        serving = asyncio.ensure_future(executor.serve(reader, writer))
        looking = asyncio.ensure_future(_renew(server))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        looking.cancel()
        return 0
    finally:
        await server.close()


async def _renew(server: ForkServer) -> None:
    """Have the warmed process follow an upgrade of what it has loaded."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            await server.renew_if_stale()
        except NotStarted as error:
            log(str(error))


def main() -> int:
    """Serve the broker whose socket is standard input; exit code 3 when that can't be done."""
    parser = argparse.ArgumentParser(prog="executor", allow_abbrev=False)
    parser.add_argument("--nagios-cfg", type=Path, default=nagios_config.DEFAULT)
    parser.add_argument("--max-output", type=int, default=answers.SHORT)
    parser.add_argument("--parallel", type=int, default=0)
    opts = parser.parse_args()
    try:
        channel = socket.socket(fileno=os.dup(0))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        return asyncio.run(serve(channel, opts))
    except (OSError, nagios_config.BadConfig, NotStarted, BadFrame) as error:
        log(str(error))
        return 3


if __name__ == "__main__":
    sys.exit(main())
