"""The fork server: a process with the checks' libraries loaded and nothing open, which starts, signals and reaps every child of the engine.

Warm checks are forked from it, everything else is spawned by it. Each child leads a process group of its own; when the leader ends, what is
left of the group is killed before the leader is reaped, so that its number can't belong to another yet. When the engine is gone, so are all.
Started by checks.engine.forks, with the control socket as standard input.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
from collections import deque
from typing import NamedTuple

from checks.engine import forked, kinship
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

_DEFAULT_SIGNALS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
_LOCAL = (b"/bin/", b"/sbin/", b"/usr/", b"/lib")


class Launch(NamedTuple):
    """What is to be started, as the engine sends it."""

    name: str
    entry: str
    argv: list[bytes]
    environment: dict[bytes, bytes]
    directory: bytes
    umask: int


class ForkServer:
    """The process; `serve` is its life."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._incoming = Incoming()
        self._descriptors: deque[int] = deque()
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._retired = False
        self._engine = os.getppid()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Start children until the engine is gone, or until the last one ended after it said so."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        kinship.adopt_orphans()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not (self._retired and not self._pids):
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                    self._reap()
                elif not self._receive():
                    return
            self._reap()

    def end(self) -> None:
        """Kill every descendant and wait for it."""
        while True:
            for pid in self._numbers:
                _kill_group(pid, signal.SIGKILL)
            for pid in kinship.descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                self._ended(os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid)
            except ChildProcessError:
                return

    def _receive(self) -> bool:
        """Do what the engine says; False when it is gone."""
        try:
            size = socket.CMSG_SPACE(2 * 4 * 64)
            data, beside, _, _ = self._control.recvmsg(65536, size, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        for level, kind, bytes_ in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors.extend(memoryview(bytes_[: len(bytes_) // 4 * 4]).cast("i"))
        for message in self._incoming.feed(data):
            self._obey(message)
        return bool(data)

    def _obey(self, message: Message) -> None:
        if message.kind == LAUNCH:
            self._launch(message)
        elif message.kind == SIGNAL:
            pid = self._pids.get(message.number)
            if pid:
                _kill_group(pid, SIGNALLED.unpack(message.body)[0])
        elif message.kind == RETIRE:
            self._retired = True
        elif message.kind == HELLO:
            hello = marshal.loads(message.body)
            sys.path[:] = hello["path"]
            troubles = self._warm(hello["entries"])
            self._send(READY, 0, marshal.dumps({"troubles": troubles, "files": {}}))

    def _warm(self, entries: list[str]) -> list[str]:
        troubles = []
        for entry in entries:
            try:
                importlib.import_module(entry.partition(":")[0])
            except BaseException as error:
                troubles.append(f"{entry}: {type(error).__name__}: {error}")
        gc.collect()
        gc.freeze()
        return troubles

    def _launch(self, message: Message) -> None:
        stdout, stderr = self._descriptors.popleft(), self._descriptors.popleft()
        launch = Launch(*marshal.loads(message.body))
        try:
            if launch.entry:
                pid = self._fork(launch, stdout, stderr)
            elif launch.directory == b"/" and launch.argv[0].startswith(_LOCAL):
                pid = _spawn(launch, stdout, stderr)
            else:
                pid = self._fork(launch, stdout, stderr)
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            self._send(FAILED, message.number, reason.encode())
        else:
            self._pids[message.number] = pid
            self._numbers[pid] = message.number
            self._send(STARTED, message.number, PID.pack(pid))
        finally:
            os.close(stdout)
            os.close(stderr)

    def _fork(self, launch: Launch, stdout: int, stderr: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # it may have done so already, or be gone
                os.setpgid(pid, pid)
            return pid
        try:
            forked.become(launch.name, launch.environment, launch.umask, stdout, stderr, parent)
            if launch.entry:
                forked.run(launch.entry, launch.argv, launch.directory, lambda: None)
            os.chdir(launch.directory)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            _execute(launch)
        finally:
            os._exit(127)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if not ended:
                return
            self._ended(ended.si_pid)

    def _ended(self, pid: int) -> None:
        number = self._numbers.get(pid)
        if number is not None:
            _kill_group(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if number is not None:
            del self._numbers[pid], self._pids[number]
            self._send(EXITED, number, EXIT.pack(status, usage.ru_utime, usage.ru_stime))

    def _send(self, kind: int, number: int, body: bytes) -> None:
        with contextlib.suppress(OSError):  # the engine is gone: its end of the socket tells us
            self._control.sendall(pack(kind, number, body))


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _candidates(launch: Launch) -> list[bytes]:
    """Return the paths that argv[0] may mean, by the job's own PATH."""
    program = launch.argv[0]
    if b"/" in program:
        return [program]
    path = launch.environment.get(b"PATH", os.fsencode(os.defpath))
    return [os.path.join(part or b".", program) for part in path.split(b":")]


def _spawn(launch: Launch, stdout: int, stderr: int) -> int:
    os.umask(launch.umask)
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    said: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in _candidates(launch):
        for argv in (launch.argv, [b"/bin/sh", program, *launch.argv[1:]]):
            try:
                return os.posix_spawn(
                    argv[0] if argv is not launch.argv else program,
                    argv,
                    launch.environment,
                    file_actions=actions,
                    setpgroup=0,
                    setsigmask=[],
                    setsigdef=_DEFAULT_SIGNALS,
                )
            except OSError as error:
                said = error
                if error.errno != errno.ENOEXEC:  # a script without #! is left to the shell
                    break
    raise said


def _execute(launch: Launch) -> None:
    program = launch.argv[0]
    for program in _candidates(launch):
        try:
            os.execve(program, launch.argv, launch.environment)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"/bin/sh", program, *launch.argv[1:]], launch.environment)
            said = error
    os.write(2, b"%s: %s\n" % (launch.argv[0], os.fsencode(os.strerror(said.errno or 0))))
    os._exit(126 if said.errno == errno.EACCES else 127)


def main() -> None:
    """Serve on the socket that is standard input."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.chdir("/")
    gc.disable()
    server = ForkServer(control)
    try:
        server.serve()
    finally:
        server.end()


if __name__ == "__main__":
    main()
