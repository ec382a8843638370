"""The fork server: a process with the checks' libraries loaded and nothing open, which starts, signals and reaps every child of the engine.

Warm checks are forked from it, everything else is spawned by it. Each child leads a process group of its own; when the leader ends, what is
left of the group is killed before the leader is reaped, so that its number can't belong to another yet. When the engine is gone, so are all.
Started by checks.engine.forks.client, with the control socket as standard input.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import select
import signal
import socket
import sys
import time
from array import array
from collections import deque
from typing import NamedTuple

from checks.engine.forks import forked, kinship, spawned
from checks.engine.forks.learner import Learner
from checks.engine.forks.wire import (
    EXIT,
    EXITED,
    FAILED,
    LAUNCH,
    PID,
    PROTOCOL,
    RETIRE,
    SIGNAL,
    SIGNALLED,
    STARTED,
    Incoming,
    Launch,
    Message,
    pack,
)

PROGRAM_SECONDS = 2.0
"""How long the kernel may look for a program before it counts as started."""
MOST_PENDING = 200
"""How many programs are waited for; each holds a descriptor."""
_LAST_SECONDS = 0.7
"""How long killed children get to be gone when all ends."""


class _Running(NamedTuple):
    number: int
    slot: int | None


class _Pending(NamedTuple):
    """A child on its way to its program: the pipe that says how that went, closed by the kernel when it succeeded."""

    pid: int
    pipe: int
    by: float


class ForkServer:
    """The process; `serve` is its life."""

    def __init__(self, control: socket.socket, hello: bytes) -> None:
        """`hello`: the engine's first message, which says what to load."""
        self._control = control
        path, entries, avoid, import_seconds = marshal.loads(hello)
        self._learner = Learner(path, entries, avoid, import_seconds, self._send)
        self._incoming = Incoming()
        self._descriptors: deque[int] = deque()
        self._pids: dict[int, int] = {}
        self._running: dict[int, _Running] = {}
        self._pending: dict[int, _Pending] = {}
        self._poll = select.poll()
        self._retired = False
        self._engine = os.getppid()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Start children until the engine is gone, or until none is left after it said that no more will come."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides what is to end, whoever else is told to
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        kinship.die_with_parent(self._engine, signal.SIGTERM)
        kinship.adopt_orphans()
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self._learner.act()
        while os.getppid() == self._engine and not (self._retired and not kinship.children(os.getpid())):
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                    self._reap()
                elif descriptor == self._control.fileno():
                    if not self._receive():
                        return
                elif descriptor in self._pending:
                    self._settle(descriptor)
            self._settle_overdue()
            if not self._retired:
                self._learner.act()

    def end(self) -> None:
        """Kill every descendant, and wait until they are gone; not for one that the kernel does not let go."""
        by = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < by:
            for pid in self._running:
                kinship.kill_group(pid, signal.SIGKILL)
            kinship.kill_below(os.getpid())
            if not self._reap():
                return
            time.sleep(0.005)

    def _receive(self) -> bool:
        """Do what the engine says; False when it is gone."""
        try:
            data, beside, flags, _ = self._control.recvmsg(65536, socket.CMSG_SPACE(2 * 4), socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if flags & socket.MSG_CTRUNC:  # descriptors were lost: nobody knows any more which are whose
            return False
        for level, kind, packed in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors.extend(array("i", packed))
        for message in self._incoming.feed(data):
            self._obey(message)
        return bool(data)

    def _obey(self, message: Message) -> None:
        if message.kind == LAUNCH:
            self._launch(message)
        elif message.kind == SIGNAL:
            self._signal(message)
        elif message.kind == RETIRE:
            self._retired = True

    def _launch(self, message: Message) -> None:
        stdout, stderr = self._descriptors.popleft(), self._descriptors.popleft()
        launch = Launch(*marshal.loads(message.body))
        slot = None
        try:
            if launch.entry in self._learner.warmth.cold:
                launch = spawned.cold(launch, self._learner.path)
            if launch.entry:
                slot = self._learner.memory.take()
                pid = self._fork(launch, stdout, stderr, slot)
            elif spawned.is_quick(launch):
                pid = spawned.spawn(launch, stdout, stderr)
            else:
                self._fork_program(message.number, launch, stdout, stderr)
                return
        except (OSError, ValueError) as error:
            self._learner.take_back(slot, unused=True)
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            self._send(FAILED, message.number, f"{launch.argv[0]}: {reason}".encode("utf-8", "replace"))
        else:
            self._runs(message.number, pid, slot)
            self._send(STARTED, message.number, PID.pack(pid))
        finally:
            os.close(stdout)
            os.close(stderr)

    def _runs(self, number: int, pid: int, slot: int | None = None) -> None:
        self._pids[number] = pid
        self._running[pid] = _Running(number, slot)

    def _fork(self, launch: Launch, stdout: int, stderr: int, slot: int | None) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # it may have done so already, or be gone
                os.setpgid(pid, pid)
            return pid
        try:
            forked.become(launch, stdout, stderr, parent)
            forked.run(launch, lambda: self._learner.leave(slot))
        finally:
            os._exit(127)

    def _fork_program(self, number: int, launch: Launch, stdout: int, stderr: int) -> None:
        """Fork what becomes a program; the engine is told that it started when that has happened, or takes long. Raises OSError."""
        parent = os.getpid()
        if len(self._pending) >= MOST_PENDING:
            self._settle(next(iter(self._pending)), overdue=True)
        pipe, other = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pid = os.fork()
            if not pid:
                try:
                    spawned.execute(launch, forked.become(launch, stdout, stderr, parent, other))
                finally:
                    os._exit(127)
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(other)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._runs(number, pid)
        self._pending[pipe] = _Pending(pid, pipe, time.monotonic() + PROGRAM_SECONDS)
        self._poll.register(pipe, select.POLLIN)

    def _settle(self, pipe: int, *, overdue: bool = False) -> None:
        """Tell the engine whether a program was started."""
        try:
            trouble = b"" if overdue else os.read(pipe, 4096)
        except BlockingIOError:
            return
        pending = self._pending.pop(pipe)
        self._poll.unregister(pipe)
        os.close(pipe)
        number = self._running[pending.pid].number
        if trouble:
            del self._running[pending.pid], self._pids[number]
            self._send(FAILED, number, trouble)
        else:
            self._send(STARTED, number, PID.pack(pending.pid))

    def _settle_overdue(self) -> None:
        now = time.monotonic() if self._pending else 0.0
        for pending in list(self._pending.values()):
            if now > pending.by:
                self._settle(pending.pipe, overdue=True)

    def _signal(self, message: Message) -> None:
        pid = self._pids.get(message.number)
        if pid:
            (number,) = SIGNALLED.unpack(message.body)
            if number == signal.SIGKILL:
                kinship.kill_below(pid)  # those as well that made a group of their own
            kinship.kill_group(pid, number)

    def _reap(self) -> bool:
        """Reap what has ended; False where no child is left."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            if not ended:
                return True
            self._ended(ended.si_pid)

    def _ended(self, pid: int) -> None:
        for pending in list(self._pending.values()):
            if pending.pid == pid:
                self._settle(pending.pipe)  # its end of the pipe is closed: this does not wait
        running = self._running.get(pid)
        trial = self._learner.is_trial(pid)
        if running or trial:
            kinship.kill_group(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if running:
            del self._running[pid], self._pids[running.number]
            self._learner.take_back(running.slot)
            self._send(EXITED, running.number, EXIT.pack(status, usage.ru_utime, usage.ru_stime))
        elif trial:
            self._learner.ended()

    def _patience(self) -> float | None:
        """Return how long nothing has to be done, in milliseconds."""
        waits = [self._learner.patience, *(pending.by - time.monotonic() for pending in self._pending.values())]
        seconds = min((wait for wait in waits if wait is not None), default=None)
        return None if seconds is None else max(0.0, seconds) * 1000 + 1

    def _send(self, kind: int, number: int, body: bytes) -> None:
        with contextlib.suppress(OSError):  # the engine is gone: its end of the socket tells us
            self._control.sendall(pack(kind, number, body))


def _default_signals() -> None:
    """What whoever started the engine ignores (SIGINT and SIGQUIT in the background, SIGHUP under nohup) is ignored by no child."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # these Python itself ignores
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Serve on the socket that is standard input."""
    if sys.argv[1:] != [PROTOCOL]:
        sys.exit("another version was installed: the engine has to be started anew")
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.chdir("/")
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _default_signals()
    gc.disable()
    incoming = Incoming()
    while not (said := incoming.feed(data := control.recv(65536))):
        if not data:
            return
    server = ForkServer(control, said[0].body)
    try:
        server.serve()
    finally:
        server.end()


if __name__ == "__main__":
    main()
