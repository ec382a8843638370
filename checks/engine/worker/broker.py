"""The broker of a worker of Nagios Core: holds the connections and the journal of jobs, and has an executor run them.

It is small so that it hardly ever dies; what may die, runs in the executor. No job is lost in between:

- The executor dies: a new one gets what it had. Nagios notices nothing.
- The broker dies: systemd keeps its connections for its successor, which answers the jobs of the journal on them. Without systemd the
  connections break, and Nagios waits for their jobs for more than ten minutes; the successor runs them and hands the results in as files.
- The broker is stopped: it hands in the same way what still runs. Nagios's own workers take over.
- Nagios ends or restarts: it has forgotten its jobs, so they are ended, and the connections made anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import NamedTuple

from checks.engine.log import log
from checks.engine.worker import kept, macros, stranded
from checks.engine.worker.executor_process import Died, Executor
from checks.engine.worker.held import Jobs
from checks.engine.worker.journal import Journal
from checks.engine.worker.messages import CHECK
from checks.engine.worker.query_handler import Connection, Gone, Refused
from graphios import notify

FORGOTTEN = 600.0
"""Seconds after a job's timeout when Nagios gives it up and schedules the check anew by itself (nagioscore, base/checks.c)."""
UNREADY = 20.0
"""Seconds without an executor after which the jobs go back to Nagios's own workers."""
_LEAVING = 2.0
_LOOK = 0.25
_RETRY, _RETRY_LATER, _PATIENT_AFTER = 0.1, 1.0, 60.0


class Settings(NamedTuple):
    """What a broker needs to know."""

    query_socket: Path
    results: Path
    """Nagios's check_result_path."""
    plugins: tuple[str, ...]
    journal: Path
    spool: Path
    executor: tuple[str, ...]
    """The command line of the executor."""
    max_jobs: int = 2000
    stop_seconds: float = 75.0
    """How long a stopped broker waits for what runs."""
    files: stranded.Files | None = None
    """Of Nagios: where it says which checks it waits for."""


def run_of(query_socket: Path) -> str:
    """Which run of Nagios this socket belongs to: it makes it anew at every start and restart. Empty when there is none."""
    try:
        stat = query_socket.stat()
    except OSError:
        return ""
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_ctime_ns}"


class Broker:
    """run() serves until it is told to stop. Of its methods only stop() may be called from a signal handler."""

    def __init__(self, settings: Settings) -> None:
        """Raises OSError, InUse."""
        self._settings = settings
        self._journal = Journal(settings.journal)
        self._executor = Executor(settings.executor)
        self._connections: dict[str, Connection] = {}
        self._jobs = Jobs(self._journal, self._executor, settings.spool, settings.results)
        # Plugin: when it is tried again, and since when there is no connection.
        self._absent: dict[str, tuple[float, float]] = {}
        self._leaving: list[Connection] = []
        self._signals, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stops = 0
        self._stop_by = self._leave_by = 0.0
        self._ready_until = time.monotonic()
        self._status = ("", 0.0)
        self._beat = (notify.watchdog_seconds() or 0.0) / 2
        self._beaten = 0.0
        self._look_again = 0.0
        self._rescue: stranded.Rescue | None = None
        self._run = ""

    def stop(self, *_: object) -> None:
        """Ends run() as soon as what runs is finished; a second call, at once."""
        self._stops += 1
        with contextlib.suppress(OSError):
            os.write(self._wake, b"x")

    def run(self) -> None:
        """Serves Nagios until stop(). Raises OSError when the executor can't be started at all."""
        self._executor.start()
        self._take_over()
        notify.ready()
        try:
            while not self._over():
                self._round()
        finally:
            notify.stopping()
            self._executor.end()
            if not self._jobs.spooler.close(5):
                log.error("the spool %s takes nothing: perfdata is lost", self._settings.spool)
            self._journal.close()

    def _round(self) -> None:
        """Waits for something to happen, and does what is due."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._jobs.spooler, select.POLLIN)
        if self._executor.running:
            poll.register(self._executor, select.POLLIN | (select.POLLOUT if self._executor.waiting else 0))
        connections = [*self._connections.values(), *self._leaving]
        for connection in connections:
            poll.register(connection, select.POLLIN | (select.POLLOUT if connection.waiting else 0))
        ready = dict(poll.poll(self._pause() * 1000))
        if self._signals in ready:
            os.read(self._signals, 100)
        for connection in connections:
            if connection.fileno() in ready:
                self._serve(connection)
        if self._executor.running and self._executor.fileno() in ready:
            self._hear()
        if self._jobs.spooler.fileno() in ready:
            self._jobs.take_spooled()
        self._tick()

    def _pause(self) -> float:
        """Seconds that may pass without anything happening."""
        now = time.monotonic()
        pause = min([1.0, *(again - now for again, _ in self._absent.values())])
        if not self._executor.running:
            pause = min(pause, self._executor.not_before - now)
        if self._stop_by:
            pause = min(pause, self._stop_by - now)
        return max(0.0, pause if not self._leaving else min(pause, 0.1))

    def _tick(self) -> None:
        now = time.monotonic()
        if self._stops and not self._stop_by:
            self._begin_to_stop(now)
        if not self._executor.running and now >= self._executor.not_before:
            self._start_executor()
        if self._executor.ready:
            self._ready_until = now
            for plugin, (again, since) in list(self._absent.items()):
                if now >= again:
                    self._connect(plugin, now, since)
        elif self._connections and now > self._ready_until + UNREADY:
            log.error("there has been no executor for %.0f s: Nagios's own workers take over", UNREADY)
            self._leave(now)
            self._absent = dict.fromkeys(self._settings.plugins, (now, now))
        if self._leaving and now > self._leave_by:
            for connection in self._leaving:
                connection.close()
            self._leaving = []
        if now >= self._look_again:
            self._look_again = now + _LOOK
            if self._jobs.look_after(now):
                self._replace_executor("it has not answered in time")
            run = run_of(self._settings.query_socket)
            if run != self._run:
                self._run = run
                self._journal.serves(run)
            if self._rescue and self._rescue.done(self._settings.plugins):
                self._rescue = None
        for connection in self._connections.values():
            self._jobs.flush(connection)
        self._flush_executor()
        self._tell(now)

    # ---- Nagios

    def _connect(self, plugin: str, now: float, since: float) -> None:
        name = f"nagios-{os.urandom(6).hex()}-{plugin.replace(':', '_')}"[:200]
        try:
            connection = Connection.open(str(self._settings.query_socket), plugin, self._settings.max_jobs, name)
        except OSError as error:
            if now == since:
                log.warning("%s: %s; tried again", self._settings.query_socket, error.strerror)
            self._absent[plugin] = (now + (_RETRY if now - since < _PATIENT_AFTER else _RETRY_LATER), since)
            return
        del self._absent[plugin]
        self._connections[plugin] = connection

    def _serve(self, connection: Connection) -> None:
        """Takes what Nagios sends."""
        registered = connection.registered
        try:
            handed = connection.read()
        except Refused as error:
            log.error("Nagios refuses a worker for %s: %s", connection.plugin, error)
            return self._lost(connection, retry=_RETRY_LATER)
        except Gone:
            return self._lost(connection)
        if connection.registered and not registered:
            log.info("Nagios hands over the jobs of %s", connection.plugin)
            notify.keep(connection.name, connection.fileno())
        run, leaving = run_of(self._settings.query_socket), connection in self._leaving
        for job in handed:
            if isinstance(job, str):
                log.error("Nagios sent %s", job)
            else:
                self._jobs.accept(job, connection, leaving, run)
        try:
            connection.taken()
        except Gone:
            self._lost(connection)

    def _lost(self, connection: Connection, retry: float = _RETRY) -> None:
        """Nagios has ended, or restarts: it does not wait for anything any more."""
        connection.close()
        notify.forget(connection.name)
        if connection in self._leaving:
            self._leaving.remove(connection)
            return
        del self._connections[connection.plugin]
        count = self._jobs.forget(connection)
        log.warning("Nagios ended the connection for %s; %d jobs are forgotten", connection.plugin, count)
        if not self._stops:
            now = time.monotonic()
            self._absent[connection.plugin] = (now + retry, now)

    # ---- the executor

    def _start_executor(self) -> None:
        try:
            self._executor.start()
        except OSError as error:
            log.error("the executor can't be started: %s", error.strerror)
            return

    def _replace_executor(self, why: str = "it was killed") -> None:
        log.error("the executor (process %d) is gone: %s, %s", self._executor.pid, why, self._executor.end())
        self._jobs.executor_lost()

    def _flush_executor(self) -> None:
        if self._executor.running:
            try:
                self._executor.flush()
            except Died as died:
                self._replace_executor(str(died))

    def _hear(self) -> None:
        """Takes the executor's answers. A new one gets all that is to be run."""
        was_ready = self._executor.ready
        try:
            answers = self._executor.read()
        except Died as died:
            self._replace_executor(str(died))
            return
        if self._executor.ready and not was_ready:
            self._jobs.give_all()
        for answer in answers:
            self._jobs.heard(answer)

    # ---- beginning and end

    def _take_over(self) -> None:
        """Goes on where a predecessor was killed: its connections, and what it had not answered."""
        run, killed = run_of(self._settings.query_socket), self._journal.killed
        names: dict[str, Connection] = {}
        for name, sock in kept.take():
            plugin = next(
                (plugin for plugin in self._settings.plugins if name.endswith("-" + plugin.replace(":", "_"))), ""
            )
            if not plugin or plugin in self._connections or not name.startswith("nagios-"):
                notify.forget(name)
                sock.close()
                continue
            names[name] = self._connections[plugin] = Connection(sock, plugin, name, registered=True)
        now = time.monotonic()
        self._absent = {plugin: (now, now) for plugin in self._settings.plugins if plugin not in self._connections}
        handed_in = gone = 0
        inherited: set[tuple[bytes, bytes]] = set()
        if run and killed == run and self._absent and self._settings.files:
            self._rescue = stranded.Rescue(self._settings.files, time.time(), inherited)
        for entry in list(self._journal.entries()):
            connection = names.get(entry.connection)
            age = time.time() - entry.received
            # Without its connection a job is only Nagios's affair while that runs on, and waits; what is no check it has run again by itself.
            waits = (
                run and entry.nagios == run and entry.work.kind == CHECK and 0 <= age < entry.work.timeout + FORGOTTEN
            )
            if not connection and not waits:
                self._journal.strike(entry.work.number)
                gone += 1
                continue
            handed_in += not connection
            with contextlib.suppress(macros.Unclear):
                whose = macros.whose(entry.work.environment)
                inherited.add((whose.host, whose.service))
            self._jobs.inherit(entry, connection)
        if names or handed_in or gone:
            log.warning(
                "a predecessor was killed: %d connections kept, %d jobs run again, %d of them to be handed in, %d forgotten",
                *(len(names), len(self._jobs), handed_in, gone),
            )

    def _begin_to_stop(self, now: float) -> None:
        self._stop_by = now + self._settings.stop_seconds
        notify.stopping("waiting for the checks that run")
        self._leave(now)
        self._absent = {}
        log.info("stopping: Nagios's own workers take over, %d checks still run", len(self._jobs))

    def _leave(self, now: float) -> None:
        """Nagios gets no more results by its connections, but as files, and hands over no more jobs."""
        self._leave_by = now + _LEAVING
        for connection in list(self._connections.values()):
            self._jobs.flush(connection)
            connection.leave()
            notify.forget(connection.name)
        self._leaving += self._connections.values()
        self._connections = {}
        self._jobs.leave()

    def _over(self) -> bool:
        if not self._stop_by:
            return False
        awaited = self._jobs and self._stops == 1 and self._executor.running and time.monotonic() < self._stop_by
        if self._leaving or awaited:
            return False
        self._jobs.give_up_all(b"UNKNOWN: the worker was stopped before this check ended\n")
        return True

    def _tell(self, now: float) -> None:
        """Keeps systemd informed."""
        if self._beat and now - self._beaten >= self._beat:
            self._beaten = now
            notify.watchdog()
        if now - self._status[1] < 5:
            return
        connected = sum(connection.registered for connection in self._connections.values())
        text = (
            f"{connected} of {len(self._settings.plugins)} plugins at Nagios, {len(self._jobs)} jobs running, "
            f"{self._jobs.answered} answered, executor started {self._executor.starts} times"
        )
        if text != self._status[0]:
            notify.status(text)
        self._status = (text, now)


def handle_signals(broker: Broker) -> None:
    """TERM and INT stop it; of HUP it takes no notice."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, broker.stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
