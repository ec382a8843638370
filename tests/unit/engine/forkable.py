"""Checks for the tests of the fork server: each function is an entry."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def surroundings() -> None:
    """Print where it finds itself."""
    umask = os.umask(0)
    print(
        json.dumps(
            {
                "argv": sys.argv,
                "environment": dict(os.environ),
                "directory": str(Path.cwd()),
                "umask": umask,
                "leads": os.getpgrp() == os.getpid(),
                "descriptors": [number for number in range(64) if _is_open(number)],
                "input": os.readlink("/proc/self/fd/0"),  # noqa: PTH115
                "ignored": [n for n in range(1, 32) if signal.getsignal(n) == signal.SIG_IGN],
                "handled": [
                    n
                    for n in range(1, 32)
                    if callable(signal.getsignal(n)) and not isinstance(signal.getsignal(n), int)
                ],
                "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
                "zone": time.tzname[0],
                "name": Path("/proc/self/comm").read_text(encoding="utf-8").strip(),
                "main": sorted(vars(sys.modules["__main__"])),
                "terminal": _has_terminal(),
            }
        )
    )


def leave() -> object:
    """End as its first argument says."""
    print("said")
    return eval(sys.argv[1])


def coding() -> None:
    """Print what Python makes of the locale."""
    print(dict(os.environ), sys.stdin.errors, sys.stdout.errors, sys.stdout.encoding)


def crash() -> None:
    """Let an error through, half a result printed."""
    print("OK - half a result", end="")
    raise ValueError("no | such\nthing \x1b[31m")


def lazily() -> None:
    """Say whether what it imports was there already."""
    print("colorsys" in sys.modules)
    import colorsys  # noqa: F401


def in_its_end() -> None:
    """Have something done at the end, by a thread and by atexit."""
    import atexit

    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: (time.sleep(0.01), print("thread"))).start()


def breed() -> None:
    """Leave one process in its group and one in a session of its own, name them and itself in the file, and wait for ever or end."""
    pids = [os.getpid()]
    reader, writer = os.pipe()
    for apart in (False, True):
        pid = os.fork()
        if not pid:
            if apart:
                os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writer, b"x")
            time.sleep(3600)
        os.read(reader, 1)
        pids.append(pid)
    Path(sys.argv[1] + ".new").write_text(" ".join(map(str, pids)), encoding="ascii")
    Path(sys.argv[1] + ".new").rename(sys.argv[1])
    if sys.argv[2] == "wait":
        time.sleep(3600)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
