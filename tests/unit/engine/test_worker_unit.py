"""The worker under systemd: what its unit file asks for is what the program takes."""

import argparse
import configparser
import shlex

from checks.configuration.settings import DEFAULTS
from checks.configuration.worker_unit import worker_unit
from checks.engine.worker import command
from checks.engine.worker.broker import Settings


def service(**settings: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(worker_unit(DEFAULTS._replace(**settings)))
    return parser["Service"]


def test_the_program_takes_its_command_line() -> None:
    program, subcommand, *words = shlex.split(service(bindir="/opt/x/bin", spool="/srv/spool")["ExecStart"])
    parser = argparse.ArgumentParser()
    command.add(parser)
    opts = parser.parse_args(words)
    assert (program, subcommand) == ("/opt/x/bin/testbed-checks", "worker")
    assert (opts.plugin, str(opts.spool), str(opts.nagios_cfg)) == (
        ["check_nrpe"],
        "/srv/spool",
        "/etc/nagios4/nagios.cfg",
    )


def test_systemd_waits_for_the_checks_that_run_and_keeps_what_a_killed_broker_needs() -> None:
    unit = service()
    assert (unit["Type"], unit["NotifyAccess"], unit["KillMode"]) == ("notify", "main", "mixed")
    assert int(unit["TimeoutStopSec"]) > Settings._field_defaults["stop_seconds"]
    assert (unit["RuntimeDirectoryPreserve"], unit["Restart"]) == ("restart", "always")
    assert int(unit["FileDescriptorStoreMax"]) > 0


def test_a_plugin_may_do_what_it_may_do_as_a_child_of_nagios() -> None:
    unit = service()
    assert unit["User"] == "nagios"
    forbidding = ("NoNewPrivileges", "Protect", "Private", "Restrict", "Capability", "SystemCall", "ReadOnly", "Memory")
    assert [name for name in unit if name.startswith(forbidding)] == []
