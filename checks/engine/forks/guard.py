"""What an import must not do in the fork server: leave something behind that every later child would inherit."""

from __future__ import annotations

import _thread
import builtins
import importlib
import io
import locale
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from checks.engine.forks import kinship

_SAYS = {
    "descriptors": "leaves something open",
    "threads": "leaves a thread running",
    "children": "leaves a process running",
    "signals": "changes how signals are handled",
    "timers": "sets a timer",
    "library": "patches the standard library",
    "environment": "changes the environment",
    "path": "changes sys.path",
    "directory": "changes the directory",
    "umask": "changes the umask",
    "locale": "changes the locale",
    "streams": "replaces a standard stream",
}
# What every check runs on, and what is patched by those who do (gevent, eventlet).
_LIBRARY = (_thread, builtins, io, os, select, signal, socket, subprocess, threading, time)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def state() -> dict[str, object]:
    """Return what an import has to leave as it is, by the names in `_SAYS`."""
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "descriptors": sorted(os.listdir("/proc/self/fd")),  # noqa: PTH208 - called for each import
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
        "children": len(kinship.children(os.getpid())),
        "signals": [signal.getsignal(number) for number in range(1, 32)],
        "timers": [any(signal.getitimer(timer)) for timer in _TIMERS],
        "library": [
            [(name, id(value)) for name, value in vars(module).items() if callable(value)] for module in _LIBRARY
        ],
        "environment": dict(os.environb),
        "path": list(sys.path),
        "directory": os.getcwd(),  # noqa: PTH109
        "umask": umask,
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": [sys.stdin, sys.stdout, sys.stderr],
    }


def difference(before: dict[str, object], after: dict[str, object]) -> str:
    """Return what an import did, for the operator; empty where it left everything as it was."""
    return ", ".join(says for name, says in _SAYS.items() if before[name] != after[name])


def trial(modules: Sequence[str]) -> str:
    """Import them in this process, which is made for that, and return what is wrong with it; empty where nothing is."""
    said = os.memfd_create("said")
    os.dup2(said, 1)
    os.dup2(said, 2)
    before = state()
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return f"its import fails: {type(error).__name__}: {error}"
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()
    wrong = difference(before, state())
    if os.fstat(said).st_size:
        wrong = f"{wrong}, prints" if wrong else "prints"
    return f"its import {wrong}" if wrong else ""
