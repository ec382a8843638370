"""Tells systemd how it stands, by the protocol of sd_notify(3): datagrams to the socket in $NOTIFY_SOCKET.

Without that variable, and when systemd does not listen, every call does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time


def ready(status: str = "") -> None:
    """The start, or the reload, is complete."""
    _send("READY=1", *([_status(status)] if status else []))


def reloading() -> None:
    """The configuration is being read again; ready() says when that is over."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping(status: str = "") -> None:
    """The end has begun."""
    _send("STOPPING=1", *([_status(status)] if status else []))


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _send(_status(text))


def watchdog() -> None:
    """All is well: not to be restarted."""
    _send("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """How often watchdog() must be called at least, or None when nobody waits for it. Call it at half of that."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", ""))
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


def keep(name: str, descriptor: int) -> None:
    """Give a descriptor to systemd, under a name without a colon: it outlives this process (sd_pid_notify_with_fds(3))."""
    _send("FDSTORE=1", f"FDNAME={name}", descriptors=(descriptor,))


def forget(name: str) -> None:
    """Have systemd close what keep() gave it."""
    _send("FDSTOREREMOVE=1", f"FDNAME={name}")


def _send(*lines: str, descriptors: tuple[int, ...] = ()) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    # A leading @ is an abstract socket, whose name begins with a zero byte.
    address = "\0" + path[1:] if path[0] == "@" else path
    message = "\n".join(lines).encode("utf-8", "replace")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1)
        sender.connect(address)
        socket.send_fds(sender, [message], descriptors) if descriptors else sender.send(message)
