"""What the engine runs, and how a run ended: what its rooms hand to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

OUTPUT_LIMIT = 1024 * 1024
"""Bytes of standard output after which a check counts as flooding and is ended."""
ERRORS_LIMIT = 64 * 1024
"""Bytes of standard error that are kept."""
ERRORS_FLOOD = 16 * 1024 * 1024
"""Bytes of standard error after which a check counts as flooding. Nobody reads them, so noise alone shall not cost a check its answer."""


class Job(NamedTuple):
    """One run of a check.

    Words and the environment are text as os.fsdecode() makes it. With an `entry` ("module:attribute", a function without parameters) it runs in a
    fork of the warmed process, and argv is its sys.argv; without one argv is executed.
    """

    name: str
    argv: tuple[str, ...]
    entry: str = ""
    environment: Mapping[str, str] = {}
    """All of its environment."""
    directory: str = "/"
    umask: int = 0o022
    seconds: float = 60.0
    """Its deadline: then TERM to its process group, and KILL soon after."""
    output_limit: int = OUTPUT_LIMIT


# What kept a run from ending by itself.
DEADLINE = "deadline"
FLOOD = "flood"
CANCELLED = "cancelled"
LOST = "lost"
NOT_STARTED = "not started"


class Ended(NamedTuple):
    """How a run ended. `code` is None where a signal ended it, or where it did not run."""

    code: int | None
    signal: int = 0
    output: bytes = b""
    """Standard output, up to the job's limit."""
    errors: bytes = b""
    """Standard error, up to ERRORS_LIMIT."""
    trouble: str = ""
    """Empty, or DEADLINE, FLOOD, CANCELLED, LOST (the warmed process died and took it along), NOT_STARTED."""
    reason: str = ""
    """For NOT_STARTED: why, for the operator."""
    began: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    """How long it ran, by the monotonic clock."""
    user: float = 0.0
    """CPU time of it and of its children that it waited for, in seconds."""
    system: float = 0.0
