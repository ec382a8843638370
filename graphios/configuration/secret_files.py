"""Passwords and tokens: each in a file of its own that only its users can read."""

from __future__ import annotations

import stat
from pathlib import Path

_LONGEST = 10_000


def check_private(path: Path) -> None:
    """Raises ValueError when every user of this machine can read or change the file `path`, or when it isn't there."""
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(error.strerror) from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_mode & 0o007:
        raise ValueError(
            f"every user of this machine can get at it (mode {stat.S_IMODE(status.st_mode):04o}): chmod o= it"
        )


def read_secret(path: Path) -> str:
    """The content of the file without blanks and line ends around it.

    Raises ValueError, never with anything of the content, when the file can't be read, is not private, is empty, or holds control characters.
    """
    check_private(path)
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(raw) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} bytes: that is no password or token")
    try:
        secret = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if not secret:
        raise ValueError("is empty")
    if not secret.isprintable():
        raise ValueError("holds more than one line, or control characters")
    return secret
