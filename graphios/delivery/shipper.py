"""Puts the parts together: one lane for each backend, and the thread that looks into the spools, keeps the limits and tells the status."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from graphios import notify
from graphios.backends.base import Backend
from graphios.backends.make import make
from graphios.configuration.settings import BackendSettings, CarbonBackend, FifoInput, InfluxBackend, Settings
from graphios.convert import Converter
from graphios.delivery.catalog import Scan, Selector, scan
from graphios.delivery.lane import Lane
from graphios.delivery.limits import Limiter
from graphios.delivery.progress import Progress
from graphios.delivery.reader import Common, Reader
from graphios.delivery.rejects import RejectFile, Watermark
from graphios.delivery.removal import Removal
from graphios.delivery.report import Reporter, Timer
from graphios.delivery.rooms import Pacing, Rooms
from graphios.delivery.set_aside import SetAside
from graphios.delivery.status import own_host, plain
from graphios.delivery.stop import Stop
from graphios.delivery.troubles import Troubles
from graphios.delivery.window import Window
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.fifo import FifoReader
from graphios.inputs.settle import Settling
from graphios.inputs.spool import DirectoryLock, Oldest, Spool, SpoolError
from graphios.inputs.watch import Watcher

log = logging.getLogger("graphios")

_CHORES = 1.0
_FIFO_PATIENCE = 1.0
_PATIENCE = 4.0
"""Seconds the lanes have to end; they are given up then, and nothing undelivered is removed."""
_REMOVALS = 10.0
_SHORT = 0.05


class Shipper:
    """All spools and backends of one configuration."""

    def __init__(self, settings: Settings, stop: Stop, running: bool, before: Shipper | None = None) -> None:
        """`running`: a daemon, not a single run. `before`: what ran until now (and was closed) in this process, whose backends and figures are
        kept where their settings are the same."""
        self.settings, self._stop, self._running = settings, stop, running
        state = settings.state_directory
        self.inbox = state / "inbox"
        self._spools = [Spool(spool.directory, spool.files) for spool in settings.spools]
        self._inbox = Spool(str(self.inbox))
        self._state_lock = DirectoryLock(str(state), "state directory")
        self.started: float = before.started if before else time.time()
        self._before = before
        self.troubles = Troubles()
        self.rejects = RejectFile(settings.reject_file, settings.reject_bytes)
        self.counts: Counter[str] = before.counts if before else Counter()
        if before:
            self.rejects.by_kind = before.rejects.by_kind
        self.lanes: list[Lane] = []
        self.found = Scan([], Oldest(keep=False), [], {})
        self._scan_seconds = 0.0
        self._watcher = Watcher([spool.directory for spool in settings.spools] + [str(self.inbox)])
        self.fifos: dict[FifoInput, tuple[FifoReader, threading.Event]] = {}
        self._timer = Timer()
        self.reporter = Reporter(self)
        self._halted = threading.Event()
        self._progress_open = False

    # --- opening and closing

    def open(self) -> None:
        """Makes the directories, takes the locks, looks whether rejects can be written, and makes the backends. Raises GraphiosError."""
        settings = self.settings
        for spool in self._spools:
            spool.lock()
            if not spool.writable:
                raise SpoolError(f"spool {spool.directory}: not writable, so delivered files could not be removed")
        try:
            self.inbox.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"state directory {self.inbox}: {error.strerror}") from error
        self._state_lock.lock()
        self.rejects.check()
        self._build()
        self._open_fifos()
        self._before = None
        for warning in settings.warnings:
            log.warning("%s", warning)

    def _build(self) -> None:
        settings, state = self.settings, self.settings.state_directory
        names = [backend.name for backend in settings.backends]
        directories = [spool.directory for spool in settings.spools]
        self.progress = Progress(state / "progress.db")
        self._progress_open = True
        self.progress.clean(names, [*directories, str(self.inbox)])
        forgetful = [
            one
            for one in settings.backends
            if isinstance(one, CarbonBackend) or (isinstance(one, InfluxBackend) and one.version != 1)
        ]
        keep = max([settings.settle, *(one.replay_seconds for one in forgetful)])
        most = max((one.replay_bytes for one in forgetful), default=1024**3)
        self.window = Window(state, directories, self.inbox, self._running, keep, most)
        watermark = Watermark()
        self.removal = Removal(self.progress, self.window, watermark, self.troubles, names)
        self.limiter = Limiter(
            settings.limits,
            self.progress,
            self.window,
            self.troubles,
            lambda: frozenset(lane.name for lane in self.lanes if lane.backend.forgets),
        )
        if self._before:
            self.limiter.dropped = self._before.limiter.dropped
            self.removal.removed = self._before.removal.removed
        settling = Settling(settings.settle, self._running)
        self._common = Common(
            self.progress,
            self.rejects,
            watermark,
            settling,
            self.counts,
            threading.Lock(),
            str(self.inbox),
            self.troubles,
        )
        self.set_aside = SetAside(state)
        rooms = Rooms(self._common, self.window, self.removal, self.set_aside, self._sleep, self._is_over)
        self.lanes = [self._lane(backend, rooms) for backend in settings.backends]

    def _open_fifos(self) -> None:
        before = self._before.fifos if self._before and self._before.inbox == self.inbox else {}
        for fifo in self.settings.fifos:
            if fifo in before:
                self.fifos[fifo] = before[fifo]
                continue
            ending = threading.Event()
            reader = FifoReader(fifo, str(self.inbox), ending)
            reader.start()
            self.fifos[fifo] = reader, ending

    def _close_fifos(self, keep: Settings | None) -> None:
        same = keep is not None and keep.state_directory == self.settings.state_directory
        for fifo, (reader, ending) in self.fifos.items():
            if not (same and keep and fifo in keep.fifos):
                ending.set()
                reader.join(_FIFO_PATIENCE)

    def _is_over(self) -> bool:
        return self._halted.is_set() or self._stop.told()

    def _sleep(self, seconds: float) -> None:
        self._stop.sleep(seconds)

    def _lane(self, settings: BackendSettings, rooms: Rooms) -> Lane:
        old = self._old_lane(settings)
        backend: Backend = old.backend if old else make(settings, self._stop.told, self._heartbeat(settings))
        converter = Converter(self.settings.names, backend.takes, log.warning)
        reader = Reader(
            settings.name, converter, backend.takes, settings.delivery.batch_bytes, self._common, self._is_over
        )
        lane = Lane(settings, backend, reader, rooms, self._pacer(settings))
        lane.pending = old.pending if old else True
        if old:
            lane.counts, lane.last_success = old.counts, old.last_success
        return lane

    def _heartbeat(self, settings: BackendSettings) -> str:
        if not self.settings.self_interval or not self.settings.self_prefix:
            return ""
        return f"{self.settings.self_prefix}.{own_host()}.backend.{plain(settings.name)}.connected"

    def _pacer(self, settings: BackendSettings) -> Pacing | None:
        if not (isinstance(settings, CarbonBackend) and settings.creates_per_minute):
            return None
        from graphios.delivery.pacing import Pacer, whisper_file

        path = self.settings.state_directory / f"pacing-{plain(settings.name)}.db"
        exists = whisper_file(Path(settings.whisper)) if settings.whisper else lambda name: False
        return Pacer(path, settings.creates_per_minute, settings.replay_seconds, exists)

    def _old_lane(self, settings: BackendSettings) -> Lane | None:
        for lane in self._before.lanes if self._before else ():
            if lane.settings == settings and lane.join(0):
                return lane
        return None

    def close(self, keep: Settings | None = None) -> None:
        """Ends the lanes, as far as they end in time, and gives everything up; of backends only those that `keep` does not use."""
        self._halted.set()
        deadline = time.monotonic() + _PATIENCE
        self._close_fifos(keep)
        for lane in self.lanes:
            if lane.join(max(0.0, deadline - time.monotonic())):
                if keep is None or lane.settings not in keep.backends:
                    lane.backend.close()
                if lane.pacer:
                    lane.pacer.close()
            else:
                log.warning("%s: did not end in time; what it had not acknowledged stays in the spool", lane.name)
        self.reporter.tell(running=keep is not None)
        self.release()

    def release(self) -> None:
        """Gives the locks up, and the file with the positions."""
        if self._progress_open:
            self.progress.close()
            self._progress_open = False
        for lock in (*self._spools, self._state_lock):
            lock.unlock()

    # --- looking into the spools

    def look(self) -> Scan:
        """Looks into the spools, hands what is found to the lanes, and keeps the limits."""
        began = time.monotonic()
        for spool in self._spools:
            self._lock_again(spool)
        selectors = {lane.name: Selector(self.progress, lane.name, lane.reader.failed) for lane in self.lanes}
        hungry = {lane.name for lane in self.lanes if lane.todo.hungry or not self._running}
        self.found = found = scan([*self._spools, self._inbox], selectors, hungry, self._scan_trouble)
        for lane in self.lanes:
            lane.todo.put(found.lanes.pop(lane.name), lane.name in hungry)
        if self.limiter.may_be_over(found.total):
            self.limiter.enforce(self._oldest())
        if found.finished and self._timer.is_time("removals", _REMOVALS):
            self.removal.consider(found.finished)
        self._scan_seconds = time.monotonic() - began
        return found

    def _oldest(self) -> Oldest:
        oldest = Oldest()
        for spool in (*self._spools, self._inbox):
            with contextlib.suppress(SpoolError):
                for entry in spool.entries():
                    oldest.add(entry)
        return oldest

    def _lock_again(self, spool: Spool) -> None:
        """A directory that vanished and came back is another one."""
        with contextlib.suppress(GraphiosError):
            spool.lock()

    def _scan_trouble(self, directory: str, text: str) -> None:
        if text:
            self.troubles.say(f"scan {directory}", text)
        else:
            self.troubles.over(f"scan {directory}")

    # --- a daemon

    def run(self, finished: Callable[[], bool] | None = None) -> None:
        """Works until told to stop; or, once `finished` says that no more is to come, until all is delivered."""
        for lane in self.lanes:
            lane.start(lane.pending)
        try:
            with self._watcher:
                self._stop.wake = self._watcher.wake
                for lane in self.lanes:
                    lane.todo.wake = self._watcher.wake
                self._watch(finished)
        finally:
            self._halted.set()

    def _watch(self, finished: Callable[[], bool] | None) -> None:
        last, seen, news = 0.0, 0, True
        while not self._stop.told():
            more_comes = not (finished and finished())
            many = any(lane.todo.more for lane in self.lanes)
            hungry = any(lane.todo.starving for lane in self.lanes)
            due = news or not more_comes or time.monotonic() - last >= self.settings.poll
            if hungry or (due and time.monotonic() - last >= 10 * self._scan_seconds):
                self.look()
                last, news = time.monotonic(), False
                if not more_comes and self._all_done():
                    break
            self._chores()
            now = self._watcher.wait(seen, _SHORT if many or not more_comes else min(self.settings.poll, _CHORES))
            news, seen = news or now != seen, now

    def _all_done(self) -> bool:
        lanes = self.lanes
        return not any(lane.todo.files or lane.state != "idle" or lane.pending for lane in lanes) and not any(
            lane.pacer and lane.pacer.waiting[1] for lane in lanes
        )

    def _chores(self) -> None:
        if self._timer.is_time("chores", _CHORES):
            self.window.watch()
            self.expire()
            self.progress.recover()
            self.progress.commit()
            if all(not lane.join(0) for lane in self.lanes):
                notify.watchdog()
        self.reporter.now_and_then()

    def expire(self) -> None:
        """Lets go of what no receiver can have forgotten any more."""
        self.window.expire(min([self.window.now(), *(lane.healthy_at for lane in self.lanes)]))

    # --- a single run

    def once(self) -> tuple[list[GraphiosError], int]:
        """Works off what is there, one try for each batch; the errors that ended lanes, and how many files may still be written to.

        Raises Stopped when told to end.
        """
        while True:
            found = self.look()
            errors = self._each_lane(Lane.once)
            if errors or not any(lane.todo.more for lane in self.lanes):
                break
        if not errors:
            errors = self._each_lane(Lane.once_more)
        self.removal.consider(found.finished)
        self.window.watch()
        self.expire()
        self.look()  # for the status
        return errors, len(set().union(*(lane.reader.unfinished for lane in self.lanes)))

    def _each_lane(self, work: Callable[[Lane], None]) -> list[GraphiosError]:
        """All lanes at once, so that none waits for a slow one."""
        ends: list[BaseException] = []

        def attempt(lane: Lane) -> None:
            try:
                work(lane)
            except BaseException as error:  # it goes up in the caller's thread
                ends.append(error)

        threads = [threading.Thread(target=attempt, args=(lane,), name=lane.name, daemon=True) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not self._stop.told():
                thread.join(0.05)
            thread.join(_PATIENCE)
        for error in ends:
            if not isinstance(error, GraphiosError):
                raise error
        if self._stop.told():
            raise Stopped
        return [error for error in ends if isinstance(error, GraphiosError)]

    # --- figures

    @property
    def receivers(self) -> str:
        """Where it all goes, for people."""
        return ", ".join(f"{lane.name.partition(':')[0]} {lane.backend.address}" for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """How many files are in the spools now."""
        files = 0
        for spool in (*self._spools, self._inbox):
            with contextlib.suppress(SpoolError):
                files += sum(1 for _ in spool.entries())
        return files
