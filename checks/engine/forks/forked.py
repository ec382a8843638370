"""What a warm child does: become the process that the job asks for, call the check's function, end as Python would.

It is forked from the fork server, whose libraries are loaded, and never returns into it.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import atexit
import contextlib
import gc
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping
from typing import NoReturn

from checks.engine.forks import kinship
from checks.engine.forks.warmth import function
from checks.engine.forks.wire import Launch
from checks.plugin import raised_at

EVERY = 2**31 - 1
"""The end of all descriptor numbers."""
# As numbers, without the enumerations of `signal`: what is touched in a fork is copied.
_CHANGED = (int(_signal.SIGTERM), int(_signal.SIGCHLD), int(_signal.SIGHUP))
_NO_CODING = {"", "C", "POSIX"}
# With these, Python hands bytes on that are no UTF-8 (PEP 538, PEP 540).
_LENIENT = _NO_CODING | {"C.UTF-8", "C.utf8", "UTF-8"}


def leave(parent: int) -> None:
    """Leave the fork server behind: its signal handlers, its process group, and this process itself when it ends."""
    _signal.set_wakeup_fd(-1)
    for number in _CHANGED:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    os.setpgid(0, 0)
    kinship.die_with_parent(parent)


def become(launch: Launch, stdout: int, stderr: int, parent: int, keep: int = -1) -> int:
    """Be what the job asks for: name, descriptors, environment, umask. Its directory is not touched yet: that may take for ever.

    Everything else is closed, but for the descriptor `keep`, whose new number is returned.
    """
    leave(parent)
    kinship.call_it(launch.name)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    if keep >= 0:
        os.dup2(keep, 3, inheritable=False)
    os.closerange(3 if keep < 0 else 4, EVERY)
    os.umask(launch.umask)
    if launch.entry:
        _set_environment(launch.environment)
    return 3


def run(launch: Launch, at_end: Callable[[], None]) -> NoReturn:
    """Call the function of the entry as the console script would: `sys.exit(function())`. `at_end` is called before the process ends."""
    me, leave_now = os.getpid(), os._exit

    def end(code: int) -> NoReturn:
        if os.getpid() == me:  # and not what the check forked
            at_end()
        leave_now(code)

    os._exit = end  # type: ignore[assignment]
    gc.enable()
    sys.argv = launch.argv
    kept = sys.modules["__main__"]  # noqa: F841 - what it holds is still in use
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        os.chdir(launch.directory)
    except OSError as error:
        _end_unknown(f"can't change to {launch.directory}: {error.strerror}")
    try:
        code = _code(function(launch.entry)())
    except SystemExit as error:
        code = _code(error.code)
    except BaseException as error:
        _end_unknown(f"crashed: {_crash(error)}")
    end(_finish(code))


def _set_environment(environment: Mapping[str, str]) -> None:
    # As os.environb.clear() and update() would, which touch more memory; and what is touched in a fork is copied.
    known = os.environ._data  # type: ignore[attr-defined]
    for key in known:
        os.unsetenv(key)
    known.clear()
    for key, value in environment.items():
        known[key.encode("utf-8", "surrogateescape")] = value.encode("utf-8", "surrogateescape")
        os.putenv(key, value)
    time.tzset()
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    if locale not in _LENIENT:
        try:
            _locale.setlocale(_locale.LC_CTYPE, "")
        except _locale.Error:  # type: ignore[attr-defined]  # this machine does not have it
            locale = ""
    if locale in _NO_CODING and not environment.get("LC_ALL"):
        os.environ["LC_CTYPE"] = "C.UTF-8"  # as Python itself does at its start
    errors = "surrogateescape" if locale in _LENIENT else "strict"
    for stream in (sys.stdin, sys.stdout):
        if stream.errors != errors:
            stream.reconfigure(errors=errors)  # type: ignore[union-attr]


def _code(value: object) -> int:
    """Return the exit code of sys.exit(value)."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF if -(2**63) <= value < 2**63 else 0xFF
    with contextlib.suppress(Exception):
        print(value, file=sys.stderr)
    return 1


def _crash(error: BaseException) -> str:
    """Return, for an error that the check let through, its type and where it was raised."""
    try:
        text = str(error)[:200]
    except Exception:
        text = ""
    return f"{type(error).__name__}{': ' + text if text else ''} (in {raised_at(error)})"


def _end_unknown(text: str) -> NoReturn:
    """End with one line and UNKNOWN; what the check has not written yet is dropped, for it may be half a result."""
    name = sys.argv[0].rpartition("/")[2] if sys.argv else "check"
    line = "".join(char if char.isprintable() and char != "|" else " " for char in f"UNKNOWN: {name} {text}")
    with contextlib.suppress(OSError):
        os.write(1, line.encode("utf-8", "replace") + b"\n")
    _finish_threads()
    os._exit(3)


def _finish(code: int) -> int:
    """Do what Python does at its end; return the exit code."""
    _finish_threads()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream and not stream.closed:
                stream.flush()
        except Exception:
            code = 120  # as Python does
    return code


def _finish_threads() -> None:
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
