"""A named pipe, or standard input: whole lines go into the inbox, a spool of our own, and from there they are as safe as any others.

Nagios writes into a pipe with `service_perfdata_file_mode=p`. What a pipe can't give:

- What is not in the inbox yet (a second, at most 256 kB) is lost when graphios is killed. A spool directory loses nothing.
- Nagios does not wait for a full pipe: it drops what does not fit. So the pipe is made as large as the kernel allows.
- A writer that dies in the middle of a line leaves a fragment. It is rejected when the pipe has no other writer, or nothing follows for
  STALE seconds. Otherwise the next writer's line is glued to it: then fields occur twice and the line is rejected, or the fragment was shorter
  than its first field and is ignored. Only a fragment of the last field can't be told: it is shipped without what is missing.
- Writes above 4096 bytes of several writers may mix, see pipe(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import stat
import threading
import time
from pathlib import Path
from typing import BinaryIO

from graphios import spool_writer
from graphios.configuration.settings import FifoInput
from graphios.errors import GraphiosError
from graphios.inputs.spool import LONGEST_LINE

_LOG = logging.getLogger("graphios")

ENOUGH = 262_144
"""Bytes of whole lines that are written into the inbox at once."""
INTERVAL = 1.0
"""Seconds a whole line waits at most."""
STALE = 10.0
"""Seconds without a byte after which the beginning of a line counts as cut off."""

_READ = 65_536
_PIPE_BYTES = 1_048_576
_POLL = 0.2
_SHOWN = 4000
_FRAGMENTS = 100


class FifoError(GraphiosError):
    """The named pipe can't be used; the message names it and says why."""


class Inbox:
    """Collects whole lines and writes them into the inbox. For one thread."""

    def __init__(self, directory: str, source: str) -> None:
        """`source` names where the lines come from, for the log."""
        self.trouble: str | None = None
        """Why the inbox can't be written now."""
        self._directory = os.fsencode(directory)
        self._source = source
        self._whole = bytearray()
        self._since = 0.0
        self._begun = bytearray()
        self._last = 0.0
        self._skipping = False
        self._fragments: list[bytes] = []

    @property
    def full(self) -> bool:
        """Whether nothing more may be fed before a flush succeeded."""
        return len(self._whole) >= ENOUGH

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._last = time.monotonic()
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return
            self._skipping, data = False, data[end:]
        end = data.rfind(b"\n") + 1
        if end:
            if not self._whole:
                self._since = self._last
                self._whole, self._begun = self._begun, self._whole  # a long line is not there twice
            self._whole += self._begun
            self._whole += data[:end]
            self._begun = bytearray()
        self._begun += data[end:]
        if len(self._begun) > LONGEST_LINE:
            self.cut(f"a line longer than {LONGEST_LINE} bytes")
            self._skipping = True

    def cut(self, reason: str) -> None:
        """The line that has begun will not come to its end: what there is of it goes to the rejects."""
        if not self._begun:
            return
        start = bytes(self._begun[:_SHOWN])
        self._begun = bytearray()
        _LOG.warning("%s: %s is rejected, it begins with %r", self._source, reason, start[:100])
        if len(self._fragments) < _FRAGMENTS:
            self._fragments.append(start)

    def cut_stale(self) -> None:
        """Cuts the line that has begun when nothing followed for STALE seconds."""
        if self._begun and time.monotonic() - self._last >= STALE:
            self.cut(f"the beginning of a line that did not go on for {STALE:g} s")

    def flush(self, force: bool = False) -> bool:
        """Writes what waits if it is time for it, or `force`. False when the inbox can't be written; nothing is given up then."""
        due = force or self.full or bool(self._fragments) or time.monotonic() - self._since >= INTERVAL
        if not due or not (self._whole or self._fragments):
            return True
        try:
            if self._whole:
                spool_writer.write(self._directory, self._whole)
                self._whole = bytearray()
            while self._fragments:
                # A last line without newline is what the spool knows as cut off.
                spool_writer.write(self._directory, self._fragments[0])
                del self._fragments[0]
        except OSError as error:
            if self.trouble is None:
                _LOG.error("%s: %s: %s: not read until it can be written", self._source, self.name, error.strerror)
            self.trouble = f"{self.name}: {error.strerror}"
            return False
        if self.trouble is not None:
            _LOG.info("%s: %s can be written again", self._source, self.name)
            self.trouble = None
        return True

    @property
    def name(self) -> str:
        """The directory, for people."""
        return os.fsdecode(self._directory)

    @property
    def waiting(self) -> int:
        """Bytes of whole lines that are not in the inbox yet."""
        return len(self._whole)


class FifoReader:
    """Reads a named pipe in a thread of its own, through all comings and goings of writers, until `stopping` is set."""

    def __init__(self, fifo: FifoInput, inbox: str, stopping: threading.Event) -> None:
        """`inbox` is a directory that exists."""
        self._path = fifo.path
        self._stopping = stopping
        self._inbox = Inbox(inbox, f"[{fifo.name}] {fifo.path}")
        self._trouble: str | None = None
        self._fd = -1
        self._thread = threading.Thread(target=self._run, name=fifo.name, daemon=True)

    @property
    def trouble(self) -> str | None:
        """What is wrong now: the pipe, or the inbox."""
        return self._trouble or self._inbox.trouble

    def start(self) -> None:
        """Opens the pipe, made when it is missing (0620), and begins to read. Raises FifoError when it can't be, or is something else."""
        self._open()
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Waits for the end after `stopping` was set; false when it has not come after `seconds`."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _open(self) -> None:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o620)
                Path(self._path).chmod(0o620)  # whatever the umask
            if not stat.S_ISFIFO(Path(self._path).stat().st_mode):
                raise FifoError(f"{self._path}: there is something else, not a named pipe")
            # Without writers, reading gives an end that is none: that is how a writer's end is noticed.
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FifoError(f"{self._path}: {error.strerror}") from error
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() - looked >= INTERVAL:
                looked = time.monotonic()
                self._look_after_the_pipe()
            if not self._inbox.flush() or self._fd < 0:
                self._stopping.wait(INTERVAL if self._inbox.full else _POLL)
            if self._fd >= 0 and not self._inbox.full:
                self._read(_POLL)
        self._end()

    def _read(self, seconds: float) -> bool:
        """Reads once; false when there was nothing."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        events = poll.poll(seconds * 1000)
        if not events:
            self._inbox.cut_stale()
            return False
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return False
        except OSError as error:
            self._trouble = f"{self._path}: {error.strerror}"
            self._close()
            return False
        if data:
            self._inbox.feed(data)
            return True
        self._inbox.cut("the beginning of a line whose writer ended")
        self._stopping.wait(min(seconds, 0.05))  # without a writer, poll() returns at once
        return False

    def _look_after_the_pipe(self) -> None:
        """Opens it again when the path leads to another pipe, or to none."""
        try:
            if self._fd >= 0:
                found, ours = Path(self._path).stat(), os.fstat(self._fd)
                if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                    return
        except OSError:
            pass
        self._close()
        try:
            self._open()
        except FifoError as error:
            if self._trouble is None:
                _LOG.error("%s", error)
            self._trouble = str(error)
        else:
            _LOG.info("%s: opened again", self._path)
            self._trouble = None

    def _close(self) -> None:
        if self._fd >= 0:
            while not self._inbox.full and self._read(0):
                pass
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _end(self) -> None:
        """Takes what is in the pipe still, at most as much as it holds."""
        for _ in range(_PIPE_BYTES // _READ):
            if self._fd < 0 or not self._inbox.flush() or not self._read(0):
                break
        self._inbox.cut("the beginning of a line, at the end of graphios,")
        if not self._inbox.flush(force=True):
            _LOG.error("%s: %d bytes of perfdata could not be kept: %s", self._path, self._inbox.waiting, self.trouble)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_all(stream: BinaryIO, inbox: str, stopping: threading.Event) -> int:
    """Reads `stream` (a file, a pipe or a terminal) to its end, or until `stopping` is set; returns the bytes read.

    All of them are in the inbox then, where a last line without newline will count as cut off. Raises GraphiosError when the stream can't be
    read, or ends while the inbox can't be written.
    """
    source = "standard input"
    box, fd, read = Inbox(inbox, source), stream.fileno(), 0
    while not stopping.is_set():
        if not box.flush():
            stopping.wait(INTERVAL)
        elif select.select([fd], [], [], _POLL)[0]:
            try:
                data = os.read(fd, _READ)
            except OSError as error:
                raise GraphiosError(f"{source}: {error.strerror}") from error
            if not data:
                break
            read += len(data)
            box.feed(data)
    box.cut("a last line without newline")
    while not box.flush(force=True):
        if stopping.wait(INTERVAL):
            raise GraphiosError(f"{source}: {box.waiting} bytes of perfdata could not be kept: {box.trouble}")
    return read
