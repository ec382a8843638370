"""Finding and ending exactly the processes of one stack, also after whoever started them is gone.

A process belongs to a stack when it was recorded with its start time (a process id alone may have been given to somebody else since), when it carries
the stack's folder in its environment (every child inherits it), or when it is a QEMU that was started with a file of that folder.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "TESTBED_STACK"


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of the process (field 22 of /proc/PID/stat, see proc(5)); None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _belongs(pid: int, root: str) -> bool:
    proc = Path(f"/proc/{pid}")
    try:
        if f"{MARK}={root}".encode() in (proc / "environ").read_bytes().split(b"\0"):
            return True
        # libvirt gives its guests an environment of their own, but their disks lie in the stack's folder.
        words = (proc / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"qemu-system" in words[0] and any(f"{root}/".encode() in word for word in words)


def processes_of(root: Path) -> Iterator[int]:
    """Process ids of everything alive that belongs to the stack in `root`, except the caller."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and _belongs(int(entry), str(root)) and start_time(int(entry)):
            yield int(entry)


def session_of(leader: int) -> list[int]:
    """Process ids of the members of the session that `leader` opened (field 6 of /proc/PID/stat), zombies left out."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[3]) == leader and stat[0] not in "ZX":
                members.append(int(entry))
    return members


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
    """Asks the processes to end (TERM, and CONT for the stopped), then kills those that are left after `patience` seconds."""
    alive = {pid: started for pid in pids if (started := start_time(pid)) is not None}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, started in alive.items():
            send_signal(pid, started, number)
            send_signal(pid, started, signal.SIGCONT)
        deadline = time.monotonic() + (patience if number == signal.SIGTERM else 10)
        while alive and time.monotonic() < deadline:
            alive = {pid: started for pid, started in alive.items() if start_time(pid) == started}
            time.sleep(0.01)


def end_stack(root: Path) -> None:
    """Ends every process of the stack, again until none is left: an ending daemon may still have started something."""
    for _ in range(20):
        pids = list(processes_of(root))
        if not pids:
            return
        end_all(pids, patience=2.0)
