"""The wide road, from check_virt_stats through NRPE, graphios-tap and Nagios to Graphite: every metric, once, whole."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import expected, recordings
from tests.real.monitoring import MonitoringServer, Node, Output, Shipping, columns, differences, read_output
from tests.soak import count
from tests.stack import place
from tests.stack.daemon import wait_until
from tests.stack.libvirt import Libvirt

PARTS = 8
GUESTS = 500


def wait_for_runs(node: Node, commands: list[str], runs: int, seconds: float) -> None:
    wait_until(lambda: min(map(node.runs, commands)) >= runs, seconds, f"{runs} runs of each of {', '.join(commands)}")


def all_metrics(shipping: Shipping, host: str) -> dict[str, list[float]]:
    """Everything of a host, in several answers: one of 27,000 series takes a graphite-web more memory than it is worth."""
    patterns = [f"{role}*{last}" for number, role in enumerate(recordings.ROLES) for last in (number, number + 5)]
    found: dict[str, list[float]] = {}
    for pattern in (*patterns, "host", "images"):
        found |= shipping.metrics_of(host, pattern)
    return found


@pytest.fixture(scope="module")
def recording() -> dict[str, Any]:
    return recordings.make(GUESTS)


@pytest.fixture(scope="module")
def recorded_node(shipping: Shipping, recording: dict[str, Any]) -> Iterator[tuple[Node, list[str]]]:
    """A node with the recording in eight parts, under the names of the generated commands."""
    node = Node(shipping.root, shipping.user, "recorded")
    file = recordings.write(shipping.root / "guests.json", recording)
    place.give(file, shipping.user)
    commands = [f"check_virt_stats_{part}of{PARTS}" for part in range(1, PARTS + 1)]
    wide = ("--save-state", "--max-output", "60000", "--compress")
    for part, command in enumerate(commands, start=1):
        node.add(command, "check_virt_stats", "--replay", file, *wide, "--part", f"{part}/{PARTS}")
    node.nrpe.start()
    yield node, commands
    node.nrpe.stop()


def test_every_metric_of_500_recorded_guests_is_in_graphite_once_for_each_run_and_equal_to_the_recording(
    shipping: Shipping, recorded_node: tuple[Node, list[str]], recording: dict[str, Any]
) -> None:
    node, commands = recorded_node
    server = MonitoringServer(shipping.root, shipping.user, node, shipping.spool, count(6, 4), "nagios-recorded")
    server.add_host("recorded", "testbed-check_virt_stats_parts")
    server.start()
    wait_for_runs(node, commands, count(2, 1000 // PARTS), count(90, 1500))
    server.finish()
    outputs = {command: node.outputs(command) for command in commands}
    printed: dict[str, list[float]] = {}
    for command in commands:
        printed |= columns(outputs[command])
    shipping.wait_for_series("recorded", printed, 120)
    stored = all_metrics(shipping, "recorded")
    for command in commands:
        mine = columns(outputs[command]).keys()
        assert differences(outputs[command], {label: stored[label] for label in stored.keys() & mine}) == []
    assert stored.keys() <= printed.keys()

    for guest in recording["guests"]:
        for label, value in expected.metrics(guest["stats"], recording["time"]).items():
            found = stored[f"{guest['name']}.{label}"]
            assert all(expected.agrees(label, value, point) for point in found), f"{guest['name']}.{label}"
    assert shipping.rejected() == ""
    texts = [output.first for command in commands for output in outputs[command]]
    assert not [text for text in texts if "fit]" in text], "nothing was dropped"
    status = [server.status("recorded", command) for command in commands]
    assert all(fields["process_performance_data"] == "0" for fields in status)
    assert all(len(fields["plugin_output"] + fields["performance_data"]) < 4000 for fields in status)


@pytest.fixture(scope="module")
def twenty_guests(libvirt_host: Libvirt, linux_guest: str) -> Iterator[Libvirt]:
    """Twenty real guests: those of libvirt_host with a Linux, one with 8 NICs and 12 disks, one shut off, and plain ones."""
    extra = ["wide01", "off01", *(f"guest{number:02d}" for number in range(14))]
    libvirt_host.add_guest("wide01", nics=8, disks=12)
    libvirt_host.add_guest("off01", start=False)
    for name in extra[2:]:
        libvirt_host.add_guest(name)
    yield libvirt_host
    for name in extra:
        libvirt_host.remove_guest(name)


def test_every_metric_of_20_real_guests_is_in_graphite_once_for_each_run_as_it_was_printed(
    shipping: Shipping, twenty_guests: Libvirt
) -> None:
    # In a long run several hosts ask at once, so that it is not longer.
    hosts = [f"real{number}" for number in range(count(1, 8))]
    node = Node(shipping.root, shipping.user, "real")
    for host in hosts:
        wide = ("--save-state", "--max-output", "60000", "--compress")
        node.add(host, "check_virt_stats", "--uri", twenty_guests.uri_ro, *wide)
    node.nrpe.start()
    server = MonitoringServer(shipping.root, shipping.user, node, shipping.spool, 3, "nagios-real")
    for host in hosts:
        server.add_host(host)
        server.add_service(host, "testbed-check_virt_stats_all", "testbed-tap-nrpe-tls", host)
    server.start()
    wait_for_runs(node, hosts, count(4, 1000 // len(hosts)), count(60, 1500))
    server.finish()
    node.nrpe.stop()
    for host in hosts:
        outputs = node.outputs(host)
        printed = columns(outputs)
        shipping.wait_for_series(host, printed, 60)
        assert differences(outputs, shipping.metrics_of(host)) == []
        assert server.status(host, host)["process_performance_data"] == "0"
        assert len(printed["host.guests.total"]) == len(outputs)
        assert {output.perfdata["host.guests.total"] for output in outputs} == {20}
        assert {output.perfdata["host.guests.running"] for output in outputs} == {19}
        assert not [output.first for output in outputs if "fit]" in output.first], "nothing was dropped"
        assert all(f"wide01.block.vd{disk}.wr_bytes" in printed for disk in "abcdefghijkl")
        assert "linux01.balloon.used_percent" in printed
        if twenty_guests.taps:
            assert all(f"wide01.net.{nic}.rx_bytes" in printed for nic in range(8))
    assert shipping.rejected() == ""


def replayed(file: Path, *options: str) -> Output:
    check = [str(place.command("check_virt_stats")), "--replay", str(file), "--max-output", "16000000", *options]
    return read_output(subprocess.run(check, capture_output=True, text=True, check=False).stdout)


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_parts_have_together_the_metrics_and_values_of_the_whole_and_each_only_once(
    tmp_path: Path, recording: dict[str, Any], parts: int
) -> None:
    file = recordings.write(tmp_path / "guests.json", recording)
    whole = replayed(file).perfdata
    together: dict[str, float] = {}
    for part in range(1, parts + 1):
        perfdata = replayed(file, "--part", f"{part}/{parts}").perfdata
        assert not together.keys() & perfdata.keys()
        assert part == 1 or not [label for label in perfdata if label.startswith(("host.", "images."))]
        together |= perfdata
    assert together == whole
    assert len([label for label in whole if label.endswith(".state.state")]) == GUESTS


def test_what_does_not_fit_even_compressed_is_counted_in_the_text_nagios_shows_and_the_rest_is_whole_in_graphite(
    shipping: Shipping, recording: dict[str, Any]
) -> None:
    node = Node(shipping.root, shipping.user, "tight")
    file = recordings.write(shipping.root / "tight.json", recording)
    place.give(file, shipping.user)
    node.add("tight", "check_virt_stats", "--replay", file, "--max-output", "20000", "--compress")
    node.nrpe.start()
    server = MonitoringServer(shipping.root, shipping.user, node, shipping.spool, 3, "nagios-tight")
    server.add_host("tight")
    server.add_service("tight", "testbed-check_virt_stats_all", "testbed-tap-nrpe-tls", "tight")
    server.start()
    wait_for_runs(node, ["tight"], 1, 30)
    server.finish()
    node.nrpe.stop()
    outputs = node.outputs("tight")
    printed = columns(outputs)
    shipping.wait_for_series("tight", printed, 60)
    assert differences(outputs, all_metrics(shipping, "tight")) == []
    whole = replayed(file).perfdata
    assert 1000 < len(printed) < len(whole)
    assert all(whole[label] == value for label, (value, *_) in printed.items())
    assert f"[{len(printed)} of {len(whole)} metrics fit]" in server.status("tight", "tight")["plugin_output"]
    assert all(f"{guest['name']}.state.state" in printed for guest in recording["guests"]), "essentials of every guest"
