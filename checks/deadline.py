"""The deadline that holds whatever hangs, and the stage that is named when it strikes.

A libvirt call, a DNS look-up or a dead mount never returns to the interpreter, so no Python signal handler runs: a thread
prints the line and ends the process. A backtracking regular expression keeps the interpreter's lock, so no thread runs; but it
looks for signals now and then: a timer signal is the second mechanism.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn


class CheckError(Exception):
    """What an operator is told in one line; the state is UNKNOWN unless the check says otherwise."""


class BadInput(CheckError):
    """The source answered something that can't be read."""


_stages = ["starting"]
# When the watchdog of this process began to count.
_began: float | None = None


class stage:
    """Name what is being done, for the deadline's line; an OSError inside becomes a CheckError that begins with it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        _stages.append(self.name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # Taken off by name: in the callable form several checks may share the list, each from a thread of its own.
        if self.name in _stages:
            _stages.remove(self.name)
        if isinstance(error, OSError):
            raise CheckError(f"{self.name}: {error.strerror or error}") from error


def last_moment(timeout: float) -> float:
    """Return the moment of time.monotonic() at which waiting for a target has to end, so that the check itself can name the failure.

    `timeout` is that of the whole check, in seconds; it began with the watchdog, or begins now where there is none. A peer that is silent is a
    state of the peer; the watchdog's UNKNOWN is for what can't be bounded.
    """
    return (_began or time.monotonic()) + timeout * 0.85


def current_stage() -> str:
    """Return the innermost stage that is being done."""
    return _stages[-1]


class Watchdog:
    """Ends the process when `seconds` are over: one line made by `text(stage)` on standard output, exit code 3."""

    def __init__(self, seconds: float, text: Callable[[str], str]) -> None:
        global _began
        _began = time.monotonic()
        self._text = text
        self._speaker = _thread.allocate_lock()
        self._bell = _thread.allocate_lock()
        self._bell.acquire()
        _thread.start_new_thread(self._wait, (seconds,))
        signal.signal(signal.SIGALRM, self._on_signal)
        signal.setitimer(signal.ITIMER_REAL, seconds + 0.05)

    def _wait(self, seconds: float) -> None:
        if not self._bell.acquire(timeout=seconds):
            self._strike()

    def _on_signal(self, *_: object) -> None:
        self._strike()

    def _strike(self) -> None:
        # Who has the lock is writing; a reader that never takes the text must not hold us either.
        if self._speaker.acquire(timeout=0.2):
            write_all(self._text(current_stage()).encode("utf-8", "replace"))
        os._exit(3)

    def finish(self, code: int, text: str) -> NoReturn:
        """Write the check's own output, unless the deadline struck first, and end the process."""
        self._speaker.acquire()
        ok = write_all(text.encode("utf-8", "replace"))
        os._exit(code if ok else 3)


def write_all(data: bytes) -> bool:
    """Write everything to standard output; False where nobody takes it."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        return False
    return True
