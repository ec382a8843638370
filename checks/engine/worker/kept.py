"""Connections that outlive the broker: systemd keeps them open, and gives them to the next one (sd_pid_notify_with_fds(3), sd_listen_fds(3)).

So Nagios does not even notice that a broker was killed. Without systemd nothing is kept.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import NamedTuple


class Kept(NamedTuple):
    """A socket that a predecessor left."""

    name: str
    socket: socket.socket


def keep(name: str, sock: int) -> None:
    """Gives a connection to systemd, under a name without a colon. Does nothing where there is no systemd."""
    _send(f"FDSTORE=1\nFDNAME={name}", sock)


def forget(name: str) -> None:
    """Has systemd close it."""
    _send(f"FDSTOREREMOVE=1\nFDNAME={name}")


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


def _send(text: str, fd: int | None = None) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1)
        sender.connect("\0" + path[1:] if path[0] == "@" else path)
        sender.sendmsg([text.encode()], ancillary)
