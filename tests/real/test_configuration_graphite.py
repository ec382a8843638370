"""The generated Graphite snippets in a real carbon: new series get the step, the retention and the aggregation they promise."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from checks.configuration.graphite import series_bytes
from checks.configuration.settings import DEFAULTS
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon

SNIPPETS = Path(__file__).resolve().parents[2] / "nagios-config" / "graphite"
SERIES = {
    "testbed.node1.virt_stats.web01.cpu.time": "last",
    "testbed.node1.virt_stats.web01.net.0.rx_bytes": "last",
    "testbed.node1.virt_stats.web01.block.vda.fl_reqs": "last",
    "testbed.node1.virt_stats.web01.state.state": "last",
    "testbed.node1.virt_stats.web01.cpu.percent": "average",
    "testbed.node1.disk.root.used_percent": "average",
    "testbed.node1.ping.rta": "average",
}


def test_the_real_carbon_makes_series_as_the_snippets_say(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    carbon = Carbon(
        make_stack_root("config-carbon"),
        stack_user,
        schemas=SNIPPETS / "storage-schemas.conf",
        aggregation=SNIPPETS / "storage-aggregation.conf",
    )
    carbon.start()
    try:
        with socket.create_connection(("127.0.0.1", carbon.port)) as connection:
            connection.sendall(b"".join(b"%s 1 %d\n" % (series.encode(), time.time()) for series in SERIES))
        for series, method in SERIES.items():
            file = carbon.whisper / (series.replace(".", "/") + ".wsp")
            wait_until(file.exists, 30, f"carbon makes {series}")
            said = subprocess.run(["whisper-info", file], capture_output=True, text=True, check=True).stdout
            info = dict(re.findall(r"^(\w+): (\S+)", said, re.MULTILINE))
            assert (info["aggregationMethod"], float(info["xFilesFactor"])) == (method, 0)
            assert re.findall(r"^secondsPerPoint: (\d+)", said, re.MULTILINE) == ["60", "600", "3600"]
            assert 0 <= file.stat().st_size - series_bytes(DEFAULTS) < 100
    finally:
        carbon.stop()
