"""One link's record of an IPOP or EdgeVPN document (tunnel and edge of the topology, merged) made a Link.

Format: LinkManager and Topology of the IPOP controllers 18 to 20 and of EdgeVPN's evio, which share their names of fields.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from checks.ipop import candidates
from checks.ipop.records import Link
from checks.sources import number, table, text

_STATES = ("TunnelState", "State", "Status")
"""LinkManager's of 20, Topology's, and tincan's own as IPOP 18 handed it on: the first that is told counts."""
_ACTIVE = ("TNL_ONLINE", "CEStateConnected", "ONLINE")
# Ids are 32 characters; a longer name than this is shortened, and told apart by its hash.
_LONGEST = 100
# Two hosts' clocks may differ by so much (seconds) that a link seems to be made after it was reported.
_SKEW = 300.0
# Epoch seconds, 2017, before any of these controllers: what is earlier is 0.0, or from a host that had not set its clock yet.
_EARLIEST = 1.5e9


class Peer(NamedTuple):
    """What a document tells of a node besides its id."""

    name: str = ""
    address: str = ""


class Origin(NamedTuple):
    """Where a record stands in its document, and when that was written."""

    overlay: str
    node: str
    """id of who reports it"""
    written: float | None
    """epoch seconds; None is now"""
    node_name: str = ""
    """as Link.node; "" where the document is of one node"""
    own_taps: bool = True
    """whether the document is of one node, so that its taps can be on this host"""
    peers: Mapping[str, Peer] = {}
    """of this overlay, by id"""


def link(link_id: str, record: object, origin: Origin) -> Link:
    """Return the Link of a record; what is wrong with it stands in its `trouble`."""
    link_id = short(link_id)
    fields = table(record)
    state = next((told for told in (text(fields.get(name)) for name in _STATES) if told), "")
    active = state in _ACTIVE
    # Tincan's statistics of a tunnel stay in the document when it goes offline: they are old then.
    pairs, trouble = candidates.pairs(fields.get("Stats")) if active else ((), "")
    best = candidates.best(pairs)
    peer_id = short(text(fields.get("PeerId")) or text(fields.get("TgtNodeId")))
    known = origin.peers.get(peer_id, Peer())
    name = known.name or known.address or peer_id or link_id
    return Link(
        key=_key(origin, peer_id or link_id),
        peer=name,
        active=active,
        state=state,
        node=origin.node_name,
        overlay=short(origin.overlay),
        aliases=tuple(alias for alias in (known.address, peer_id) if alias and alias != name),
        age=_age(fields, origin.written) if active else None,
        pairs=pairs,
        connection=best.connection if best else _endpoints(fields) if active else "",
        tap=text(fields.get("TapName")) if origin.own_taps else "",
        incarnation=link_id,
        sampled=origin.written,
        trouble=trouble or _missing(record, peer_id, state),
        node_id=short(origin.node),
    )


def told_apart(links: Iterable[tuple[float, Link]]) -> tuple[Link, ...]:
    """Return links, given with the moment each was made, so that no two have one key.

    Where a node has several links to one peer, the one that works, else the oldest, has the peer's key: that of the link before it, when a link
    is made anew. The others' keys end in their own id.
    """
    groups: dict[str, list[tuple[float, Link]]] = {}
    for made, one in links:
        groups.setdefault(one.key, []).append((made, one))
    told: list[Link] = []
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda pair: (not pair[1].active, pair[0], pair[1].incarnation))
        told.append(group[0][1])
        told += [one._replace(key=f"{one.key}/{one.incarnation}") for _, one in group[1:]]
    return tuple(told)


def made(record: object) -> float:
    """Return when a record's link was made, epoch seconds; infinity where it does not say."""
    return number(table(record).get("CreatedTime")) or float("inf")


def _key(origin: Origin, last: str) -> str:
    parts = (short(origin.overlay), short(origin.node), last)
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def short(name: str) -> str:
    """Return an id or name as it is, or where it is longer than any, its beginning and a hash."""
    if len(name) <= _LONGEST:
        return name
    import hashlib

    return f"{name[:_LONGEST]}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _age(record: dict[str, Any], written: float | None) -> float | None:
    """Seconds since the connection was made; None where that is null or 0.0 (not yet), long ago, or after the document was written."""
    connected = number(record.get("ConnectedTime"))
    if connected is None or connected < _EARLIEST:
        return None
    age = (time.time() if written is None else written) - connected
    return max(age, 0.0) if age > -_SKEW else None


def _endpoints(record: dict[str, Any]) -> str:
    """How evio's tunnel runs, by the candidate types of both endpoints."""
    local, remote = (text(table(record.get(end)).get("Proto")) for end in ("LocalEndpoint", "RemoteEndpoint"))
    return candidates.joined(local, remote)


def _missing(record: object, peer: str, state: str) -> str:
    if not isinstance(record, dict):
        return "its record is no JSON object"
    if not peer and not state and ("TapName" in record or "LocalEndpoint" in record):
        return ""  # evio's topology has not told of it yet
    lacks = [name for name, value in (("peer", peer), ("state", state)) if not value]
    return f"its record tells no {' and no '.join(lacks)}" if lacks else ""
