"""The processes of this machine, read from procfs: a command line of each, and of the few that are looked for everything else.

psutil is not used: it reads each process's state before its command line, which at 1,000 processes takes five times as long; its start times
move with the clock, while a restart is told by the start time as the kernel keeps it; and its procfs is one for a whole program.
Format: proc(5), cmdline, stat, status and uptime.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from checks.deadline import CheckError, stage
from checks.processes.commandline import Runs

_LONGEST_COMMAND_LINE = 65536
_KERNEL = Path("/proc")
_INIT = 1


class Process(NamedTuple):
    """One process: start and CPU time in clock ticks, memory in bytes; `user` is the number of its effective user."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    start: int
    cpu: int
    user: int
    rss: int
    runs: Runs

    @property
    def key(self) -> str:
        """What tells it apart from a later process with the same number, until the machine boots again."""
        return f"{self.pid}.{self.start}"

    @property
    def stopped(self) -> bool:
        """Whether it is stopped by a signal (T) or held by a debugger (t)."""
        return self.state in "Tt"

    @property
    def ended(self) -> bool:
        """Whether it is a zombie: it has ended, and its parent has not asked how."""
        return self.state in "ZX"


class Procfs:
    """procfs, mounted at `root`, or a recorded tree of the same shape."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: set[int] = set()
        """Processes that are there, but not for our eyes."""
        self._listed = True

    def pids(self) -> list[int]:
        """Return the numbers of the processes now, this one's left out. Raises CheckError."""
        with stage(f"listing {self.root}"), os.scandir(self.root) as entries:
            found = [int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdigit()]
        if not found:
            raise CheckError(f"{self.root} lists no processes: procfs is not mounted there")
        self._listed = _INIT in found
        self.unreadable.clear()
        own = os.getpid() if self.root == _KERNEL else None
        return sorted(pid for pid in found if pid != own)

    @property
    def hidden(self) -> bool:
        """Whether other users' processes are hidden (hidepid): the first process of all is always there, and for everybody to read."""
        return not self._listed or _INIT in self.unreadable

    def command_line(self, pid: int) -> bytes | None:
        """Return the command line as the kernel keeps it, empty for kernel threads and zombies; None where it is gone or can't be read."""
        return self._read(pid, "cmdline")

    def process(self, pid: int, runs: Runs) -> Process | None:
        """Return everything about a process, or None where it is gone or can't be read."""
        stat = self._read(pid, "stat")
        status = self._read(pid, "status") if stat else None
        if stat is None or status is None:
            return None
        try:
            # The name stands in brackets and may hold anything, brackets too.
            name = os.fsdecode(stat[stat.index(b"(") + 1 : stat.rindex(b")")])
            fields = stat[stat.rindex(b")") + 2 :].split()
            lines = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)
            return Process(
                pid,
                name,
                state=fields[0].decode("ascii"),
                parent=int(fields[1]),
                group=int(fields[2]),
                start=int(fields[19]),
                cpu=int(fields[11]) + int(fields[12]),
                user=int(lines[b"Uid"].split()[1]),
                rss=int(lines.get(b"VmRSS", b"0 kB").split()[0]) * 1024,
                runs=runs,
            )
        except (ValueError, IndexError, KeyError):
            self.unreadable.add(pid)
            return None

    def clock(self) -> float | None:
        """Return the seconds since the machine booted, which is the clock of start times; None where that can't be read."""
        if self.root == _KERNEL:
            # Not /proc/uptime: containers (lxcfs) put their own age there, while start times stay the machine's.
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            return float((self.root / "uptime").read_bytes().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _read(self, pid: int, name: str) -> bytes | None:
        try:
            descriptor = os.open(f"{self.root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(descriptor, _LONGEST_COMMAND_LINE)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            return None  # it ended meanwhile
        except OSError:
            self.unreadable.add(pid)
            return None


def seconds(ticks: int) -> float:
    """Return clock ticks as seconds."""
    return ticks / os.sysconf("SC_CLK_TCK")
