"""The two pipes into which a child prints, read as it prints, and bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from checks.engine.jobs import ERRORS_FLOOD, ERRORS_LIMIT

_CHUNK = 65536


class OutputPipe:
    """`stdout` and `stderr` are the ends for the child."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, flooded: Callable[[], None]) -> None:
        """`flooded` is called when standard output has got more than `limit` bytes, or standard error more than ERRORS_FLOOD. Raises OSError."""
        self._loop, self._flooded = loop, flooded
        self._pipes: list[_Pipe] = []
        reader, self.stdout = os.pipe2(os.O_CLOEXEC)
        try:
            other, self.stderr = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(reader)
            os.close(self.stdout)
            raise
        self._ends = [self.stdout, self.stderr]
        for descriptor, keep, most in ((reader, limit, limit), (other, ERRORS_LIMIT, ERRORS_FLOOD)):
            os.set_blocking(descriptor, False)
            self._pipes.append(_Pipe(descriptor, keep, most))

    def started(self) -> None:
        """The child has its ends: read from now on."""
        self._close_ends()
        for pipe in self._pipes:
            self._loop.add_reader(pipe.descriptor, self._read, pipe)

    def _read(self, pipe: _Pipe) -> None:
        if not pipe.read():
            self._loop.remove_reader(pipe.descriptor)
        elif pipe.floods:
            # What a pipe still holds is of no interest; whoever fills it without end shall not keep us busy.
            self._loop.remove_reader(pipe.descriptor)
            self._flooded()

    def drain(self) -> None:
        """Take what is in the pipes now that the child has ended; who else holds them is not waited for."""
        for pipe in self._pipes:
            while not pipe.floods and pipe.read(wait=False):
                pass
            if pipe.floods:
                self._flooded()

    def output(self) -> bytes:
        """Standard output, up to the limit."""
        return self._pipes[0].kept()

    def errors(self) -> bytes:
        """Standard error, up to its limit."""
        return self._pipes[1].kept()

    def close(self) -> None:
        """Close everything."""
        self._close_ends()
        for pipe in self._pipes:
            self._loop.remove_reader(pipe.descriptor)
            os.close(pipe.descriptor)
        self._pipes.clear()

    def _close_ends(self) -> None:
        for descriptor in self._ends:
            os.close(descriptor)
        self._ends.clear()


class _Pipe:
    def __init__(self, descriptor: int, keep: int, most: int) -> None:
        self.descriptor = descriptor
        self.seen = 0
        self._keep, self._most = keep, most
        self._chunks: list[bytes] = []

    def read(self, wait: bool = True) -> bool:
        """Read once; False at the end, and without `wait` also where there is nothing now."""
        try:
            chunk = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return wait
        except OSError:
            return False
        if self.seen < self._keep:
            self._chunks.append(chunk[: self._keep - self.seen])
        self.seen += len(chunk)
        return bool(chunk)

    @property
    def floods(self) -> bool:
        return self.seen > self._most

    def kept(self) -> bytes:
        return b"".join(self._chunks)
