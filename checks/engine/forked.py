"""What a warm child does: become the process that the job asks for, call the check's function, end as Python would.

It is forked from the fork server, whose libraries are loaded, and never returns into it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from checks.engine import kinship

_NO_CODING = {"", "C", "POSIX"}
# With these, Python hands bytes on that are no UTF-8 (PEP 538, PEP 540).
_LENIENT = _NO_CODING | {"C.UTF-8", "C.utf8", "UTF-8"}


def become(name: str, environment: Mapping[bytes, bytes], umask: int, stdout: int, stderr: int, parent: int) -> None:
    """Leave everything of the fork server behind but its memory: signals, descriptors, group, environment."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)
    kinship.die_with_parent(parent)
    kinship.call_it(name)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, 2**31 - 1)
    os.umask(umask)
    _set_environment(environment)


def run(entry: str, argv: Sequence[bytes], directory: bytes, at_end: Callable[[], None]) -> NoReturn:
    """Call the function that `entry` names, as the console script would: `sys.exit(function())`. `at_end` is called before the process ends."""
    me, leave = os.getpid(), os._exit

    def end(code: int) -> NoReturn:
        if os.getpid() == me:  # and not what the check forked
            at_end()
        leave(code)

    os._exit = end
    code = 3
    try:
        os.chdir(directory)
    except OSError as error:
        _say(f"{os.fsdecode(argv[0])}: can't change to {os.fsdecode(directory)}: {error.strerror}")
        end(3)
    sys.argv = [os.fsdecode(word) for word in argv]
    sys.modules["__main__"] = types.ModuleType("__main__")
    gc.enable()
    try:
        module, _, attribute = entry.partition(":")
        function: Any = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
        code = _code(function())
    except SystemExit as error:
        code = _code(error.code)
    except BaseException as error:
        _drop_output()
        _say(_crash(error))
    end(_finish(code))


def _set_environment(environment: Mapping[bytes, bytes]) -> None:
    os.environb.clear()
    os.environb.update(environment)
    time.tzset()
    locale = next((value for key in (b"LC_ALL", b"LC_CTYPE", b"LANG") if (value := environment.get(key))), b"").decode(
        "ascii", "replace"
    )
    if locale in _NO_CODING and not environment.get(b"LC_ALL"):
        os.environb[b"LC_CTYPE"] = b"C.UTF-8"  # as Python itself does at its start
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
    """Return the line for an error that the check let through: its type and where it was raised."""
    trace, place = error.__traceback__, ""
    while trace:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    name = os.path.basename(sys.argv[0]) if sys.argv else "check"
    try:
        text = " ".join("".join(char if char.isprintable() and char != "|" else " " for char in str(error)).split())[
            :200
        ]
    except Exception:
        text = ""
    return f"UNKNOWN: {name} crashed: {type(error).__name__}{': ' + text if text else ''} (in {place})"


def _drop_output() -> None:
    """What the check had printed and not yet written stays before our line, unless it is broken."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, line.encode("utf-8", "replace") + b"\n")


def _finish(code: int) -> int:
    """Do what Python does at its end; return the exit code."""
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except Exception:
        return 120  # as Python does
    return code
