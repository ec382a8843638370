"""The same hundred jobs, of which fifteen misbehave, round after round in one engine; what it holds after each round.

    python3 -m tests.real.engine_rounds FOLDER ROUNDS      FOLDER: where hostile_checks.install() put its package

Prints a JSON document for each round: `wrong` (results that are not what they should be), and of the engine and its fork server the memory
that is their own (bytes), the open descriptors, the children and the asyncio tasks.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from checks.engine import pool as pool_room
from checks.engine.forks.client import ForkServer
from checks.engine.jobs import Job
from checks.engine.pool import Pool
from checks.engine.results import result

BAD = {
    "hung": "no end within",
    "hung_deaf": "no end within",
    "hung_stopped": "no end within",
    "hung_said_ok": "no end within",
    "hung_family": "no end within",
    "crash_segfault": "SIGSEGV",
    "crash_abort": "SIGABRT",
    "crash_group": "SIGKILL",
    "crash_raises": "RuntimeError|printed nothing",
    "crash_exit_200": "exit code 200",
    "flood": "printed more than",
    "flood_line": "printed more than",
    "flood_both": "printed more than",
    "flood_errors": "wrote more than .* to standard error",
    "crash_silent": "printed nothing",
}
GOOD = 85
WELL = "echo 'OK - well | value=1'"
# So that a thousand rounds take minutes: those that hang do nothing but wait.
pool_room.PATIENCE = 0.25
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def jobs(plugin: Path) -> list[tuple[Job, str]]:
    """A hundred jobs, and an expression for the output of each. The bad ones lie among the good ones; every other one runs warm."""
    found = []
    bad = list(BAD.items())
    for number in range(GOOD + len(bad)):
        kind, expected, seconds = "well", r"OK - well \| value=1\n", 60.0
        if number % 6 == 5 and bad:
            kind, said = bad.pop()
            expected, seconds = rf"UNKNOWN: [^\n]*{kind}[^\n]*({said})[^\n]*\n", 0.25
            seconds = seconds if "no end" in said else 60.0
        entry = f"hostile_checks:{kind}" if number % 12 < 6 else ""
        plain = ("/bin/sh", "-c", WELL) if kind == "well" else ("/usr/bin/python3", "-I", "-S", str(plugin), kind)
        argv = (f"check_hostile_{kind}",) if entry else plain
        found.append((Job(f"{kind}-{number}", argv, entry, ENVIRONMENT, seconds=seconds), expected))
    return found


def private_memory(pid: int) -> int:
    """Bytes that the process shares with no other (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


def _children(pid: int) -> int:
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def _rounds(plugin: Path, rounds: int) -> None:
    server = ForkServer(["hostile_checks:well"])
    await server.start()
    pool = Pool(server)
    for number in range(rounds):
        some = jobs(plugin)
        ended = await asyncio.gather(*(pool.run(job) for job, _ in some))
        wrong = {}
        for (job, expected), end in zip(some, ended, strict=True):
            said = result(job, end).output.decode("utf-8", "replace")
            if not re.fullmatch(expected, said):
                wrong[job.name] = said[:300]
        engine = os.getpid()
        document = {
            "round": number,
            "wrong": wrong,
            "memory": {"engine": private_memory(engine), "fork server": private_memory(server.pid)},
            "descriptors": {"engine": _descriptors(engine), "fork server": _descriptors(server.pid)},
            "children": {"engine": _children(engine), "fork server": _children(server.pid)},
            "tasks": len(asyncio.all_tasks()),
            "restarts": server.restarts,
        }
        print(json.dumps(document), flush=True)
    await pool.close()
    await server.close()


def main() -> None:
    """Run as a command."""
    asyncio.run(_rounds(Path(sys.argv[1]) / "hostile_checks.py", int(sys.argv[2])))


if __name__ == "__main__":
    main()
