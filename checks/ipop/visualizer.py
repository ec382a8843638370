"""Link records of the IPOP visualizer service: its collector's document of a whole overlay, and what its web service answers.

Format: CollectorService and CentralVisualizerService of ipop-project/Network-Visualizer. A document holds
`Links[overlay][node][link]` and `Nodes[overlay][node]`; each link is listed by both of its ends. An answer holds the same by overlay
under `current_state`, or below the node, and `intervalNo`, the moment of its document.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from checks.deadline import BadInput
from checks.ipop import edges
from checks.ipop.edges import Origin, Peer
from checks.ipop.records import Reading
from checks.output import clean_name
from checks.sources import number, table, text

_SOURCE = "IPOP visualizer"
_NO_LINKS = (
    "this answer of the visualizer does not list all links: "
    "ask for /IPOP/overlays/<overlay>/links?current_state=True&interval=2100-01-01T00:00:00"
)
# How much the clocks of the service and of this host may differ, seconds.
_SKEW = 60.0
# No moment is later than this: the year 9999.
_LAST = 2.5e11


def recognised(document: dict[str, Any]) -> bool:
    """Whether this is the collector's document or an answer of the web service."""
    return isinstance(document.get("Links"), dict) or "intervalNo" in document


def written(document: dict[str, Any]) -> float | None:
    """Return when the collector wrote this, epoch seconds; None where it does not say.

    A document has its moment as `_id` (MongoDB's extended JSON), an answer as `intervalNo`, which has no zone: it is the service's own time or
    UTC, by version. Of these two it is the later one that is not in the future.
    """
    told = document.get("intervalNo", document.get("_id"))
    if isinstance(told, dict):
        told = told.get("$date")
    try:
        if isinstance(told, dict):
            moment = int(text(told.get("$numberLong"), 15)) / 1000
        elif isinstance(told, str):
            moment = _epoch(datetime.fromisoformat(told[:40]))
        else:
            moment = (number(told) or 0) / 1000
    except (ValueError, OverflowError, OSError):
        return None
    return moment if 0 < moment < _LAST else None


def _epoch(moment: datetime) -> float:
    if moment.tzinfo is not None:
        return moment.timestamp()
    readings = sorted((moment.timestamp(), moment.replace(tzinfo=UTC).timestamp()))
    return readings[1] if readings[1] <= time.time() + _SKEW else readings[0]


def reading(document: dict[str, Any], when: float | None) -> Reading:
    """Return the links of a document or answer written `when` (epoch seconds; None is now). Raises BadInput for an answer that lists no links."""
    found, troubles = [], []
    named = dict.fromkeys(table(document.get("Overlays")))
    for overlay, nodes in _overlays(document):
        named[overlay] = None
        peers = _peers(document, overlay)
        for node, links in nodes.items():
            if not isinstance(links, dict):
                troubles.append(f"node {clean_name(node[:60])} of overlay {clean_name(overlay[:60])} is no JSON object")
                continue
            name = peers.get(node, Peer()).name
            origin = Origin(overlay, node, when, name or edges.short(node), own_taps=False, peers=peers)
            found += [(edges.made(record), edges.link(link_id, record, origin)) for link_id, record in links.items()]
    overlays = tuple(edges.short(overlay) for overlay in named)
    return Reading(_SOURCE, edges.told_apart(found), 64, troubles=tuple(troubles), overlays=overlays)


def _overlays(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield overlays with their links by node and id."""
    if "intervalNo" not in document:
        for overlay, nodes in document["Links"].items():
            yield overlay, table(nodes)
        return
    for overlay, answer in document.items():
        if overlay == "current_state":
            raise BadInput(_NO_LINKS)
        if isinstance(answer, dict):
            yield overlay, _by_node(answer)


def _by_node(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the links of an overlay's answer by node. Raises BadInput where it lists nodes, or only what has changed."""
    if "current_state" in answer:
        nodes = table(answer["current_state"])
        if any("NodeName" in table(node) or "IP4" in table(node) for node in nodes.values()):
            raise BadInput(_NO_LINKS)
        return nodes
    states = {node: part["current_state"] for node, part in answer.items() if "current_state" in table(part)}
    if len(states) < len(answer):
        raise BadInput(_NO_LINKS)
    return states


def _peers(document: dict[str, Any], overlay: str) -> dict[str, Peer]:
    """Return what is known of an overlay's nodes, by id."""
    nodes = table(table(document.get("Nodes")).get(overlay))
    return {
        edges.short(node): Peer(text(known.get("NodeName")), text(known.get("IP4")))
        for node, known in nodes.items()
        if isinstance(known, dict)
    }
