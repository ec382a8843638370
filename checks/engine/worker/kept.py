"""Connections that outlive the broker: systemd keeps them open, and gives them to the next one (sd_listen_fds(3)); graphios.notify gives them to it.

So Nagios does not even notice that a broker was killed. Without systemd nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NamedTuple


class Kept(NamedTuple):
    """A socket that a predecessor left."""

    name: str
    socket: socket.socket


def take() -> list[Kept]:
    """What our predecessor left. A second call gives nothing."""
    count, pid, names = (os.environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    if not count.isascii() or not count.isdigit() or pid != str(os.getpid()):
        return []
    found = []
    for fd, name in zip(range(3, 3 + int(count)), names.split(":"), strict=False):
        os.set_inheritable(fd, False)
        with contextlib.suppress(OSError):
            found.append(Kept(name, socket.socket(fileno=fd)))
    return found
