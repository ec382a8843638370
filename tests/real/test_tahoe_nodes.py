"""check_tahoe on the nodes of a real grid, one by one: storage node, client and introducer; busy and restarted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.real.seattle_drill import CRITICAL, OK, UNKNOWN, WARNING
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
    before = {node: check("--url", node.url, state=tmp_path) for node in nodes}
    begin = time.monotonic()
    use(tahoe_grid)
    wait_until(lambda: time.monotonic() > begin + 1, 5, "time for a rate")
    after = {node: check("--url", node.url, state=tmp_path) for node in nodes}
    for node, names in nodes.items():
        told, old, new = node.tell("statistics?t=json")["counters"], before[node].perfdata, after[node].perfdata
        assert (before[node].code, after[node].code) == (OK, OK)
        assert {name: new[name] for name in names} == {name: told[key] for name, key in names.items()}
        assert not [name for name in old if name.endswith("_per_second")]
        elapsed = new["uptime"] - old["uptime"]
        for name in names:
            assert new[f"{name}_per_second"] * elapsed == pytest.approx(new[name] - old[name], rel=0.01), name
    client = after[tahoe_grid.client].perfdata
    gained = {name: client[name] - before[tahoe_grid.client].perfdata[name] for name in OF_A_CLIENT}
    assert gained["uploader.bytes_uploaded"] == FILES * FILE
    assert gained["uploader.files_uploaded"] == FILES
    assert gained["mutable.files_published"] == gained["mutable.files_retrieved"] == 1
    stored = after[tahoe_grid.storage[0]].perfdata
    # Three shares of every file on three servers, each as large as the file (shares.needed is 1).
    assert stored["storage.bytes_added"] - before[tahoe_grid.storage[0]].perfdata["storage.bytes_added"] > FILES * FILE
    assert 0 < stored["latency.allocate.mean"] < 5


def test_latencies_are_judged_by_operation_and_statistic(tahoe_grid: TahoeGrid) -> None:
    use(tahoe_grid)
    url = tahoe_grid.storage[0].url
    said = check("--url", url, "--latency-critical", r"allocate\.mean=0:0.0000001")
    assert said.code == CRITICAL
    assert "allocate.mean" in said.first
    assert check("--url", url, "--latency-critical", r"allocate\.mean=0:60").code == OK


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
        assert said.perfdata["uptime"] < 60
        assert (
            said.perfdata["storage.bytes_added"]
            == node.tell("statistics?t=json")["counters"]["storage_server.bytes_added"]
        )
        assert not [name for name in said.perfdata if name.endswith("_per_second")]


def test_what_is_no_node_is_critical_and_what_can_not_be_asked_unknown(tahoe_grid: TahoeGrid) -> None:
    said = check("--url", f"{tahoe_grid.client.url}/uri/nothing/")
    assert (said.code, "web port" in said.first) == (CRITICAL, True)
    said = check("--url", "http://no-such-host.invalid:3456")
    assert said.code == UNKNOWN
    assert "no-such-host.invalid" in said.first
