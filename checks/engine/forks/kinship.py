"""What Linux lets a process do about its parent and its descendants: prctl(2), pidfd_send_signal(2), /proc/PID/task/TID/children."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_prctl = ctypes.CDLL(None).prctl


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send us this signal when the thread that made us ends; at once where `parent` is no longer our parent."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def adopt_orphans(adopt: bool = True) -> bool:
    """Become the parent of descendants whose own parent ended (a subreaper), or no longer; return what it was before."""
    before = ctypes.c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(adopt))
    return bool(before.value)


def call_it(name: str) -> None:
    """Set the name of this process as ps and top show it; 15 bytes of it are kept."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(os.fsencode(name).replace(b"\0", b"")))


def children(pid: int) -> list[int]:
    """Return the children of a process that are not reaped yet; none where it is gone or the kernel does not say."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    return found


def kill_group(leader: int, number: int) -> None:
    """Send the signal to the group of a child that is not reaped yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def kill_below(pid: int, number: int = signal.SIGKILL) -> None:
    """Send the signal to its children, their children and so on, whatever their group; not to those that an ended process left to another."""
    for child in children(pid):
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(child)
            try:
                if child in children(pid):  # still: the handle is no other process that got its number
                    kill_below(child, number)
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
