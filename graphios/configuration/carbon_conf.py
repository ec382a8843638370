"""What carbon's own configuration says of new series: `MAX_CREATES_PER_MINUTE` of the cache that listens where we send to.

Format: carbon.conf as carbon/conf.py reads it: [cache], and [cache:b] on top of it; names in capitals; `inf` for no limit.
"""

from __future__ import annotations

import configparser
import ipaddress
import math
import socket
from collections.abc import Iterable
from pathlib import Path

PATH = Path("/etc/carbon/carbon.conf")
_LARGEST = 1_000_000
_PORTS = {"plaintext": ("LINE_RECEIVER", 2003), "pickle": ("PICKLE_RECEIVER", 2004)}


def creates_per_minute(servers: Iterable[tuple[str, int]], protocol: str, path: Path) -> int:
    """The lowest limit of all caches in carbon.conf that are among `servers`; 0 when none of them is there or limited.

    A file that is missing, unreadable or no carbon.conf is no limit either.
    """
    local = [(host, port) for host, port in servers if is_this_machine(host)]
    if not local:
        return 0
    parser = configparser.RawConfigParser(strict=False, default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return 0
    limits = []
    for section in parser.sections():
        if section == "cache" or section.startswith("cache:"):
            cache = (dict(parser["cache"]) if parser.has_section("cache") else {}) | dict(parser[section])
            if any(_listens(cache, protocol, host, port) for host, port in local):
                limits.append(_limit(cache.get("MAX_CREATES_PER_MINUTE", "inf")))
    return min((limit for limit in limits if limit), default=0)


def is_this_machine(host: str) -> bool:
    """Whether `host` is an address or the name of this machine. Asks no name server."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".") in ("localhost", socket.gethostname().lower())
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        # Only an address of this machine can be bound.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return not address.is_unspecified


def _listens(cache: dict[str, str], protocol: str, host: str, port: int) -> bool:
    name, default = _PORTS[protocol]
    if cache.get(f"{name}_PORT", str(default)).strip() != str(port):
        return False
    interface = cache.get(f"{name}_INTERFACE", "0.0.0.0").strip()
    try:
        wanted, found = ipaddress.ip_address(host), ipaddress.ip_address(interface)
    except ValueError:
        return True
    return found.is_unspecified or wanted == found


def _limit(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        return 0
    return max(1, math.floor(value)) if 0 < value < _LARGEST else 0
