"""The object with which tincan 14 to 16 describes a peer, as a link.

Source of the format: ipop-tincan v14.07.0 and v16.01.0, tincanconnectionmanager.cc and xmppnetwork.cc. Whatever has the wrong type is unknown.
"""

from __future__ import annotations

from typing import Any

from checks.ipop.records import CONNECTIONS, Link, Pair
from checks.sources import count, number, table, text

BITS = 32
"""Width of tincan's byte counters: its 64-bit sums are cast to 32 bits on their way into JSON."""
ONLINE = "online"
_LONGEST_NAME = 100
_MOST_PAIRS = 1000
# What libjingle calls a candidate; one that only the peer saw (prflx) is a hole in a NAT as well as one that a STUN server saw.
_CANDIDATES = {"local": "local", "stun": "stun", "prflx": "stun", "relay": "relay"}


def link(state: dict[str, Any], peer: str, sampled: float | None = None, key: str = "") -> Link:
    """Return the link to `peer` that `state` describes; `sampled`: when it was written, epoch seconds; `key`: `peer` where it is "".

    An age is that of a connection, so an offline link has none; the time since the peer was heard of over XMPP is known of both.
    """
    status = text(state.get("status"), _LONGEST_NAME)
    active = status == ONLINE
    pairs, trouble = _pairs(state.get("stats")) if active else ((), "")
    best = next((pair for pair in pairs if pair.best), None)
    age, xmpp_age = count(state.get("last_time")), count(state.get("xmpp_time"))
    return Link(
        key or peer,
        peer,
        active,
        status,
        aliases=tuple(name for name in names(state) if name != peer),
        age=age if active else None,
        xmpp_age=xmpp_age,
        pairs=pairs,
        connection=best.connection if best else "",
        sampled=sampled,
        trouble=trouble if status else "its state has no status",
    )


def names(state: dict[str, Any]) -> tuple[str, ...]:
    """Return what a peer can be called by: overlay addresses, then its uid; the ones that are there."""
    found = (text(state.get(field), _LONGEST_NAME) for field in ("ip4", "ip6", "uid"))
    return tuple(dict.fromkeys(name for name in found if name))


def _pairs(stats: object) -> tuple[tuple[Pair, ...], str]:
    """Return the candidate pairs of `stats`, and what is wrong with them."""
    if stats is None:
        return (), ""
    if not isinstance(stats, list) or len(stats) > _MOST_PAIRS:
        return (), "its stats are no list of candidate pairs"
    pairs: dict[str, Pair] = {}
    trouble = ""
    for entry in stats:
        pair = _pair(table(entry))
        if not pair:
            trouble = "a candidate pair without addresses is left out"
        elif pair.key in pairs:
            # Which of the two is which at the next reading nobody knows: no counter, rather than a wrong difference.
            pairs[pair.key] = pairs[pair.key]._replace(received=None, sent=None)
            trouble = "two candidate pairs with the same addresses: their bytes are left out"
        else:
            pairs[pair.key] = pair
    return tuple(pairs.values()), trouble


def _pair(entry: dict[str, Any]) -> Pair | None:
    local, remote = text(entry.get("local_addr"), _LONGEST_NAME), text(entry.get("rem_addr"), _LONGEST_NAME)
    if not local or not remote:
        return None
    rtt = number(entry.get("rtt"))
    return Pair(
        f"{local} {remote}",
        _bytes(entry.get("recv_total_bytes")),
        _bytes(entry.get("sent_total_bytes")),
        entry.get("best_conn") is True,
        # libjingle's round trips are milliseconds.
        None if rtt is None or rtt < 0 else rtt / 1000,
        _connection(entry),
    )


def _bytes(value: object) -> int | None:
    """Return a byte counter; a number that does not fit into it is none."""
    total = count(value)
    return total if total is not None and total < 1 << BITS else None


def _connection(entry: dict[str, Any]) -> str:
    """Return how the pair runs, of CONNECTIONS: the least direct of both ends; "" where one is not known."""
    ends = [_CANDIDATES.get(text(entry.get(field)), "") for field in ("local_type", "rem_type")]
    return max(ends, key=CONNECTIONS.index) if all(ends) else ""
