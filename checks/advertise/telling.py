"""How check_advertise_server tells a failure: what happened, where, and what to do next."""

from __future__ import annotations

import time

from checks.advertise.round_trip import Failure, Missing, WrongValue
from checks.output import host_port
from checks.seattle.advertise import Service, experimental_port_answers
from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused
from checks.seattle.nodes import ADDRESS, AFFIX, NAT, Followed, Name
from checks.seattle.peers import THIS_MACHINE

_SIBLING_PATIENCE = 0.5


def where(service: Service) -> str:
    """Return host and port as an operator writes them."""
    host = "127.0.0.1" if service.host == THIS_MACHINE else service.host
    return host_port(host, service.port)


def told(failure: Failure, service: Service) -> str:
    """Return a failure in one line."""
    place, doing, error = f"{where(service)} ({service.transport})", failure.doing, failure.error
    tcp = service.transport == "TCP"
    if isinstance(error, Refused):
        return f"refused by {place}: the server does not run, start it (60 s after its end: sooner it can't bind)"
    if isinstance(error, NoAnswer):
        if tcp and doing == "get":
            return f"no answer from {place} to get, after it answered put: it hangs or is far too slow, restart it"
        if tcp:
            return f"no answer from {place} to {doing} though it takes connections: the server hangs, restart it"
        said = f"no answer from {place} to {doing}: it hangs, restart it, or a firewall drops UDP"
        return said if doing in ("put", "get") else f"{said}, or the answer is too long for UDP: --transport tcp"
    if isinstance(error, EmptyAnswer):
        return f"empty answer from {place} to {doing}: {error}; see the server's log, restart it"
    if isinstance(error, Malformed):
        return f"malformed answer from {place} to {doing}: {error}; does another service have this port?"
    if isinstance(error, Missing):
        return f"no value from {place}: {error}; the server forgets, restart it"
    if isinstance(error, WrongValue):
        return f"wrong value from {place}: a fresh key has not only what was just put but {error}; see the server's log, restart it"
    return f"{place}: {error}: is the host up, does a firewall drop it? If it is up, the server hangs: restart it"


def half_dead(service: Service, port: int, until: float) -> str:
    """Return the line for a refused server whose process is alive on another port; empty where it is not, or not known to be.

    advertiseserver.py that is started while its TCP port is still taken goes on without it, but its experimental UDP port answers.
    """
    patience = min(until, time.monotonic() + _SIBLING_PATIENCE)
    if service.transport != "TCP" or not experimental_port_answers(service.host, port, patience):
        return ""
    return (
        f"refused by {where(service)} (TCP), but UDP {port} answers: half-dead since a restart; "
        "stop advertiseserver.py, start it after 60 s"
    )


def node_line(name: Name, followed: Followed | None) -> str:
    """Return what is known about a node's address."""
    if name.kind == AFFIX:
        if followed and followed.addresses:
            return f"{', '.join(f'{address}:{name.port}' for address in followed.addresses[:3])} (Affix {name.host})"
        return f"{name.host}:{name.port} (Affix, {followed.why if followed else 'not looked up'})"
    if name.kind == NAT:
        return f"{name.host}:{name.port} (behind a NAT forwarder)"
    return f"{name.host}:{name.port}" if name.kind == ADDRESS else f"{name.host} (no node's name)"


def shown(seconds: float) -> str:
    """Return a time as a person reads it."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
