"""Documents of overlays of any size, in the formats of controllers and visualizer; as a program, one is written to a file.

Each is a whole overlay or node at one moment: what is asked for again for a later moment has run on, links are as much older and counters as
much higher.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OVERLAYS = ("101000F", "111030F")
MADE = 1700000000.25
"""When the first connection was made, epoch seconds; the next are a second later each."""
RECEIVED, SENT = 1000, 400
"""Bytes a second on the best pair of each link."""
LINKS_OF_A_NODE = 18


def identity(number: int, kind: str) -> str:
    """Return a node's or link's id: 32 hexadecimal digits, as uuid4().hex makes them."""
    return f"{ord(kind[0]):02x}{number * 2654435761 % (1 << 64):030x}"


def candidate(host: str, port: int, kind: str) -> str:
    """Return a candidate as WebRTC writes it."""
    related = "10.0.0.9:40000" if kind == "prflx" else ":0"
    return f"Cand[:{port}:1:udp:2122260223:{host}:{port}:{kind}:{related}:_001IPOPICEUFRAG:_00000001IPOPICEPASSWORD:1:50:0]"


def pair(
    received: int, sent: int, *, best: bool = True, ends: tuple[str, str] = ("local", "stun"), port: int = 42100
) -> dict[str, Any]:
    """Return an entry of `Stats` as tincan 18 to 20 makes it."""
    return {
        "best_conn": best,
        "local_candidate": candidate("192.0.2.10", port, ends[0]),
        "new_conn": False,
        "receiving": True,
        "recv_bytes_second": RECEIVED if best else 0,
        "recv_ping_requests": 60,
        "recv_ping_responses": 60,
        "recv_total_bytes": received,
        "remote_candidate": candidate("198.51.100.7", port + 1, ends[1]),
        "rtt": 23,
        "sent_bytes_second": SENT if best else 0,
        "sent_discarded_packets": 0,
        "sent_ping_requests_before_first_response": 1,
        "sent_ping_requests_total": 65,
        "sent_ping_responses": 60,
        "sent_total_bytes": sent,
        "sent_total_packets": sent // 100,
        "state": 2,
        "timeout": not best,
        "writable": True,
    }


def visualizer(records: int = 318, *, created: int = 4, moment: float = MADE + 100000) -> dict[str, Any]:
    """Return the collector's document of two overlays: `records` link records, the last `created` of them not connected yet.

    Records come in twos, one at either end; every tenth node is not among `Nodes`. One link in seven runs over a relay, two more locally.
    """
    document: dict[str, Any] = {
        "_id": {"$date": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")},
        "Overlays": {overlay: {"NumNodes": 0, "NumLinks": 0, "Name": ""} for overlay in OVERLAYS},
        "Nodes": {overlay: {} for overlay in OVERLAYS},
        "Links": {overlay: {} for overlay in OVERLAYS},
        "Topology": {},
    }
    nodes = max(records // LINKS_OF_A_NODE, 2)
    for number in range(records):
        link, back = divmod(number, 2)
        ends = link % nodes, (link + 1 + link // nodes) % nodes
        source, target = ends[::-1] if back else ends
        overlay = OVERLAYS[link % 20 == 19]
        for node in ends:
            if node % 10 != 9:
                address = f"10.{OVERLAYS.index(overlay)}.{node // 250}.{node % 250 + 1}"
                document["Nodes"][overlay][identity(node, "node")] = {"NodeName": f"node{node:03}", "IP4": address}
        record = _record(link, identity(source, "node"), identity(target, "node"), moment, number < records - created)
        document["Links"][overlay].setdefault(identity(source, "node"), {})[record["LinkId"]] = record
    for overlay, counts in document["Overlays"].items():
        counts["NumNodes"] = len(document["Nodes"][overlay])
        counts["NumLinks"] = len({link for links in document["Links"][overlay].values() for link in links})
    return document


def controller(
    tunnels: int = 10, *, offline: int = 0, moment: float = MADE + 100000, version: str = "20.2.20"
) -> dict[str, Any]:
    """Return the `VizData` of an IPOP 20 node with so many tunnels, the first `offline` of which went offline: their Stats are stale."""
    node = identity(0, "node")
    linked: dict[str, Any] = {}
    edges: dict[str, Any] = {}
    for number in range(tunnels):
        peer, tunnel = identity(number + 1, "node"), identity(number, "link")
        record = _record(number, node, peer, moment, connected=True)
        linked[tunnel] = {
            "NodeId": node,
            "PeerId": peer,
            "TunnelState": "TNL_OFFLINE" if number < offline else "TNL_ONLINE",
            "TapName": f"tnl-{tunnel[-7:]}",
            "MAC": "02AABBCCDD01",
            "Stats": record["Stats"],
        }
        edges[tunnel] = {name: record[name] for name in ("PeerId", "CreatedTime", "ConnectedTime", "State", "Type")}
    topology = {"ConnectionEdges": edges, "NumEdges": tunnels, "NumSuccessors": tunnels}
    bridge = {
        "Type": "OVS",
        "BridgeName": "ipopbr",
        "IP4": "10.0.0.1",
        "PrefixLen": 16,
        "MTU": 1410,
        "AutoDelete": True,
    }
    parts = {"LinkManager": {node: linked}, "Topology": topology, "BridgeController": bridge}
    return {"VizData": {OVERLAYS[0]: parts}, "NodeName": "node-a", "IpopVersion": version}


def evio(tunnels: int = 10, *, moment: float = MADE + 100000, version: str = "24.1.2.1061") -> dict[str, Any]:
    """Return what EdgeVPN's evio sends of a node with so many tunnels, the first one of which is not connected yet."""
    found: dict[str, Any] = {}
    for number in range(tunnels):
        record = _record(number, identity(0, "node"), identity(number + 1, "node"), moment, connected=number > 0)
        found[identity(number, "link")] = {
            "PeerId": record["PeerId"],
            "CreatedTime": record["CreatedTime"],
            "ConnectedTime": record["ConnectedTime"] or 0.0,
            "State": record["State"],
            "Type": record["Type"],
            "TapName": f"tnl-{record['LinkId'][-7:]}",
            "MAC": "02AABBCCDD01",
            "LocalEndpoint": {"Proto": "local", "External": "192.0.2.10:42100", "Internal": "10.0.0.2:42100"},
            "RemoteEndpoint": {"Proto": "stun", "External": "198.51.100.7:50001"},
        }
    return {
        "NodeId": identity(0, "node"),
        "VizData": {OVERLAYS[0]: {"Tunnels": found}},
        "BootTime": "2026-11-20 21:10:34.465871",
        "Version": version,
        "NodeName": "node-a",
        "GeoCoordinate": "29.6,-82.3",
    }


def deflated(document: dict[str, Any]) -> bytes:
    """Return a document as evio sends it."""
    return zlib.compress(json.dumps(document).encode())


def _record(link: int, source: str, target: str, moment: float, connected: bool) -> dict[str, Any]:
    """Return a link's record as the visualizer keeps it."""
    made = MADE + link
    record: dict[str, Any] = {
        "InterfaceName": f"ipop{identity(link, 'link')[-7:]}",
        "MAC": "02AABBCCDD01",
        "SrcNodeId": source,
        "TgtNodeId": target,
        "PeerId": target,
        "LinkId": identity(link, "link"),
        "MarkedForDeleted": False,
        "CreatedTime": made - 4,
        "ConnectedTime": made if connected else None,
        "State": "CEStateConnected" if connected else "CEStateCreated",
        "Type": "CETypeSuccessor",
    }
    if connected:
        ends = {0: ("local", "relay"), 1: ("local", "local"), 2: ("local", "local"), 3: ("prflx", "stun")}
        received, sent = (int((moment - made) * rate) for rate in (RECEIVED, SENT))
        record["Stats"] = [pair(received, sent, ends=ends.get(link % 7, ("local", "stun")))]
        record["Stats"] += [pair(1074, 4486, best=False, port=42200 + more) for more in range(link % 3)]
        record["IceRole"] = "Controlling" if source < target else "Controlled"
    return record


def main() -> None:
    """Write a document as it would be now, put in place by a rename."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("visualizer", "controller", "evio", "evio-deflated"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--links", type=int, default=318)
    opts = parser.parse_args()
    now = time.time()
    if opts.kind == "visualizer":
        made = visualizer(opts.links, moment=now)
    else:
        made = (controller if opts.kind == "controller" else evio)(opts.links, moment=now)
    written = opts.file.with_name(opts.file.name + ".new")
    written.write_bytes(deflated(made) if opts.kind == "evio-deflated" else json.dumps(made).encode())
    written.rename(opts.file)


if __name__ == "__main__":
    main()
