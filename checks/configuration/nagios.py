"""The monitoring server's side: commands, templates, a file with template, hostgroup and services for each check, and the perfdata spool.

Directives: Nagios Core 4's object definitions and main configuration, on top of the objects that Debian's nagios4 (and Nagios's own sample)
define: generic-host, generic-service, admins, 24x7, check-host-alive. No name of theirs is defined again, which would stop Nagios.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from checks.configuration import passive, seattle_nagios
from checks.configuration.declared import about, parts, splits
from checks.configuration.objects import define, group, minutes, postfix, retry_seconds
from checks.configuration.settings import Settings, header
from checks.configuration.unit import unit
from checks.configuration.worker_unit import worker_unit
from checks.plugin import Check, Command

ROOM = "nagios"
CHECK_NRPE_TIMEOUT = 20
SERVICE_CHECK_TIMEOUT = 60
PROCESSING_SECONDS = 15
# Of Debian's generic-service.
_NOTIFICATION_INTERVAL = 3600
_TLS_DIR = "/etc/nagios4/tls"

# A tab ends a field and plugins can print one, so what they print comes last.
_FIELDS = ("TIMET::$TIMET$", "HOSTNAME::$HOSTNAME$")
_SERVICE_FIELDS = (
    "DATATYPE::SERVICEPERFDATA",
    *_FIELDS,
    "SERVICEDESC::$SERVICEDESC$",
    "SERVICECHECKCOMMAND::$SERVICECHECKCOMMAND$",
    "SERVICESTATE::$SERVICESTATE$",
    "SERVICESTATETYPE::$SERVICESTATETYPE$",
    "GRAPHITEPREFIX::$_SERVICEGRAPHITEPREFIX$",
    "GRAPHITEPOSTFIX::$_SERVICEGRAPHITEPOSTFIX$",
    "SERVICEPERFDATA::$SERVICEPERFDATA$",
)
_HOST_FIELDS = (
    "DATATYPE::HOSTPERFDATA",
    *_FIELDS,
    "HOSTCHECKCOMMAND::$HOSTCHECKCOMMAND$",
    "HOSTSTATE::$HOSTSTATE$",
    "HOSTSTATETYPE::$HOSTSTATETYPE$",
    "GRAPHITEPREFIX::$_HOSTGRAPHITEPREFIX$",
    "GRAPHITEPOSTFIX::$_HOSTGRAPHITEPOSTFIX$",
    "HOSTPERFDATA::$HOSTPERFDATA$",
)


def files(checks: Sequence[Check], settings: Settings) -> dict[str, str]:
    """Return the files of the folder nagios-config/."""
    found = {"commands.cfg": _commands(settings), "templates.cfg": _templates(settings)}
    found |= {f"{check.name}.cfg": _services(check, settings) for check in checks}
    found["main/testbed-checks.cfg"] = _main(settings)
    found["examples/hosts.cfg"] = _examples(checks, settings)
    found["examples/passive.cfg"] = passive.example(checks, settings)
    found["graphios.service"] = unit(settings)
    found["testbed-checks-worker.service"] = worker_unit(settings)
    return found | seattle_nagios.files(
        checks, settings, {command.name: asked(command, settings) for check in checks for command in check.commands}
    )


def _commands(settings: Settings) -> str:
    folder = settings.tls_dir or _TLS_DIR
    port = f"-p {settings.nrpe_port} " if settings.nrpe_port != 5666 else ""
    tap = (
        f"{settings.bindir}/graphios-tap --spool {settings.spool} --host '$HOSTNAME$' --service '$SERVICEDESC$' "
        "--prefix '$_SERVICEGRAPHITEPREFIX$' --postfix '$_SERVICEGRAPHITEPOSTFIX$' -- "
    )
    blocks = [
        header(
            ROOM,
            settings,
            "How Nagios asks NRPE, with or without certificates, directly or through graphios-tap, and how perfdata goes to graphios.",
            f"-t {CHECK_NRPE_TIMEOUT}:3 is longer than NRPE's command_timeout, and a timeout is UNKNOWN: it is not known whether anything is broken.",
            "Names given by you (hosts, services, prefixes) stand in quotes, for the shell that runs these lines.",
        )
    ]
    for suffix, options in (("", ""), ("-tls", f"-A {folder}/ca.pem -C {folder}/server.pem -K {folder}/server.key ")):
        alive = f"$USER1$/check_nrpe -H '$HOSTADDRESS$' {port}{options}-t {CHECK_NRPE_TIMEOUT}:3"
        ask = f"{alive} -c '$ARG1$'"
        blocks.append(define("command", {"command_name": f"testbed-nrpe{suffix}", "command_line": ask}))
        blocks.append(define("command", {"command_name": f"testbed-tap-nrpe{suffix}", "command_line": tap + ask}))
        blocks.append(define("command", {"command_name": f"testbed-nrpe-alive{suffix}", "command_line": alive}))
    for kind in ("service", "host"):
        line = f"{settings.bindir}/spool-perfdata {settings.nagios_dir}/{kind}-perfdata {settings.spool}"
        blocks.append(define("command", {"command_name": f"testbed-spool-{kind}-perfdata", "command_line": line}))
    return "\n".join(blocks)


def _templates(settings: Settings) -> str:
    often = {"check_interval": minutes(settings.interval), "retry_interval": minutes(settings.interval)}
    host = {
        "name": "testbed-host",
        "use": "generic-host",
        "register": 0,
        "check_command": "check-host-alive",
        "check_period": "24x7",
        **often,
        "max_check_attempts": 3,
        "contact_groups": "admins",
        "notification_interval": 120,
        "process_perf_data": 1,
        "_GRAPHITEPREFIX": settings.prefix,
        "_GRAPHITEPOSTFIX": "ping",
    }
    service = {
        "name": "testbed-service",
        "use": "generic-service",
        "register": 0,
        **often,
        "max_check_attempts": 3,
        "process_perf_data": 1,
        "_GRAPHITEPREFIX": settings.prefix,
    }
    tap = {"name": "testbed-tap-service", "use": "testbed-service", "register": 0, "process_perf_data": 0}
    return "\n".join(
        (
            header(
                ROOM,
                settings,
                "What all hosts and services have in common. Metrics are called _GRAPHITEPREFIX.host._GRAPHITEPOSTFIX.label.",
                "A host needs no more than generic-host; testbed-host adds the names of its own perfdata and the interval of the checks.",
            ),
            define("host", host),
            define("service", service),
            "# graphios-tap spools all perfdata itself; of the short form that Nagios gets nothing is to be sent a second time.\n"
            + define("service", tap),
        )
    )


def _services(check: Check, settings: Settings) -> str:
    blocks = [
        header(
            ROOM,
            settings,
            f"{check.name}: {about(check)}",
            "",
            "A host gets a service by joining its hostgroup. Of a template of the same name you can make services of your own.",
            *_one_road(check),
        )
    ]
    for name, description, commands, better in _offers(check, settings):
        blocks.append(_template(name, description, commands, check, settings))
        if commands[0].network:
            blocks.append(_direct(check, commands[0], settings))
        blocks.append(define("hostgroup", {"hostgroup_name": group(name), "alias": f"{check.name}: {description}"}))
        for command in commands:
            directives = {
                "use": group(name),
                "service_description": command.name,
                "check_command": asked(command, settings),
                "hostgroup_name": ",".join([group(name), *(f"!{group(other)}" for other in better)]),
            }
            blocks.append(define("service", directives))
    return "\n".join(blocks)


def _one_road(check: Check) -> list[str]:
    if all(command.special for command in check.commands):
        return []
    return ["A host in several of the hostgroups below gets the last one only, so that each value takes one road."]


def _offers(check: Check, settings: Settings) -> list[tuple[str, str, list[Command], list[str]]]:
    """Return name, description and commands of what a host can choose from, and the names that it has instead where it chose them, too."""
    found = [(command.name, command.description, [command]) for command in check.commands]
    for command in check.commands:
        if splits(check, command):
            pieces = list(parts(check, command, settings.parts))
            found.append((f"{check.name}_parts", f"{command.description}, in {settings.parts} parts", pieces))
    ordinary = [name for name, _, commands in found if not commands[0].special]
    return [
        (name, said, commands, ordinary[ordinary.index(name) + 1 :] if name in ordinary else [])
        for name, said, commands in found
    ]


def asked(command: Command, settings: Settings) -> str:
    """Return the check_command of a service that runs this command."""
    if command.network:
        return group(command.name)
    return f"{'testbed-tap-nrpe' if command.tap else 'testbed-nrpe'}{'-tls' if settings.tls else ''}!{command.name}"


def _direct(check: Check, command: Command, settings: Settings) -> str:
    line = f"{settings.bindir}/{check.name} {command.network} $ARG1$"
    said = [
        "# The monitoring server asks the host itself; NRPE's command of the same name is for what it can't reach.",
        f"# More arguments: check_command {group(command.name)}!ARGUMENTS",
    ]
    if variables := re.findall(r"\$_HOST(\w+)\$", command.network):
        names = ", ".join(f"_{name}" for name in variables)
        said.append(f"# The host needs {names}: the template {seattle_nagios.HOST} of seattle.cfg has them.")
    return "\n".join(said) + "\n" + define("command", {"command_name": group(command.name), "command_line": line})


def _template(name: str, description: str, commands: Sequence[Command], check: Check, settings: Settings) -> str:
    base = "testbed-tap-service" if commands[0].tap else "testbed-service"
    directives = {"name": group(name), "use": base, "register": 0}
    if commands[0].interval > settings.interval:
        directives["check_interval"] = minutes(commands[0].interval)
        directives["retry_interval"] = minutes(retry_seconds(commands[0], settings))
        if commands[0].interval > _NOTIFICATION_INTERVAL:  # no more can be told than is found out
            directives["notification_interval"] = minutes(commands[0].interval)
    directives["_GRAPHITEPOSTFIX"] = postfix(check, commands[0])
    return f"# {description}\n" + define("service", directives)


def _main(settings: Settings) -> str:
    blocks = [
        header(
            ROOM,
            settings,
            "Main configuration, not objects: keep it out of conf.d. Nagios can't include it: these lines go to the end of nagios.cfg (in place",
            "of those of an earlier version), where they win over what stands above.",
        ),
        f"""\
# The last of four timeouts: check 10 s, NRPE 15 s, check_nrpe {CHECK_NRPE_TIMEOUT} s, Nagios.
service_check_timeout={SERVICE_CHECK_TIMEOUT}

# The hostgroups of checks that no host uses are empty.
allow_empty_hostgroup_assignment=1

# Of what depends on a service nobody is told as soon as that fails, not only when Nagios has tried it often enough to call it dead.
soft_state_dependencies=1

# Nagios collects perfdata in a file, and every {PROCESSING_SECONDS} s spool-perfdata moves it to graphios.
# The names of the fields are those of Graphios.
process_performance_data=1
""",
    ]
    for kind, fields in (("service", _SERVICE_FIELDS), ("host", _HOST_FIELDS)):
        blocks.append(_perfdata_file(kind, fields, settings))
    return "\n".join(blocks)


def _perfdata_file(kind: str, fields: Iterable[str], settings: Settings) -> str:
    directives = {
        "": f"{settings.nagios_dir}/{kind}-perfdata",
        "_template": r"\t".join(fields),
        "_mode": "a",
        "_processing_interval": PROCESSING_SECONDS,
        "_processing_command": f"testbed-spool-{kind}-perfdata",
    }
    return "".join(f"{kind}_perfdata_file{name}={value}\n" for name, value in directives.items())


def _examples(checks: Sequence[Check], settings: Settings) -> str:
    first = [
        check.commands[0] for check in checks if not any(command.tap or command.special for command in check.commands)
    ]
    everywhere = [group(command.name) for command in first if not command.server]
    only_there = [group(command.name) for command in first if command.server]
    wide = [
        group(command.name) for check in checks for command in check.commands if command.tap and not command.special
    ]
    node = {
        "use": "testbed-host",
        "host_name": "node1",
        "alias": "a compute node",
        "address": "192.0.2.11",
        "hostgroups": ",".join([*everywhere, *wide]),
    }
    server = {
        "use": "testbed-host",
        "host_name": "monitor",
        "alias": "the monitoring server itself",
        "address": "127.0.0.1",
        "hostgroups": ",".join([*everywhere, *only_there]),
    }
    return "\n".join(
        (
            header(
                ROOM,
                settings,
                "Two hosts to begin with: change names and addresses, and save them under a name of your own.",
            ),
            define("host", node),
            define("host", server),
        )
    )
