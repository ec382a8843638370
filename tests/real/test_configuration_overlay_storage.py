"""Overlays and a Tahoe-LAFS grid watched as the generated configuration says: a real Nagios asks a real NRPE for each command, and what each check
prints is in Graphite.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from checks import check_ipop_links, check_tahoe
from checks.configuration.objects import group, postfix
from checks.plugin import Check
from tests.ipop.tincan import Tincan
from tests.real.monitoring import PREFIX, MonitoringServer, Node, Shipping, differences
from tests.real.overlay_site import Sources
from tests.stack.daemon import StackError, wait_until
from tests.stack.tahoe import TahoeGrid

HOST = "overlay"
CHECKS = (check_ipop_links.CHECK, check_tahoe.CHECK)
POSTFIXES = {command.name: postfix(check, command) for check in CHECKS for command in check.commands}
HOUR = 3600
# A storage node first counts its shares six minutes after its start.
NOT_SO_SOON = "shares."
# Each waits for a condition; on an idle machine each is there after a second or two.
PATIENCE = 90


class Site(NamedTuple):
    """A monitored host that is everything at once, each service of which has run twice."""

    sources: Sources
    grid: TahoeGrid
    node: Node
    server: MonitoringServer
    shipping: Shipping

    def run(self, *commands: str) -> None:
        """Has Nagios run these services, and waits until it knows what they say."""
        before = {command: self.server.status(HOST, command).get("last_check") for command in commands}
        runs = {command: self.node.runs(command) for command in commands}
        for command in commands:
            self.server.nagios.submit(f"SCHEDULE_FORCED_SVC_CHECK;{HOST};{command};{int(time.time())}")

        def known() -> bool:
            return all(
                self.node.runs(command) > runs[command]
                and self.server.status(HOST, command).get("last_check") != before[command]
                for command in commands
            )

        wait_until(known, PATIENCE, f"Nagios has a new result of {', '.join(commands)}")

    def wrong(self, command: str) -> list[str]:
        """Where Graphite does not have exactly what the runs of a command printed."""
        begin = f"{PREFIX}.{HOST}.{POSTFIXES[command]}."
        found = self.shipping.values(f"group({','.join(begin + '.'.join('*' * depth) for depth in range(1, 5))})")
        return differences(
            self.node.outputs(command), {name.removeprefix(begin): values for name, values in found.items()}
        )

    def under_way(self) -> bool:
        """Whether perfdata is still between Nagios and carbon."""
        folder = self.server.nagios.folder
        # In the order in which it moves on.
        with suppress(FileNotFoundError):
            if (folder / "service-perfdata").stat().st_size:
                return True
        return bool(list(folder.glob(".claimed.*"))) or any(self.shipping.spool.iterdir())

    def wait_for_points(self) -> None:
        """Waits until Graphite has what all runs printed. Raises StackError, which says what is missing."""
        waiting = set(POSTFIXES)

        def arrived() -> bool:
            if self.under_way():
                return False
            waiting.difference_update([command for command in waiting if not self.wrong(command)])
            return not waiting

        try:
            wait_until(arrived, PATIENCE, "all points are in Graphite")
        except StackError as error:
            raise StackError(f"{error}: { {command: self.wrong(command) for command in waiting} }") from error


@pytest.fixture(scope="module")
def site(
    make_stack_root: Callable[[str], Path], stack_user: str | None, shipping: Shipping, tahoe_grid: TahoeGrid
) -> Iterator[Site]:
    """Healthy; Nagios runs nothing by itself any more."""
    root = make_stack_root("overlay")
    with ExitStack() as ending:
        sources = ending.enter_context(Sources(root / "sources"))
        tincan = ending.enter_context(Tincan())
        node = Node(root, stack_user, HOST)
        ending.callback(node.nrpe.stop)
        add_commands(node, sources, tincan, tahoe_grid)
        node.nrpe.start()
        server = MonitoringServer(root, stack_user, node, shipping.spool, HOUR, "nagios")
        ending.callback(server.nagios.stop)
        server.add_host(HOST, ",".join(map(group, POSTFIXES)))
        use(tahoe_grid)
        server.start()
        first = lambda: all(server.status(HOST, command) for command in POSTFIXES)  # noqa: E731
        wait_until(first, PATIENCE, "every service has run once")
        site = Site(sources, tahoe_grid, node, server, shipping)
        # Graphite keeps one point a second: the first ones are there before there are others.
        site.wait_for_points()
        use(tahoe_grid)
        site.run(*POSTFIXES)
        yield site


def use(grid: TahoeGrid) -> None:
    """So much is done with the grid that its nodes report every kind of figure."""
    capabilities = [grid.client.upload(b"%d" % number * 20_000) for number in range(4)]
    for capability in capabilities:
        grid.client.download(capability)
    grid.client.make_directory()


def add_commands(node: Node, sources: Sources, tincan: Tincan, grid: TahoeGrid) -> None:
    """Gives NRPE every command as it is declared; only where to look is another place here."""
    folder = sources.folder
    # How full the disk of this machine is, is nobody's business here.
    any_disk = "--space-percent-warning= --space-percent-critical="
    places = {
        "check_ipop_links_stats": f"--stats-dir {folder}/ganglia",
        "check_ipop_links_tincan": f"--tincan 127.0.0.1:{tincan.port}",
        "check_ipop_links_controller": f"--controller-json {folder}/controller.json --sysfs {folder}/sys",
        "check_tahoe_storage": f"--url {grid.storage[0].url} {any_disk}",
        "check_tahoe_client": f"--url {grid.client.url}",
        "check_tahoe_introducer": f"--url {grid.introducer.url}",
        "check_tahoe_grid": f"--url {grid.client.url}",
        "check_tahoe_gatherer": f"--stats-json {folder}/stats.json",
    }
    for check in CHECKS:
        for command in check.commands:
            line = command.arguments.replace("http://127.0.0.1:5000/", f"http://127.0.0.1:{sources.port}/")
            node.add(command.name, check.name, *shlex.split(f"{line} {places.get(command.name, '')}"))


def declared_but_not_printed(site: Site, check: Check) -> set[str]:
    """Labels that no run of a check has printed, for one node or, in a gatherer's file, below the node's name."""
    outputs = [output for command in check.commands for output in site.node.outputs(command.name)]
    printed = {label for output in outputs for label in output.perfdata}
    patterns = {
        measure.label: re.sub("<[^>]+>", "[^.]+", measure.label.replace(".", r"\.")) for measure in check.measures
    }
    return {
        label
        for label, pattern in patterns.items()
        if not any(re.fullmatch(rf"([^.]+\.)?{pattern}", one) for one in printed)
    }


def test_every_service_of_a_healthy_overlay_and_grid_is_ok_in_nagios(site: Site) -> None:
    known = {command: site.server.status(HOST, command) for command in POSTFIXES}
    wrong = {command: fields["plugin_output"] for command, fields in known.items() if fields["current_state"] != "0"}
    assert wrong == {}
    asked = {command: fields["check_command"] for command, fields in known.items()}
    tapped = {command.name for check in CHECKS for command in check.commands if command.tap}
    assert asked == {
        command: f"testbed-{'tap-' if command in tapped else ''}nrpe-tls!{command}" for command in POSTFIXES
    }


def test_what_each_check_prints_is_in_graphite_as_printed_and_every_metric_it_declares_is_among_it(site: Site) -> None:
    site.wait_for_points()
    assert site.shipping.rejected() == ""
    for check in CHECKS:
        missing = declared_but_not_printed(site, check)
        assert [label for label in missing if not label.startswith(NOT_SO_SOON)] == []
    # More than Nagios takes: it went past it.
    assert len(site.node.outputs("check_ipop_links_overlay")[-1].perfdata) > 200


def test_a_controller_that_writes_no_more_is_critical_and_a_lost_storage_server_is_a_warning(site: Site) -> None:
    site.sources.die()
    for path in (site.sources.folder / "ganglia").iterdir():
        before = path.stat().st_mtime - 600
        os.utime(path, (before, before))
    lost, *others = site.grid.storage
    expected = {"check_ipop_links_stats": "2", "check_tahoe_grid": "1", "check_tahoe_storage": "2"}
    lost.kill()
    try:
        site.grid.wait_for_servers(node.name for node in others)
        site.run(*expected)
    finally:
        lost.start()
        site.grid.wait_for_servers(node.name for node in site.grid.storage)
    told = {command: site.server.status(HOST, command) for command in expected}
    assert {command: fields["current_state"] for command, fields in told.items()} == expected, told
    assert site.node.outputs("check_ipop_links_stats")[-1].perfdata["links.active"] == 0
    assert lost.name in told["check_tahoe_grid"]["plugin_output"]
