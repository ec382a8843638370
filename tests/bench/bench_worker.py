"""`testbed-checks worker` against Nagios's own workers, and against graphios-tap: outputs cut, CPU for each check, checks a second.

    python3 -m tests.bench.bench_worker [SECONDS] [large|small|nrpe ...]

Nagios has more to check than it can: 500 services of 12 KB, then 5,000 small ones, each due every second, all of them `cat` of a file, the
cheapest check there is; then 100 of 12 KB by check_nrpe with mutual TLS. CPU is all of Nagios's, its workers', ours and the checks' own (of NRPE
only the client), for each check whose result Nagios has taken in. An output counts as cut when its last value is not in what goes to graphios.
The baseline is Nagios's own workers in the same run; exits 1 where a ratio is over its limit or an output of ours is cut.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.real.checked_site import WorkerSite
from tests.stack import place, processes
from tests.stack.daemon import wait_until
from tests.stack.nrpe import CHECK_NRPE, Nrpe

# CPU of ours for each check, in those of Nagios's own workers.
LIMITS = {"large": 3.0, "small": 3.0, "nrpe": 1.7}
SERVICES = {"large": 500, "small": 5000, "nrpe": 100}
SAYS = {"large": "by cat", "small": "by cat", "nrpe": "by check_nrpe"}
OWN, OWN_MACROS, TAP, OURS = (
    "Nagios's own workers",
    "the same, with environment macros",
    "the same, through graphios-tap",
    "testbed-checks worker",
)
_TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """One way in one size."""

    checks: int
    results: int
    """Those before and after the measurement as well."""
    cut: int
    seconds: float
    cpu: float

    def row(self) -> str:
        per_check = self.cpu / self.checks * 1000
        cut = f"{self.cut} ({self.cut / self.results:.0%})"
        return f"{self.checks:7d} {cut:>13} {per_check:9.2f} {self.checks / self.seconds:9.0f}"


def output(size: str) -> str:
    """What a check prints; its last value is called `last`."""
    if size == "small":
        return "OK - load 0.5 | load1=0.5;5;10;0; last=1;;;0;\n"
    values = " ".join(f"vm{number:03}.cpu.percent={number % 100}.5%;90;95;0;100" for number in range(320))
    return f"OK - 320 values | {values} last=1;;;0;\n"


@contextmanager
def running(way: str, size: str) -> Iterator[WorkerSite]:
    """Nagios with the services, checking."""
    root, node = place.make_root("bench-worker"), place.make_root("bench-worker-node")
    # In memory, as the unit file has it below /run.
    journal = tempfile.mkdtemp(dir="/dev/shm", prefix="bench-worker-")
    try:
        user = place.daemon_user()
        site = WorkerSite(root, user, "bench", "" if way in (OURS, OWN_MACROS) else "enable_environment_macros=0\n")
        file = site.plugin("output", output(size), 0o644)
        line = f"/bin/cat {file}"
        if size == "nrpe":
            nrpe = Nrpe(node, {"output": line}, True, user)
            nrpe.start()
            line = shlex.join(nrpe.check_argv("output"))
        if way == TAP:
            words = f"--spool {site.spool} --host '$HOSTNAME$' --service '$SERVICEDESC$' --prefix mon"
            line = f"{place.command('graphios-tap')} {words} -- {line}"
        for number in range(SERVICES[size]):
            if number % 50 == 0:
                site.add_host(f"h{number // 50}", active_checks_enabled=0)
            more = {"process_perf_data": int(way != TAP), "_GRAPHITEPREFIX": "mon"}
            site.add_service(f"h{number // 50}", f"s{number}", line, **more)
        if way == OURS:
            site.start(
                [CHECK_NRPE if size == "nrpe" else "/bin/cat"], "--journal", str(place.give(Path(journal), user))
            )
        else:
            site.start()
        site.begin()
        yield site
        site.stop()
    finally:
        place.clean(root)
        place.clean(node)
        shutil.rmtree(journal)


def cpu_seconds(root: Path) -> float:
    """User and system time of the stack's processes, and of their children that they have waited for (proc(5))."""
    total = 0
    for pid in processes.processes_of(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


class Reader:
    """Counts results, and those that are whole, and takes the files away."""

    def __init__(self, site: WorkerSite, way: str, size: str) -> None:
        self._site = site
        self._spool_has_all = way == TAP
        self._spool_has_last = way == TAP or (way == OURS and size != "small")
        self._offset = 0
        self._rest = b""
        self.results = 0
        self.whole = 0

    def read(self) -> int:
        """Take what is new; return the number of results so far."""
        own, own_whole = self._own()
        spooled, spooled_whole = self._spooled()
        self.results += spooled if self._spool_has_all else own
        self.whole += spooled_whole if self._spool_has_last else own_whole
        return self.results

    def _own(self) -> tuple[int, int]:
        if not self._site.perfdata.exists():
            return 0, 0
        with self._site.perfdata.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        self._offset += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return len(lines), sum(b" last=1" in line for line in lines)

    def _spooled(self) -> tuple[int, int]:
        lines = whole = 0
        for file in self._site.spool.glob("[!.]*"):
            for line in file.read_bytes().splitlines():
                lines += 1
                whole += b" last=1" in line
            file.unlink()
        return lines, whole


def measure(way: str, size: str, seconds: float) -> Measured:
    """Let it run for so long, after the first results have come."""
    with running(way, size) as site:
        reader = Reader(site, way, size)
        wait_until(reader.read, 60, "the first results")
        time.sleep(2)
        before = reader.read()
        cpu, begin = cpu_seconds(site.folder.parent), time.monotonic()
        while (took := time.monotonic() - begin) < seconds:
            time.sleep(0.5)
            reader.read()
        cpu = cpu_seconds(site.folder.parent) - cpu
        checks = reader.results - before
        # The two roads are not written at the same moment: when all is quiet, what is not whole is cut.
        site.end()
        deadline = time.monotonic() + 15
        while reader.read() != reader.whole and time.monotonic() < deadline:
            time.sleep(0.5)
        return Measured(checks, reader.results, reader.results - reader.whole, took, cpu)


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    good = True
    for size in sys.argv[2:] or SERVICES:
        print(f"{SERVICES[size]} services, {len(output(size))} bytes each, {SAYS[size]}", flush=True)
        print(f"{'':36} {'checks':>7} {'outputs cut':>13} {'ms CPU':>9} {'a second':>9}", flush=True)
        found = {}
        for way in (OWN, OWN_MACROS, TAP, OURS):
            found[way] = measure(way, size, seconds)
            print(f"{way:36} {found[way].row()}", flush=True)
        ratio = (found[OURS].cpu / found[OURS].checks) / (found[OWN].cpu / found[OWN].checks)
        print(f"CPU for each check: {ratio:.2f} of Nagios's own workers, limit {LIMITS[size]}\n", flush=True)
        good &= ratio <= LIMITS[size] and found[OURS].cut == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
