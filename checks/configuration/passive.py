"""Nagios's side of machines whose engine runs the checks and hands their states on: passive services, which turn UNKNOWN when nothing comes."""

from __future__ import annotations

from collections.abc import Sequence

from checks.configuration.nrpe import on_every_node
from checks.configuration.objects import define
from checks.configuration.settings import Settings, header
from checks.engine.figures import FIGURES_NAME
from checks.plugin import Check

ROOM = "nagios"
_TEMPLATE = "testbed-passive-service"
_MISSED = 5
"""Intervals without a result after which a service is stale."""


def example(checks: Sequence[Check], settings: Settings) -> str:
    """Return a host and its services: one for each command that the engine runs on every node, and the engine's own."""
    names = [command.name for check in checks for command in on_every_node(check)]
    intervals = [max(settings.interval, command.interval) for check in checks for command in on_every_node(check)]
    stale = _MISSED * max([settings.interval, *intervals])
    host = {
        "use": "testbed-host",
        "host_name": "node2",
        "alias": "a machine whose engine hands its states on",
        "address": "192.0.2.12",
        "active_checks_enabled": 0,
        "passive_checks_enabled": 1,
    }
    template = {
        "name": _TEMPLATE,
        "use": "testbed-service",
        "register": 0,
        "active_checks_enabled": 0,
        "passive_checks_enabled": 1,
        "check_freshness": 1,
        "freshness_threshold": stale,
        "check_command": "testbed-no-result",
        "max_check_attempts": 1,
        "process_perf_data": 0,
    }
    command = {
        "command_name": "testbed-no-result",
        "command_line": f"$USER1$/check_dummy 3 'no result within {stale} seconds'",
    }
    services = [
        define("service", {"use": _TEMPLATE, "host_name": "node2", "service_description": name})
        for name in [*names, FIGURES_NAME]
    ]
    return "\n".join(
        (
            header(
                ROOM,
                settings,
                "A host without NRPE: `testbed-checks serve --submit` on it hands in the states of its commands, by nsca-ng for example.",
                "A service is called like the command there; `engine` is the engine itself. Save it under a name of your own, with your own host.",
                "The perfdata is meant to go its own road (serve --spool, and graphios there); without --spool Nagios gets what fits, and",
                "process_perf_data 1 makes metrics of it.",
            ),
            define("command", command),
            define("service", template),
            define("host", host),
            *services,
        )
    )
