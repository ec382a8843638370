"""The local socket at which the installed commands check_* ask for a warm run (checks/launchers/launcher has the client).

The protocol, numbers in network byte order. The client sends "TBC1", the length of what follows (4 bytes), and strings with a NUL between
them: umask (decimal), directory, path of the launcher, number of words, the words (sys.argv), the environment (NAME=VALUE). Then it sends
nothing more. The engine answers "S" when the check has been started, "A" for each second that it runs, and at its end "E", exit code (1
byte), signal that ended it (1 byte), lengths of standard output and standard error (4 bytes each), and both. Where it will not or can not
run it, it closes the connection, and so it does where anything but the check itself ended the run. Without a complete answer the client
runs the check itself. When the client hangs up, the check is ended at once: NRPE's command_timeout ends the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Protocol

from checks.engine.commands import catalog
from checks.engine.jobs import Ended, Job
from checks.engine.log import internal
from checks.engine.serve.peer import Elsewhere, compare, peer_of

REQUEST_LIMIT = 1024 * 1024
"""Bytes of a request."""
CLIENTS = 512
"""Connections at once."""
_REQUEST_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
# The client waits half a second.
_START_SECONDS = 0.3
_ALIVE_SECONDS = 1.0
# Different ones that are counted apart: some hold what a client said.
_REASONS = 64
_BACKLOG = 128
# A check has its own deadline, at most a day, and its client has one.
_JOB_SECONDS = 90000.0
_OUTPUT_LIMIT = 32 * 1024 * 1024
_HEAD = struct.Struct("!4sI")
_END = struct.Struct("!sBBII")


class Runner(Protocol):
    """What runs the jobs: pool.Pool."""

    async def run(self, job: Job, started: Callable[[], None] | None = None) -> Ended:
        """Run a job."""


class Refused(Exception):
    """The client is to run the check itself; the message says why, for the operator."""


class WarmServer:
    """Serves the socket."""

    def __init__(
        self,
        pool: Runner,
        *,
        log: Callable[[str], None] = lambda _: None,
        renew: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`log` is told each kind of refusal once; `renew` (ForkServer.renew_if_stale) is called before each run; it looks once a second at most."""
        self.served = 0
        """Checks that ran here and whose result was handed over."""
        self.refused: Counter[str] = Counter()
        """Why others did not, and how often."""
        self._pool, self._log, self._renew = pool, log, renew
        self._listening: socket.socket | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._runs: set[asyncio.Task[Ended]] = set()
        self._pause: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve this Unix stream socket, which becomes ours. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        listening.setblocking(False)
        # A client looks who listens (SO_PEERCRED): that is who called listen() last, and systemd did before us.
        listening.listen(_BACKLOG)
        self._listening = listening
        self._loop.add_reader(listening, self._accept)

    async def close(self) -> None:
        """Hang up on everybody, which ends their checks, and close the socket."""
        if self._pause:
            self._pause.cancel()
        if self._listening:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        tasks = [*self._clients, *self._runs]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ANSWER_SECONDS)

    def _accept(self) -> None:
        assert self._listening
        for _ in range(_BACKLOG):
            try:
                connection, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of descriptors: those who wait run their checks themselves
                self._count(f"can't be taken: {error.strerror}")
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(0.2, self._loop.add_reader, self._listening, self._accept)
                return
            connection.setblocking(False)
            if len(self._clients) >= CLIENTS:
                self._count("too many at once")
                connection.close()
                continue
            task = self._loop.create_task(self._client(connection))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

    async def _client(self, connection: socket.socket) -> None:
        with connection:
            try:
                compare(peer_of(connection))
                async with asyncio.timeout(_REQUEST_SECONDS):
                    request = await self._request(connection)
                job = _job(request)
                if self._renew:
                    await self._renew()
                ended = await self._run(connection, job)
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._loop.sock_sendall(connection, _answer(ended))
                self.served += 1
            except Refused as refused:
                self._count(str(refused))
            except Elsewhere as difference:
                self._count(f"from a process {difference}")
            except TimeoutError:
                self._count("incomplete request, or an answer that nobody took")
            except OSError:
                self._count("hung up")
            except Exception as error:
                self._count(internal(error))

    def _count(self, why: str) -> None:
        if why not in self.refused and len(self.refused) >= _REASONS:
            why = "for many other reasons"
        self.refused[why] += 1
        if self.refused[why] == 1:
            self._log(f"a check of NRPE: {why}")

    async def _request(self, connection: socket.socket) -> bytes:
        """Return what stands after the head. Raises Refused, OSError."""
        mark, length = _HEAD.unpack(await self._receive(connection, _HEAD.size))
        if mark != b"TBC1" or length > REQUEST_LIMIT:
            raise Refused("no request, or one that is too long")
        return await self._receive(connection, length)

    async def _receive(self, connection: socket.socket, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = await self._loop.sock_recv(connection, size - len(data))
            if not part:
                raise Refused("hung up")
            data += part
        return bytes(data)

    async def _run(self, connection: socket.socket, job: Job) -> Ended:
        """Run it and return its end. Raises Refused; then it is being ended, if it was started."""
        over: asyncio.Future[str] = self._loop.create_future()
        timer = self._loop.call_later(_START_SECONDS, lambda: stop("no place free, or the fork server does not answer"))

        def stop(why: str) -> None:
            if not over.done():
                over.set_result(why)

        def say(what: bytes) -> None:
            nonlocal timer
            timer.cancel()
            with contextlib.suppress(OSError):  # who hung up is noticed by the reader
                connection.send(what)
            timer = self._loop.call_later(_ALIVE_SECONDS, say, b"A")

        run = self._loop.create_task(self._pool.run(job, lambda: say(b"S")))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        run.add_done_callback(lambda _: stop(""))
        self._loop.add_reader(connection, stop, "hung up")
        try:
            # Not the run itself: what can't be ended quickly holds no client up.
            why = await over
        finally:
            self._loop.remove_reader(connection)
            timer.cancel()
            run.cancel()
        if why or run.cancelled():
            raise Refused(why or "the engine is ending")
        ended = run.result()
        if ended.trouble:
            raise Refused(f"{ended.trouble}: {ended.reason}" if ended.reason else ended.trouble)
        return ended


def _job(request: bytes) -> Job:
    """Return the job that is asked for. Raises Refused."""
    strings = request.decode("utf-8", "surrogateescape").split("\0")
    try:
        umask, count = int(strings[0]), int(strings[3])
        directory, launcher = strings[1:3]
        words, variables = tuple(strings[4 : 4 + count]), strings[4 + count :]
        environment = dict(variable.split("=", 1) for variable in variables)
    except (ValueError, IndexError):
        raise Refused("a request that can't be read") from None
    if not (0 <= umask <= 0o777 and len(words) == count > 0 and directory.startswith("/")):
        raise Refused("a request that can't be read")
    # Who is in a directory may stay there without the right to enter it again; a cold check does.
    if directory != "/" and not os.access(directory, os.X_OK):
        raise Refused("in a directory that can't be entered")
    path = PurePosixPath(directory, launcher)
    entry = catalog.entry_for(str(path))
    if not entry:
        raise Refused(f"{path.name[:64]!r} is no check of this installation")
    if not catalog.can_be_warm(environment):
        raise Refused("an environment or a locale that Python needs to start in")
    return Job(path.name, words, entry, environment, directory, umask, _JOB_SECONDS, _OUTPUT_LIMIT)


def _answer(ended: Ended) -> bytes:
    head = _END.pack(b"E", ended.code or 0, ended.signal, len(ended.output), len(ended.errors))
    return head + ended.output + ended.errors
