"""Nagios's object definitions as text, and the names that ours have."""

from __future__ import annotations

import math
from collections.abc import Mapping

from checks.configuration.settings import Settings
from checks.plugin import Check, Command

_LONGEST_RETRY = 900


def define(kind: str, directives: Mapping[str, object]) -> str:
    """Return one object definition."""
    width = max(map(len, directives)) + 2
    # A bare semicolon begins a comment.
    body = "".join(f"  {name:<{width}}{str(value).replace(';', chr(92) + ';')}\n" for name, value in directives.items())
    return f"define {kind} {{\n{body}}}\n"


def group(name: str) -> str:
    """Return the name of the hostgroup, the service template, and the command without NRPE, of a check's command."""
    return f"testbed-{name}"


def postfix(check: Check, command: Command) -> str:
    """Return what stands between host and label in the metric names of a command.

    The commands of a check that are special run beside each other on one host, so each has names of its own; of the others a host has one only.
    """
    return (command if command.special else check).name.removeprefix("check_")


def retry_seconds(command: Command | None, settings: Settings) -> float:
    """Return how long Nagios waits before it looks again at what has just failed; None is a standard plugin."""
    every = max(command.interval if command else 0, settings.interval)
    return max(settings.interval, min(every / 5, _LONGEST_RETRY))


def minutes(seconds: float) -> str:
    """Return an interval in the unit of Debian's Nagios."""
    # Debian's interval_length is 60 seconds. Rounded up: Nagios drops fractions of a second, and 0.333333 would be every 19 s.
    return f"{math.ceil(seconds / 60 * 1e6) / 1e6:.6f}".rstrip("0").rstrip(".")
