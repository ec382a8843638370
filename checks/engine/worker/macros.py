"""Whose check a job is: read from the macros Nagios sends with it (`env=`, NAME=VALUE lines; needs enable_environment_macros=1).

Nagios Core 4.4 sends NAGIOS_HOSTNAME first, NAGIOS_SERVICEDESC (empty for a check of the host itself) before anything that a plugin printed, and
custom macros after NAGIOS_ARG32. Line ends in plugin output arrive as backslash and n. What does not look so may be forged, and is not believed.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from graphios.spool_writer import has_control_characters

_PREFIX = b"NAGIOS_"
_HOST, _SERVICE, _LAST_ARGUMENT = b"NAGIOS_HOSTNAME", b"NAGIOS_SERVICEDESC", b"NAGIOS_ARG32"
# Output of plugins begins here.
_OUTPUTS = (b"NAGIOS_HOSTOUTPUT", b"NAGIOS_SERVICEOUTPUT", b"NAGIOS_HOSTPERFDATA", b"NAGIOS_SERVICEPERFDATA")
_CUSTOM = (b"GRAPHITEPREFIX", b"GRAPHITEPOSTFIX")


class Unclear(ValueError):
    """It is not certain whose check it is; the message says why."""


class Whose(NamedTuple):
    """The object a check belongs to; `service` is empty for the host itself. Custom macros that are not defined are empty."""

    host: bytes
    service: bytes = b""
    prefix: bytes = b""
    postfix: bytes = b""
    command: bytes = b""
    """Its check_command, as $SERVICECHECKCOMMAND$ or $HOSTCHECKCOMMAND$ give it."""

    def __str__(self) -> str:
        names = [self.host, self.service] if self.service else [self.host]
        return ", ".join(os.fsdecode(name) for name in names)


def whose(environment: bytes) -> Whose:
    """Return the object of a check. Raises Unclear."""
    if not environment:
        raise Unclear("Nagios sent no macros with this check")
    values: dict[bytes, bytes] = {}
    places: dict[bytes, int] = {}
    twice = set()
    for place, line in enumerate(environment.rstrip(b"\n").split(b"\n")):
        name, equals, value = line.partition(b"=")
        if not equals or not name.startswith(_PREFIX):
            raise Unclear("a macro holds a line end")
        if name in values:
            twice.add(name)
        values[name], places[name] = value, place
    kind = b"SERVICE" if values.get(_SERVICE) else b"HOST"
    customs = [b"NAGIOS__" + kind + name for name in _CUSTOM]
    command = b"NAGIOS_%sCHECKCOMMAND" % kind
    if forged := twice.intersection([_HOST, _SERVICE, _LAST_ARGUMENT, command, *_OUTPUTS, *customs]):
        raise Unclear(f"{min(forged).decode()} comes twice")
    _refuse_out_of_place(places, customs)
    prefix, postfix = (values.get(name, b"") for name in customs)
    found = Whose(values[_HOST], values[_SERVICE], prefix, postfix, values.get(command, b""))
    if not found.host:
        raise Unclear("NAGIOS_HOSTNAME is empty")
    if any(map(has_control_characters, found[:4])):
        raise Unclear("a name holds control characters")
    return found


def _refuse_out_of_place(places: dict[bytes, int], customs: list[bytes]) -> None:
    first_output = min((places[name] for name in _OUTPUTS if name in places), default=len(places))
    for name in (_HOST, _SERVICE):
        if name not in places:
            raise Unclear(f"there is no {name.decode()}")
        if places[name] > first_output:
            raise Unclear(f"{name.decode()} comes behind the output of plugins")
    for name in customs:
        if name in places and not places.get(_LAST_ARGUMENT, len(places)) < places[name]:
            raise Unclear(f"{name.decode()} is not among the custom macros")


def variables(environment: bytes) -> dict[str, str]:
    """Return the environment variables that a plugin of this job gets, as Nagios's own workers set them."""
    pairs = [line.partition("=") for line in os.fsdecode(environment).split("\n")]
    return {name: value for name, equals, value in pairs if equals and name}
