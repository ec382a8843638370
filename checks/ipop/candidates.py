"""Candidate pairs of a tunnel, as IPOP 18 to 20 report them in `Stats`, and how two ends reach each other.

Format: tincan's virtual_link.cc; a candidate is WebRTC's own text of it,
`Cand[transport:foundation:component:protocol:priority:host:port:type:related:fragment:password:network:cost:generation]`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from checks.ipop.records import CONNECTIONS, Pair
from checks.sources import count, number, text

# Reflexive candidates were learnt through a STUN server (stun, in SDP srflx) or from the peer's own packets (prflx): through a NAT.
_KINDS = {"local": "local", "host": "local", "stun": "stun", "srflx": "stun", "prflx": "stun", "relay": "relay"}
_CANDIDATE = r"Cand\[[^:]*:[^:]*:\d+:\w+:\d+:(.{1,60}?):(\d{1,5}):(local|host|stun|srflx|prflx|relay):"
_MOST_PAIRS = 200


class Candidate(NamedTuple):
    """One end of a pair."""

    name: str
    """ "host:port/kind": short, for it is kept between two runs; one socket may be a candidate of several kinds. What is no candidate, as it is."""
    kind: str
    """one of CONNECTIONS, or "" where it is not known"""


def joined(one: str, other: str) -> str:
    """Return how a pair runs, one of CONNECTIONS, from the types of its ends (local, stun, prflx, relay ...): as the less direct of both.

    "" where an end's type is not known, unless the other is a relay.
    """
    kinds = (_KINDS.get(one, ""), _KINDS.get(other, ""))
    if "relay" in kinds:
        return "relay"
    return "" if "" in kinds else max(kinds, key=CONNECTIONS.index)


@lru_cache(4096)
def candidate(raw: str) -> Candidate:
    """Return what WebRTC's text of a candidate tells."""
    found = re.match(_CANDIDATE, raw)
    return Candidate(f"{found[1]}:{found[2]}/{found[3]}", _KINDS[found[3]]) if found else Candidate(raw, "")


def pairs(stats: object) -> tuple[tuple[Pair, ...], str]:
    """Return the pairs of a `Stats` list, and what is wrong with it, for the operator ("" where nothing is)."""
    if not stats:  # LinkManager begins with {}
        return (), ""
    if not isinstance(stats, list):
        return (), "its Stats are no list"
    found: dict[str, Pair] = {}
    damaged = len(stats[_MOST_PAIRS:])
    for entry in stats[:_MOST_PAIRS]:
        pair = _pair(entry) if isinstance(entry, dict) else None
        if pair and pair.key not in found:
            found[pair.key] = pair
            continue
        damaged += 1
        if (
            pair
        ):  # which of the two is which at the next reading nobody knows: no counter, rather than a wrong difference
            found[pair.key] = found[pair.key]._replace(received=None, sent=None)
    return tuple(found.values()), f"{damaged} of its {len(stats)} candidate pairs can't be used" if damaged else ""


def best(found: tuple[Pair, ...]) -> Pair | None:
    """Return the pair in use; None where no pair says so."""
    return next((pair for pair in found if pair.best), None)


def _pair(entry: dict[str, Any]) -> Pair:
    local, remote = candidate(text(entry.get("local_candidate"))), candidate(text(entry.get("remote_candidate")))
    rtt = number(entry.get("rtt"))
    return Pair(
        f"{local.name} {remote.name}",
        count(entry.get("recv_total_bytes")),
        count(entry.get("sent_total_bytes")),
        entry.get("best_conn") is True,
        None if rtt is None or rtt < 0 else rtt / 1000,
        joined(local.kind, remote.kind),
    )
