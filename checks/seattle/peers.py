"""Whom to ask and for how long: a host's addresses, this machine's own, a connection, and the time that is left."""

from __future__ import annotations

import socket
import time
from typing import Any

from checks.seattle.errors import Refused, SeattleError, Unreachable, Unresolvable

THIS_MACHINE = "this machine"
"""The host whose addresses are 127.0.0.1 and then the own one: most of Seattle's servers listen on the latter and on no other."""
_LOOPBACK = "127.0.0.1"
# An address for documentation (RFC 5737): nothing is sent to it.
_ELSEWHERE = ("192.0.2.1", 9)


def connect(host: str, port: int, until: float) -> socket.socket:
    """Return a connection, to the first of the host's addresses that takes one. Raises Unresolvable, Refused or Unreachable."""
    found = addresses(host, port, socket.SOCK_STREAM)
    failed: SeattleError = Unreachable("no address to connect to")
    for number, (family, address) in enumerate(found):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address that never answers leaves time for those after it.
            connection.settimeout(max(time_left(until) / (len(found) - number), 0.001))
            connection.connect(address)
            return connection
        except ConnectionRefusedError:
            failed = Refused("connection refused")
        except TimeoutError:
            failed = Unreachable("no connection in time")
        except OSError as error:
            failed = Unreachable(f"no connection: {error.strerror or error}")
        connection.close()
    raise failed


def addresses(host: str, port: int, kind: socket.SocketKind) -> list[tuple[socket.AddressFamily, Any]]:
    """Return families and socket addresses of a host, in the system's order. Raises Unresolvable."""
    if host == THIS_MACHINE:
        hosts = dict.fromkeys((_LOOPBACK, own_address() or _LOOPBACK))
        return [(socket.AF_INET, (address, port)) for address in hosts]
    try:
        return [(found[0], found[4]) for found in socket.getaddrinfo(host, port, type=kind)]
    except OSError as error:
        raise Unresolvable(f"no address: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Unresolvable("no address: it is no host name") from error


def time_left(until: float) -> float:
    """Return the seconds until then, and a little where it is over: 0 would mean not to wait at all, which fails with another error."""
    return max(until - time.monotonic(), 0.001)


def own_address() -> str | None:
    """Return the address with which this machine reaches others, or None where it has no other than 127.0.0.1. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return None
