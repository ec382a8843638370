"""What every source of an overlay's links is read into: one record for each link, in base units."""

from __future__ import annotations

from typing import NamedTuple

# Ages of tincan 14 to 16 come from a 32-bit clock of milliseconds, shown in whole seconds: after this many they begin anew at 0.
AGE_WRAP = 4294967
# How two nodes reach each other, the most direct first; its number in perfdata is its place, from 1.
CONNECTIONS = ("local", "stun", "relay")


class Pair(NamedTuple):
    """One candidate pair of a link: a way its packets can take. None is not reported."""

    key: str
    """What tells it apart from the link's other pairs between two readings: both addresses or candidates."""
    received: int | None
    """bytes since the pair was made; wraps at the reading's `bits`"""
    sent: int | None
    best: bool = False
    """the pair in use"""
    rtt: float | None = None
    """STUN round trip, seconds"""
    connection: str = ""
    """one of CONNECTIONS, or "" where it is not known"""


class Link(NamedTuple):
    """One listed link. None and "" are not reported."""

    key: str
    """what tells it apart from all others of the same source, over restarts: overlay, node, peer, and the link's own id where there is one"""
    peer: str
    """the peer as the source calls it: overlay address, node name, else its id"""
    active: bool
    """whether packets get through, as the source says"""
    state: str
    """the source's own word: online, TNL_ONLINE, CEStateConnected ..."""
    node: str = ""
    """who reports it, where the source holds the links of several nodes"""
    overlay: str = ""
    aliases: tuple[str, ...] = ()
    """other names an operator may call the peer by: addresses, node id, uid"""
    age: float | None = None
    """seconds since the connection was made"""
    xmpp_age: float | None = None
    """seconds since the peer was last heard of over XMPP"""
    pairs: tuple[Pair, ...] = ()
    connection: str = ""
    """how the link runs, of CONNECTIONS: that of its best pair, or of its endpoints"""
    tap: str = ""
    """network device of this link alone, on the node that reports it"""
    incarnation: str = ""
    """what is another one when the connection was made anew (its id, the moment it was made); "" where the source does not say"""
    sampled: float | None = None
    """when its counters were read, epoch seconds, where that is not now"""
    trouble: str = ""
    """why nothing or not all is known of it, for the operator; a link that is listed but has no data is not active"""
    node_id: str = ""
    """id of who reports it, where the source has one: `node` may be its name"""


class Reading(NamedTuple):
    """All links of one source at one moment."""

    source: str
    """what it is, for the output: "tincan 14 to 16 at 127.0.0.1:5800", "IPOP 20.2.20 controller", "EdgeVPN 24.1.2 controller" ..."""
    links: tuple[Link, ...]
    bits: int
    """width of the byte counters: 32 for tincan 14 to 16, else 64"""
    age_wraps: bool = False
    """whether ages begin anew after AGE_WRAP seconds"""
    changed: float | None = None
    """when the source wrote this, epoch seconds (a file's mtime); None when it was asked and answered now"""
    collected: float | None = None
    """when its collector says it wrote this, epoch seconds; `changed` may be the time of a copy"""
    node: str = ""
    """the node whose links these are, where it is one"""
    troubles: tuple[str, ...] = ()
    """what could not be read besides the links, for the operator"""
    overlays: tuple[str, ...] = ()
    """all that the source names, also those without links: names of links do not depend on which overlay has one just now"""
