"""Finding and ending exactly the processes of one stack, also after whoever started them is gone.

A process belongs to a stack when it was recorded with its start time (a process id alone may have been given to
somebody else since), when it carries the stack's folder in its environment (every child inherits it), or when it is a
QEMU that was started with a file of that folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "TESTBED_STACK"


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of the process (field 22 of /proc/PID/stat, see proc(5)); None when it is
    gone or a zombie.
    """
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (so that [0] is the state, field 3); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def command_line(pid: int) -> bytes:
    """The words of the process's command line, each ended by a NUL; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _belongs(pid: int, root: str) -> bool:
    try:
        if f"{MARK}={root}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return True
    except OSError:
        return False
    # libvirt gives its guests an environment of their own, but their disks lie in the stack's folder.
    words = command_line(pid).split(b"\0")
    return b"qemu-system" in words[0] and any(f"{root}/".encode() in word for word in words)


def processes_of(root: Path) -> list[int]:
    """Process ids of everything alive that belongs to the stack in `root`, and what it started (NRPE empties its checks'
    environment); never the caller.
    """
    parents = {pid: _stat(pid) for pid in _all()}
    found = {pid for pid in parents if pid != os.getpid() and _belongs(pid, str(root))}
    while children := {pid for pid, stat in parents.items() if stat and int(stat[1]) in found} - found:
        found |= children
    return sorted(pid for pid in found if start_time(pid))


def inner_pid(pid: int) -> int | None:
    """The process id that a process has in its own namespace (NSpid in /proc/PID/status, see proc(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), None)


def session_of(leader: int) -> list[int]:
    """Process ids of the members of the session that `leader` opened (field 6 of /proc/PID/stat), zombies left out."""
    stats = {pid: _stat(pid) for pid in _all()}
    return [pid for pid, stat in stats.items() if stat and int(stat[3]) == leader and stat[0] not in "ZX"]


def send_signal(pid: int, started: int, number: int) -> bool:
    """Signals the process if it is still the one that started at `started`; tells whether it was."""
    if start_time(pid) != started:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end_all(pids: Iterable[int], patience: float = 3.0) -> None:
    """Asks the processes to end (TERM, and CONT for the stopped), then kills those that are left after `patience`
    seconds.
    """
    pids = list(pids)
    alive = {pid: started for pid in pids if (started := start_time(pid)) is not None}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, started in alive.items():
            send_signal(pid, started, number)
            send_signal(pid, started, signal.SIGCONT)
        deadline = time.monotonic() + (patience if number == signal.SIGTERM else 10)
        while alive and time.monotonic() < deadline:
            alive = {pid: started for pid, started in alive.items() if start_time(pid) == started}
            _reap(pids)
            time.sleep(0.01)


def _reap(pids: Iterable[int]) -> None:
    """Takes the exit status of our own children among them: the first process of a namespace ends only when all others
    are reaped.
    """
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def end_stack(root: Path) -> None:
    """Ends every process of the stack, again until none is left: an ending daemon may still have started something."""
    for _ in range(20):
        pids = list(processes_of(root))
        if not pids:
            return
        # The first process of a namespace takes everything inside with it, and has no ear for SIGTERM.
        for pid in pids:
            if inner_pid(pid) == 1 and (started := start_time(pid)):
                send_signal(pid, started, signal.SIGKILL)
        end_all(pids, patience=2.0)
        # Orphans are reaped by the machine's first process, which may take its time.
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.02)
