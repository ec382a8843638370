"""What one node's controller reports of its tunnels: `VizData` of IPOP 18 to 20 and of EdgeVPN's evio.

Format: OverlayVisualizer, LinkManager and Topology of ipop-project/Controllers (v18, v20, master) and of EdgeVPNio/evio. By overlay:
`LinkManager` holds tunnels by node and tunnel; `Topology` holds edges by the same ids, in v20 below `ConnectionEdges`; evio merges both
into `Tunnels`. Each part may lack what the other has not told yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.ipop import edges
from checks.ipop.edges import Origin
from checks.ipop.records import Reading
from checks.output import clean_name
from checks.sources import table, text

_FIELDS = {"PeerId", "TunnelState", "State", "TapName", "MAC", "CreatedTime"}
"""Of a tunnel's or edge's own record, which tell it from several by their ids."""


def recognised(document: dict[str, Any]) -> bool:
    """Whether this is the document of a node's controller."""
    return isinstance(document.get("VizData"), dict)


def reading(document: dict[str, Any], when: float | None) -> Reading:
    """Return the links of a controller's document, written `when` (epoch seconds; None is now)."""
    overlays: dict[str, Any] = document["VizData"]
    troubles = [
        f"overlay {clean_name(overlay[:60])} is no JSON object"
        for overlay, parts in overlays.items()
        if not isinstance(parts, dict)
    ]
    nodes = _nodes(overlays)
    reporter = text(document.get("NodeId")) or (nodes[0] if nodes else "")
    several = len(nodes) > 1
    found = (
        (
            edges.made(record),
            edges.link(link_id, record, Origin(overlay, node, when, edges.short(node) if several else "", not several)),
        )
        for overlay, node, link_id, record in _records(overlays, reporter)
    )
    return Reading(
        source=_source(document),
        links=edges.told_apart(found),
        bits=64,
        node="" if several else text(document.get("NodeName")) or reporter,
        troubles=tuple(troubles),
        overlays=tuple(edges.short(overlay) for overlay in overlays),
    )


def _source(document: dict[str, Any]) -> str:
    """The controller and its version; BootTime, which evio alone reports, is local time without a zone: nothing can be made of it."""
    evio = "BootTime" in document or "Version" in document
    version = clean_name(text(document.get("Version" if evio else "IpopVersion"), 40))
    return " ".join(("EdgeVPN" if evio else "IPOP", *version.split(), "controller"))


def _nodes(overlays: dict[str, Any]) -> list[str]:
    """Return the ids of the nodes whose tunnels LinkManager tells."""
    found: dict[str, None] = {}
    for parts in overlays.values():
        for name, value in table(table(parts).get("LinkManager")).items():
            if not _is_record(value):
                found[name] = None
    return list(found)


def _records(overlays: dict[str, Any], reporter: str) -> Iterator[tuple[str, str, str, object]]:
    """Yield overlay, node, id and record of each link; what Topology and LinkManager tell of it is one record.

    The overlay is LinkManager's: IPOP 18 lists the edges of all overlays under each.
    """
    topologies = {overlay: _topology(table(table(parts).get("Topology"))) for overlay, parts in overlays.items()}
    listed: set[str] = set()
    for overlay, parts in overlays.items():
        for node, tunnels in _tunnels(table(parts), reporter).items():
            listed |= tunnels.keys()
            for link_id, tunnel in tunnels.items():
                edge = topologies[overlay].get(link_id)
                whole = {**edge, **tunnel} if isinstance(edge, dict) and isinstance(tunnel, dict) else tunnel
                yield overlay, node, link_id, whole
    for overlay, topology in topologies.items():
        for link_id, edge in topology.items():
            if link_id not in listed:
                listed.add(link_id)
                yield overlay, reporter, link_id, edge


def _tunnels(parts: dict[str, Any], reporter: str) -> dict[str, dict[str, Any]]:
    """Return tunnels by node and id: evio's, and LinkManager's, which may be without nodes."""
    found = {reporter: dict(table(parts.get("Tunnels")))}
    for name, value in table(parts.get("LinkManager")).items():
        if _is_record(value):
            found[reporter][name] = value
        else:
            found.setdefault(name, {}).update(value)
    return found


def _is_record(value: object) -> bool:
    return not isinstance(value, dict) or not _FIELDS.isdisjoint(value)


def _topology(layout: dict[str, Any]) -> dict[str, Any]:
    """Return edges by id, which stand there so, or below ConnectionEdges or a node or both; the numbers beside them are no edges."""
    found: dict[str, Any] = {}
    for name, value in layout.items():
        if isinstance(value, dict):
            found.update({name: value} if _is_record(value) else table(value.get("ConnectionEdges", value)))
    return found
