"""What /?t=json tells: a client's or storage node's view of its grid, or what an introducer knows.

Connection states are free text without a boolean beside it (util/connection_status.py and storage_client.py of Tahoe-LAFS).
"""

from __future__ import annotations

from typing import Any

from checks.deadline import BadInput
from checks.sources import count, number, read_json, table, text
from checks.tahoe.records import Introducer, Introductions, Server, Welcome


def read(data: bytes, what: str) -> Welcome | Introductions:
    """Return what a node's or an introducer's document, called `what`, says. Raises BadInput."""
    return parse(read_json(data, what, nan_is_null=True, doubled_is_null=True), what)


def parse(document: object, what: str) -> Welcome | Introductions:
    """Return what is in the document. Raises BadInput where it is neither a node's nor an introducer's."""
    found = table(document)
    servers, introducers = found.get("servers"), table(found.get("introducers")).get("statuses")
    if isinstance(servers, list) and isinstance(introducers, list):
        return Welcome(tuple(map(_introducer, introducers)), tuple(map(_server, servers)))
    announcements, subscriptions = found.get("announcement_summary"), found.get("subscription_summary")
    if isinstance(announcements, dict) and isinstance(subscriptions, dict):
        return Introductions(_counts(announcements), _counts(subscriptions))
    raise BadInput(f"{what} is not what a Tahoe-LAFS node or introducer tells")


def is_connected(status: str) -> bool:
    """Whether a node's own words say that it is connected."""
    words = status.lower()
    return words == "connected" or words.startswith(("connected to ", "connected via "))


def _introducer(status: object) -> Introducer:
    said = _first_line(status)
    return Introducer(is_connected(said), said)


def _server(entry: object) -> Server:
    """Return one server; an entry that is damaged is a server that is not connected."""
    if not isinstance(entry, dict):
        return Server("", "", False, "its entry is damaged", None, "", None)
    status = _first_line(entry.get("connection_status"))
    heard = number(entry.get("last_received_data"))
    return Server(
        text(entry.get("nodeid"), 100),
        text(entry.get("nickname"), 100),
        is_connected(status),
        status,
        count(entry.get("available_space")),
        text(entry.get("version"), 100),
        heard if heard is not None and heard > 0 else None,
    )


def _first_line(status: object) -> str:
    """Return the first line of what may be a whole traceback."""
    return next(iter(text(status).strip().splitlines()), "").strip()


def _counts(found: dict[str, Any]) -> dict[str, int]:
    counted = ((key[:100], count(value)) for key, value in found.items())
    return {key: value for key, value in counted if value is not None}
