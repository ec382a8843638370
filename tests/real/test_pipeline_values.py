"""The value in Graphite is the value libvirt reports: for guests of every kind, through NRPE with TLS, the tap, Nagios and graphios."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests import expected
from tests.real.monitoring import MonitoringServer, Node, Shipping
from tests.stack.daemon import wait_until
from tests.stack.libvirt import Libvirt

# Names, and the first level of their labels: cleaned, and eight digits of the SHA-256 of the raw name.
ODD_NAMES = {
    "a guest with blanks": "a_guest_with_blanks_220572cc",
    "v1.2.db": "v1_2_db_f7e8849e",
    'it\'s "quoted"': "it_s__quoted__0405a293",
    "Überwachung-Zürich": "berwachung-Z_rich_8f2bc1e0",
    "_hidden": "hidden_7a1f9c09",
    "東京": "130016b2",
    "<b>&|;$x": "b_____x_7cfd5d47",
}


# What takes two runs, and is not there in each.
RATES = {"cpu.percent", "vcpu.steal_percent", "block.vda.rd_latency", "block.vda.wr_latency"}
Statistics = dict[str, dict[str, Any]]
"""libvirt's keys and values by guest."""
Points = dict[str, float]
Readings = tuple[Statistics, Points, Statistics]


class Road(NamedTuple):
    """A host in Nagios whose points come from `libvirt`."""

    libvirt: Libvirt
    node: Node
    server: MonitoringServer
    shipping: Shipping

    def statistics(self) -> Statistics:
        """What libvirt reports of every guest, by name."""
        with self.libvirt.connection() as connection:
            return {domain.name(): stats for domain, stats in connection.getAllDomainStats()}

    def points_between(self) -> Readings:
        """Libvirt's statistics, the points of one whole run after them, and the statistics after that run."""
        before = self.statistics()
        begun = self.node.runs("values")
        # The run that was under way may have read before us; the one after it has not.
        wait_until(lambda: self.node.runs("values") >= begun + 2, 30, "two runs of the check")
        after = self.statistics()
        last = self.node.outputs("values")[begun + 1].perfdata

        def stored() -> Points:
            found = self.shipping.metrics_of("values")
            always = {label: values[begun + 1] for label, values in found.items() if len(values) > begun + 1}
            return always if {label for label in last if label.partition(".")[2] not in RATES} <= always.keys() else {}

        return before, wait_until(stored, 30, "the points of that run in Graphite"), after


@pytest.fixture(scope="module")
def road(shipping: Shipping, libvirt_host: Libvirt, linux_guest: str) -> Iterator[Road]:
    """Guests of every kind, a run every three seconds. The Linux guest is paused, so that its memory stands still."""
    added = ["off01", *ODD_NAMES]
    for name in added:
        libvirt_host.add_guest(name, start=name != "off01")
    with libvirt_host.connection() as connection:
        connection.lookupByName(linux_guest).suspend()
    node = Node(shipping.root, shipping.user, "values")
    wide = ("--save-state", "--max-output", "60000", "--compress")
    node.add("values", "check_virt_stats", "--uri", libvirt_host.uri_ro, *wide)
    node.nrpe.start()
    server = MonitoringServer(shipping.root, shipping.user, node, shipping.spool, 3, "nagios-values")
    server.add_host("values")
    server.add_service("values", "testbed-check_virt_stats_all", "testbed-tap-nrpe-tls", "values")
    server.start()
    yield Road(libvirt_host, node, server, shipping)
    server.finish()
    node.nrpe.stop()
    with libvirt_host.connection() as connection:
        connection.lookupByName(linux_guest).resume()
    for name in added:
        libvirt_host.remove_guest(name)


@pytest.fixture(scope="module")
def readings(road: Road) -> Readings:
    """One run, and what libvirt reported before and after it."""
    return road.points_between()


KINDS = {
    "web01": "two-vcpus-nics-and-disks",
    "db01": "boot-sector",
    "plain": "no-balloon",
    "linux01": "linux-with-balloon",
    "off01": "shut-off",
}


@pytest.mark.parametrize("name", [*KINDS, *ODD_NAMES], ids=[*KINDS.values(), *ODD_NAMES])
def test_each_value_in_graphite_is_what_libvirt_reports_or_between_its_reports_before_and_after(
    readings: Readings, name: str
) -> None:
    before, points, after = readings
    moment = time.time()
    low, high = expected.metrics(before[name], moment), expected.metrics(after[name], moment)
    guest = expected.guest_label(name)
    assert low.keys() == high.keys()
    for label in low:
        point = points[f"{guest}.{label}"]
        smaller, larger = sorted((low[label], high[label]))
        near = expected.agrees(label, smaller, point) or expected.agrees(label, larger, point)
        assert smaller <= point <= larger or near, f"{label}: {point} is not between {smaller} and {larger}"
    mine = {label.removeprefix(f"{guest}.") for label in points if label.startswith(f"{guest}.")}
    assert mine - low.keys() <= RATES | {"balloon.last_update_age"}, "libvirt reports no more than this"
    assert name == "off01" or len(low) > 25
    assert (low["state.state"], "balloon.usable" in low) == ({"off01": 5, "linux01": 3}.get(name, 1), name == "linux01")


def test_the_guests_work_between_both_readings_so_that_equal_values_mean_something(
    readings: Readings,
) -> None:
    before, _, after = readings
    for key in ("block.0.wr.bytes", "block.0.rd.reqs", "cpu.time"):
        assert before["web01"][key] < after["web01"][key]


def test_the_hosts_own_figures_in_graphite_are_those_of_all_its_guests(readings: Readings) -> None:
    before, points, _ = readings
    states = [stats["state.state"] for stats in before.values()]
    assert points["host.guests.total"] == len(before)
    assert points["host.guests.running"] == states.count(1)
    assert points["host.guests.paused"] == 1
    assert points["host.guests.shutoff"] == 1
    active = [stats for stats in before.values() if stats["state.state"] != 5]
    assert points["host.vcpu.allocated"] == sum(stats["vcpu.current"] for stats in active)
    assert points["host.memory.allocated"] == 1024 * sum(stats["balloon.maximum"] for stats in active)


def test_guests_with_blanks_dots_quotes_or_letters_beyond_ascii_have_one_level_in_graphite_named_as_documented(
    readings: Readings,
) -> None:
    _, points, _ = readings
    assert {label.split(".")[0] for label in points if label.endswith(".state.state")} == {
        *KINDS,
        *ODD_NAMES.values(),
    }
