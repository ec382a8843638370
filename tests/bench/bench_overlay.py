"""What check_ipop_links and check_tahoe cost, in CPU time, as ratios in one run.

    python3 -m tests.bench.bench_overlay [PAIRS]

Small sources: each check asks a healthy double; the baseline is the same interpreter that only imports the libraries the check uses. Large ones:
10,000 links of a visualizer and 1,000 nodes of a gatherer; the baseline also reads the same JSON. Then 10,000 links against 1,000, both
beyond their baselines: linear is 10. Exits 1 where a ratio is over its limit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.ratio import compare
from tests.ipop import overlay, stats_writer
from tests.ipop.tincan import Tincan
from tests.real.drill import by_hand
from tests.seattle.web import Asked, WebServing, answer
from tests.stack import place
from tests.tahoe.documents import gathered
from tests.tahoe.node import TahoeNode

LIMIT = 1.3
LARGE_LIMIT = 5.0
LINEAR = 15.0
PLAIN = "import nagiosplugin, argparse"
ASKING = f"{PLAIN}, socket"
JSON = f"{PLAIN}, json"
WEB = f"{JSON}, requests"


class Controller(WebServing):
    """A web server with the document of a controller."""

    def respond(self, asked: Asked) -> bytes:
        """Answer with it."""
        return answer(json.dumps(overlay.controller(10)).encode(), kind="application/json")


class Bench:
    """Rows of commands and baselines, and whether all ratios were within their limits."""

    def __init__(self, pairs: int) -> None:
        self._pairs = pairs
        self.good = True

    def row(self, title: str, line: str, script: str, limit: float) -> tuple[float, float]:
        """Print a row; return the CPU seconds of ours and of the baseline."""
        argv = line.split()
        code = by_hand(argv).code
        python = str(place.command("python3"))
        found = compare([str(place.command(argv[0])), *argv[1:]], [python, "-c", script], self._pairs)
        print(f"{title:<60.60} {found}{'' if code == 0 else f' exits {code}'}", flush=True)
        self.good &= code == 0 and found.ratio <= limit
        return found.ours, found.baseline


def small(bench: Bench, folder: Path, servers: ExitStack) -> None:
    """Measure every source with a few links or one node."""
    stats, document, gatherer = folder / "ganglia", folder / "controller.json", folder / "stats.json"
    stats.mkdir()
    stats_writer.write(stats, 4)
    document.write_text(json.dumps(overlay.controller(10)), encoding="utf-8")
    gatherer.write_text(json.dumps(gathered(1)), encoding="utf-8")
    tincan, web = servers.enter_context(Tincan()), servers.enter_context(Controller())
    storage, client = servers.enter_context(TahoeNode()), servers.enter_context(TahoeNode("client"))
    url = f"http://127.0.0.1:{web.port}/"
    for line, script in (
        (f"check_ipop_links --stats-dir {stats} --stale-critical 3600", JSON),
        (f"check_ipop_links --tincan 127.0.0.1:{tincan.port}", f"{ASKING}, json"),
        (f"check_ipop_links --controller-json {document} --stale-critical 3600", JSON),
        (f"check_ipop_links --controller-json {url}", WEB),
        (f"check_tahoe --url {storage.url} --corrupt-warning 0:9", WEB),
        (f"check_tahoe --url {client.url}", WEB),
        (f"check_tahoe --url {client.url} --grid", WEB),
        (f"check_tahoe --stats-json {gatherer} --stale-warning 3600", JSON),
    ):
        bench.row(line.replace(f"{folder}/", ""), line, script, LIMIT)


def large(bench: Bench, folder: Path) -> None:
    """Measure what grows with the number of links and nodes."""
    beyond = []
    read = "import nagiosplugin, argparse, json; json.loads(open({!r}, 'rb').read())"
    for records in (1000, 10_000):
        path = folder / f"{records}.json"
        path.write_text(json.dumps(overlay.visualizer(records, moment=time.time())), encoding="utf-8")
        line = f"check_ipop_links --controller-json {path} --stale-critical 3600 --max-output 60000"
        title = f"{records} links of a visualizer ({path.stat().st_size >> 20} MB) / reading the JSON"
        ours, baseline = bench.row(title, line, read.format(str(path)), LARGE_LIMIT)
        beyond.append(ours - baseline)
    gatherer = folder / "nodes.json"
    gatherer.write_text(json.dumps(gathered(1000)), encoding="utf-8")
    line = f"check_tahoe --stats-json {gatherer} --stale-warning 3600 --max-output 60000"
    title = f"1000 nodes of a gatherer ({gatherer.stat().st_size >> 20} MB) / reading the JSON"
    bench.row(title, line, read.format(str(gatherer)), LARGE_LIMIT)
    linear = beyond[1] / beyond[0]
    print(f"{'10,000 links / 1,000 links, both beyond their baselines':<60} {linear:>30.2f}")
    bench.good &= linear <= LINEAR


def main() -> int:
    """Measure everything; return the exit code."""
    bench = Bench(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
    print(f"{'':<60} {'ours':>11} {'baseline':>11} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        small(bench, Path(folder), servers)
        large(bench, Path(folder))
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main())
