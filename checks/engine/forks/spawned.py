"""How the fork server starts what is no warm check: a program of its own, by posix_spawn(3) or, where that could keep it waiting, by a fork."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from checks.engine.forks.wire import Launch

_DEFAULTS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
_QUICK = ("/bin/", "/sbin/", "/usr/")
_PYTHON = sys.executable
_COLD = (
    "import importlib, sys; sys.path[:] = {path!r}; sys.argv = sys.argv[1:]; found = importlib.import_module({module!r})\n"
    "for name in {attribute!r}.split('.'): found = getattr(found, name)\n"
    "sys.exit(found())"
)


def is_quick(launch: Launch) -> bool:
    """Return whether posix_spawn will do: it can't change the directory, and it returns only when the kernel has found the program.

    A directory on a dead mount would keep us, and so everybody, waiting.
    """
    program = launch.argv[0]
    return launch.directory == "/" and ("/" not in program or program.startswith(_QUICK) or program == _PYTHON)


def cold(launch: Launch, path: Sequence[str]) -> Launch:
    """Return how an entry is run in a Python of its own."""
    module, _, attribute = launch.entry.partition(":")
    code = _COLD.format(path=list(path), module=module, attribute=attribute)
    argv = [_PYTHON, "-P", "-c", code, *launch.argv]
    return launch._replace(entry="", argv=argv)


def spawn(launch: Launch, stdout: int, stderr: int) -> int:
    """Start the program in a group of its own and return its process id. Raises OSError and ValueError."""
    os.umask(launch.umask)
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]

    def start(program: str, argv: list[str]) -> int:
        return os.posix_spawn(
            program, argv, launch.environment, file_actions=actions, setpgroup=0, setsigmask=[], setsigdef=_DEFAULTS
        )

    said: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in _programs(launch):
        try:
            return start(program, launch.argv)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                return start("/bin/sh", _by_shell(program, launch))
            said = _worse(said, error)
    raise said


def execute(launch: Launch, trouble: int) -> NoReturn:
    """Become the program, in a fork; where that fails, say why on the descriptor `trouble`, and end."""
    said: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    what = launch.directory
    try:
        os.chdir(launch.directory)
        what = launch.argv[0]
        for program in _programs(launch):
            try:
                os.execve(program, launch.argv, launch.environment)
            except OSError as error:
                if error.errno == errno.ENOEXEC:
                    os.execve("/bin/sh", _by_shell(program, launch), launch.environment)
                said = _worse(said, error)
    except OSError as error:
        said = error
    except ValueError as error:
        said = OSError(0, str(error))
    os.write(trouble, f"{what}: {said.strerror}".encode("utf-8", "replace"))
    os._exit(127)


def _programs(launch: Launch) -> list[str]:
    """Return the paths that argv[0] may mean, by the job's own PATH."""
    program = launch.argv[0]
    if "/" in program:
        return [program]
    path = launch.environment.get("PATH", os.defpath)
    return [os.path.join(part or ".", program) for part in path.split(":")]  # noqa: PTH118


def _by_shell(program: str, launch: Launch) -> list[str]:
    """Return what runs a script without #! line."""
    return ["/bin/sh", program, *launch.argv[1:]]


def _worse(said: OSError, error: OSError) -> OSError:
    """Of the errors along PATH, a program that was found is told."""
    return said if error.errno in (errno.ENOENT, errno.ENOTDIR) else error
