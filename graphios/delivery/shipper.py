"""Puts the parts together: one lane for each backend, and the thread that looks into the spools, keeps the limits and tells the status."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

from graphios import notify
from graphios.backends.base import Backend
from graphios.backends.make import make
from graphios.configuration.settings import BackendSettings, CarbonBackend, FifoInput, Settings
from graphios.convert import Converter
from graphios.delivery import status
from graphios.delivery.catalog import Scan, Selector, scan
from graphios.delivery.lane import Lane, Pacing, Rooms
from graphios.delivery.limits import Limiter
from graphios.delivery.progress import Progress
from graphios.delivery.reader import Common, Reader
from graphios.delivery.rejects import RejectFile, Watermark
from graphios.delivery.removal import Removal
from graphios.delivery.set_aside import SetAside
from graphios.delivery.troubles import Troubles
from graphios.delivery.window import Window
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.fifo import FifoReader
from graphios.inputs.settle import Settling
from graphios.inputs.spool import DirectoryLock, Oldest, Spool, SpoolError
from graphios.inputs.watch import Watcher
from graphios.version import VERSION

log = logging.getLogger("graphios")

_STATUS = 2.0
_CHORES = 1.0
_REPORT = 60.0
_FIFO_PATIENCE = 1.0
_PATIENCE = 4.0
"""Seconds the lanes have to end; they are given up then, and nothing undelivered is removed."""
_REMOVALS = 10.0
_SHORT = 0.05


class Stop:
    """Tells everything to end: the process, or this configuration only."""

    def __init__(self) -> None:
        self.process = threading.Event()
        self._wake = threading.Event()
        self.reload = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def end(self) -> None:
        """The process shall end."""
        self.process.set()
        self._wake.set()
        self.wake()

    def read_again(self) -> None:
        """The configuration shall be read again."""
        self.reload.set()
        self._wake.set()
        self.wake()

    def told(self) -> bool:
        """Whether work shall stop."""
        return self._wake.is_set()

    def sleep(self, seconds: float) -> None:
        """Waits so long, or until told to stop."""
        self._wake.wait(seconds)

    def go_on(self) -> None:
        """Work may begin again, unless the process shall end."""
        self.reload.clear()
        if not self.process.is_set():
            self._wake.clear()


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
        self._scan = Scan([], Oldest(), [], {})
        self._scan_seconds = 0.0
        self._reported = (0, 0, 0)
        self._watcher = Watcher([spool.directory for spool in settings.spools] + [str(self.inbox)])
        self._fifos: dict[FifoInput, tuple[FifoReader, threading.Event]] = {}
        self._due: dict[str, float] = {}
        self._halted = threading.Event()
        self._progress_open = False

    # --- opening and closing

    def open(self) -> None:
        """Makes the directories, takes the locks, looks whether rejects can be written, and makes the backends. Raises GraphiosError."""
        settings = self.settings
        for spool in self._spools:
            spool.lock()
            if not spool.writable:
                self.troubles.say(
                    spool.directory, f"spool {spool.directory}: not writable, so delivered files will stay there"
                )
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
        carbons = [backend for backend in settings.backends if isinstance(backend, CarbonBackend)]
        keep = max([settings.settle, *(carbon.replay_seconds for carbon in carbons)])
        most = max((carbon.replay_bytes for carbon in carbons), default=1024**3)
        self.window = Window(state, directories, self.inbox, self._running, keep, most)
        watermark = Watermark()
        self.removal = Removal(self.progress, self.window, watermark, self.troubles, names)
        self._limiter = Limiter(
            settings.limits,
            self.progress,
            self.window,
            self.troubles,
            lambda: frozenset(lane.name for lane in self.lanes if lane.backend.forgets),
        )
        if self._before:
            self._limiter.dropped = self._before._limiter.dropped
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
        before = self._before._fifos if self._before and self._before.inbox == self.inbox else {}
        for fifo in self.settings.fifos:
            if fifo in before:
                self._fifos[fifo] = before[fifo]
                continue
            ending = threading.Event()
            reader = FifoReader(fifo, str(self.inbox), ending)
            reader.start()
            self._fifos[fifo] = reader, ending

    def _close_fifos(self, keep: Settings | None) -> None:
        same = keep is not None and keep.state_directory == self.settings.state_directory
        for fifo, (reader, ending) in self._fifos.items():
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
        return f"{self.settings.self_prefix}.{status.own_host()}.backend.{status.plain(settings.name)}.connected"

    def _pacer(self, settings: BackendSettings) -> Pacing | None:
        if not (isinstance(settings, CarbonBackend) and settings.creates_per_minute):
            return None
        from graphios.delivery.pacing import Pacer

        path = self.settings.state_directory / f"pacing-{status.plain(settings.name)}.db"
        return Pacer(path, settings.creates_per_minute, settings.replay_seconds)

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
        self.tell(running=keep is not None)
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
        self._scan = found = scan([*self._spools, self._inbox], selectors, self._scan_trouble)
        for lane in self.lanes:
            lane.todo.put(found.lanes[lane.name])
        self._limiter.enforce(found.oldest)
        if found.finished and self._is_time("removals", _REMOVALS):
            self.removal.consider(found.finished)
        self._scan_seconds = time.monotonic() - began
        return found

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
                self._watch(finished)
        finally:
            self._halted.set()

    def _watch(self, finished: Callable[[], bool] | None) -> None:
        last = 0.0
        seen = 0
        while not self._stop.told():
            more_comes = not (finished and finished())
            hungry = any(lane.todo.hungry and lane.todo.more for lane in self.lanes)
            if hungry or time.monotonic() - last >= 10 * self._scan_seconds:
                self.look()
                last = time.monotonic()
                if not more_comes and self._all_done():
                    break
            self._chores()
            many = any(lane.todo.more for lane in self.lanes)
            seen = self._watcher.wait(seen, _SHORT if many or not more_comes else self.settings.poll)

    def _all_done(self) -> bool:
        lanes = self.lanes
        return not any(lane.todo.files or lane.state != "idle" or lane.pending for lane in lanes) and not any(
            lane.pacer and lane.pacer.waiting[1] for lane in lanes
        )

    def _is_time(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def _chores(self) -> None:
        if self._is_time("chores", _CHORES):
            self.window.watch()
            self.expire()
            self.progress.recover()
            self.progress.commit()
            if all(not lane.join(0) for lane in self.lanes):
                notify.watchdog()
        if self._is_time("status", _STATUS):
            self.tell(running=True)
            notify.status(self._in_short())
        if "report" not in self._due:
            self._is_time("report", _REPORT)
        elif self._is_time("report", _REPORT):
            self.report()
        interval = self.settings.self_interval
        if interval and "self" not in self._due:
            self._is_time("self", interval)
        elif interval and self._is_time("self", interval):
            self._report_itself()

    def expire(self) -> None:
        """Lets go of what no receiver can have forgotten any more."""
        self.window.expire(min([self.window.now(), *(lane.healthy_at for lane in self.lanes)]))

    def _report_itself(self) -> None:
        try:
            status.spool_own_line(self.inbox, self.document(running=True), self.settings.self_prefix)
            self.troubles.over("inbox")
        except (OSError, ValueError) as error:
            self.troubles.say("inbox", f"{self.inbox}: figures about ourselves can't be written: {error}")

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

    def document(self, running: bool) -> status.Document:
        """The status document."""
        now = time.time()
        lanes = [status.lane_figures(lane, now) for lane in self.lanes]
        skipped: Counter[str] = Counter()
        for lane in self.lanes:
            skipped |= lane.reader.skipped
        oldest = [depth.oldest for depth in self._scan.depths if depth.oldest is not None]
        pipes = [reader.trouble for reader, _ in self._fifos.values()]
        troubles = [text for text in (*self.troubles.current(), self.progress.trouble, *pipes) if text]
        return {
            "version": status.FORMAT,
            "program": f"graphios {VERSION}",
            "pid": os.getpid(),
            "config": str(self.settings.path),
            "started": self.started,
            "time": now,
            "running": running,
            "spools": [depth._asdict() for depth in self._scan.depths],
            "lag_seconds": max(0.0, round(now - min(oldest), 3)) if oldest else 0.0,
            "lines_read": self.counts["lines_read"],
            "metrics_read": self.counts["metrics_read"],
            "rejected": status.rejected(self.rejects.by_kind.copy(), self.rejects.path),
            "skipped": {"U": 0, "filtered": 0, "unprefixed": 0} | skipped,
            "dropped": {"files": 0, "bytes": 0, "lines": 0} | self._limiter.dropped,
            "set_aside": {"files": self.set_aside.files, "directory": str(self.set_aside.directory)},
            "window": {"files": self.window.files, "bytes": self.window.bytes},
            "trouble": troubles,
            "backends": lanes,
        }

    def _in_short(self) -> str:
        files = sum(depth.files for depth in self._scan.depths)
        sick = [f"{lane.name}: {lane.error}" for lane in self.lanes if lane.error]
        return "; ".join([f"{files} files waiting", *sick, *self.troubles.current()])[:500]

    def tell(self, running: bool) -> None:
        """Writes the status document."""
        try:
            status.write(self.settings.status_file, self.document(running))
            self.troubles.over("status")
        except OSError as error:
            self.troubles.say("status", f"status file {self.settings.status_file}: {error.strerror}")

    def report(self) -> None:
        """Logs what was done since the last report."""
        sent = sum(lane.counts["acknowledged"] for lane in self.lanes)
        now = (sent, self.removal.removed, self.rejects.count)
        if now != self._reported:
            sent, removed, rejected = (new - old for new, old in zip(now, self._reported, strict=True))
            log.info("delivered %d metrics, removed %d files, rejected %d", sent, removed, rejected)
            self._reported = now
