"""Checks that misbehave, each in its own way, to try what the engine promises about them.

    python3 hostile_checks.py KIND        one of them as a plugin of its own
    install(FOLDER)                       a package with FOLDER in PYTHONPATH: each of them as an entry point check_hostile_KIND, for a warm run

Standard library only, and nothing of this project: it is copied to where the engine's user can read it. Whatever the engine fails to end
ends itself after LIFE seconds, and no kind takes more than the machine has: forks, descriptors and memory are bounded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

LIFE = 240
"""Seconds after which each process here ends by itself."""
FAMILY = 40
"""Processes that `bomb` makes."""
MEMORY = 200 << 20
"""Bytes that `memory` takes."""

KINDS: dict[str, Callable[[], object]] = {}


def _kind(act: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        signal.alarm(LIFE)
        return act()

    KINDS[act.__name__] = run
    return run


def _say(text: str) -> None:
    print(text, flush=True)


def _wait() -> NoReturn:
    while True:
        time.sleep(LIFE)


def _deaf() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def _fork(act: Callable[[], object]) -> int:
    """Run `act` in a child, which never returns from here."""
    if pid := os.fork():
        return pid
    try:
        signal.alarm(LIFE)
        act()
    finally:
        os._exit(0)


def _quiet() -> None:
    """Let go of whatever the caller waits for."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, 256)


# Those that hang.


@_kind
def hung() -> None:
    """Hangs for ever."""
    _wait()


@_kind
def hung_said_ok() -> None:
    """Says OK, and then hangs."""
    _say("OK - but not yet | value=1")
    _wait()


@_kind
def hung_deaf() -> None:
    """Hangs, and TERM does nothing to it."""
    _deaf()
    _wait()


@_kind
def hung_blocked() -> None:
    """Hangs with every signal blocked that can be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGALRM})
    _wait()


@_kind
def hung_stopped() -> None:
    """Stops itself: what is stopped takes no TERM."""
    os.kill(os.getpid(), signal.SIGSTOP)
    _wait()


@_kind
def hung_busy() -> None:
    """Backtracks in a regular expression, so that no thread of its own runs any more, and burns a core."""
    re.match(r"(a|aa)*$", "a" * 200 + "b")


@_kind
def hung_closed() -> None:
    """Closes its output and hangs: the end of what it says is not its end."""
    os.close(1)
    os.close(2)
    _wait()


@_kind
def hung_family() -> None:
    """Hangs with grandchildren that ignore TERM."""
    for _ in range(3):
        _fork(lambda: (_deaf(), _wait()))
    _wait()


@_kind
def hung_dripping() -> None:
    """Never ends its line, one byte at a time."""
    while True:
        os.write(1, b".")
        time.sleep(0.05)


# Those that crash.


@_kind
def crash_segfault() -> None:
    """Reads what is not there."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@_kind
def crash_abort() -> None:
    """Says something, and aborts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _say("OK - aborting | value=1")
    os.abort()


@_kind
def crash_killed() -> None:
    """Is killed, as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


@_kind
def crash_group() -> None:
    """Kills its whole process group."""
    os.killpg(0, signal.SIGKILL)
    _wait()


@_kind
def crash_raises() -> None:
    """Raises what nobody foresaw."""
    raise RuntimeError("nobody foresaw this: |value=1\nsecond line")


@_kind
def crash_exit_200() -> None:
    """Ends with an exit code that plugins don't have."""
    _say("OK - with exit code 200")
    sys.exit(200)


@_kind
def crash_exit_text() -> None:
    """Ends with a text instead of a code."""
    sys.exit("no exit code at all")


@_kind
def crash_silent() -> None:
    """Says nothing, and that it is OK."""
    sys.exit(0)


@_kind
def crash_closed() -> None:
    """Closes its standard output before it says something."""
    os.close(1)
    os._exit(0)


# Those that say too much.


@_kind
def flood() -> None:
    """Writes lines for ever."""
    while True:
        os.write(1, b"OK - flood | value=1\n" * 3000)


@_kind
def flood_line() -> None:
    """Writes one line for ever, deaf to TERM and to an end of who reads it."""
    _deaf()
    while True:
        with contextlib.suppress(OSError):
            os.write(1, b"x" * 65536)


@_kind
def flood_errors() -> None:
    """Writes to standard error for ever."""
    while True:
        os.write(2, b"error\n" * 10000)


@_kind
def flood_both() -> None:
    """Writes to both for ever."""
    while True:
        os.write(1, b"out\n" * 1000)
        os.write(2, b"err\n" * 1000)


@_kind
def flood_family() -> None:
    """Ends well, while its grandchild goes on writing to the pipe."""
    _fork(lambda: flood_line())
    _say("OK - but noisy | value=1")


# Those with a good answer and bad manners.


@_kind
def well() -> None:
    """The one without any."""
    _say("OK - well | value=1")


@_kind
def errors_then_ok() -> None:
    """10 MB of errors, then its answer."""
    for _ in range(160):
        os.write(2, b"e" * 65536)
    _say("OK - after its errors | value=1")


@_kind
def grandchildren() -> None:
    """Leaves three deaf grandchildren behind, in its group."""
    for _ in range(3):
        _fork(lambda: (_deaf(), _wait()))
    _say("OK - with grandchildren | value=1")


@_kind
def bomb() -> None:
    """Leaves FAMILY processes behind, children and children of children."""
    for _ in range(FAMILY // 2):
        _fork(lambda: (_fork(_wait), _wait()))
    _say("OK - with a bomb | value=1")


@_kind
def pipe_held() -> None:
    """Leaves a grandchild that holds its output open."""
    _fork(lambda: (_deaf(), _wait()))
    _say("OK - pipe held | value=1")


@_kind
def pipe_held_away() -> None:
    """The same, in a session of its own, where no signal to the group reaches it. It ends itself after ten seconds."""
    _fork(lambda: (os.setsid(), signal.alarm(10), _wait()))
    _say("OK - pipe held from elsewhere | value=1")


@_kind
def daemon() -> None:
    """Leaves a process in a session of its own that holds nothing. It ends itself after ten seconds."""
    _fork(lambda: (os.setsid(), _quiet(), signal.alarm(10), _wait()))
    _say("OK - with a daemon | value=1")


@_kind
def descriptors() -> None:
    """Leaves many descriptors open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.suppress(OSError):
        for _ in range(4000):
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    _say("OK - with descriptors | value=1")


@_kind
def limits() -> None:
    """Takes its limits, niceness, directory, mask, environment, signals and modules away."""
    os.nice(3)
    os.umask(0o777)
    os.chdir("/proc")
    os.environ.clear()
    os.environ["PATH"] = "/nowhere"
    _deaf()
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600)
    for name in ("json", "socket", "subprocess"):
        sys.modules[name] = None  # type: ignore[assignment]
    sys.path.clear()
    _say("OK - without limits | value=1")
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NPROC):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (3 if hard == resource.RLIM_INFINITY else min(3, hard), hard))


@_kind
def binary() -> None:
    """Says what is no text: bytes above 127, controls, an escape sequence, a NUL."""
    os.write(1, b"OK - \xff\xfe\x01\x1b[31mred\x1b]0;title\x07 a\0b\r\xc3\xa4 | value=1\n")


@_kind
def memory() -> None:
    """Takes MEMORY bytes."""
    kept = bytearray(MEMORY)
    kept[:: resource.getpagesize()] = b"x" * len(range(0, MEMORY, resource.getpagesize()))
    _say(f"OK - took {len(kept) >> 20} MiB | value=1")


@_kind
def thread() -> None:
    """Leaves a thread running that holds nobody."""
    threading.Thread(target=_wait, daemon=True).start()
    _say("OK - with a thread | value=1")


@_kind
def reads_input() -> None:
    """Reads its standard input to the end."""
    _say(f"OK - read {len(os.read(0, 4096))} bytes | value=1")


@_kind
def kills_parent() -> None:
    """Kills who started it."""
    os.kill(os.getppid(), signal.SIGKILL)
    _say("OK - an orphan | value=1")


def install(folder: Path) -> Path:
    """Make the package in `folder` (see the top) and return the plugin's path there. Readable by every user."""
    information = folder / "hostile_checks-1.0.dist-info"
    information.mkdir(parents=True)
    plugin = folder / "hostile_checks.py"
    shutil.copyfile(__file__, plugin)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hostile-checks\nVersion: 1.0\n", encoding="ascii"
    )
    entries = "".join(f"check_hostile_{name} = hostile_checks:{name}\n" for name in KINDS)
    (information / "entry_points.txt").write_text(f"[testbed_checks]\n{entries}", encoding="ascii")
    for path in (folder, information, plugin, *information.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return plugin


def main() -> Any:
    """Run the kind that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        _say(f"UNKNOWN - no such kind: {sys.argv[1:]}; there are {', '.join(KINDS)}")
        sys.exit(3)
    return KINDS[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
