"""What Linux lets a process ask about its parent and its descendants: prctl(2) and /proc/PID/task/TID/children."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send us this signal when the thread that made us ends; at once where `parent` is no longer our parent."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def adopt_orphans(adopt: bool = True) -> bool:
    """Become the parent of descendants whose parent ended (a subreaper), or no longer; return what it was before."""
    before = ctypes.c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(adopt))
    return bool(before.value)


def call_it(name: str) -> None:
    """Set the name of this process as ps and top show it; 15 bytes of it are kept."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(os.fsencode(name)))


def children(pid: int) -> list[int]:
    """Return the living and unreaped children of a process; none where it is gone or the kernel does not say."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    except OSError:
        pass
    return found


def descendants(pid: int) -> list[int]:
    """Return its children, their children and so on, whatever their process group; not those that an ended process left to another."""
    found, todo = [], children(pid)
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children(one)
    return found
