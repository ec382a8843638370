"""A running tincan 14 to 16, asked for its state over UDP.

The protocol: a request of two header bytes (version, type 1 for control) and JSON; the answer goes to the sender's address, one datagram about the
node itself and one for each peer, each with the same header, neither numbered nor counted, and without an end. 14.01.1 has no header; a later
tincan only logs that a version is not its own. Source: ipop-tincan v14.07.0 and v16.01.0, controlleraccess.cc; Controller-API of its documentation.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from checks.deadline import BadInput, stage
from checks.ipop import peer_state
from checks.ipop.generation import TincanTooNew
from checks.ipop.records import Link, Reading
from checks.output import host_port
from checks.sources import read_json, text

PORT = 5800
# 15.11 and later, 14.01.2 to 14.07, 14.01.1.
HEADERS = (b"\x03\x01", b"\x02\x01", b"")
_REQUEST = b'{"m":"get_state","stats":true}'
_CONTROL = 1


class TincanError(Exception):
    """A tincan that was asked did not do what its protocol says; the text is for an operator and names no address."""


class Unresolvable(TincanError):
    """The name service knows no address of this host, so nothing is known about the tincan."""


class Refused(TincanError):
    """The host says that nothing listens on this port."""


class NoAnswer(TincanError):
    """Not one datagram came back in time."""


class Malformed(TincanError):
    """What came back is no state, or has no end."""


def ask(host: str, port: int, until: float) -> Reading:
    """Return the links of the tincan there; waiting ends at `until`, of time.monotonic(). Raises TincanError, TincanTooNew.

    Ask only after generation.refuse_newer().
    """
    raise NoAnswer("not written yet")
