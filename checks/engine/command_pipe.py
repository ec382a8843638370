"""The command file of Nagios Core, a named pipe, opened by whoever has something to write that must not wait for a reader."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Have it open for writing; a write that would wait raises BlockingIOError. Raises OSError, ENXIO where no Nagios reads it."""
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            raise OSError(22, "no named pipe", str(path))
        yield pipe
    finally:
        os.close(pipe)
