"""What a Seattle testbed has to be watched: its hosts by role, which checks each gets, what depends on what, and NRPE's side of it.

Everything else about a check is in its own declarations; here are only their names. A check that is not there is left out everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from checks.plugin import Check, Command

PING, HTTP, NRPE = "check_ping", "check_http", "check_nrpe"


class Role(NamedTuple):
    """What a host does in the testbed: `direct` and `nrpe` name the commands that the monitoring server runs itself, or asks NRPE for.

    Hosts of a role that is `within` another one have that one's services as well. `profile` names the file of NRPE's commands.
    """

    name: str
    alias: str
    direct: tuple[str, ...] = ()
    nrpe: tuple[str, ...] = ()
    within: str = ""
    profile: str = ""

    @property
    def group(self) -> str:
        """The name of its hostgroup."""
        return f"testbed-seattle-{self.name}"


class Dependence(NamedTuple):
    """While `master` of the hosts of `role` is down, nobody is told of the dependents: those of the same host, or of all hosts of `where`.

    `blind`: they can't see anything then, and are not run. What they look for comes back only later than the master.
    """

    role: str
    master: str
    dependents: tuple[str, ...]
    where: str = ""
    blind: bool = False


ROLES = (
    Role(
        "server",
        "Seattle: servers of the advertise service over TCP",
        (PING, "check_advertise_server"),
        ("check_seattle_processes_server", "check_disk"),
        profile="seattle-server",
    ),
    Role(
        "main-server",
        "Seattle: the one of these servers that Zenodotus asks, and in which nodes are looked up",
        ("check_advertise_server_states",),
        within="server",
    ),
    Role("udp-server", "Seattle: servers of the advertise service over UDP", (PING, "check_advertise_server_udp")),
    Role(
        "zenodotus",
        "Seattle: Zenodotus, the name server",
        (PING, "check_zenodotus"),
        ("check_seattle_processes_zenodotus", "check_disk"),
        profile="seattle-zenodotus",
    ),
    Role(
        "clearinghouse",
        "Seattle: the clearinghouse",
        (PING, HTTP),
        ("check_seattle_processes_clearinghouse", "check_disk"),
        profile="seattle-clearinghouse",
    ),
    Role(
        "updatesite",
        "Seattle: the site from which nodes update their software",
        (PING, "check_software_update"),
        ("check_disk",),
        profile="seattle-updatesite",
    ),
    Role(
        "builder",
        "Seattle: the custom installer builder",
        (PING, HTTP, "check_installer_builder", "check_installer_builder_download"),
        ("check_disk",),
        profile="seattle-builder",
    ),
    Role("web", "Seattle: other web pages", (PING, HTTP)),
    Role("node", "Seattle: nodes, seen from outside", ("check_seattle_node", "check_seattle_node_advertised")),
    Role(
        "node-nrpe",
        "Seattle: nodes that run NRPE",
        nrpe=("check_seattle_processes_node", "check_software_update_install", "check_disk"),
        within="node",
        profile="seattle-node",
    ),
)

# Of several that one dead service turns red, the service itself is told, and not what looks into it or through it.
DEPENDENCES = (
    Dependence("main-server", "check_advertise_server", ("check_advertise_server_states",), blind=True),
    Dependence("main-server", "check_advertise_server", ("check_zenodotus",), "zenodotus"),
    Dependence("main-server", "check_advertise_server", ("check_seattle_node_advertised",), "node", blind=True),
    Dependence("server", "check_advertise_server", ("check_seattle_processes_server",)),
    Dependence("zenodotus", "check_zenodotus", ("check_seattle_processes_zenodotus",)),
    Dependence("clearinghouse", HTTP, ("check_seattle_processes_clearinghouse",)),
    Dependence("builder", HTTP, ("check_installer_builder", "check_installer_builder_download")),
    Dependence("builder", "check_installer_builder", ("check_installer_builder_download",)),
    Dependence("node", "check_seattle_node", ("check_seattle_node_advertised",)),
    Dependence("node-nrpe", "check_seattle_node", ("check_seattle_processes_node",)),
    Dependence("updatesite", "check_software_update", ("check_software_update_install",), "node-nrpe"),
    *(Dependence(role.name, NRPE, role.nrpe) for role in ROLES if role.nrpe),
)

PROFILES = tuple(role.profile for role in ROLES if role.profile)
# Nodes advertise every 300 s: so long it takes until all are found again after the advertise server was restarted.
BACK_AFTER = 300
# Seattle's own limits, whatever the default may become: more than 90 percent used, more than 95.
_LIMITS = {"check_disk": "-w 90 -c 95"}


def commands_of(checks: Iterable[Check]) -> dict[str, tuple[Check, Command]]:
    """Return every command by its name, with its check."""
    return {command.name: (check, command) for check in checks for command in check.commands}


def services(role: Role, known: Iterable[str]) -> list[str]:
    """Return the names of the services that hosts of this role get: the standard plugins, and those of the `known` commands."""
    there = set(known)
    direct = [name for name in role.direct if name in there or name in (PING, HTTP)]
    over_nrpe = [name for name in role.nrpe if name in there]
    return [*direct, *([NRPE] if over_nrpe else []), *over_nrpe]


def profile_commands(profile: str, checks: Sequence[Check]) -> list[tuple[Check, Command]]:
    """Return the commands that NRPE needs on a host of this profile."""
    known = commands_of(checks)
    role = next(role for role in ROLES if role.profile == profile)
    found = [known[name] for name in role.nrpe if name in known]
    return [(check, _at_seattles_limits(command)) for check, command in found]


def profile_alias(profile: str) -> str:
    """Return what a host of this profile is."""
    return next(role.alias for role in ROLES if role.profile == profile)


def _at_seattles_limits(command: Command) -> Command:
    words = [command.arguments, _LIMITS.get(command.name, "")]
    return command._replace(arguments=" ".join(filter(None, words)))
