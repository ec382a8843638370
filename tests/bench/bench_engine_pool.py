"""Whether checks that hang, crash and flood delay the others: `testbed-checks run` with 85 checks, and with the same 85 among 15 bad ones.

    python3 -m tests.bench.bench_engine_pool [PAIRS]

Five of the fifteen hang for ever (one is deaf to TERM, one stopped, one has a family), five crash, five flood. Both runs alternate, so that a
busy machine slows both. Printed for each kind of load: when half of the 85 and when the last of them had ended, in seconds since the first
began, as medians, and the median of the pairs' ratios; and how many checks a second the 85 alone come to. Exits 1 when the last of the 85
ended later than LIMIT times where they wait, as most checks do: beside those that compute it shows what the fifteen compute themselves.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.real import hostile_checks
from tests.real.engine_rounds import BAD, GOOD
from tests.stack import place

LIMIT = 1.10
DEADLINE = 4
# What one of the 85 does: asks a network for a while; is a small plugin in C; is a plugin in Python, from its start.
LOADS = {
    "wait 0.2 to 1.9 s, as for a network": "/bin/sleep {wait} && echo 'OK - waited'",
    "short, in C": "/bin/echo 'OK - short'",
    "a Python of its own": "/usr/bin/python3 -c \"print('OK - python')\"",
    "warm": "check_hostile_well",
}


def configure(folder: Path, load: str, plugin: Path, bad: bool) -> Path:
    """Write the commands into a file; the bad ones lie among the others, and half of them run warm."""
    kinds = list(BAD)
    lines = []
    for number in range(GOOD):
        lines.append(f"command[good_{number:02}]={load.format(wait=0.2 + number % 18 / 10)}\n")
        if number % 6 == 3 and kinds and bad:
            kind = kinds.pop()
            line = f"check_hostile_{kind}" if len(kinds) % 2 else f"/usr/bin/python3 -I -S {plugin} {kind}"
            lines.append(f"command[bad_{kind}]={line}\n")
    path = folder / ("bad.cfg" if bad else "good.cfg")
    path.write_text("".join(lines), encoding="ascii")
    return path


def ended(configuration: Path, environment: Mapping[str, str]) -> list[float]:
    """Run them; return when each of the 85 had ended, sorted, in seconds since the run's beginning."""
    argv = [place.command("testbed-checks"), "run", "--json", "--timeout", str(DEADLINE), "--commands", configuration]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment)
    if not done.stdout:
        raise SystemExit(f"testbed-checks: {done.stderr.decode()[-500:]}")
    document = json.loads(done.stdout)
    results = document["results"]
    good = [result for result in results if result["name"].startswith("good")]
    wrong = [result["output"] for result in good if result["code"]]
    wrong += [
        result["output"]
        for result in results
        if result["name"].startswith("bad")
        and not (result["code"] == 3 and re.search(BAD[result["name"][4:]] + "|exit code", result["output"]))
    ]
    if wrong or len(good) != GOOD:
        raise SystemExit(f"not as it should be: {wrong[:3]}")
    began = min(result["began"] for result in results)
    return sorted(result["began"] + result["seconds"] - began for result in good)


def main() -> int:
    """Run as a command."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = hostile_checks.install(folder / "package")
        environment = {"PATH": os.defpath, "PYTHONPATH": str(plugin.parent)}
        print(
            f"{GOOD} checks, each one:                    half ended    with 15 bad   ratio    last ended    with 15 bad   ratio   checks/s"
        )
        for label, load in LOADS.items():
            alone, among = (configure(folder, load, plugin, bad) for bad in (False, True))
            runs = [(ended(alone, environment), ended(among, environment)) for _ in range(pairs)]
            half, last = ([(a[at], b[at]) for a, b in runs] for at in (GOOD // 2, GOOD - 1))
            columns = []
            for both in (half, last):
                ratio = statistics.median(b / a for a, b in both)
                columns.append(f"{_middle(both, 0):10.3f} s {_middle(both, 1):12.3f} s {ratio:7.2f}")
            if "{wait}" in load:
                worst = max(worst, ratio)
            print(f"{label:37} {'  '.join(columns)} {GOOD / _middle(last, 0):10.0f}", flush=True)
    print(f"limit for the last: {LIMIT:.2f}   ({pairs} pairs)")
    return 1 if worst > LIMIT else 0


def _middle(pairs: list[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


if __name__ == "__main__":
    sys.exit(main())
