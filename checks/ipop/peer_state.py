"""The object with which tincan 14 to 16 describes a peer, as a link.

Source of the format: ipop-tincan 14.01.1 to 16.01.0, tincanconnectionmanager.cc and xmppnetwork.cc. Whatever has the wrong type is unknown.
"""

from __future__ import annotations

from typing import Any

from checks.ipop.records import CONNECTIONS, Link, Pair
from checks.sources import count, table, text

BITS = 32
"""Width of tincan's byte counters: it casts its 64-bit sums to 32 bits on their way into JSON."""
ONLINE = "online"
_LONGEST_NAME = 100
_MOST_PAIRS = 1000
# What libjingle calls a candidate: one that only the peer saw (prflx) is a hole in a NAT, as one that a STUN server saw.
_CANDIDATES = {"local": "local", "stun": "stun", "prflx": "stun", "relay": "relay"}
# Where peers have no addresses of their own (switch mode) each is told to be here.
_NO_ADDRESS = ("127.0.0.1", "::1")


def link(state: dict[str, Any], peer: str, sampled: float | None = None, key: str = "") -> Link:
    """Return the link to `peer` that `state` describes; `sampled`: when it was written, epoch seconds; `key`: `peer` where it is "".

    An age is that of a connection, so an offline link has none; how long ago the peer was heard of over XMPP is known of both.
    """
    status = text(state.get("status"), _LONGEST_NAME)
    active = status == ONLINE
    pairs, trouble = _pairs(state) if active else ((), "")
    best = next((pair for pair in pairs if pair.best), None)
    return Link(
        key or peer,
        peer,
        active,
        status,
        aliases=tuple(name for name in names(state) if name != peer),
        age=_number(state.get("last_time")) if active else None,
        xmpp_age=_number(state.get("xmpp_time")),
        pairs=pairs,
        connection=best.connection if best else "",
        sampled=sampled,
        trouble=trouble if status else "its state has no status",
    )


def names(state: dict[str, Any]) -> tuple[str, ...]:
    """Return what a peer can be called by: its overlay addresses, then its uid; the ones that are there."""
    found = (text(state.get(field), _LONGEST_NAME) for field in ("ip4", "ip6", "uid"))
    return tuple(dict.fromkeys(name for name in found if name and name not in _NO_ADDRESS))


def _pairs(state: dict[str, Any]) -> tuple[tuple[Pair, ...], str]:
    """Return the candidate pairs of a state, and what is wrong with them. Tincan for Windows tells of none."""
    stats = state.get("stats", [])
    entries = _as_list(stats, state.get("stats_cons")) if isinstance(stats, str) else stats
    if not isinstance(entries, list) or len(entries) > _MOST_PAIRS:
        return (), "its stats are no list of candidate pairs"
    pairs: dict[str, Pair] = {}
    trouble = ""
    for entry in entries:
        pair = _pair(table(entry))
        if not pair:
            trouble = "a candidate pair without addresses is left out"
        elif pair.key in pairs:
            # Which of the two is which at the next reading nobody knows: no counter, rather than a wrong difference.
            pairs[pair.key] = pairs[pair.key]._replace(received=None, sent=None)
            trouble = "the bytes of two candidate pairs with the same addresses are left out"
        else:
            pairs[pair.key] = pair
    return tuple(pairs.values()), trouble


def _pair(entry: dict[str, Any]) -> Pair | None:
    local, remote = text(entry.get("local_addr"), _LONGEST_NAME), text(entry.get("rem_addr"), _LONGEST_NAME)
    if not local or not remote:
        return None
    rtt = _number(entry.get("rtt"))
    return Pair(
        f"{local} {remote}",
        _number(entry.get("recv_total_bytes")),
        _number(entry.get("sent_total_bytes")),
        entry.get("best_conn") is True,
        # In milliseconds; -1 for none, which its type makes a large number.
        None if rtt is None or rtt >= 1 << (BITS - 1) else rtt / 1000,
        _connection(entry),
    )


def _number(value: object) -> int | None:
    """Return a number of tincan's, which all have 32 bits and no sign; one that does not fit is none."""
    number = count(value)
    return number if number is not None and number < 1 << BITS else None


def _connection(entry: dict[str, Any]) -> str:
    """Return how the pair runs, of CONNECTIONS: the least direct of both ends; "" where one is not known."""
    ends = [_CANDIDATES.get(text(entry.get(field)), "") for field in ("local_type", "rem_type")]
    return max(ends, key=CONNECTIONS.index) if all(ends) else ""


def _as_list(stats: str, addresses: object) -> list[dict[str, Any]]:
    """Return candidate pairs as 14.01.2 and later tell them, of 14.01.1's two texts: ten numbers each, and both addresses each."""
    pairs, ends = stats.split(), text(addresses, len(stats) + _MOST_PAIRS * _LONGEST_NAME).split()
    found = []
    for place, pair in enumerate(pairs[: _MOST_PAIRS + 1]):
        told = [
            int(field) if field.isascii() and field.isdigit() and len(field) < 20 else -1 for field in pair.split(":")
        ]
        if len(told) != 10:
            return [{}]
        found.append(
            {
                **dict(zip(("local_addr", "rem_addr"), ends[2 * place : 2 * place + 2], strict=False)),
                **{"best_conn": told[0] == 1, "rtt": told[5], "sent_total_bytes": told[6], "recv_total_bytes": told[8]},
            }
        )
    return found
