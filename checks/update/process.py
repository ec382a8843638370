"""Whether the software updater of this machine lives: its lock file names a process, and that process runs the script.

The lock files `runoncelock.softwareupdater.old` and `.new` hold the process id and blanks, and stay after its death (nodemanager's runonce module).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from checks.processes.commandline import arguments, runs
from checks.processes.procfs import Process, Procfs
from checks.update.install import UPDATER

# The first is held by an updater at work, the second by one that takes over from it.
_LOCKS = ("runoncelock.softwareupdater.old", "runoncelock.softwareupdater.new")
_LONGEST_LOCK = 64
_LARGEST_PID = 1 << 22


class Updater(NamedTuple):
    """The updater's process: `pid` is None where there is none; `trouble` says what is wrong with it, "" where it runs.

    `known` is False where other users' processes are hidden, and it may be among them.
    """

    pid: int | None
    trouble: str
    known: bool = True


def find_updater(lock_folder: Path, procfs: Procfs) -> Updater:
    """Return the process that a lock file in `lock_folder` names, or else any that runs the script. Raises CheckError."""
    locked = list(_locked(lock_folder))
    stopped = None
    for pid in dict.fromkeys((*locked, *procfs.pids())):
        process = _updater(pid, procfs)
        if process and not process.stopped:
            return Updater(pid, "")
        stopped = stopped or process
    if stopped:
        return Updater(stopped.pid, f"process {stopped.pid} is stopped: kill -CONT {stopped.pid}")
    if procfs.hidden:
        return Updater(None, "other users' processes are hidden here, hidepid of /proc", known=False)
    if locked:
        return Updater(None, f"process {locked[0]} of its lock file is gone: start {UPDATER}")
    return Updater(None, f"no process, no lock file in {lock_folder}: start {UPDATER}")


def _updater(pid: int, procfs: Procfs) -> Process | None:
    """Return the process where it runs the updater and has not ended."""
    found = runs(arguments(procfs.command_line(pid) or b""))
    process = procfs.process(pid, found) if found.matches(UPDATER, direct_only=True) else None
    return None if process and process.ended else process


def _locked(folder: Path) -> Iterator[int]:
    """Yield the process ids in the lock files. Anybody may write there: no link is followed, and only a regular file is read."""
    for name in _LOCKS:
        try:
            file = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            text = os.read(file, _LONGEST_LOCK).strip() if stat.S_ISREG(os.fstat(file).st_mode) else b""
        except OSError:
            text = b""
        finally:
            os.close(file)
        if text.isdigit() and 0 < int(text) <= _LARGEST_PID:
            yield int(text)
