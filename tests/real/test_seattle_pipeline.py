"""A Seattle testbed watched as the generated configuration says, by a real Nagios: what its checks print is in Graphite, and one dead service is told
of once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.configuration import declared
from checks.configuration.objects import postfix
from checks.configuration.seattle import ROLES
from tests.real.monitoring import Shipping
from tests.real.seattle_site import SeattleSite
from tests.stack.daemon import wait_until

ASKED = {name for role in ROLES for name in (*role.direct, *role.nrpe)}
CHECKS = [
    check
    for check in declared.all_checks()
    if any(command.special and command.name in ASKED for command in check.commands)
]
# A new build leaves a folder on the builder's disk at each run: never by itself.
NOT_BY_ITSELF = {"time.build"}
# Restarts, and how long a lock is held, are known from the second run on.
TWICE = (("seattle", "check_seattle_processes_server"), ("clearinghouse", "check_seattle_processes_clearinghouse"))


@pytest.fixture(scope="module")
def site(make_stack_root: Callable[[str], Path], stack_user: str | None, shipping: Shipping) -> Iterator[SeattleSite]:
    """A healthy testbed whose every check has run once (some of them twice)."""
    site = SeattleSite(make_stack_root("seattle"), stack_user, shipping)
    try:
        site.start()
        site.run_each()
        begun = site.services()
        for one in TWICE:
            site.forced(*one)
        for one in TWICE:
            wait_until(
                lambda one=one: site.services()[one]["last_check"] != begun[one]["last_check"],
                30,
                f"a second run of {one}",
            )
        yield site
    finally:
        site.stop()


def printed(site: SeattleSite) -> dict[str, dict[str, float]]:
    """The perfdata of the last run of each service as Nagios has it: by host, then by postfix and label."""
    found: dict[str, dict[str, float]] = {}
    for (host, _), fields in site.services().items():
        begin = fields["_GRAPHITEPOSTFIX"].partition(";")[2]
        for label, value in re.findall(r"([^= ]+)=(-?[0-9.]+)", fields["performance_data"]):
            name = f"{begin}.{label}"
            assert name not in found.setdefault(host, {}), f"two services of {host} write {name}"
            found[host][name] = float(value)
    return found


def test_every_check_of_a_healthy_testbed_is_ok_from_the_monitoring_server_and_through_nrpe(site: SeattleSite) -> None:
    services = site.services()
    wrong = {key: fields["plugin_output"] for key, fields in services.items() if fields["current_state"] != "0"}
    assert wrong == {}
    names = {name for _, name in services}
    assert names >= {command.name for check in CHECKS for command in check.commands}
    assert names >= {"check_http", "check_ping", "check_nrpe", "check_disk"}
    asked = {(name, fields["check_command"].partition("!")[0]) for (_, name), fields in services.items()}
    for check in CHECKS:
        for command in check.commands:
            assert (command.name, "testbed-nrpe-tls") in asked
            assert not command.network or (command.name, f"testbed-{command.name}") in asked


def test_what_every_check_prints_is_in_graphite(site: SeattleSite) -> None:
    expected = printed(site)
    assert len(expected) > 7
    for host, values in expected.items():

        def stored(host: str = host, values: dict[str, float] = values) -> bool:
            there = site.stored(host)
            return all(there.get(name) == pytest.approx(value) for name, value in values.items())

        wait_until(stored, 40, f"what the checks of {host} printed is in Graphite")
    assert site.shipping.rejected() == ""


def test_every_metric_a_check_declares_is_among_it(site: SeattleSite) -> None:
    arrived = {name for values in printed(site).values() for name in values}
    for check in CHECKS:
        begin = "|".join(postfix(check, command) for command in check.commands)
        for measure in check.measures:
            if measure.label not in NOT_BY_ITSELF:
                label = re.sub(r"<[^>]+>", "[^.]+", measure.label.replace(".", r"\."))
                pattern = re.compile(rf"(?:{begin})\.{label}")
                assert any(pattern.fullmatch(name) for name in arrived), f"{check.name}: {measure.label}"
    assert {"http.time", "http.size", "icmp.rta", "icmp.pl"} <= arrived


MASTER = ("seattle", "check_advertise_server")
STATES = ("seattle", "check_advertise_server_states")
ZENODOTUS = ("zenodotus", "check_zenodotus")
ADVERTISED = ("node", "check_seattle_node_advertised")


def test_a_dead_advertise_server_is_told_once_and_zenodotus_when_it_alone_is_dead(site: SeattleSite) -> None:
    site.only(MASTER, STATES, ZENODOTUS, ADVERTISED)

    def of(service: tuple[str, str], field: str) -> str:
        return site.services()[service][field]

    begun = of(MASTER, "last_check")
    site.forced(*MASTER)
    wait_until(lambda: of(MASTER, "last_check") != begun, 30, "Nagios has seen the advertise server alive")
    assert site.notifications() == []
    # Nagios's next look at it is five minutes away (of its own): what depends on it is the first to notice.
    site.advertise.stop()
    for service in (STATES, ZENODOTUS, ADVERTISED):
        site.forced(*service)
    wait_until(lambda: (*MASTER, "CRITICAL") in site.notifications(), 60, "somebody is told")
    wait_until(lambda: of(ZENODOTUS, "state_type") == "1", 60, "Zenodotus is called broken for good")
    assert "0" not in {of(service, "current_state") for service in (ZENODOTUS, STATES, ADVERTISED)}
    assert site.notifications() == [(*MASTER, "CRITICAL")]

    site.zenodotus.stop()
    site.restart_advertise()
    site.forced(*MASTER)
    wait_until(lambda: of(MASTER, "current_state") == "0", 60, "the advertise server is back")
    for service in (STATES, ZENODOTUS, ADVERTISED):
        site.forced(*service)
    wait_until(lambda: (*ZENODOTUS, "CRITICAL") in site.notifications(), 60, "somebody is told of Zenodotus")
    wait_until(lambda: of(STATES, "current_state") == of(ADVERTISED, "current_state") == "0", 60, "the others are well")
    assert sorted(site.notifications()) == sorted([(*MASTER, "CRITICAL"), (*MASTER, "OK"), (*ZENODOTUS, "CRITICAL")])
