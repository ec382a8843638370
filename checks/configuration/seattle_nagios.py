"""Nagios's side of a Seattle testbed: a hostgroup for each role, its services, their dependencies, and hosts to begin with.

As tried out with Nagios Core 4.4.6: without dependent hosts a dependency holds within each host, and every host of the hostgroup
must have all services that it names; empty hostgroups are accepted with allow_empty_hostgroup_assignment=1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from checks.configuration.objects import define, group, minutes, retry_seconds
from checks.configuration.seattle import (
    BACK_AFTER,
    DEPENDENCES,
    HTTP,
    NRPE,
    PING,
    ROLES,
    Dependence,
    Role,
    commands_of,
    services,
)
from checks.configuration.settings import Settings, header
from checks.plugin import Check, Command

ROOM = "nagios"
HOST = "testbed-seattle-host"
# Of testbed-service.
_ATTEMPTS = 3
# Until Nagios has the result of a check, in seconds.
_LONGEST_CHECK = 30
# The custom variables that the commands' `network` arguments name, with the values of the public testbed.
_VARIABLES = {
    "_ADVERTISE_OPTIONS": "-p 10102",
    "_STATEKEYS": "/etc/testbed-checks/statekeys",
    "_ADVERTISE_HOST": "advertiseserver_v2.poly.edu",
    "_NODE_OPTIONS": "-t 20",
    "_ZONE": "zenodotus.poly.edu",
    "_ZENODOTUS_OPTIONS": "-p 53",
    "_SOFTWARE_URL": "http://seattlesoftwareupdater.poly.edu/updatesite/",
    "_UPDATE_OPTIONS": "-w 7: -c 2:",
    "_BUILDER_URL": "https://custombuilder.poly.edu/custom_install/",
    "_BUILDER_OPTIONS": "-t 20",
    "_WEB_OPTIONS": "-u /",
}
_STANDARD = {
    PING: ("icmp", "testbed-ping", "five packets; all lost is critical"),
    HTTP: ("http", "testbed-http", "a web page: reachable, no error, and how long it takes"),
    NRPE: ("nrpe", "testbed-nrpe-alive", "NRPE itself, for all that is asked over it"),
}
_PLUGINS = {
    "testbed-ping": "$USER1$/check_ping -H '$HOSTADDRESS$' -w 1000,40% -c 3000,100% -p 5",
    "testbed-http": "$USER1$/check_http -I '$HOSTADDRESS$' -w 5 -c 10 -t 15 $_HOSTWEB_OPTIONS$ $ARG1$",
}


def files(checks: Sequence[Check], settings: Settings, asked: dict[str, str]) -> dict[str, str]:
    """Return seattle.cfg and hosts to begin with; nothing where there are no checks for Seattle.

    `asked` is the check_command of each command.
    """
    known = commands_of(checks)
    if not any(name in known for role in ROLES for name in (*role.direct, *role.nrpe) if name != "check_disk"):
        return {}
    return {
        "seattle.cfg": _objects(known, settings, asked),
        "examples/seattle-hosts.cfg": _examples(settings),
    }


def _objects(known: dict[str, tuple[Check, Command]], settings: Settings, asked: dict[str, str]) -> str:
    blocks = [
        header(
            ROOM,
            settings,
            "A Seattle testbed: hostgroups for what its hosts do, the services they get by joining them, and what depends on what.",
            "Goes to /etc/nagios4/conf.d/ with the files of the checks. seattle/README.md says what runs where, and what each alarm means.",
            "",
            "Hosts use the template testbed-seattle-host. Its custom variables are those of the public testbed: set your own on your hosts.",
            "Nagios takes the characters ` ~ $ & | ' \" < > out of them.",
        ),
        define("host", {"name": HOST, "use": "testbed-host", "register": 0, **_VARIABLES}),
    ]
    for name, line in _PLUGINS.items():
        blocks.append(define("command", {"command_name": name, "command_line": line}))
    blocks += [_hostgroup(role) for role in ROLES]
    names = dict.fromkeys(name for role in ROLES for name in services(role, known))
    blocks += [_service(name, known, settings, asked) for name in names]
    blocks.append(
        "# One dead service is told once: of what depends on it nobody is told, until it is back and they are still in trouble.\n"
        "# Between hosts a dependency holds for each pair of them: the group testbed-seattle-main-server has one host.\n"
        "# Nagios itself does not look at a service before it tells of another that depends on it (4.4.6 has no predictive checks of services),\n"
        "# so the dependents above have more attempts: what they depend on is looked at meanwhile. See soft_state_dependencies in nagios.cfg.\n"
    )
    blocks += [text for dependence in DEPENDENCES if (text := _dependency(dependence, known))]
    return "\n".join(blocks)


def _hostgroup(role: Role) -> str:
    members = [other.group for other in ROLES if other.within == role.name]
    nested = {"hostgroup_members": ",".join(members)} if members else {}
    return define("hostgroup", {"hostgroup_name": role.group, "alias": role.alias, **nested})


def _service(name: str, known: dict[str, tuple[Check, Command]], settings: Settings, asked: dict[str, str]) -> str:
    groups = [role.group for role in ROLES if name in services(role, known)]
    if name in _STANDARD:
        postfix, command, about = _STANDARD[name]
        tls = "-tls" if settings.tls and name == NRPE else ""
        directives = {
            "use": "testbed-service",
            "service_description": name,
            "check_command": command + tls,
            "hostgroup_name": ",".join(groups),
            "_GRAPHITEPOSTFIX": postfix,
        }
        return f"# {about}\n" + define("service", directives)
    # A host that is in the hostgroup of the command itself has the service from there.
    directives = {
        "use": group(name),
        "service_description": name,
        "check_command": asked[name],
        "hostgroup_name": ",".join([*groups, f"!{group(name)}"]),
        **_patience(name, known, settings),
    }
    return f"# {known[name][1].description}\n" + define("service", directives)


def _patience(name: str, known: dict[str, tuple[Check, Command]], settings: Settings) -> dict[str, str]:
    """Return how much longer than others a dependent waits, so that what it depends on has been looked at before anybody is told."""
    mine = [dependence for dependence in DEPENDENCES if name in dependence.dependents]
    masters = [known[one.master][1] for one in mine if one.master in known]
    longest = max([settings.interval, *(command.interval for command in masters)])
    attempts = 1 + math.ceil((longest + _LONGEST_CHECK) / retry_seconds(known[name][1], settings))
    found = {"max_check_attempts": str(attempts)} if mine and attempts > _ATTEMPTS else {}
    if any(one.blind for one in mine):
        found["first_notification_delay"] = minutes(BACK_AFTER + settings.interval)
    return found


def _dependency(dependence: Dependence, known: dict[str, tuple[Check, Command]]) -> str:
    by_name = {role.name: role for role in ROLES}
    role = by_name[dependence.role]
    masters = [*services(role, known), *(services(by_name[role.within], known) if role.within else ())]
    dependents = [name for name in dependence.dependents if name in known]
    if dependence.master not in masters or not dependents:
        return ""
    directives = {
        "hostgroup_name": role.group,
        "service_description": dependence.master,
        **({"dependent_hostgroup_name": by_name[dependence.where].group} if dependence.where else {}),
        "dependent_service_description": ",".join(dependents),
        "notification_failure_criteria": "u,c",
        **({"execution_failure_criteria": "u,c"} if dependence.blind else {}),
    }
    return define("servicedependency", directives)


_EXAMPLES: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("seattle", "the advertise server that Zenodotus asks", "main-server", {}),
    ("advertise3", "another advertise server", "server", {}),
    ("advertise-udp", "the advertise server over UDP", "udp-server", {}),
    ("zenodotus", "Zenodotus", "zenodotus", {}),
    ("clearinghouse", "the clearinghouse", "clearinghouse", {"_WEB_OPTIONS": "-H seattleclearinghouse.poly.edu -S --sni -u /html/login"}),
    ("updatesite", "the software update site", "updatesite", {}),
    ("custombuilder", "the custom installer builder", "builder", {
        "_WEB_OPTIONS": "-H custombuilder.poly.edu -S --sni -u /custom_install/",
        "_BUILD_ID": "0123456789abcdefghij0123456789abcdefghij",
    }),
    ("blackbox", "another web page", "web", {"_WEB_OPTIONS": "-H blackbox.poly.edu"}),
    ("seattle-node1", "a node with NRPE", "node-nrpe", {}),
    ("seattle-node2", "a node without", "node", {}),
)  # fmt: skip


def _examples(settings: Settings) -> str:
    blocks = [
        header(
            ROOM,
            settings,
            "Hosts of a Seattle testbed to begin with: change names and addresses, delete what you have not, and save them under a name of your own.",
            "A host that does several things joins several hostgroups.",
        )
    ]
    for number, (name, alias, role, variables) in enumerate(_EXAMPLES, 21):
        directives = {
            "use": HOST,
            "host_name": name,
            "alias": alias,
            "address": f"192.0.2.{number}",
            "hostgroups": next(one.group for one in ROLES if one.name == role),
            **variables,
        }
        blocks.append(define("host", directives))
    return "\n".join(blocks)
