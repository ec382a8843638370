"""What check_virt_stats costs beyond its libraries and its one call, in CPU time, as a ratio in one run.

    python3 -m tests.bench.bench_virt_stats [PAIRS]

The baseline is a bare script under the same interpreter that imports the same libraries (nagiosplugin and libvirt), opens the same connection
and makes the same bulk call (or parses the same recording), and prints the same bytes from a file. 20 real guests on a libvirtd of its own,
and 500 recorded ones. Exits 1 where the ratio is over the limit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests import recordings
from tests.bench.ratio import compare
from tests.stack import place
from tests.stack.libvirt import Libvirt

LIMIT = 1.5
LIVE = """
import sys, nagiosplugin, libvirt
connection = libvirt.openReadOnly({source!r})
stats = [(domain.name(), values) for domain, values in connection.getAllDomainStats(63, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)]
sys.stdout.write(open({output!r}, encoding="utf-8").read())
"""
RECORDED = """
import sys, json, nagiosplugin, libvirt
stats = json.load(open({source!r}, encoding="utf-8"))
sys.stdout.write(open({output!r}, encoding="utf-8").read())
"""
GUEST_STATISTICS = "state,cpu,balloon,vcpu,net,block"


def measure(title: str, argv: list[str], script: str, source: str, folder: Path, pairs: int) -> bool:
    """Print a row; return whether the ratio is within the limit."""
    check = [str(place.command("check_virt_stats")), *argv]
    output = folder / "output"
    output.write_bytes(subprocess.run(check, capture_output=True, check=False).stdout)
    bare = folder / "bare.py"
    bare.write_text(script.format(source=source, output=str(output)), encoding="utf-8")
    found = compare(check, [str(place.command("python3")), str(bare)], pairs)
    print(f"{title:<52} {output.stat().st_size:>9} B {found}", flush=True)
    return found.ratio <= LIMIT


def main() -> int:
    """Measure every case; return the exit code."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    good = []
    print(f"{'':<52} {'output':>11} {'ours':>11} {'baseline':>11} {'ratio':>6}")
    root = place.make_root("bench")
    host = Libvirt(root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            host.start()
            for number in range(20):
                host.add_guest(f"guest{number:02}", vcpus=1 + number % 2)
            uri = ["--uri", host.uri_ro]
            for title, argv in (
                ("20 real guests, 4,000 bytes", [*uri, "--stats", GUEST_STATISTICS]),
                ("20 real guests, everything of them", [*uri, "--stats", GUEST_STATISTICS, "--max-output", "60000"]),
                ("20 real guests, host and pools as well", [*uri, "--max-output", "60000"]),
            ):
                good.append(measure(title, argv, LIVE, host.uri_ro, folder, pairs))
        finally:
            host.stop()
            place.clean(root)
        recording = recordings.write(folder / "recording.json", recordings.make(500))
        replay = ["--replay", str(recording)]
        for title, argv in (
            ("500 recorded guests, 4,000 bytes", replay),
            ("500 recorded guests, everything", [*replay, "--max-output", "10000000"]),
            (
                "500 recorded guests, part 1/8 as over NRPE",
                [*replay, "--part", "1/8", "--max-output", "60000", "--compress"],
            ),
        ):
            good.append(measure(title, argv, RECORDED, str(recording), folder, pairs))
    if not all(good):
        print(f"over the limit of {LIMIT}", file=sys.stderr)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
