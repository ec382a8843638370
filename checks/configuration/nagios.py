"""The monitoring server's side: commands, templates, a file with template, hostgroup and services for each check, and the perfdata spool.

Directives: Nagios Core 4's object definitions and main configuration, on top of the objects that Debian's nagios4 (and Nagios's own sample)
define: generic-host, generic-service, admins, 24x7, check-host-alive. No name of theirs is defined again, which would stop Nagios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from checks.configuration.declared import about, parts, splits
from checks.configuration.settings import Settings, header
from checks.plugin import Check, Command

ROOM = "nagios"
CHECK_NRPE_TIMEOUT = 20
SERVICE_CHECK_TIMEOUT = 60
PROCESSING_SECONDS = 15
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
    found["graphios.service"] = _unit(settings)
    return found


def postfix(check: Check) -> str:
    """Return what stands between host and label in the metric names of this check."""
    return check.name.removeprefix("check_")


def _define(kind: str, directives: Mapping[str, object]) -> str:
    width = max(map(len, directives)) + 2
    # A bare semicolon begins a comment.
    body = "".join(f"  {name:<{width}}{str(value).replace(';', chr(92) + ';')}\n" for name, value in directives.items())
    return f"define {kind} {{\n{body}}}\n"


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
        ask = f"$USER1$/check_nrpe -H '$HOSTADDRESS$' {port}{options}-t {CHECK_NRPE_TIMEOUT}:3 -c '$ARG1$'"
        blocks.append(_define("command", {"command_name": f"testbed-nrpe{suffix}", "command_line": ask}))
        blocks.append(_define("command", {"command_name": f"testbed-tap-nrpe{suffix}", "command_line": tap + ask}))
    for kind in ("service", "host"):
        line = f"{settings.bindir}/spool-perfdata {settings.nagios_dir}/{kind}-perfdata {settings.spool}"
        blocks.append(_define("command", {"command_name": f"testbed-spool-{kind}-perfdata", "command_line": line}))
    return "\n".join(blocks)


def _templates(settings: Settings) -> str:
    # Debian's interval_length is 60 seconds. Rounded up: Nagios drops fractions of a second, and 0.333333 would be every 19 s.
    minutes = f"{math.ceil(settings.interval / 60 * 1e6) / 1e6:.6f}".rstrip("0").rstrip(".")
    often = {"check_interval": minutes, "retry_interval": minutes}
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
            _define("host", host),
            _define("service", service),
            "# graphios-tap spools all perfdata itself; of the short form that Nagios gets nothing is to be sent a second time.\n"
            + _define("service", tap),
        )
    )


def _services(check: Check, settings: Settings) -> str:
    blocks = [
        header(
            ROOM,
            settings,
            f"{check.name}: {about(check)}",
            "",
            "A host gets a service by joining its hostgroup; a host in several of the hostgroups below gets the last one only, so that each value",
            "takes one road. Of a template of the same name you can make services of your own.",
        )
    ]
    offers = [(command.name, command.description, [command]) for command in check.commands]
    for command in check.commands:
        if splits(check, command):
            pieces = list(parts(check, command, settings.parts))
            offers.append((f"{check.name}_parts", f"{command.description}, in {settings.parts} parts", pieces))
    groups = [group(name) for name, _, _ in offers]
    for index, (name, description, commands) in enumerate(offers):
        better = groups[index + 1 :]
        blocks.append(_template(name, description, commands, check))
        blocks.append(_define("hostgroup", {"hostgroup_name": group(name), "alias": f"{check.name}: {description}"}))
        for command in commands:
            directives = {
                "use": group(name),
                "service_description": command.name,
                "check_command": f"{_ask(command, settings)}!{command.name}",
                "hostgroup_name": ",".join([group(name), *(f"!{other}" for other in better)]),
            }
            blocks.append(_define("service", directives))
    return "\n".join(blocks)


def group(name: str) -> str:
    """Return the name of the hostgroup, and of the service template, of a command."""
    return f"testbed-{name}"


def _ask(command: Command, settings: Settings) -> str:
    return ("testbed-tap-nrpe" if command.tap else "testbed-nrpe") + ("-tls" if settings.tls else "")


def _template(name: str, description: str, commands: Sequence[Command], check: Check) -> str:
    base = "testbed-tap-service" if commands[0].tap else "testbed-service"
    directives = {"name": group(name), "use": base, "register": 0, "_GRAPHITEPOSTFIX": postfix(check)}
    return f"# {description}\n" + _define("service", directives)


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
    first = [check.commands[0] for check in checks if not any(command.tap for command in check.commands)]
    everywhere = [group(command.name) for command in first if not command.server]
    only_there = [group(command.name) for command in first if command.server]
    wide = [group(command.name) for check in checks for command in check.commands if command.tap]
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
            _define("host", node),
            _define("host", server),
        )
    )


def _unit(settings: Settings) -> str:
    return header(
        ROOM,
        settings,
        "graphios as a service. Goes to /etc/systemd/system/graphios.service; its configuration: /etc/graphios/graphios.ini,",
        "or graphios.cfg of Graphios 2 where that is the only one there.",
        "Before the first start:",
        f"  install -d -o nagios -g nagios -m 0750 {settings.spool}",
        f"  sudo -u nagios {settings.bindir}/graphios check-config",
        "then: systemctl daemon-reload && systemctl enable --now graphios. After a change of the configuration: systemctl reload graphios.",
    ) + _UNIT.format(bindir=settings.bindir, spool=settings.spool)


# See systemd.service(5) and systemd.exec(5).
_UNIT = """
[Unit]
Description=graphios, perfdata of Nagios to Graphite
After=network-online.target
Wants=network-online.target

[Service]
# It says itself when it is ready, and regularly that it is alive.
Type=notify
NotifyAccess=main
WatchdogSec=120
ExecStart={bindir}/graphios
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
TimeoutStopSec=15

User=nagios
Group=nagios
# /var/lib/graphios: progress, the replay window, what was rejected.
StateDirectory=graphios
StateDirectoryMode=0700
# /run/graphios: status.json, for check_graphios and `graphios status`; kept when it stops, so that they can say so.
RuntimeDirectory=graphios
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes

# Nothing else can be written. Further spools, and the directories of named pipes and of [file] backends, need a line of their own, in
# /etc/systemd/system/graphios.service.d/paths.conf below [Service].
ProtectSystem=strict
ReadWritePaths=-{spool}

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
