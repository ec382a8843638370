"""The engine's side of the fork server: starts it, has it start jobs, is told how they ended, and starts it anew when it died."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import signal
import socket
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from checks.engine import kinship
from checks.engine.fork_wire import (
    EXIT,
    EXITED,
    FAILED,
    HELLO,
    LAUNCH,
    PID,
    READY,
    RETIRE,
    SIGNAL,
    SIGNALLED,
    STARTED,
    Incoming,
    Message,
    pack,
)
from checks.engine.jobs import Job

START_SECONDS = 60.0
"""How long a fork server may take to load what it is told to."""


class NotStarted(Exception):
    """A job could not be started; the text is for the operator."""


class Exit(NamedTuple):
    """How a child ended: status as waitpid() gives it, CPU seconds of it and of those it waited for; `lost`: the fork server died, and it with it."""

    status: int
    user: float = 0.0
    system: float = 0.0
    lost: bool = False


class Child:
    """A running job, the leader of its process group."""

    def __init__(self, process: _Process, number: int) -> None:
        self._process, self._number = process, number
        self.pid = 0
        self.started: asyncio.Future[None] = process.loop.create_future()
        self.ended: asyncio.Future[Exit] = process.loop.create_future()

    def signal_group(self, number: int) -> None:
        """Send the signal to its process group; nothing happens when it has ended, and nobody else is ever hit."""
        if not self.ended.done():
            self._process.send(SIGNAL, self._number, SIGNALLED.pack(number))


class _Process:
    """One fork server process, as seen by the engine."""

    def __init__(self, entries: list[str]) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.troubles: list[str] = []
        self._children: dict[int, Child] = {}
        self._number = 0
        self._incoming = Incoming()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._control, other = socket.socketpair()
        self._control.setblocking(False)
        path = [str(Path(part).resolve()) for part in sys.path if part]
        environment = {
            key: os.environ[key] for key in os.environ if key in ("PATH", "HOME") or key.startswith("PYTHON")
        }
        environment |= {"LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(path)}
        with other:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "checks.engine.fork_server"],
                stdin=other,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self.loop.add_reader(self._control, self._receive)
        self.loop.add_reader(self._pidfd, self._died)
        self.send(HELLO, 0, marshal.dumps({"path": path, "entries": entries}))

    async def launch(self, job: Job, stdout: int, stderr: int) -> Child:
        self._number += 1
        number = self._number
        environment = {os.fsencode(key): os.fsencode(value) for key, value in job.environment.items()}
        argv = [os.fsencode(word) for word in job.argv]
        body = marshal.dumps((job.name, job.entry, argv, environment, os.fsencode(job.directory), job.umask))
        child = self._children[number] = Child(self, number)
        self.send(LAUNCH, number, body, (os.dup(stdout), os.dup(stderr)))
        try:
            await asyncio.shield(child.started)
        except asyncio.CancelledError:
            child.started.add_done_callback(lambda started: started.cancelled() or started.exception())
            child.signal_group(signal.SIGKILL)
            raise
        return child

    def send(self, kind: int, number: int, body: bytes, descriptors: tuple[int, ...] = ()) -> None:
        self._outgoing.append((pack(kind, number, body), descriptors))
        if len(self._outgoing) == 1:
            self._write()

    def retire(self) -> None:
        self.send(RETIRE, 0, b"")

    def hang_up(self) -> None:
        """Have it kill everything and end."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        self._popen.kill()

    def _write(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
            try:
                sent = self._control.sendmsg([data], beside)
            except BlockingIOError:
                self.loop.add_writer(self._control, self._write)
                return
            except OSError:  # it died: its end is noticed elsewhere
                sent = len(data)
            for descriptor in descriptors:
                os.close(descriptor)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], ())
            else:
                self._outgoing.popleft()
        self.loop.remove_writer(self._control)

    def _receive(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for message in self._incoming.feed(data):
            self._take(message)
        if not data:
            self.loop.remove_reader(self._control)

    def _take(self, message: Message) -> None:
        if message.kind == READY:
            self.troubles = marshal.loads(message.body)["troubles"]
            if not self.ready.done():
                self.ready.set_result(None)
            return
        child = self._children[message.number]
        if message.kind == STARTED:
            (child.pid,) = PID.unpack(message.body)
            child.started.set_result(None)
        elif message.kind == FAILED:
            del self._children[message.number]
            child.started.set_exception(NotStarted(message.body.decode("utf-8", "replace")))
        elif message.kind == EXITED:
            del self._children[message.number]
            child.ended.set_result(Exit(*EXIT.unpack(message.body)))

    def _died(self) -> None:
        """It ended: take what it still said, then its children are lost."""
        self.loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._control.setblocking(False)
        with contextlib.suppress(OSError):
            while data := self._control.recv(65536):
                for message in self._incoming.feed(data):
                    self._take(message)
        self.loop.remove_reader(self._control)
        self.loop.remove_writer(self._control)
        self._control.close()
        while self._outgoing:
            for descriptor in self._outgoing.popleft()[1]:
                os.close(descriptor)
        for child in self._children.values():
            self._lose(child)
        self._children.clear()
        if not self.ready.done():
            self.ready.set_exception(NotStarted("the fork server ended while it loaded the checks"))
            self.ready.exception()
        self.ended.set_result(None)

    def _lose(self, child: Child) -> None:
        if not child.started.done():
            child.started.set_exception(NotStarted("the fork server died"))
            child.started.exception()
            return
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            # Ours since the fork server died, so that the number can't be another's.
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.killpg(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        child.ended.set_result(Exit(signal.SIGKILL, lost=True))


class ForkServer:
    """Starts jobs in children of a process that has the checks' libraries loaded."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """`entries` ("module:attribute") are what it loads."""
        self._entries = list(dict.fromkeys(entries))
        self._process: _Process | None = None
        self._closed = False
        self.forks = 0
        """Jobs started since the beginning."""
        self.restarts = 0
        """How often the fork server died and was started anew."""

    @property
    def pid(self) -> int:
        """Process id of the fork server; 0 where none runs."""
        return self._process.pid if self._process and not self._process.ended.done() else 0

    @property
    def troubles(self) -> list[str]:
        """Entries that can't be loaded ahead, and why, for the operator."""
        return self._process.troubles if self._process else []

    async def start(self) -> None:
        """Start it and wait until everything is loaded. Raises NotStarted."""
        kinship.adopt_orphans()
        await self._running()

    async def launch(self, job: Job, stdout: int, stderr: int) -> Child:
        """Start a job with these descriptors as standard output and error; they stay the caller's. Raises NotStarted."""
        process = await self._running()
        child = await process.launch(job, stdout, stderr)
        self.forks += 1
        return child

    async def close(self) -> None:
        """Kill all children and end it; waits for that."""
        self._closed = True
        process = self._process
        if process and not process.ended.done():
            process.hang_up()
            await asyncio.wait([process.ended], timeout=5)
            if not process.ended.done():
                process.kill()
                await process.ended

    async def renew(self) -> None:
        """Have a new one take over; the old one ends with its last child. Raises NotStarted, and keeps the old one then."""
        new = await self._begin()
        old, self._process = self._process, new
        if old and not old.ended.done():
            old.retire()

    async def renew_if_stale(self) -> bool:
        """Renew it when a file that it loaded has changed; return whether it did."""
        return False

    async def _running(self) -> _Process:
        if self._closed:
            raise NotStarted("the engine is ending")
        if not self._process:
            self._process = await self._begin()
        elif self._process.ended.done():
            self.restarts += 1
            self._process = await self._begin()
        return self._process

    async def _begin(self) -> _Process:
        try:
            process = _Process(self._entries)
        except OSError as error:
            raise NotStarted(f"can't start the fork server: {error.strerror}") from None
        try:
            await asyncio.wait_for(asyncio.shield(process.ready), START_SECONDS)
        except TimeoutError:
            process.kill()
            raise NotStarted(f"the fork server was not ready within {START_SECONDS:.0f} s") from None
        return process
