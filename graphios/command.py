"""Runs the tap's command: its standard output is collected, everything else stays as it would be without the tap.

The command stays in our process group, because Nagios kills the group of a check that takes too long. A signal that ends us alone ends it
as well. `posix` and `_signal` are built into Python: `subprocess` would cost more time than the rest of the tap.
"""

import _signal  # type: ignore[import-not-found]
import posix
import time

_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)
_ENOEXEC = 8
_PATIENCE = 1.0
"""Seconds the command gets to end after a signal was passed on."""


class Result:
    """`output`: what it printed, up to the limit. `printed`: bytes it printed in all. `code`: exit code, or None when `signal` ended it."""

    __slots__ = ("code", "output", "printed", "signal")

    def __init__(self, output: bytes, printed: int, status: int) -> None:
        self.output = output
        self.printed = printed
        self.signal = posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else 0
        self.code = None if self.signal else posix.WEXITSTATUS(status)


def run(argv: list[bytes], environment: dict[bytes, bytes], limit: int) -> Result:
    """Runs argv[0], looked up in PATH, to its end.

    Output over `limit` bytes is read and dropped. Raises OSError when it can't be started.
    """
    reader, writer = posix.pipe()
    ended = False

    def on_child(*_: object) -> None:
        # A command may leave a child behind that holds its output open: do not wait for that one.
        nonlocal ended
        ended = True
        posix.set_blocking(reader, False)

    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    # A signal that came between the command's start and our handlers would end us and leave the command running.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ENDING)
    try:
        pid = _spawn(argv, environment, writer, mask)
        _signal.signal(_signal.SIGCHLD, on_child)
        if posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT):
            on_child()  # it was faster than we
        for number in _ENDING:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, lambda number, _: _end_with(pid, number))
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    posix.close(writer)
    chunks, kept, printed = [], 0, 0
    while True:
        try:
            chunk = posix.read(reader, 65536)
        except BlockingIOError:
            if ended:
                break
            continue
        if not chunk:
            break
        printed += len(chunk)
        if kept <= limit:
            chunks.append(chunk)
            kept += len(chunk)
    status = posix.waitpid(pid, 0)[1]
    return Result(b"".join(chunks), printed, status)


def _spawn(argv: list[bytes], environment: dict[bytes, bytes], writer: int, mask: set[int]) -> int:
    """The process id of the command, which prints into `writer` and blocks the signals in `mask`. Raises OSError."""
    actions = [(posix.POSIX_SPAWN_DUP2, writer, 1)]
    # Python ignores these two, the command shall not.
    defaults = [_signal.SIGPIPE, _signal.SIGXFSZ]
    try:
        return posix.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsigdef=defaults, setsigmask=mask)
    except OSError as error:
        if error.errno != _ENOEXEC or b"/" not in argv[0]:
            raise
        # A script without #! line: Nagios, too, leaves it to the shell.
        shell = [b"sh", *argv]
        return posix.posix_spawn(
            b"/bin/sh", shell, environment, file_actions=actions, setsigdef=defaults, setsigmask=mask
        )


def _end_with(pid: int, number: int) -> None:
    """Passes the signal on, sees to it that the command ends, and ends this process by the same signal."""
    for ending in _ENDING:
        _signal.signal(ending, _signal.SIG_IGN)
    leader = posix.getpgrp() == posix.getpid()
    posix.kill(0 if leader else pid, number)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if posix.waitpid(pid, posix.WNOHANG)[0]:
            break
        time.sleep(0.01)
    else:
        posix.kill(pid, _signal.SIGKILL)
    die_by(number)


def die_by(number: int) -> None:
    """Ends this process by this signal, as the command was, without a core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (_signal.SIGKILL, _signal.SIGSTOP):
        _signal.signal(number, _signal.SIG_DFL)
    posix.kill(posix.getpid(), number)
    _signal.pause()
