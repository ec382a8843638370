"""Works off the spool: files oldest first, their lines in batches to carbon; a file is removed when carbon has taken all of it.

What can't be delivered now is tried again with growing pauses, always the same batch: nothing is parsed twice while carbon is down, and
memory holds one batch and one line.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable

from graphios.backends.carbon import Carbon
from graphios.config import Config
from graphios.convert import convert
from graphios.delivery.rejects import RejectFile, escaped
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.spool import Spool, SpoolError, SpoolFile
from graphios.names import Namer

log = logging.getLogger("graphios")

_FIRST_PAUSE = 0.05
_REMIND = 300.0
"""Seconds between two log lines about the same trouble."""
_REPORT = 60.0


class Shipper:
    """One spool, one carbon."""

    def __init__(self, config: Config, sleep: Callable[[float], None], stopping: Callable[[], bool]) -> None:
        """`sleep` pauses for that many seconds, or less when the process shall end; `stopping` says whether it shall."""
        self._config = config
        self._sleep = sleep
        self._stopping = stopping
        self.spool = Spool(config.spool_directory)
        self._carbon = Carbon(
            config.carbon_host,
            config.carbon_port,
            config.connect_timeout,
            config.send_timeout,
            config.ack_timeout,
            stopping,
        )
        self._namer = Namer(config.base, config.cleaning == "unique", log.warning)
        self._rejects = RejectFile(config.reject_file, config.reject_bytes)
        self._batch: list[str] = []
        self._batch_bytes = 0
        self._read: list[SpoolFile] = []  # files whose last line is in the batch
        self._kept: set[tuple[int, str, int]] = set()  # delivered, but removing failed
        self.sent = self.removed = self.unfinished = 0
        self.trouble = 0  # complaints in this round
        self._told: dict[str, float] = {}
        self._reported = (0, 0, 0)

    @property
    def rejected(self) -> int:
        """Lines and items rejected so far."""
        return self._rejects.count

    def start(self) -> None:
        """Locks the spool and looks whether rejects can be written. Raises GraphiosError."""
        self.spool.lock()
        self._rejects.check()

    def once(self) -> None:
        """Works off what is there, one try for each batch. Raises GraphiosError at the first trouble, Stopped when told to end."""
        self._work_off(self._flush)

    def run(self) -> None:
        """Works until the process shall end, and returns then. Trouble is logged and tried again."""
        report = time.monotonic() + _REPORT
        with contextlib.suppress(Stopped):
            while not self._stopping():
                try:
                    self._work_off(self._flush_until_done)
                except SpoolError as error:
                    self._complain(error)
                if time.monotonic() >= report:
                    self._report()
                    report = time.monotonic() + _REPORT
                self._sleep(self._config.poll)
        self._report()

    def _work_off(self, flush: Callable[[], None]) -> None:
        self.unfinished = 0
        self.trouble = 0
        waiting = self.spool.scan()
        self._kept &= set(waiting)
        for entry in waiting:
            if self._stopping():
                raise Stopped
            if entry in self._kept:
                self._retry_removal(entry.name)
                continue
            try:
                self._read_file(entry.name, flush)
            except SpoolError as error:
                # One unreadable file holds up itself only; what of it is in the batch already is sent.
                self._complain(error)
        flush()

    def _read_file(self, name: str, flush: Callable[[], None]) -> None:
        rejected, first = self._rejects.count, ""
        with self.spool.open(name) as file:
            now = time.time()
            if file.unfinished(now, self._config.settle):
                self.unfinished += 1
                return
            for number, raw in file.lines():
                if number % 1000 == 0 and self._stopping():
                    raise Stopped
                for lines, rejects in convert(raw, self._namer, now):
                    for reject in rejects:
                        self._rejects.add(name, number, reject.reason, reject.raw)
                        first = first or f"line {number}: {reject.reason}"
                    self._batch += lines
                    self._batch_bytes += sum(map(len, lines))
                    if self._batch_bytes >= self._config.batch_bytes or self._rejects.full:
                        flush()
        self._read.append(file)
        if len(self._read) >= 1000:
            flush()
        if first:
            first = escaped(first.encode("utf-8", "surrogateescape"))
            log.warning(
                "%s: %d rejected, see %s; the first: %s",
                name,
                self._rejects.count - rejected,
                self._rejects.path,
                first,
            )

    def _flush(self) -> None:
        """Delivers the batch and removes the files that end in it. Raises GraphiosError, and then the batch stays as it is."""
        if self._stopping():
            raise Stopped
        self._rejects.flush()
        if self._batch:
            self._carbon.deliver("".join(self._batch).encode("ascii"))
            self.sent += len(self._batch)
            self._batch, self._batch_bytes = [], 0
        files, self._read = self._read, []
        for file in files:
            try:
                if file.remove():
                    self.removed += 1
            except SpoolError as error:
                self._complain(error)
                self._kept.update(entry for entry in self.spool.scan() if entry.name == file.name)

    def _flush_until_done(self) -> None:
        pause, told, since = _FIRST_PAUSE, 0.0, time.monotonic()
        while True:
            try:
                self._flush()
            except GraphiosError as error:
                if not told or time.monotonic() - told > _REMIND:
                    log.warning("%s; trying again, for %.0f s now", error, time.monotonic() - since)
                    told = time.monotonic()
            else:
                if told:
                    log.info("%s takes data again after %.0f s", self._carbon.name, time.monotonic() - since)
                return
            self._sleep(pause * random.uniform(0.5, 1))
            if self._stopping():
                raise Stopped
            pause = min(pause * 2, self._config.longest_pause)

    def _retry_removal(self, name: str) -> None:
        try:
            self.spool.remove_delivered(name)
        except SpoolError as error:
            self._complain(error)

    def _complain(self, error: GraphiosError) -> None:
        """Logs it, but not every second."""
        self.trouble += 1
        now = time.monotonic()
        if now - self._told.get(str(error), -_REMIND) >= _REMIND:
            if len(self._told) > 1000:
                self._told.clear()
            self._told[str(error)] = now
            log.error("%s", error)

    def _report(self) -> None:
        now = (self.sent, self.removed, self.rejected)
        if now != self._reported:
            sent, removed, rejected = (new - old for new, old in zip(now, self._reported, strict=True))
            log.info("delivered %d metrics, removed %d files, rejected %d", sent, removed, rejected)
            self._reported = now
