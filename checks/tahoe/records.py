"""What a Tahoe-LAFS node, an introducer and a grid tell, as records. Bytes, seconds and epoch seconds; None is not reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Statistics(NamedTuple):
    """One node's statistics, by Tahoe's own names (storage_server.allocated ...): what it serves at /statistics?t=json, or the gatherer got from it.

    Only finite numbers; `null` and what is no number is left out. Counters are whole numbers from 0 up, since the node started.
    """

    counters: Mapping[str, int]
    stats: Mapping[str, float]

    @property
    def stores(self) -> bool:
        """Whether the node has a storage server."""
        return any(key.startswith("storage_server.") for key in (*self.stats, *self.counters))

    @property
    def uptime(self) -> float | None:
        """Return the seconds since the node started."""
        return self.stats.get("node.uptime")


class Node(NamedTuple):
    """One node of the stats gatherer's file, or the one behind --url (`tubid` and `nickname` "", `gathered` None: now)."""

    tubid: str
    nickname: str
    gathered: float | None
    """when its numbers were got, epoch seconds"""
    statistics: Statistics
    trouble: str = ""
    """why its numbers can't be used, for the operator"""


class Server(NamedTuple):
    """One storage server as a client knows it (/?t=json)."""

    nodeid: str
    nickname: str
    connected: bool
    status: str
    """the client's own words, their first line"""
    available: int | None
    """bytes; 0: takes no shares (full or read-only). What a server that is not connected said last is an old number."""
    version: str
    heard: float | None
    """when anything was last received from it, epoch seconds"""


class Introducer(NamedTuple):
    """One introducer as a node knows it."""

    connected: bool
    status: str


class Welcome(NamedTuple):
    """What a client or storage node says of its grid (/?t=json)."""

    introducers: tuple[Introducer, ...]
    servers: tuple[Server, ...]


class Introductions(NamedTuple):
    """What an introducer itself says (its /?t=json): how many announce and subscribe, by service."""

    announcements: Mapping[str, int]
    subscriptions: Mapping[str, int]
