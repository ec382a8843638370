"""Calls into libvirt that may never return: each in a thread of its own, waited for as long as the deadline allows.

libvirt blocks in C and can't be interrupted; a thread that hangs ends with the process. A connection with a hung call is not used again:
libvirt 9.0's client can lose the wake-up of a second thread on it (seen: controlInfo waiting for ever although libvirtd was idle).
"""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from checks.plugin import CheckError

T = TypeVar("T")


class Clock:
    """The time a run has: `seconds` from now, of which a little is kept for the output."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds - min(0.3, seconds / 10)

    def left(self) -> float:
        """Return the seconds left, not below 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def patience(self) -> float:
        """How long a call may be silent before it is looked into: a second, less where the deadline is short."""
        return min(1.0, self.seconds / 6)


class Call(Generic[T]):
    """A function that runs in a thread."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._value: T | None = None
        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        self._done.release()

    def done(self, seconds: float) -> bool:
        """Wait at most `seconds`; return whether the function has ended."""
        if not self._done.acquire(timeout=max(seconds, 0)):
            return False
        self._done.release()
        return True

    def result(self, seconds: float, what: str) -> T:
        """Return the value. Raises what the function raised, or CheckError where it hangs: "no answer while `what`"."""
        if not self.done(seconds):
            raise CheckError(f"no answer from libvirt while {what}")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


def load_libvirt() -> Any:
    """Return the libvirt module, silent on standard error. Raises CheckError where it is missing."""
    try:
        import libvirt
    except ImportError as error:
        hint = "install Debian's python3-libvirt, or testbed-checks[virt] with pip"
        raise CheckError(f"libvirt-python can't be imported ({error}): {hint}") from error
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def connect(libvirt: Any, uri: str) -> Any:
    """Return a read-only connection. Raises CheckError that names the URI."""
    try:
        return libvirt.openReadOnly(uri)
    except libvirt.libvirtError as error:
        raise CheckError(f"connecting to {uri}: {error}") from error


def stopped_processes() -> set[str]:
    """Return the UUIDs of guests whose QEMU on this machine is stopped (state T), read from /proc.

    Reads nothing where processes are hidden or the guests run elsewhere: then only the monitor tells.
    """
    found = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            status = (process / "stat").read_bytes().rpartition(b") ")[2][:1]
            if status not in (b"T", b"t"):
                continue
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"-uuid" in words[:-1]:
            found.add(words[words.index(b"-uuid") + 1].decode("ascii", "replace"))
    return found
