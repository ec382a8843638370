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
# Of one variable, with its NUL: execve(2).
_LONGEST = 131_072
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
    # It has 200 lines and comes with each check: only the few that are needed are looked at.
    text = b"\n" + environment.rstrip(b"\n")
    if text.count(b"\n") != text.count(b"\n" + _PREFIX):
        raise Unclear("a macro holds a line end")
    host, host_at = _value(text, _HOST)
    service, service_at = _value(text, _SERVICE)
    first_output = min((place for place in (_value(text, name)[1] for name in _OUTPUTS) if place), default=len(text))
    for name, place in ((_HOST, host_at), (_SERVICE, service_at)):
        if not place:
            raise Unclear(f"there is no {name.decode()}")
        if place > first_output:
            raise Unclear(f"{name.decode()} comes behind the output of plugins")
    kind = b"SERVICE" if service else b"HOST"
    last_argument = _value(text, _LAST_ARGUMENT)[1] or len(text)
    prefix, postfix = (_custom(text, b"NAGIOS__" + kind + name, last_argument) for name in _CUSTOM)
    if not host:
        raise Unclear("NAGIOS_HOSTNAME is empty")
    found = Whose(host, service, prefix, postfix, _value(text, b"NAGIOS_%sCHECKCOMMAND" % kind)[0])
    if any(map(has_control_characters, found[:4])):
        raise Unclear("a name holds control characters")
    return found


def _value(text: bytes, name: bytes) -> tuple[bytes, int]:
    """The value of a macro and where its line begins; 0 where there is none. Raises Unclear."""
    start = b"\n" + name + b"="
    place = text.find(start) + 1
    if not place:
        return b"", 0
    begin = place - 1 + len(start)
    if text.find(start, begin) >= 0:
        raise Unclear(f"{name.decode()} comes twice")
    end = text.find(b"\n", begin)
    return text[begin : end if end >= 0 else len(text)], place


def _custom(text: bytes, name: bytes, last_argument: int) -> bytes:
    value, place = _value(text, name)
    if place and place < last_argument:
        raise Unclear(f"{name.decode()} is not among the custom macros")
    return value


def variables(environment: bytes) -> dict[str, str]:
    """Return the environment variables that a plugin of this job gets, as Nagios's own workers set them.

    Without those no program can be started with (the members of a very large hostgroup, for instance).
    """
    if len(environment) >= _LONGEST:
        environment = b"\n".join([line for line in environment.split(b"\n") if len(line) < _LONGEST])
    text = os.fsdecode(environment)
    return dict([line.split("=", 1) for line in text.split("\n") if "=" in line and line[0] != "="])
