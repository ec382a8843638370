"""Whether the software updater of this machine lives: its lock file names a process, and that process is the script.

The lock files `runoncelock.softwareupdater.old` and `.new` hold the process id and blanks, and stay after its death (nodemanager's runonce module).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from checks.update.install import UPDATER

if TYPE_CHECKING:
    import psutil

# The first is held by an updater at work, the second by one that takes over from it.
_LOCKS = ("runoncelock.softwareupdater.old", "runoncelock.softwareupdater.new")
_LONGEST_LOCK = 64


class Updater(NamedTuple):
    """The updater's process: `pid` is None where there is none; `trouble` says what is wrong with it, "" where it runs."""

    pid: int | None
    trouble: str


def find_updater(lock_folder: Path) -> Updater:
    """Return the process that a lock file in `lock_folder` names, or else any that runs the script."""
    import psutil  # 30 ms, and only an installation needs it

    locked = list(_locked(lock_folder))
    found = [process for process in map(_process, locked) if process]
    found = found or [process for process in psutil.process_iter() if runs_script(_arguments(process), UPDATER)]
    for process in found:
        try:
            status = process.status()
        except psutil.Error:
            continue
        if status == psutil.STATUS_ZOMBIE:
            continue
        stopped = status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return Updater(process.pid, f"process {process.pid} is stopped: kill -CONT it" if stopped else "")
    return Updater(
        None, f"process {locked[0]}, which the lock file names, is gone" if locked else "no lock file names one"
    )


def runs_script(arguments: Sequence[str], script: str) -> bool:
    """Whether a command line is Python's with `script`, with or without a path, among its arguments."""
    return (
        len(arguments) > 1
        and arguments[0].rpartition("/")[2].startswith("python")
        and any(argument.rpartition("/")[2] == script for argument in arguments[1:])
    )


def _process(pid: int) -> psutil.Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
    except (psutil.Error, ValueError, OverflowError):
        return None
    return process if runs_script(_arguments(process), UPDATER) else None


def _arguments(process: psutil.Process) -> list[str]:
    import psutil

    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []


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
        if text.isdigit() and len(text) < 10 and int(text) > 0:
            yield int(text)
