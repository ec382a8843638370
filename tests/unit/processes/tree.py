"""A procfs of a test's own: a folder with the files that are read, in the kernel's format (proc(5))."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
UPTIME = 1_000_000
"""Age of the machine in seconds."""


class Tree:
    """Processes in a folder; process 1 is there from the start."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "uptime").write_text(f"{UPTIME}.00 {UPTIME}.00\n")
        self.add(1, "/sbin/init", parent=0)

    def add(
        self,
        pid: int,
        *words: str | bytes,
        parent: int = 1,
        state: str = "S",
        user: int = 1000,
        age: float = 86400,
        rss: int = 10240,
        name: str = "",
        group: int | None = None,
        cpu: int = 50,
    ) -> int:
        """Add or replace a process; `rss` in kB. Words are its arguments, none for a kernel thread or zombie."""
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        data = b"".join(os.fsencode(word) + b"\0" for word in words)
        # The kernel's own name is the program's, which for a script is that of its interpreter.
        name = name or (os.fsdecode(data).split("\0")[0].rpartition("/")[2] or "kthreadd")[:15]
        (folder / "cmdline").write_bytes(data)
        fields = [
            state,
            parent,
            pid if group is None else group,
            pid,
            0,
            -1,
            4194304,
            0,
            0,
            0,
            0,
            cpu,
            0,
            0,
            0,
            20,
            0,
            1,
            0,
        ]
        start = round((UPTIME - age) * TICKS)
        (folder / "stat").write_bytes(os.fsencode(f"{pid} ({name}) {' '.join(map(str, fields))} {start} 0 0 0 0\n"))
        memory = "" if state in "ZX" else f"VmRSS:\t{rss:8d} kB\n"
        (folder / "status").write_bytes(
            os.fsencode(f"Name:\t{name}\nState:\t{state}\nUid:\t{user}\t{user}\t{user}\t{user}\n{memory}Threads:\t1\n")
        )
        return pid

    def pair(self, pid: int, *words: str, **more: object) -> int:
        """Add the two processes of a repy program: its resource monitor and, with the next number, the program."""
        self.add(pid, *words, **more)  # type: ignore[arg-type]
        self.add(pid + 1, *words, **{**more, "parent": pid, "group": pid})  # type: ignore[arg-type]
        return pid

    def remove(self, pid: int) -> None:
        """Let a process vanish."""
        shutil.rmtree(self.root / str(pid))
