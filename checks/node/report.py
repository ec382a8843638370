"""How check_seattle_node tells what a node is: counts, headline, perfdata, and the lines of -v."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from checks.node.limits import OTHER
from checks.options import Values
from checks.output import clean_name, perfdata
from checks.seattle.keys import PublicKey
from checks.seattle.nodemanager import STATUSES, Answered, Node, Vessel

# What an operator looks for comes first, where not all lines fit.
_ORDER = ("ThreadErr", "Stale", OTHER, "Terminated", "Stopped", "Started", "Fresh")
_SHOWN = 3
_LONGEST = 60


class Counts(NamedTuple):
    """How many vessels a node has, of each kind; `owned` is None where no owner was given, `unknown` names statuses nobody knows."""

    total: int
    unassigned: int
    advertised: int
    owned: int | None
    statuses: dict[str, int]
    unknown: dict[str, int]


def count(node: Node, owner: PublicKey | None) -> Counts:
    """Count the vessels of a node; a vessel is unassigned where it has no user."""
    found = Counter(vessel.status for vessel in node.vessels)
    unknown = {status: number for status, number in found.most_common() if status not in STATUSES}
    statuses = {status: found[status] for status in STATUSES} | {OTHER: sum(unknown.values())}
    return Counts(
        len(node.vessels),
        sum(not vessel.users for vessel in node.vessels),
        sum(vessel.advertise for vessel in node.vessels),
        sum(vessel.owner == owner for vessel in node.vessels) if owner else None,
        statuses,
        unknown,
    )


def headline(answered: Answered, counts: Counts) -> str:
    """Return what matters of a node that answered: port, vessels, version, and statuses that are not as usual."""
    said = f"port {answered.port}: {counts.total} vessel{'' if counts.total == 1 else 's'}"
    said += f", {counts.unassigned} unassigned"
    if counts.owned is not None:
        said += f", {counts.owned} owned"
    for status in ("ThreadErr", "Stale"):
        if counts.statuses[status]:
            said += f", {counts.statuses[status]} {status}"
    if counts.unknown:
        said += f", {counts.statuses[OTHER]} {_unknown(counts)}"
    return f"{said}, {short(answered.node.version)}"


def named(node: Node, status: str) -> str:
    """Return the names of the vessels in a status (or OTHER), at most three of them."""
    names = [short(vessel.name) for vessel in _sorted(node) if status == known(vessel.status)]
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")


def known(status: str) -> str:
    """Return the status, or OTHER where nobody knows it."""
    return status if status in STATUSES else OTHER


def short(text: str) -> str:
    """Return text from a node so that it can stand in a line."""
    return clean_name(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")


def times(answered: Answered, opts: Values) -> list[str]:
    """Return the perfdata of the answer's times."""
    reply = answered.reply
    return [
        perfdata("time.total", reply.connect + reply.seconds, "s", opts.warning, opts.critical),
        perfdata("time.connect", reply.connect, "s"),
        perfdata("time.answer", reply.seconds, "s"),
    ]


def figures(counts: Counts, opts: Values) -> list[str]:
    """Return the perfdata of the counts, with the thresholds that judge them."""
    items = [
        perfdata("vessels.total", counts.total, "", opts.vessels_warning, opts.vessels_critical),
        perfdata("vessels.assigned", counts.total - counts.unassigned),
        perfdata("vessels.unassigned", counts.unassigned, "", opts.unassigned_warning, opts.unassigned_critical),
        perfdata("vessels.advertised", counts.advertised),
    ]
    if counts.owned is not None:
        items.append(perfdata("vessels.owned", counts.owned, "", opts.owned_warning, opts.owned_critical))
    for status, number in counts.statuses.items():
        limits = (opts.status_warning.find(status), opts.status_critical.find(status))
        items.append(perfdata(f"status.{status}", number, "", *limits))
    return items


def lines(answered: Answered, counts: Counts, owner: PublicKey | None) -> list[str]:
    """Return a line for the node, one for the statuses, and one for each vessel, those with trouble first."""
    node = answered.node
    statuses = [f"{number} {status}" for status, number in counts.statuses.items() if number and status != OTHER]
    if counts.unknown:
        statuses.append(f"{counts.statuses[OTHER]} {_unknown(counts)}")
    about = f"node {short(node.name)}, key {_key(node.key)}, version {short(node.version)}"
    said = (
        f"{counts.total - counts.unassigned} assigned, {counts.unassigned} unassigned, {counts.advertised} advertised"
    )
    return [about, ", ".join([said, *statuses]), *(_line(vessel, owner) for vessel in _sorted(node))]


def by_name(name: str) -> tuple[int, str]:
    """Sort names as v2, v10, v100."""
    return len(name), name


def _sorted(node: Node) -> list[Vessel]:
    return sorted(node.vessels, key=lambda vessel: (_ORDER.index(known(vessel.status)), *by_name(vessel.name)))


def _line(vessel: Vessel, owner: PublicKey | None) -> str:
    said = [short(vessel.status) or "no status", f"owner {_key(vessel.owner)}"]
    if vessel.owner == owner:
        said[-1] += " (--owner)"
    if vessel.users:
        more = " ..." if len(vessel.users) > _SHOWN else ""
        said.append(f"{len(vessel.users)} users: " if len(vessel.users) > 1 else "user ")
        said[-1] += ", ".join(map(_key, vessel.users[:_SHOWN])) + more
    else:
        said.append("unassigned")
    said.append("advertised" if vessel.advertise else "not advertised")
    if vessel.info:
        said.append(f"'{short(vessel.info)}'")
    return f"{short(vessel.name)}: {', '.join(said)}"


def _key(key: PublicKey) -> str:
    """Return a key as its file can be found by: how its modulus begins and ends."""
    digits = str(key.n)
    return digits if len(digits) <= 16 else f"{digits[:8]}...{digits[-4:]}"


def _unknown(counts: Counts) -> str:
    names = [short(status) or "''" for status in counts.unknown]
    return f"of unknown status ({', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''})"
