"""What the checks of Seattle cost beyond importing their libraries, in CPU time, as a ratio in one run.

    python3 -m tests.bench.bench_seattle [PAIRS]

Each check asks a healthy double. The baseline is the same interpreter that only imports the libraries the check uses (nagiosplugin, argparse, socket,
and requests where it asks a web server). Exits 1 where a ratio is over the limit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

from tests.bench.ratio import compare
from tests.real.drill import by_hand
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer
from tests.seattle.builder import InstallerBuilder
from tests.seattle.lockserver import LockServer
from tests.seattle.nodemanager import NodeManager
from tests.seattle.serving import Serving
from tests.seattle.updatesite import UpdateSite
from tests.seattle.zenodotus import Zenodotus
from tests.stack import place

LIMIT = 1.3
PLAIN = "import nagiosplugin, argparse, socket"
WEB = f"{PLAIN}, requests"
CASES: list[tuple[Callable[[], Serving], str, str]] = [
    (AdvertiseServer, "check_advertise_server -p {port}", PLAIN),
    (UdpAdvertiseServer, "check_advertise_server --transport udp -p {port}", PLAIN),
    (lambda: Zenodotus(settling=0), "check_zenodotus -H 127.0.0.1 -p {port}", PLAIN),
    (lambda: NodeManager(poll=0.01), "check_seattle_node -H 127.0.0.1 -p {port}", PLAIN),
    (UpdateSite, "check_software_update --url http://127.0.0.1:{port}/updatesite/", WEB),
    (
        InstallerBuilder,
        "check_installer_builder --url http://127.0.0.1:{port}/custom_install/",
        f"{WEB}, xmlrpc.client",
    ),
    (
        LockServer,
        "check_seattle_processes --lock-status --lock-port {port}",
        f"{WEB}, xmlrpc.client",
    ),
    (Serving, "check_seattle_processes --process python3=0:", PLAIN),
]


def main() -> int:
    """Measure every check; return the exit code."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    good = []
    print(f"{'':<52} {'ours':>11} {'baseline':>11} {'ratio':>6}")
    with ExitStack() as servers:
        for make, line, libraries in CASES:
            argv = line.format(port=servers.enter_context(make()).port).split()
            answer = by_hand(argv)
            found = compare(
                [str(place.command(argv[0])), *argv[1:]], [str(place.command("python3")), "-c", libraries], pairs
            )
            print(f"{line.format(port='PORT'):<52.52} {found}", flush=True)
            good.append(answer.code == 0 and found.ratio <= LIMIT)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
