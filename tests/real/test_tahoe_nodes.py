"""check_tahoe on the nodes of a real grid, one by one: storage node, client and introducer; busy and restarted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from checks.check_tahoe import CHECK
from tests.real.drill import CRITICAL, OK, UNKNOWN, WARNING
from tests.real.tahoe_site import check, repaired
from tests.stack.daemon import wait_until
from tests.stack.tahoe import TahoeGrid

FILE, FILES = 50_000, 4
STEADY = {
    "disk.total": "storage_server.disk_total",
    "disk.reserved": "storage_server.reserved_space",
    "accepting_shares": "storage_server.accepting_immutable_shares",
    "storage.allocated": "storage_server.allocated",
}
COUNTED = {
    "storage.bytes_added": "storage_server.bytes_added",
    "storage.operations.allocate": "storage_server.allocate",
    "storage.operations.get": "storage_server.get",
    "storage.operations.writev": "storage_server.writev",
    "storage.operations.readv": "storage_server.readv",
}
OF_A_CLIENT = ("uploader.bytes_uploaded", "uploader.files_uploaded", "mutable.files_published", "mutable.files_retrieved")  # fmt: skip


def use(grid: TahoeGrid) -> None:
    """Upload some files, make a directory and look into it."""
    for _ in range(FILES):
        grid.client.upload(os.urandom(FILE))
    directory = grid.client.make_directory()
    grid.client.tell(f"uri/{directory}?t=json")


def test_a_storage_node_is_reported_as_it_tells_itself(tahoe_grid: TahoeGrid) -> None:
    node = tahoe_grid.storage[0]
    said = check("--url", node.url, "-v")
    told = node.tell("statistics?t=json")["stats"]
    assert said.code == OK
    assert "storage node" in said.first
    assert {name: said.perfdata[name] for name in STEADY} == {name: told[key] for name, key in STEADY.items()}
    # Others write to this disk as well.
    for name in ("available", "used", "free"):
        assert 0 < said.perfdata[f"disk.{name}"] < told["storage_server.disk_total"]
    assert said.perfdata["disk.available"] <= said.perfdata["disk.free"]
    assert 0 < said.perfdata["uptime"] <= told["node.uptime"]
    assert (said.perfdata["servers.connected"], said.perfdata["introducers.connected"]) == (3, 1)
    assert not {"load.average", "load.peak", "storage.consumed", "storage.bytes_freed"} & set(said.perfdata)
    assert "not reported by this version: load.average, load.peak, storage.consumed, storage.bytes_freed" in said.text


def test_counters_are_the_nodes_own_and_rates_are_what_they_gained(tahoe_grid: TahoeGrid, tmp_path: Path) -> None:
    nodes = {tahoe_grid.storage[0]: COUNTED, tahoe_grid.client: {name: name for name in OF_A_CLIENT}}
    use(tahoe_grid)
    begin = time.monotonic()
    before = {node: check("--url", node.url, state=tmp_path) for node in nodes}
    between = time.monotonic()
    use(tahoe_grid)
    wait_until(lambda: time.monotonic() > between + 1, 5, "time for a rate")
    shortest = time.monotonic() - between
    after = {node: check("--url", node.url, state=tmp_path) for node in nodes}
    longest = time.monotonic() - begin
    for node, names in nodes.items():
        told, old, new = node.tell("statistics?t=json")["counters"], before[node].perfdata, after[node].perfdata
        assert (before[node].code, after[node].code) == (OK, OK)
        assert {name: new[name] for name in names} == {name: told[key] for name, key in names.items()}
        assert not [name for name in old if name.endswith("_per_second")]
        for name in names:
            assert shortest < (new[name] - old[name]) / new[f"{name}_per_second"] < longest, name
    client = after[tahoe_grid.client].perfdata
    gained = {name: client[name] - before[tahoe_grid.client].perfdata[name] for name in OF_A_CLIENT}
    assert gained["uploader.bytes_uploaded"] == FILES * FILE
    assert gained["uploader.files_uploaded"] == FILES
    assert gained["mutable.files_published"] == gained["mutable.files_retrieved"] == 1
    stored = after[tahoe_grid.storage[0]].perfdata
    # Three shares of every file on three servers, each as large as the file (shares.needed is 1).
    assert stored["storage.bytes_added"] - before[tahoe_grid.storage[0]].perfdata["storage.bytes_added"] > FILES * FILE
    stats = tahoe_grid.storage[0].tell("statistics?t=json")["stats"]
    assert stored["latency.allocate.mean"] == pytest.approx(stats["storage_server.latencies.allocate.mean"], abs=1e-6)


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (WARNING, "-w 0.0000001", "answered in"),
        (CRITICAL, "-c 0.0000001", "answered in"),
        (WARNING, "--space-warning 1000T:", "space left: "),
        (CRITICAL, "--space-critical .*=1000T:", "space left: "),
        (CRITICAL, "--space-percent-critical 100:", "space left: "),
        (CRITICAL, "--servers-critical 4:", "connected: 3"),
        (WARNING, "--shares-happy 3", "one less and uploads fail"),
        (CRITICAL, "--shares-happy 4", "uploads fail"),
        (WARNING, "--uptime-warning 100000:", "27.8 h)"),
        (CRITICAL, r"--latency-critical allocate\.mean=0.0000001", "allocate.mean"),
        (UNKNOWN, "--load-warning 1", "nothing to judge by --load-warning"),
    ],
)
def test_every_limit_is_judged(tahoe_grid: TahoeGrid, code: int, words: str, said: str) -> None:
    if "latency" in words:
        use(tahoe_grid)
    outcome = CHECK.run(["--url", tahoe_grid.storage[0].url, *words.split()])
    problem = outcome.text.partition(";")[0]
    assert (outcome.code, said in problem) == (code, True), problem


def test_all_limits_kept(tahoe_grid: TahoeGrid) -> None:
    use(tahoe_grid)
    limits = r"""
        -t 20 -w 9 -c 10 --space-warning 10K: --space-critical 1K: --space-percent-warning 0.001: --space-percent-critical 0:
        --servers-warning 3: --servers-critical 1: --shares-happy 2 --uptime-warning 0: --uptime-critical 0: --cpu-warning 1000
        --corrupt-critical 5 --latency-warning 60 --latency-critical write\.mean=60 --not-accepting-severity critical
        --introducer-severity critical --read-only nothing --ignore nothing -v"""
    said = check("--url", tahoe_grid.storage[0].url, *limits.split())
    assert said.code == OK, said.text


def test_a_gatherers_file_of_these_nodes(tahoe_grid: TahoeGrid, tmp_path: Path) -> None:
    """A gatherer writes down what /statistics tells (Tahoe-LAFS 1.12 to 1.15); one of the nodes has not been heard of for long."""
    file, nodes = tmp_path / "stats.json", {"a" * 32: tahoe_grid.storage[0], "b" * 32: tahoe_grid.client}

    def gather() -> None:
        found = {
            tubid: {"timestamp": time.time(), "nickname": node.name, "stats": node.tell("statistics?t=json")}
            for tubid, node in nodes.items()
        }
        found["c" * 32] = {**found["a" * 32], "timestamp": time.time() - 400, "nickname": "gone"}
        (tmp_path / "new").write_text(json.dumps(found), encoding="utf-8")
        (tmp_path / "new").replace(file)

    gather()
    check("--stats-json", str(file), state=tmp_path)
    begin = time.monotonic()
    use(tahoe_grid)
    wait_until(lambda: time.monotonic() > begin + 1, 5, "time for a rate")
    gather()
    said = check("--stats-json", str(file), "--max-output", "60000", state=tmp_path)
    assert (said.code, "gone_cccc" in said.first) == (WARNING, True)
    assert [name for name in said.perfdata if name.startswith("gone_cccc.")] == ["gone_cccc.age"]
    assert said.perfdata["gone_cccc.age"] >= 400
    assert said.perfdata["client_bbbb.uploader.files_uploaded_per_second"] > 0
    labels = {
        "storage1_aaaa": (tahoe_grid.storage[0], COUNTED),
        "client_bbbb": (tahoe_grid.client, {name: name for name in OF_A_CLIENT}),
    }
    for label, (node, names) in labels.items():
        told = node.tell("statistics?t=json")["counters"]
        assert {name: said.perfdata[f"{label}.{name}"] for name in names} == {
            name: told[key] for name, key in names.items()
        }


def test_a_client_has_no_storage_and_that_is_no_fault(tahoe_grid: TahoeGrid) -> None:
    said = check("--url", tahoe_grid.client.url, "-v", "--servers-critical", "3:", "--shares-happy", "2")
    assert said.code == OK
    assert "client" in said.first
    assert not [name for name in said.perfdata if name.startswith(("storage.", "disk.", "accepting"))]
    assert "storage.consumed" not in said.text


def test_an_introducer_is_recognised(tahoe_grid: TahoeGrid) -> None:
    said = check("--url", tahoe_grid.introducer.url)
    assert (said.code, "introducer" in said.first) == (OK, True)
    assert (said.perfdata["announced.storage"], said.perfdata["subscribed.storage"]) == (3, 4)


def test_a_restarted_node_has_no_rates_and_is_known_by_its_uptime(tahoe_grid: TahoeGrid, tmp_path: Path) -> None:
    node = tahoe_grid.storage[0]
    with repaired(tahoe_grid, node):
        use(tahoe_grid)
        assert check("--url", node.url, state=tmp_path).code == OK
        node.restart()
        tahoe_grid.wait_for_servers(one.name for one in tahoe_grid.storage)
        use(tahoe_grid)
        said = check("--url", node.url, "--uptime-warning", "600:", state=tmp_path)
        assert (said.code, "restarted" in said.first) == (WARNING, True)
        assert said.perfdata["uptime"] <= node.tell("statistics?t=json")["stats"]["node.uptime"]
        assert (
            said.perfdata["storage.bytes_added"]
            == node.tell("statistics?t=json")["counters"]["storage_server.bytes_added"]
        )
        assert not [name for name in said.perfdata if name.endswith("_per_second")]


def test_a_page_of_a_node_that_is_no_web_port(tahoe_grid: TahoeGrid) -> None:
    said = check("--url", f"{tahoe_grid.client.url}/uri/nothing/")
    assert (said.code, "web port" in said.first) == (CRITICAL, True)
