"""What the vessels of a node may use, and what is left over on it: a question for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from checks.node.arguments import MOST_RESOURCES, OFFCUT
from checks.node.report import by_name, short
from checks.output import label_part, perfdata
from checks.ranges import plain
from checks.seattle import nodemanager
from checks.seattle.errors import NoAnswer, SeattleError
from checks.seattle.nodemanager import Answered
from checks.seattle.peers import time_left

_IN_BYTES = ("memory", "diskused")


class Resources(NamedTuple):
    """What was asked for: perfdata, lines for -v, problems as severity and text, notes, and the seconds it took."""

    items: list[str]
    lines: list[str]
    problems: list[tuple[str, str]]
    notes: list[str]
    seconds: float


def ask(answered: Answered, names: Sequence[str], until: float, enough: float) -> Resources:
    """Ask for the resources of `names`, or without any for what is left over and for the first vessels.

    Ends with the moment `until`; another question is asked where `enough` seconds are left.
    """
    every = sorted((vessel.name for vessel in answered.node.vessels), key=by_name)
    chosen = [None if name == OFFCUT else name for name in names] if names else [None, *every[:MOST_RESOURCES]]
    found = Resources([], [], [], [], 0.0)
    started, asked = time.monotonic(), 0
    for vessel in chosen:
        if time_left(until) < enough:
            break
        try:
            limits = nodemanager.resources(answered.host, answered.port, vessel, until)
            found.items.extend(_items(vessel, limits))
            found.lines.append(_line(vessel, limits))
        except NoAnswer:  # in the time left
            break
        except SeattleError as error:
            found.problems.append(("warning", f"resources of {_what(vessel)}: {error}"))
        asked += 1
    if names and asked < len(chosen):
        said = f"resources of {len(chosen) - asked} vessels not known: no time left, raise -t"
        found.problems.append(("unknown", said))
    elif asked < len(every) + 1 and not names:
        rest = len(every) + 1 - asked
        found.notes.append(f"resources of {rest} vessels not known; --resources=NAME,NAME chooses, a second for each")
    return found._replace(seconds=time.monotonic() - started)


def _items(vessel: str | None, resources: Mapping[str, float]) -> list[str]:
    label = "offcut" if vessel is None else f"vessel.{label_part(vessel)}"
    return [perfdata(f"{label}.{name}", number, "B" if name in _IN_BYTES else "") for name, number in resources.items()]


def _line(vessel: str | None, resources: Mapping[str, float]) -> str:
    return f"{_what(vessel)} may use: {', '.join(f'{name} {plain(number)}' for name, number in resources.items())}"


def _what(vessel: str | None) -> str:
    return OFFCUT if vessel is None else short(vessel)
