"""A double of the web port of a Tahoe-LAFS 1.20 node or introducer, for what the real one can't be made to do: be sick, lie, know 1,000 servers.

Everything it says was recorded from real ones, Content-Types and pages of errors included. As a process: python -m tests.tahoe.node --kind client
"""

from __future__ import annotations

import copy
import json
import socket
import time
from typing import Any

from tests.seattle.serving import parser, run
from tests.seattle.web import Asked, WebServing, answer
from tests.tahoe.documents import recorded, welcome

WELCOME, STATISTICS, STORAGE = "/?t=json", "/statistics?t=json", "/storage?t=json"
KINDS = {
    "storage": {WELCOME: "storage/welcome", STATISTICS: "storage/statistics", STORAGE: "storage/storage"},
    "client": {WELCOME: "client/welcome", STATISTICS: "client/statistics"},
    "introducer": {WELCOME: "introducer/welcome"},
}
_TYPES = {WELCOME: "application/json; charset=utf-8", STATISTICS: "text/plain", STORAGE: "text/plain"}
_PROCESSING_FAILED = b"<html><head><title>Processing Failed</title></head><body><b>Processing Failed</b></body></html>"
_NO_SUCH_RESOURCE = b"""
<html>
  <head><title>404 - No Such Resource</title></head>
  <body>
    <h1>No Such Resource</h1>
    <p>Sorry. No luck finding that resource.</p>
  </body>
</html>
"""
WEB_PAGE = b"<!DOCTYPE html>\n<html>\n  <head>\n    <title>Tahoe-LAFS - Welcome</title>\n  </head>\n</html>\n"
_REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}


class TahoeNode(WebServing):
    """One node; everything may be changed at any time."""

    def __init__(self, kind: str = "storage", port: int = 0, manner: str = "whole") -> None:
        super().__init__(port, manner)
        self.kind_of_node = kind
        self.documents: dict[str, Any] = {path: recorded(name) for path, name in KINDS[kind].items()}
        """What it tells, by path."""
        self.bodies: dict[str, bytes] = {}
        """What is sent instead, by path."""
        self.statuses: dict[str, int] = {}
        """HTTP statuses by path."""
        self.manners: dict[str, str] = {}
        """Manners by path."""
        self.paths: list[str] = []
        """What was asked for, the oldest first."""
        for number, server in enumerate(self.servers):
            server["last_received_data"] = time.time() - 1 - number

    @property
    def url(self) -> str:
        """The URL of its web port."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def servers(self) -> list[dict[str, Any]]:
        """The storage servers it knows, as it tells."""
        found = self.documents[WELCOME].get("servers", [])
        assert isinstance(found, list)
        return found

    @property
    def stats(self) -> dict[str, Any]:
        """Its statistics that are no counters."""
        found = self.documents[STATISTICS]["stats"]
        assert isinstance(found, dict)
        return found

    @property
    def counters(self) -> dict[str, Any]:
        """Its counters."""
        found = self.documents[STATISTICS]["counters"]
        assert isinstance(found, dict)
        return found

    def respond(self, asked: Asked) -> bytes:
        """Answer as a node of its kind."""
        self.paths.append(asked.path)
        body, status, kind = _NO_SUCH_RESOURCE, 404, "text/html; charset=utf-8"
        if asked.path in self.bodies or asked.path in self.documents:
            told = json.dumps(self.documents.get(asked.path), indent=1).encode() + b"\n"
            body, status, kind = self.bodies.get(asked.path, told), 200, _TYPES.get(asked.path, "text/html")
        elif asked.path == STORAGE and self.kind_of_node == "client":
            body, status, kind = _PROCESSING_FAILED, 500, "text/html"
        if self.kind_of_node == "introducer" and status == 200:
            kind = "text/html"
        status = self.statuses.get(asked.path, status)
        if status == 500:
            body, kind = _PROCESSING_FAILED, "text/html"
        return answer(body, f"{status} {_REASONS.get(status, 'Whatever')}", kind, "Server: TwistedWeb/26.10.0")

    def converse(self, connection: socket.socket) -> None:
        """Read one request and answer it in the manner that its path has."""
        asked = self.asked(connection)
        self.answer(connection, self.respond(asked), self.manners.get(asked.path, ""))


def full() -> TahoeNode:
    """A storage node whose disk holds no more than is to be kept free."""
    node = TahoeNode()
    node.stats["storage_server.reserved_space"] = node.stats["storage_server.disk_free_for_nonroot"] + 1
    return _closed(node)


def read_only() -> TahoeNode:
    """A storage node that is configured to take no shares."""
    return _closed(TahoeNode())


def lost() -> TahoeNode:
    """A client that has lost its introducer and one of two servers, in its own words."""
    node = TahoeNode("client")
    node.documents[WELCOME] = recorded("client/lost")
    return node


def large(servers: int = 1000) -> TahoeNode:
    """A client that knows many storage servers, one in ten of them not connected."""
    node = TahoeNode("client")
    node.documents[WELCOME] = welcome(servers, servers - servers // 10)
    return node


def hostile() -> TahoeNode:
    """A storage node that tells what could harm a status page, a shell, a terminal, or who takes a type for granted."""
    node = TahoeNode()
    one = node.servers[0]
    names = (
        "a|b=1;2;3",
        "<script>alert(1)</script>",
        "$(reboot)`id`'\"",
        "\u6f22\u5b57",
        "x" * 9000,
        "\x1b[2J\r\n",
        "\ud800",
    )
    odd_values: tuple[Any, ...] = (None, [], {}, True, -1)
    node.documents[WELCOME]["servers"] = [
        *({**one, "nickname": name, "nodeid": name, "version": name, "connection_status": name} for name in names),
        *({**one, "nickname": odd, "available_space": odd, "last_received_data": odd} for odd in odd_values),
        *(None, [], "connected", 1),
        copy.deepcopy(one),
    ]
    node.documents[WELCOME]["introducers"]["statuses"] = [None, {}, "Connected|to <b>", "failure: [\n  File x\n|"]
    node.stats.update(
        {
            "storage_server.disk_total": "much",
            "storage_server.disk_used": float("nan"),
            "storage_server.disk_avail": -5,
            "storage_server.reserved_space": 10**400,
            "storage_server.allocated": float("inf"),
            "storage_server.latencies.wr|ite.mean": 1,
            "storage_server.latencies.write.99_9_percentile": True,
            "node.uptime": None,
        }
    )
    node.counters.update({"storage_server.get": -1, "storage_server.readv": 1.5, "storage_server.writev": [1]})
    node.documents[STORAGE]["lease-checker"]["history"] = {"x": 1, "7": None}
    return node


def _closed(node: TahoeNode) -> TahoeNode:
    node.stats["storage_server.disk_avail"] = node.stats["storage_server.accepting_immutable_shares"] = 0
    return node


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--kind", choices=sorted(KINDS), default="storage")
    given = options.parse_args()
    run(TahoeNode(given.kind, given.port, given.manner))
