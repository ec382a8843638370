"""The advertise server that --advertise-host names."""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.node.trouble import place

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
