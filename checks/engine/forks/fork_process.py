"""One process of the fork server, as the engine sees it: the wire to it, its children, its end."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import resource
import signal
import socket
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from checks.engine.forks import kinship
from checks.engine.forks.warmth import Signature
from checks.engine.forks.wire import (
    EXIT,
    EXITED,
    FAILED,
    HELLO,
    LAUNCH,
    LEARNED,
    LOADING,
    PID,
    PROTOCOL,
    READY,
    RETIRE,
    SIGNAL,
    SIGNALLED,
    STARTED,
    TRYING,
    Incoming,
    Launch,
    Message,
    pack,
)
from checks.engine.jobs import Job

LAUNCH_SECONDS = 60.0
"""A fork server that has not started a job by then hangs, and is ended."""
_KEPT = ("PATH", "HOME", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
DIED = "the fork server died"
_SWEEP_EACH = 0.02
_SWEEPS = 500


class NotStarted(Exception):
    """A job could not be started; the text is for the operator."""


class Died(NotStarted):
    """The fork server died before it said that it had started the job; what it may have started is killed."""


class Exit(NamedTuple):
    """How a child ended: status as waitpid() gives it, CPU seconds of it and of those it waited for; `lost`: the fork server died, and it with it."""

    status: int
    user: float = 0.0
    system: float = 0.0
    lost: bool = False


class Child:
    """A running job, the leader of its process group. `ended` is how it ended; nothing of its group is left then."""

    def __init__(self, process: ForkProcess, number: int) -> None:
        self._process, self._number = process, number
        self.pid = 0
        self.started: asyncio.Future[None] = process.loop.create_future()
        self.ended: asyncio.Future[Exit] = process.loop.create_future()

    def signal_group(self, number: int) -> None:
        """Send the signal to its process group; SIGKILL to all its descendants. Nothing happens when it has ended: nobody else is ever hit."""
        if not self.ended.done():
            self._process.send(SIGNAL, self._number, SIGNALLED.pack(number))


class ForkProcess:
    """A fork server process. `ready`: it has loaded what is ours; `ended`: it is gone, and so are its children."""

    def __init__(
        self, entries: Sequence[str], avoid: Mapping[str, str], import_seconds: float, limits: tuple[int, int]
    ) -> None:
        """Start it; `limits`: how many descriptors it and its children may have open. Raises OSError."""
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.cold: dict[str, str] = {}
        """Entries that are started cold, and why."""
        self.files: dict[str, Signature] = {}
        """What it has loaded, as it was then."""
        self.loading = ""
        """The module that it is importing though it is not ours."""
        self.trying: list[str] = []
        """The modules that its trial process is importing."""
        self.blamed = False
        """Whether its death was put down to one of these."""
        self._children: dict[int, Child] = {}
        self._number = 0
        self._incoming = Incoming()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        path = _path()
        self._errors = os.memfd_create("fork server")
        self._control, other = socket.socketpair()
        try:
            with other:
                self._popen = subprocess.Popen(
                    [sys.executable, "-P", "-m", "checks.engine.forks.fork_server", PROTOCOL],
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=_environment(path),
                    start_new_session=True,
                )
            self._handle = os.pidfd_open(self._popen.pid)
            resource.prlimit(self._popen.pid, resource.RLIMIT_NOFILE, limits)
        except BaseException:
            self._control.close()
            os.close(self._errors)
            raise
        self.pid = self._popen.pid
        self._control.setblocking(False)
        self.loop.add_reader(self._control, self._receive)
        self.loop.add_reader(self._handle, self._died)
        self.send(HELLO, 0, marshal.dumps((path, list(entries), dict(avoid), import_seconds)))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.ended.done()

    async def launch(self, job: Job, stdout: int, stderr: int) -> Child:
        """Have it start a job. Raises NotStarted."""
        self._number += 1
        launch = Launch(job.name, job.entry, list(job.argv), dict(job.environment), job.directory, job.umask)
        if sys.getfilesystemencoding() != "utf-8":
            launch = _in_utf_8(launch)
        child = self._children[self._number] = Child(self, self._number)
        try:
            beside = _duplicates(stdout, stderr)
        except OSError as error:
            del self._children[self._number]
            raise NotStarted(f"{job.argv[0]}: {error.strerror}") from None
        patience = self.loop.call_later(LAUNCH_SECONDS, self.kill)
        self.send(LAUNCH, self._number, marshal.dumps(tuple(launch)), beside)
        try:
            await child.started
        except asyncio.CancelledError:
            child.signal_group(signal.SIGKILL)
            raise
        finally:
            patience.cancel()
        return child

    def send(self, kind: int, number: int, body: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send a message, now or as soon as there is room; the descriptors are closed then."""
        self._outgoing.append((pack(kind, number, body), descriptors))
        if not self.alive:
            self._drop_outgoing()
        elif len(self._outgoing) == 1:
            self._write()

    def retire(self) -> None:
        """Have it end with its last child."""
        self.send(RETIRE, 0, b"")

    def hang_up(self) -> None:
        """Have it kill everything and end."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill it; its children are lost."""
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
            except OSError:  # it died, which is noticed elsewhere
                sent = len(data)
            for descriptor in descriptors:
                os.close(descriptor)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], ())
            else:
                self._outgoing.popleft()
        self.loop.remove_writer(self._control)

    def _drop_outgoing(self) -> None:
        while self._outgoing:
            for descriptor in self._outgoing.popleft()[1]:
                os.close(descriptor)

    def _receive(self) -> None:
        try:
            while data := self._control.recv(65536):
                for message in self._incoming.feed(data):
                    self._take(message)
                if len(data) < 65536:
                    return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.loop.remove_reader(self._control)

    def _take(self, message: Message) -> None:
        if message.number:
            self._take_of_child(message)
        elif message.kind == LOADING:
            self.loading = message.body.decode()
        elif message.kind == TRYING:
            self.trying = message.body.decode().split()
        elif message.kind in (READY, LEARNED):
            told = marshal.loads(message.body)
            self.cold, self.files, self.loading = told["cold"], told["files"], ""
            if not self.ready.done():
                self.ready.set_result(None)

    def _take_of_child(self, message: Message) -> None:
        child = self._children[message.number]
        if message.kind == STARTED:
            (child.pid,) = PID.unpack(message.body)
            if not child.started.done():
                child.started.set_result(None)
        elif message.kind == FAILED:
            del self._children[message.number]
            if not child.started.done():
                child.started.set_exception(NotStarted(message.body.decode("utf-8", "replace")))
        elif message.kind == EXITED:
            del self._children[message.number]
            _settle(child, Exit(*EXIT.unpack(message.body)))

    def _died(self) -> None:
        """It ended: take what it still said, and end what it left."""
        self._popen.wait()
        self._receive()
        for number in (self._control, self._handle):
            self.loop.remove_reader(number)
        self.loop.remove_writer(self._control)
        self._control.close()
        os.close(self._handle)
        self._drop_outgoing()
        self._sweep(_SWEEPS)
        children, self._children = list(self._children.values()), {}
        for child in children:
            if not child.started.done():
                child.started.set_exception(Died(DIED))
            _settle(child, Exit(signal.SIGKILL, lost=True))
        if not self.ready.done():
            self.ready.set_exception(NotStarted(f"the fork server ended at its start{self._last_words()}"))
            self.ready.exception()
        os.close(self._errors)
        self.ended.set_result(None)

    def _sweep(self, times: int) -> None:
        """Kill and reap what it left, which is ours now: all that is in its session."""
        found = False
        for pid in kinship.children(os.getpid()):
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.pid:
                    # What it had itself becomes ours only when it is gone: so look again.
                    found = True
                    kinship.kill_below(pid)
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
        if found and times:
            self.loop.call_later(_SWEEP_EACH, self._sweep, times - 1)

    def _last_words(self) -> str:
        text = os.pread(self._errors, 65536, 0).decode("utf-8", "replace").strip()
        return f": {text.splitlines()[-1][:200]}" if text else ""


def _settle(child: Child, exit_: Exit) -> None:
    if not child.ended.done():
        child.ended.set_result(exit_)


def _in_utf_8(launch: Launch) -> Launch:
    def same(text: str) -> str:
        return os.fsencode(text).decode("utf-8", "surrogateescape")

    environment = {same(key): same(value) for key, value in launch.environment.items()}
    return launch._replace(
        argv=[same(word) for word in launch.argv], environment=environment, directory=same(launch.directory)
    )


def _duplicates(*descriptors: int) -> tuple[int, ...]:
    made: list[int] = []
    try:
        for descriptor in descriptors:
            made.append(os.dup(descriptor))
    except OSError:
        for descriptor in made:
            os.close(descriptor)
        raise
    return tuple(made)


def _path() -> list[str]:
    """Return where the engine finds modules, without the folder of its own script."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    own = str(Path(script).resolve().parent) if script and not sys.flags.safe_path else None
    rest = sys.path[1:] if sys.path and str(Path(sys.path[0]).resolve()) == own else sys.path
    return [str(Path(part).absolute()) for part in rest if part]


def _environment(path: Sequence[str]) -> dict[str, str]:
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    # C.UTF-8: words and names are the bytes they are, whatever the engine's own locale.
    return kept | {"LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(path)}
