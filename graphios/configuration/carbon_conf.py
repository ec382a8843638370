"""What carbon's own configuration says of the cache that listens where we send to: how many series it creates, and where they lie.

Format: carbon.conf as carbon/conf.py reads it: [cache], and [cache:b] on top of it; names in capitals; `inf` for no limit.
"""

from __future__ import annotations

import configparser
import ipaddress
import math
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PATH = Path("/etc/carbon/carbon.conf")
_LARGEST = 1_000_000
_PORTS = {"plaintext": ("LINE_RECEIVER", 2003), "pickle": ("PICKLE_RECEIVER", 2004)}


class Caches(NamedTuple):
    """What is known of the caches of this machine that are among the servers."""

    creates_per_minute: int = 0
    """The lowest limit of them; 0: none, or nothing is known."""
    whisper: str = ""
    """Where they keep their series, when that is one place this user can look into; empty: not known."""


def caches(servers: Iterable[tuple[str, int]], protocol: str, path: Path) -> Caches:
    """What carbon.conf says of the caches among `servers` (host, port). A file that is missing, unreadable or no carbon.conf says nothing."""
    local = [(host, port) for host, port in servers if is_this_machine(host)]
    if not local:
        return Caches()
    parser = configparser.RawConfigParser(strict=False, default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return Caches()
    ours = []
    for section in parser.sections():
        if section == "cache" or section.startswith("cache:"):
            cache = (dict(parser["cache"]) if parser.has_section("cache") else {}) | dict(parser[section])
            if any(_listens(cache, protocol, host, port) for host, port in local):
                ours.append(cache)
    limits = [_limit(cache.get("MAX_CREATES_PER_MINUTE", "inf")) for cache in ours]
    return Caches(min((limit for limit in limits if limit), default=0), _whisper(ours))


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


def _whisper(ours: list[dict[str, str]]) -> str:
    places = {cache.get("LOCAL_DATA_DIR") or f"{cache.get('STORAGE_DIR', '').rstrip('/')}/whisper" for cache in ours}
    place = places.pop() if len(places) == 1 else ""
    usable = place.startswith("/") and os.access(place, os.R_OK | os.X_OK)
    return place.rstrip("/") if usable else ""
