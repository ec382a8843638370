"""One backend's way through the spools: what it gets next, what it has acknowledged, and what happens when it does not.

What can't be delivered now is tried again with growing pauses, always the same batch: nothing is parsed twice while the receiver is down.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from graphios.backends.base import Backend, ClosedEarly, DeliveryError, Refused
from graphios.configuration.settings import BackendSettings
from graphios.delivery.ahead import Ahead
from graphios.delivery.catalog import Todo
from graphios.delivery.isolation import Verdict, isolate
from graphios.delivery.progress import Position, boot_id
from graphios.delivery.reader import Batch, Reader
from graphios.delivery.rejects import RejectError
from graphios.delivery.rooms import Pacing, Rooms
from graphios.delivery.window import Kept
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.spool import FileKey

log = logging.getLogger("graphios")

Result = TypeVar("Result")

FIRST_PAUSE = 0.05
_REMIND = 300.0
_IDLE = 0.25
_DUE = 1.0


class LostMemory(Exception):
    """The receiver may have lost what it had acknowledged."""


class Rewind(Exception):
    """The batch is made anew: with more in it, it will tell more."""


class Lane:
    """One backend's deliveries. run() and once() belong to one thread; the figures may be read by any."""

    def __init__(
        self, settings: BackendSettings, backend: Backend, reader: Reader, rooms: Rooms, pacer: Pacing | None = None
    ) -> None:
        self.settings, self.backend, self.reader, self.pacer = settings, backend, reader, pacer
        self.name = settings.name
        self.todo = Todo()
        self.counts: Counter[str] = Counter()
        self.state = "idle"
        self.error: str | None = None
        self.error_since: float | None = None
        self.last_success: float | None = None
        self.healthy_at = -1.0 if backend.forgets else float("inf")
        """When (on the window's clock) the receiver was last known to remember everything."""
        self._rooms = rooms
        self._common = rooms.common
        self._ahead: Ahead[Batch] = Ahead(self.name)
        self._once = False
        self._receiver = ""
        self._acknowledged = 1  # batches since the last replay began; there may have been some before us
        self.pending = False  # whether the window has still to be sent again
        self._told = 0.0
        self._last_due = 0.0
        self._unrecorded: set[FileKey] = set()
        self._thread: threading.Thread | None = None

    # --- running

    def start(self, replay: bool) -> None:
        """Begins to work, in a thread of its own. `replay`: sends the window first."""
        self._thread = threading.Thread(target=self.run, args=(replay,), name=self.name, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended within `seconds`."""
        if self._thread:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True

    def run(self, replay: bool) -> None:
        """Works until it is told to end."""
        self.pending = replay and self.backend.forgets
        while not self._rooms.stopping():
            try:
                if self.pending:
                    self._replay()
                    self.pending = False
                self._work()
            except LostMemory:
                self.pending = True
                self._ahead.settle()
            except Rewind:
                self._ahead.settle()
            except Stopped:
                break
            except Exception as error:  # whatever it is, this lane goes on and no file is lost
                self._internal(error)
                self._ahead.settle()
                self._rooms.sleep(5)
        self._ahead.close()

    def _internal(self, error: Exception) -> None:
        log.debug("internal error", exc_info=True)
        self._failed(f"{self.name}: internal error, {type(error).__name__}: {error}")

    def _work(self) -> None:
        """New data, as it comes."""
        while not self._rooms.stopping():
            self._check_memory()
            entries = self.todo.take(_IDLE)
            if entries is not None:
                for batch in self._ahead.over(self.reader.fresh(entries)):
                    self._ship(batch)
                    if self.pacer and time.monotonic() - self._last_due > _DUE:
                        self._ship_due()
            self._ship_due()
            self.state = "idle"

    def once(self) -> None:
        """Works off what was handed over, one try for each batch. Raises GraphiosError at the first trouble, Stopped when told to end."""
        try:
            if not self._once:
                self._once = True
                self._replay_if_restarted()
            entries = self.todo.take(0)
            for batch in self._ahead.over(self.reader.fresh(entries or iter(()))):
                self._ship(batch)
            self._ship_due()
        finally:
            self.state = "idle"

    def once_more(self) -> None:
        """At the end of a single run: if the receiver lost its memory during it, all that the window holds is sent again.

        Raises GraphiosError when it does not get through.
        """
        self._once = True
        for _ in range(3):
            if not self.backend.forgets or not self.backend.lost_memory():
                self.healthy_at = self._rooms.window.now()
                self._common.progress.note_receiver(self.name, self._receiver)
                return
            self._receiver = self._identity()
            self._replay()
        raise DeliveryError(f"{self.name} {self.backend.address}: loses what it had taken again and again")

    # --- replay

    def _identity(self) -> str:
        identity = self.backend.identity()
        return f"{boot_id()} {identity}" if identity else ""

    def _replay_if_restarted(self) -> None:
        """A single run does not see the receiver die between two runs. So it replays, unless the receiver is surely the one of the last run."""
        self._receiver = self._identity()
        if self.backend.forgets and not (
            self._receiver and self._receiver == self._common.progress.receiver(self.name)
        ):
            self._replay()

    def _replay(self) -> None:
        """Sends again what the receiver acknowledged and may have lost. Raises LostMemory when it happens meanwhile."""
        self._acknowledged = 0
        if self.pacer:
            self._until_it_works(self.pacer.lost)
        window = self._rooms.window
        upto = window.cut()
        done = 0
        # What moves from the spool to the window meanwhile turns up in the third part.
        for files in (window.replay(0, upto), self._still_spooled(), self._newer(upto)):
            for batch in self._ahead.over(self.reader.again(files)):
                self.state = "replaying"
                self._ship(batch)
                done += len(batch.items)
        window.replayed()
        if done:
            log.info("%s may have lost its memory: %d metrics were sent again", self.backend.address, done)

    def _newer(self, after: int) -> Iterator[Kept]:
        yield from self._rooms.window.replay(after, self._rooms.window.cut())

    def _still_spooled(self) -> Iterator[tuple[FileKey, Position]]:
        within = float(getattr(self.settings, "replay_seconds", 0.0))
        yield from self._common.progress.all_of(self.name, within)

    def _check_memory(self) -> None:
        if not self.backend.forgets:
            return
        now = self._rooms.window.now()
        if not self.backend.lost_memory():
            self.healthy_at = now
        elif not self._once:
            raise LostMemory

    # --- one batch

    def _ship(self, batch: Batch) -> None:
        """Delivers it, however long it takes, and notes so."""
        items: Sequence[Any] = batch.items
        if items:
            if self.pacer:
                items = self._admitted(self.pacer, list(items))
            taken = self._deliver(items, batch) if items else 0
            if self.pacer and items:
                self.pacer.delivered(list(items))
            self.counts["replayed" if batch.replay else "acknowledged"] += taken
        self._acknowledge(batch)
        if self.backend.forgets and not self._once and self.backend.lost_memory():
            raise LostMemory

    def _acknowledge(self, batch: Batch) -> None:
        self._acknowledged += 1
        self._record(batch)
        for key in self._unrecorded.intersection(batch.marks):
            # It stays in the spool until what was rejected of it is on disk.
            del batch.marks[key]
            self.reader.put_off(key)
        marks: list[tuple[FileKey, Position]] = [(key, mark.position) for key, mark in batch.marks.items()]
        if marks or batch.replayed:
            self._common.progress.mark(self.name, [*marks, *batch.replayed])
        finished = {key: mark.position.offset for key, mark in batch.marks.items() if mark.finished}
        finished |= {key: position.offset for key, position in batch.replayed}
        if finished:
            self._rooms.removal.consider(finished, self.name, finished)

    def _record(self, batch: Batch) -> None:
        """Writes what was rejected; where that can't be, it must not hold the good lines up."""
        self._unrecorded |= batch.rejected
        try:
            self._common.rejects.flush()
        except RejectError as error:
            if self._once:
                raise
            self._common.troubles.say("rejects", str(error))
        else:
            self._unrecorded.clear()
            self._common.troubles.over("rejects")

    def _admitted(self, pacer: Pacing, lines: list[str]) -> list[str]:
        admitted = self._until_it_works(lambda: pacer.admit(lines))
        self._until_it_works(pacer.commit)
        return admitted

    def _ship_due(self) -> None:
        """What pacing held back and lets go now."""
        pacer = self.pacer
        self._last_due = time.monotonic()
        while pacer and (lines := self._until_it_works(lambda: pacer.due(self.settings.delivery.batch_bytes))):
            batch = Batch()
            batch.begin("held back", None)
            batch.items = lines
            self.counts["acknowledged"] += self._deliver(lines, batch)
            pacer.delivered(lines)
            self._acknowledged += 1
            if self._once or self._rooms.stopping():
                return

    def _until_it_works(self, action: Callable[[], Result]) -> Result:
        """Runs it until it raises no GraphiosError, and returns what it does. In a single run that error goes up."""
        for pause in self._pauses():
            try:
                return action()
            except GraphiosError as error:
                if self._once:
                    raise
                self._failed(str(error))
                self._rooms.sleep(pause)
        raise Stopped

    def _pauses(self) -> Iterator[float]:
        """Ever longer pauses, for ever. Raises Stopped when told to end."""
        pause = FIRST_PAUSE
        while True:
            if self._rooms.stopping():
                raise Stopped
            yield pause * random.uniform(0.5, 1)
            pause = min(pause * 2, self.settings.delivery.longest_pause)

    def _deliver(self, items: Sequence[Any], batch: Batch) -> int:
        """How many of the items were taken; the others were refused, and are recorded."""
        hung_up = 0
        for pause in self._pauses():
            try:
                self._try(items)
                return len(items)
            except Refused as error:
                if error.items:
                    return len(items) - self._refuse(items, batch, error.items)
                if (verdict := self._verdict(items)) is not None:
                    return len(items) - self._condemn(items, batch, verdict, keep=not verdict.certain)
            except DeliveryError as error:
                self.counts["retries"] += 1
                if self._once:
                    raise
                self._failed(str(error))
                hung_up = hung_up + 1 if isinstance(error, ClosedEarly) else 0
                if hung_up >= self.settings.delivery.tries:
                    hung_up = 0
                    if (verdict := self._verdict(items)) is not None:
                        return len(items) - self._condemn(items, batch, verdict, keep=True)
                    if not batch.replay and batch.bytes < self.settings.delivery.batch_bytes:
                        raise Rewind from error
                if self.backend.lost_memory() and self._acknowledged:
                    raise LostMemory from error
            self._rooms.sleep(pause)
        return 0

    def _try(self, items: Sequence[Any]) -> None:
        if self.state != "replaying":
            self.state = "delivering" if not self.error else "retrying"
        self.counts["sent"] += len(items)
        self.backend.deliver(items)
        self.last_success = time.time()
        if self.error:
            log.info("%s takes data again", self.backend.address)
            self.error, self.error_since, self._told = None, None, 0.0

    def _failed(self, text: str) -> None:
        now = time.monotonic()
        if not self._told or now - self._told > _REMIND:
            log.warning("%s; trying again", text)
            self._told = now
        self.state = "retrying"
        self.error = text
        self.error_since = self.error_since or time.time()

    # --- what is never taken

    def _verdict(self, items: Sequence[Any]) -> Verdict | None:
        """Which items make the receiver refuse the batch; the others were delivered. None: it takes nothing at all now."""

        def attempt(part: Sequence[Any]) -> None:
            if self._rooms.stopping():
                raise Stopped
            self._try(part)

        try:
            return isolate(items, attempt)
        except DeliveryError as error:
            if self._once:
                raise
            self._failed(str(error))
            return None

    def _condemn(self, items: Sequence[Any], batch: Batch, verdict: Verdict, keep: bool) -> int:
        """Records what the receiver never takes, and with `keep` sets the files aside that hold it; how many items."""
        if keep and verdict.guilty:
            reason = f"{self.backend.address}: {verdict.guilty[0][1]}"
            for key in {_origin(items, batch, index)[1] for index, _ in verdict.guilty}:
                if key:
                    self._until_it_works(lambda key=key: self._rooms.set_aside.keep(key, self.name, reason))  # type: ignore[misc]
                    self.counts["set_aside"] += 1
        return self._refuse(items, batch, verdict.guilty)

    def _refuse(self, items: Sequence[Any], batch: Batch, refused: Iterable[tuple[int, str]]) -> int:
        """Records refused items; how many."""
        count = 0
        for index, reason in refused:
            count += 1
            name, _ = _origin(items, batch, index)
            item = items[index]
            text = item if isinstance(item, str) else f"{item.name} {item.value} {item.timestamp}"
            raw = text.rstrip("\n").encode("utf-8", "surrogateescape")
            self._common.rejects.add(name, 0, f"refused by {self.name}: {reason}", raw, "refused")
        self.counts["refused"] += count
        if count:
            log.warning("%s refused %d metrics, see %s", self.backend.address, count, self._common.rejects.path)
            batch.rejected |= {key for key in batch.keys if key}
        return count


def _origin(items: Sequence[Any], batch: Batch, index: int) -> tuple[str, FileKey | None]:
    """Which file the item at `index` came from; pacing may have left items of the batch out."""
    if items is not batch.items:
        with contextlib.suppress(ValueError):
            index = batch.items.index(items[index])
    return batch.origin(index)
