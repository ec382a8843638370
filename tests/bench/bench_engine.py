"""What a check costs its node when the engine runs it warm, against the same check started by itself: CPU time through the real NRPE.

    python3 -m tests.bench.bench_engine [ROUNDS] [CHECK ...]

Counted is all that a run costs on the node: NRPE, the shell, the launcher and its client, the engine, the fork server and the child. NRPE
with `sh -c true` on the same transport (plain) is taken off both. check_virt_stats asks 20 real guests on a libvirtd of its own; the others
take the first of their recorded inputs, from doubles that are not counted. The kinds of run take turns, so that a busy machine slows all of
them. Below: the C check_disk of monitoring-plugins, and what else the client could have been written in. Exits 1 where a ratio is over its
limit.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from checks.engine.forks import kinship
from tests.bench.ratio import cpu_seconds
from tests.stack import place
from tests.stack.daemon import StackError, wait_until
from tests.stack.engine import Engine
from tests.stack.libvirt import Libvirt
from tests.stack.nrpe import Nrpe
from tests.unit.test_contract import RECORDED, Ports

LIMITS = {"check_disk": 1 / 4, "check_virt_stats": 1 / 3}
GUESTS = 20
# Runs of each kind in a round: the kernel counts the CPU time of other processes in hundredths of a second.
RUNS = 5
CLIENTS = {
    "sh -c true": ["/bin/sh", "-c", "true"],
    "perl, no module": ["/usr/bin/perl", "-e", "1"],
    "perl with Socket": ["/usr/bin/perl", "-e", "use Socket"],
    "python3 -I -S": ["/usr/bin/python3", "-I", "-S", "-c", "pass"],
    "python3 -I -S with socket": ["/usr/bin/python3", "-I", "-S", "-c", "import socket"],
}


def main() -> int:
    """Measure every case; return the exit code."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    names = sys.argv[2:] or sorted(RECORDED)
    root = place.make_root("bench-engine")
    kinship.adopt_orphans()
    libvirt = Libvirt(root)
    engine = Engine(root, place.daemon_user())
    try:
        lines = {name: _line(name, libvirt) for name in names}
        engine.start()
        node = Node(root, engine, lines)
        good = node.table(rounds)
        _clients(rounds)
        return 0 if good else 1
    except StackError as error:
        print(f"bench_engine: {error}", file=sys.stderr)
        return 3
    finally:
        engine.stop()
        if libvirt.daemon:
            libvirt.stop(guests=True)
        place.clean(root)


def _line(name: str, libvirt: Libvirt) -> str:
    """Return the command line of a check, without environment; starts what it asks."""
    words = [re.sub(r"\{(\w+)\}", lambda match: PORTS[match[1]], word) for word in RECORDED[name][0]]
    if name == "check_disk":
        words = []
    if name == "check_virt_stats":
        libvirt.start()
        for number in range(GUESTS):
            libvirt.add_guest(f"vm{number:02}")
        words = ["--uri", libvirt.uri_ro, "--save-state"]
    return shlex.join([str(place.command(name)), *words])


PORTS = Ports()


class Node:
    """NRPE with each check cold and warm, and `sh -c true`."""

    def __init__(self, root: Path, engine: Engine, lines: dict[str, str]) -> None:
        self.engine, self.lines = engine, lines
        self.nrpe = Nrpe(root, {"nothing": "sh -c true"}, tls=False, user=place.daemon_user())
        for name, line in lines.items():
            for kind, socket in (("cold", "off"), ("warm", engine.socket)):
                state = self.nrpe.state / kind
                self.nrpe.commands[f"{name}_{kind}"] = f"STATE_DIRECTORY={state} TESTBED_CHECKS_ENGINE={socket} {line}"
        self.nrpe.commands["c"] = "/usr/lib/nagios/plugins/check_disk -w 10% -c 5%"
        self.nrpe.start()
        self.reaped = 0.0
        assert engine.daemon
        assert self.nrpe.daemon
        self.ours = {engine.daemon.pid, self.nrpe.daemon.pid}

    def table(self, rounds: int) -> bool:
        """Print the table; return whether every ratio is within its limit."""
        good = True
        print(f"{'ms of CPU on the node, beyond sh -c true':<42} {'cold':>8} {'warm':>8} {'ratio':>7} {'limit':>6}")
        for name in self.lines:
            kinds = [f"{name}_cold", f"{name}_warm", "nothing"]
            cold, warm, nothing = self._cpu(kinds, rounds)
            ratio = (warm - nothing) / (cold - nothing)
            limit = LIMITS.get(name)
            good &= limit is None or ratio <= limit
            shown = f"{limit:.2f}" if limit else ""
            print(f"{name:<42} {1e3 * (cold - nothing):8.1f} {1e3 * (warm - nothing):8.1f} {ratio:7.3f} {shown:>6}")
        c, nothing = self._cpu(["c", "nothing"], rounds)
        print(f"{'check_disk of monitoring-plugins, in C':<42} {1e3 * (c - nothing):8.1f}")
        print(f"{'NRPE with sh -c true (a shell more), taken off':<42} {1e3 * nothing:8.1f}", flush=True)
        refused = [line for line in self.engine.log().splitlines() if "not warm" in line]
        print(*refused, sep="\n", end="\n" if refused else "")
        return good and not refused

    def _cpu(self, kinds: list[str], rounds: int) -> list[float]:
        """Return seconds of CPU of one run of each command."""
        spent = dict.fromkeys(kinds, 0.0)
        for round in range(rounds + 1):
            for kind in kinds:
                before, self.reaped = self._spent(), 0.0
                for _ in range(RUNS if round else 1):
                    self._run(kind)
                if round:  # the first one warms what is to be warm
                    spent[kind] += self._spent() - before + self.reaped
        return [seconds / rounds / RUNS for seconds in spent.values()]

    def _run(self, kind: str) -> None:
        done = subprocess.run(self.nrpe.check_argv(kind), capture_output=True, check=False)
        if not re.match(rb"(\w+ )?(OK|WARNING|CRITICAL)\b|NRPE: Unable to read output", done.stdout):
            raise StackError(f"{kind}: {done.stdout[:200]!r}")
        # NRPE leaves the process that ran the command to init, which we are here.
        wait_until(self._reap, 10, "NRPE's process ends")

    def _reap(self) -> bool:
        found = False
        for pid in map(int, Path("/proc/thread-self/children").read_text(encoding="ascii").split()):
            if Path(f"/proc/{pid}/cmdline").read_bytes() == b"" and pid not in self.ours:
                _, _, usage = os.wait4(pid, 0)
                self.reaped += usage.ru_utime + usage.ru_stime
                found = True
        return found

    def _spent(self) -> float:
        """Seconds of CPU of NRPE and the engine until now, with those of their children that have ended."""
        assert self.nrpe.daemon
        return sum(map(_cpu_of, [self.nrpe.daemon.pid, *self.engine.processes()]))


def _cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and of the children that it waited for (proc(5), /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _clients(rounds: int) -> None:
    """Print what starting each costs that a client of the engine could be made of."""
    print("\nms of CPU to start what the client could be written in")
    runs = 4 * rounds
    for name, argv in CLIENTS.items():
        print(f"{name:<42} {1e3 * sum(cpu_seconds(argv) for _ in range(runs)) / runs:8.2f}")


if __name__ == "__main__":
    sys.exit(main())
