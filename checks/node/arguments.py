"""What --advertise-host and --resources name: an advertise server, and vessels."""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.node.trouble import place

OFFCUT = "offcut"
"""Stands for what is left over on a node."""
MOST_RESOURCES = 10
"""Of how many vessels resources are asked for: each question takes a second."""
_PORT = 10102
_WRITTEN = r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._-]{1,253}))(?::(?P<port>\d{1,5}))?"


class Server(NamedTuple):
    """An advertise server."""

    host: str
    port: int

    def __str__(self) -> str:
        return place(self)


def read_server(text: str) -> Server:
    """Return the server written as HOST, HOST:PORT or [ADDRESS]:PORT. Raises ValueError."""
    found = re.fullmatch(_WRITTEN, text) if text.isascii() else None
    port = int(found["port"] or _PORT) if found else 0
    if not found or text.startswith("-") or not 0 < port < 65536:
        raise ValueError(f"{text[:80]!r} is not HOST, HOST:PORT or [ADDRESS]:PORT")
    return Server(found["six"] or found["host"], port)


def read_names(text: str) -> tuple[str, ...]:
    """Return the vessels' names in a list with commas. Raises ValueError."""
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if not all(names) or len(names) > MOST_RESOURCES or any(len(name) > 64 for name in names):
        raise ValueError(f"{text[:80]!r} is no list of up to {MOST_RESOURCES} vessels, such as v2,v3,{OFFCUT}")
    return names
