"""The socket at which warm checks are asked for: systemd's (sd_listen_fds(3)), or one of our own, mode 0600."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

DEFAULT = Path("/run/testbed-checks/engine.sock")
_FIRST_PASSED = 3
_BACKLOG = 128


class SocketError(Exception):
    """There is no socket to be had; the message names it and says why."""


def passed() -> socket.socket | None:
    """Return the socket that systemd listens at for us, None where it does not. Raises SocketError where it is no such socket."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or count == "0":
        return None
    if count != "1":
        raise SocketError(f"systemd passed {count} sockets; one is wanted")
    try:
        found = socket.socket(fileno=_FIRST_PASSED)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"the socket that systemd passed: {error.strerror}") from None
    if (found.family, found.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not listens:
        raise SocketError("systemd passed something else than a Unix stream socket that listens")
    found.set_inheritable(False)
    return found


def opened(path: Path) -> socket.socket:
    """Return a socket that listens at `path`; a stale one is replaced, a living engine's is not. Raises SocketError."""
    try:
        with _alone(path.parent):
            if os.path.lexists(path):
                _remove_stale(path)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            mask = os.umask(0o177)
            try:
                listening.bind(str(path))
                listening.listen(_BACKLOG)
            except BaseException:
                listening.close()
                raise
            finally:
                os.umask(mask)
            return listening
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror or error}") from None


def removed(path: Path, listening: socket.socket) -> None:
    """Remove the socket at the end, where it is still ours."""
    with contextlib.suppress(OSError), _alone(path.parent):
        listening.close()
        if not _answers(path):
            path.unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other engine looks at this folder meanwhile. Makes it where it is missing. Raises OSError, SocketError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SocketError(f"{folder}: others may write there; a socket needs a directory of its own")
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise SocketError(f"{path}: there is something else than a socket")
    if _answers(path):
        raise SocketError(f"{path}: another engine listens there")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full
        except OSError:
            return False
    return True
