"""Whether a node is found in the advertise service: without that nobody can use it, however well its manager answers."""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple

from checks.node.trouble import LOG
from checks.options import Server
from checks.output import clean_name, host_port
from checks.seattle.advertise import TcpAdvertise
from checks.seattle.errors import SeattleError
from checks.seattle.nodemanager import Answered
from checks.seattle.nodes import ADDRESS, AFFIX, NAT, Advertised, Followed, Name, advertised, follow
from checks.seattle.peers import addresses

_SHOWN = 3
# Anybody can advertise under any key, as often as he likes.
_FOLLOWED = 8
_LISTED = 50


class Standing(NamedTuple):
    """How the node stands in the advertise service: severity and what to say, lines for -v, and what was measured (None: nothing)."""

    severity: str
    text: str
    lines: list[str]
    found: Advertised | None


def look_up(server: Server, answered: Answered, severity: str, until: float) -> Standing:
    """Ask the advertise service for the node's key; `severity` is that of a node that is not there. Never raises for what is there."""
    service = TcpAdvertise(*server)
    try:
        found = advertised(service, answered.node.key, until)
    except SeattleError as error:
        said = f"not known whether the node is advertised: advertise server {server}: {error}; check that server"
        return Standing("unknown", said, [], None)
    if not found.names:
        said = f"not advertised: {server} knows no address under the key of {_at(answered)}; {LOG}"
        return Standing(severity, said, [], found)
    own = answered.node.key.node_name().decode("ascii")
    affix = sorted((name for name in found.names if name.kind == AFFIX), key=lambda name: name.host != own)
    led = follow(service, affix[:_FOLLOWED], until)
    lines = [f"advertised as {_shown(name)}{_leads(name, led)}" for name in found.names[:_LISTED]]
    verdict, said = _verdict(found.names, led, answered)
    return Standing(verdict, said, lines, found)


def _verdict(names: list[Name], led: dict[bytes, Followed], answered: Answered) -> tuple[str, str]:
    hosts = _hosts(answered)
    own_name = answered.node.key.node_name()
    here = [name for name in names if name.port == answered.port or name.value.endswith(b":%d" % answered.port)]
    if any(name.kind == NAT or (name.kind == ADDRESS and name.host in hosts) for name in here):
        return "ok", ""
    by_name = [name for name in here if name.value.startswith(own_name)]
    if not by_name:
        as_what = ", ".join(map(_shown, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")
        return "warning", f"advertised as {as_what}, but it answers at {_at(answered)}: users are led elsewhere"
    affix = [name for name in by_name if name.kind == AFFIX]
    if affix and not any(name.value in led for name in affix):
        return "unknown", f"not known whether its Affix name {_shown(affix[0])} leads anywhere: no time left to look"
    if affix and not any(led[name.value].addresses for name in affix if name.value in led):
        why = led[affix[0].value].why
        return "warning", f"advertised by its Affix name {_shown(affix[0])}, which leads nowhere: {why}"
    return "ok", ""


def _hosts(answered: Answered) -> set[str]:
    """Return the addresses that mean this node: what it calls itself, and where it answered."""
    hosts = {answered.node.name, answered.host}
    with contextlib.suppress(SeattleError):  # it has just been resolved
        hosts |= {str(address[0]) for _, address in addresses(answered.host, answered.port, socket.SOCK_STREAM)}
    return hosts


def _leads(name: Name, led: dict[bytes, Followed]) -> str:
    if name.kind != AFFIX:
        return ""
    if name.value not in led:
        return ", an Affix name that was not looked up"
    followed = led[name.value]
    return f", an Affix name that leads to {', '.join(followed.addresses[:_SHOWN]) or f'nothing: {followed.why}'}"


def _shown(name: Name) -> str:
    return clean_name(f"{name.host[:60]}:{name.port}" if name.port else name.host)


def _at(answered: Answered) -> str:
    return host_port(answered.host, answered.port)
