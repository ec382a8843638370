"""What an operator sees in Nagios and what reaches Graphite when a part of the pipeline fails and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.real.monitoring import MonitoringServer, Node, Output, Shipping, columns, differences
from tests.stack.daemon import wait_until
from tests.stack.libvirt import Libvirt

HOST = SERVICE = "failing"


class Road(NamedTuple):
    """A host in Nagios, checked every three seconds, and everything its points pass."""

    libvirt: Libvirt
    node: Node
    server: MonitoringServer
    shipping: Shipping

    def status(self) -> dict[str, str]:
        return self.server.status(HOST, SERVICE)

    def wait_for_status(self, state: int, word: str) -> str:
        """What Nagios shows, as soon as its state is `state` and the text holds `word`."""

        def shown() -> str:
            status = self.status()
            text = status.get("plugin_output", "")
            return text if status.get("current_state") == str(state) and word in text else ""

        return wait_until(shown, 40, f"state {state} and {word!r} in Nagios")

    def wait_for_new_runs(self, number: int = 2) -> list[Output]:
        """What whole runs that began after this call printed."""
        begun = self.node.runs(SERVICE) + 1
        wait_until(lambda: self.node.runs(SERVICE) >= begun + number, 40, f"{number} more runs of the check")
        return self.node.outputs(SERVICE)[begun:]

    def missing(self) -> list[str]:
        """What was printed and is not in Graphite."""
        stored = self.shipping.metrics_of(HOST)
        return differences(self.node.outputs(SERVICE), stored)

    def wait_until_nothing_is_missing(self) -> None:
        """Waits until every run's every value is in Graphite, once; runs go on meanwhile."""
        wait_until(lambda: not self.missing(), 40, f"all points in Graphite ({self.missing()})")


@pytest.fixture(scope="module")
def road(shipping: Shipping, libvirt_host: Libvirt) -> Iterator[Road]:
    node = Node(shipping.root, shipping.user, "failing")
    wide = ("--save-state", "--max-output", "60000", "--compress", "-t", "5")
    node.add(SERVICE, "check_virt_stats", "--uri", libvirt_host.uri_ro, *wide)
    node.nrpe.start()
    server = MonitoringServer(shipping.root, shipping.user, node, shipping.spool, 3, "nagios-failing")
    server.add_host(HOST)
    server.add_service(HOST, "testbed-check_virt_stats_all", "testbed-tap-nrpe-tls", SERVICE)
    server.start()
    yield Road(libvirt_host, node, server, shipping)
    server.nagios.stop()
    node.nrpe.stop()


@pytest.fixture(autouse=True)
def all_is_well(road: Road) -> None:
    """Each test begins with a pipeline that works."""
    road.wait_for_status(0, "guests running")
    road.wait_until_nothing_is_missing()


def test_with_nrpe_down_nagios_says_that_the_connection_is_refused_and_points_go_on_when_it_is_back(road: Road) -> None:
    road.node.nrpe.stop()
    # These are check_nrpe's own words; it writes them to standard error.
    shown = road.wait_for_status(3, "Connection refused")
    assert "Traceback" not in shown
    road.node.nrpe.start()
    road.wait_for_status(0, "guests running")
    road.wait_for_new_runs(1)
    road.wait_until_nothing_is_missing()


def test_with_libvirtd_stopped_nagios_shows_one_unknown_line_that_names_it_before_any_timeout_of_nrpe(
    road: Road,
) -> None:
    assert road.libvirt.daemon
    road.libvirt.daemon.pause()
    try:
        shown = road.wait_for_status(3, "libvirt")
    finally:
        road.libvirt.daemon.resume()
    assert shown.startswith("VIRT_STATS UNKNOWN")
    assert road.status()["long_plugin_output"] == ""
    assert "NRPE" not in shown
    assert "Socket timeout" not in shown
    road.wait_for_status(0, "guests running")


def test_one_stuck_qemu_is_named_in_nagios_and_the_points_of_all_other_guests_still_arrive(road: Road) -> None:
    road.libvirt.pause_qemu("db01")
    try:
        shown = road.wait_for_status(2, "db01")
        road.wait_for_status(2, "db01 is stuck")
        outputs = road.wait_for_new_runs()
        for output in outputs:
            for label in ("cpu.time", "balloon.rss", "block.vda.wr_bytes"):
                assert f"web01.{label}" in output.perfdata
                assert f"plain.{label}" in output.perfdata
                assert f"db01.{label}" not in output.perfdata
            assert output.perfdata["host.guests.stuck"] == 1
        road.wait_until_nothing_is_missing()
    finally:
        road.libvirt.resume_qemu("db01")
    assert "db01 is stuck" in shown
    road.wait_for_status(0, "guests running")
    assert "db01.balloon.rss" in road.wait_for_new_runs(1)[-1].perfdata


def test_nothing_is_lost_when_graphios_is_killed_with_a_full_spool_and_started_again(road: Road) -> None:
    assert road.shipping.graphios
    road.shipping.graphios.kill()
    road.wait_for_new_runs(3)
    assert len(list(road.shipping.spool.iterdir())) >= 3
    road.shipping.start_graphios()
    road.wait_until_nothing_is_missing()


def test_nothing_is_lost_when_graphios_is_killed_again_and_again_while_it_ships(road: Road) -> None:
    for moment in (0.0, 0.1, 0.2, 0.4, 0.8):
        graphios = road.shipping.graphios
        assert graphios
        # Held until there is something to ship, and killed at another moment of shipping it each time.
        graphios.pause()
        wait_until(lambda: any(road.shipping.spool.iterdir()), 40, "a spool file")
        graphios.resume()
        time.sleep(moment)
        graphios.kill()
        road.shipping.start_graphios()
    road.wait_until_nothing_is_missing()


# The last, as what carbon had in memory is gone with it.
def test_points_made_while_carbon_is_dead_arrive_when_it_is_back(road: Road) -> None:
    road.shipping.carbon.kill()
    killed = time.time()
    outputs = road.wait_for_new_runs(3)
    assert any(road.shipping.spool.iterdir())
    road.shipping.carbon.start()
    wanted = columns(outputs)

    def arrived() -> bool:
        stored = road.shipping.metrics_of(HOST, seconds=int(time.time() - killed) + 2)
        return all(set(values) <= set(stored.get(label, ())) for label, values in wanted.items())

    wait_until(arrived, 40, "the points that were made meanwhile")
