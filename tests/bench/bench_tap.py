"""What graphios-tap costs beyond the command it runs, against a bare `python3 -I -S -c pass`, in CPU time, as a ratio in one run.

    python3 -m tests.bench.bench_tap [ROUNDS] [PATH OF graphios-tap]

CPU time is user and system time of the process and all its children. The runs of the three alternate, so that a busy machine slows all of them; the
fastest quarter of each counts. Exits 1 when the ratio is over the limit.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 2.0
SCRIPT = Path(__file__).parents[2] / "graphios" / "graphios-tap"


def cpu_seconds(argv: list[str], output: int) -> float:
    """User and system time of one run, its children included."""
    process = subprocess.Popen(argv, stdout=output)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def fastest_quarter(times: list[float]) -> float:
    """Mean of the fastest quarter, seconds."""
    kept = sorted(times)[: max(1, len(times) // 4)]
    return sum(kept) / len(kept)


def measure(rounds: int, script: str) -> dict[str, float]:
    """Milliseconds of CPU: bare Python, the commands alone, and the tap around them."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("wb") as nowhere:
        items = " ".join(f"vm{number}.cpu.percent={number % 100}.5%;90;95;0;100" for number in range(20_000))
        large = Path(folder, "large")
        large.write_text(f"OK - 20000 values | {items}\n", encoding="ascii")
        spool = Path(folder, "spool")
        spool.mkdir()
        tap = [script, "--spool", str(spool), "--host", "h", "--service", "s", "--"]
        commands = {
            "bare": ["/usr/bin/python3", "-I", "-S", "-c", "pass"],
            "echo": ["/bin/echo", "OK | load1=0.5;5;10;0;"],
            "cat": ["/bin/cat", str(large)],
        }
        commands |= {"tap echo": tap + commands["echo"], "tap cat": tap + commands["cat"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, argv in commands.items():
                times[name].append(cpu_seconds(argv, nowhere.fileno()))
            shutil.rmtree(spool)
            spool.mkdir()
    return {name: fastest_quarter(values) * 1000 for name, values in times.items()}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    found = measure(rounds, sys.argv[2] if len(sys.argv) > 2 else str(SCRIPT))
    print(f"{'bare python3 -I -S':34} {found['bare']:6.2f} ms CPU")
    worst = 0.0
    for name, what in (("echo", "one item"), ("cat", "20,000 items, 0.8 MB")):
        added = found[f"tap {name}"] - found[name]
        print(f"{'tap adds, ' + what:34} {added:6.2f} ms CPU   {added / found['bare']:.2f} of bare")
        if name == "echo":
            worst = added / found["bare"]
    print(f"limit for one item: {LIMIT}")
    return 1 if worst > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
