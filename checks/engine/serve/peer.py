"""Whether a check that a process asks for would find the same surroundings here as there: who it is, what it may, which machine and mounts it sees.

Sources: proc(5), namespaces(7), and its section on /proc/PID/mountinfo.
"""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
from typing import NamedTuple

_NAMESPACES = ("net", "pid", "user", "uts", "ipc", "time")
_STATUS = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp")
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)
_LARGEST_FILE = 16 * 1024 * 1024
_CREDENTIALS = struct.Struct("iII")


class Elsewhere(Exception):
    """The process differs from us; the message says in what, for the operator."""


class Peer(NamedTuple):
    """Who is at the other end of a Unix socket."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected. Raises OSError."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)


def compare(peer: Peer) -> None:
    """Compare a process with ours. Raises Elsewhere where a check could tell the difference, or where that can't be found out."""
    if peer.uid != os.geteuid():
        raise Elsewhere("of another user")
    try:
        _compare(f"/proc/{peer.pid}", peer.pid)
    except OSError as error:
        raise Elsewhere(f"can't be looked at: {error.strerror}") from None


def _compare(there: str, pid: int) -> None:
    theirs, ours = _status(there), _status("/proc/self")
    # Who may gain no privileges must not get a check that may; the other way round nothing is gained.
    if theirs.pop("NoNewPrivs", "") > ours.pop("NoNewPrivs", ""):
        raise Elsewhere("with fewer privileges (NoNewPrivs)")
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise Elsewhere(f"with other rights ({name} in /proc/PID/status)")
    for name in _NAMESPACES:
        if _link(f"{there}/ns/{name}") != _link(f"/proc/self/ns/{name}"):
            raise Elsewhere(f"in another namespace ({name})")
    if not os.path.samestat(os.stat(f"{there}/root"), os.stat("/")):  # noqa: PTH116 # each call counts here
        raise Elsewhere("with another root directory")
    if _link(f"{there}/ns/mnt") != _link("/proc/self/ns/mnt") and _mounts(there) != _mounts("/proc/self"):
        raise Elsewhere("that sees other mounts")
    if os.getpriority(os.PRIO_PROCESS, pid) != os.getpriority(os.PRIO_PROCESS, 0):
        raise Elsewhere("with another nice value")
    for limit in _LIMITS:
        if resource.prlimit(pid, limit)[0] != resource.getrlimit(limit)[0]:
            raise Elsewhere("with other limits (ulimit)")


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except FileNotFoundError:
        return ""  # a kernel without that kind of namespace


def _status(process: str) -> dict[str, str]:
    found = dict(re.findall(r"^(\w+):\t(.*)", _read(f"{process}/status"), re.MULTILINE))
    wanted = {name: found.get(name, "") for name in _STATUS}
    # A process has its own group whether it is listed or not.
    wanted["Groups"] = " ".join(sorted({*wanted["Groups"].split(), *wanted["Gid"].split()}))
    return wanted


def _mounts(process: str) -> list[list[str]]:
    """Return what is mounted where, without the numbers, the propagation and the order, in which two tables of the same mounts differ."""
    rows = map(str.split, _read(f"{process}/mountinfo").splitlines())
    return sorted(words[2:6] + words[words.index("-", 6) :] for words in rows)


def _read(path: str) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts, size = [], 0
        while part := os.read(handle, 65536):
            parts.append(part)
            size += len(part)
            if size > _LARGEST_FILE:
                raise OSError(27, "too large")
    finally:
        os.close(handle)
    return b"".join(parts).decode("utf-8", "surrogateescape")
