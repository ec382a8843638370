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
import logging
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from checks.engine.worker import kept, macros
from checks.engine.worker.executor_process import Died, Executor
from checks.engine.worker.hand_in import Unnamed, hand_in
from checks.engine.worker.journal import Entry, Journal
from checks.engine.worker.messages import CHECK, Answer, Cancel, Work
from checks.engine.worker.query_handler import Connection, Gone, Handed, Refused, result
from checks.engine.worker.spooler import Spooler
from graphios import notify

log = logging.getLogger("testbed-checks")

OVERDUE = 30.0
"""Seconds after a job's own timeout in which the executor has to answer, or it counts as hung."""
MOST_ATTEMPTS = 20
"""Executors that may die over a job. Its timeout limits them as well, from the third on."""
FORGOTTEN = 600.0
"""Seconds after a job's timeout when Nagios gives it up and schedules the check anew by itself (nagioscore, base/checks.c)."""
UNREADY = 20.0
"""Seconds without an executor after which the jobs go back to Nagios's own workers."""
_SLOW_SPOOL = 20.0
_LEAVING = 2.0
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


@dataclass(slots=True)
class _Held:
    """A job that somebody waits for."""

    entry: Entry
    connection: Connection | None
    """None: nobody can be answered any more, the result is handed in."""
    overdue: float
    inherited: bool = False
    """From a predecessor's journal."""
    given: bool = False
    """Whether an executor got it."""
    answer: Answer | None = None
    """While its perfdata is being written, or its result is on its way."""
    spooled_by: float = 0.0


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
        self._spooler = Spooler(settings.spool)
        self._connections: dict[str, Connection] = {}
        self._jobs: dict[int, _Held] = {}
        self._absent: dict[
            str, tuple[float, float]
        ] = {}  # plugin: when it is tried again, and since when there is no connection
        self._leaving: list[Connection] = []
        self._signals, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stops = 0
        self._stop_by = self._leave_by = 0.0
        self._number = 0
        self._answered = 0
        self._ready_until = time.monotonic()
        self._status = ("", 0.0)
        self._beat = (notify.watchdog_seconds() or 0.0) / 2
        self._beaten = 0.0
        self._nameless = False

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
            if not self._spooler.close(5):
                log.error("the spool %s takes nothing: perfdata is lost", self._settings.spool)
            self._journal.close()

    def _round(self) -> None:
        """Waits for something to happen, and does what is due."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._spooler, select.POLLIN)
        if self._executor.running:
            poll.register(self._executor, select.POLLIN | (select.POLLOUT if self._executor.waiting else 0))
        connections = [*self._connections.values(), *self._leaving]
        for connection in connections:
            poll.register(connection, select.POLLIN | (select.POLLOUT if connection.waiting else 0))
        ready = dict(poll.poll(self._pause() * 1000))
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 100)
        for connection in connections:
            if connection.fileno() in ready:
                self._serve(connection)
        if self._executor.running and self._executor.fileno() in ready:
            self._hear()
        for number, trouble in self._spooler.done():
            if number in self._jobs:
                self._spooled(self._jobs[number], trouble)
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
        for held in [held for held in self._jobs.values() if now > held.overdue and not held.answer]:
            if self._executor.ready:
                log.error(
                    "the executor has not answered for %.0f s: it is restarted", held.entry.work.timeout + OVERDUE
                )
                self._replace_executor()
                break
            self._finish(held, _unknown(held.entry, b"UNKNOWN: the worker could not run this check\n"))
        for held in [held for held in self._jobs.values() if held.spooled_by and now > held.spooled_by]:
            # Its perfdata is still in the queue; Nagios need not wait for it.
            self._spooled(held, "")
        for connection in self._connections.values():
            self._flush(connection)
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
            kept.keep(connection.name, connection.fileno())
        run = run_of(self._settings.query_socket)
        for job in handed:
            if isinstance(job, str):
                log.error("Nagios sent %s", job)
            else:
                self._accept(job, connection, run)
        try:
            connection.taken()
        except Gone:
            self._lost(connection)

    def _accept(self, job: Handed, connection: Connection, run: str) -> None:
        known = any(
            held.entry.connection == connection.name and held.entry.job_id == job.job_id
            for held in self._jobs.values()
            if held.inherited
        )
        leaving = connection in self._leaving
        # When we leave, Nagios runs whatever is no check again by itself.
        if known or (leaving and job.kind != CHECK):
            return
        self._number = max(self._number + 1, time.time_ns() // 1000)
        work = Work(self._number, job.kind, job.timeout, job.command, job.environment)
        entry = Entry(work, job.job_id, connection.name, run, time.time())
        try:
            self._journal.enter(entry)
        except OSError as error:
            log.error("%s: %s; if this process dies now, a check is late", self._settings.journal, error.strerror)
        if not job.environment and job.kind == CHECK and not self._nameless:
            self._nameless = True
            log.warning("Nagios sent a check without environment macros: its perfdata can't be shipped")
        self._hold(entry, None if leaving else connection)

    def _hold(self, entry: Entry, connection: Connection | None, inherited: bool = False) -> None:
        overdue = time.monotonic() + entry.work.timeout + OVERDUE
        held = self._jobs[entry.work.number] = _Held(entry, connection, overdue, inherited)
        if self._executor.ready:
            self._give(held)

    def _flush(self, connection: Connection) -> None:
        try:
            for number in connection.flush():
                self._strike(number)
        except Gone:
            pass  # reading tells

    def _lost(self, connection: Connection, retry: float = _RETRY) -> None:
        """Nagios has ended, or restarts: it does not wait for anything any more."""
        connection.close()
        kept.forget(connection.name)
        if connection in self._leaving:
            self._leaving.remove(connection)
            return
        del self._connections[connection.plugin]
        forgotten = [number for number, held in self._jobs.items() if held.connection is connection]
        for number in forgotten:
            if self._executor.ready and self._jobs[number].answer is None:
                self._executor.send(Cancel(number))
            self._strike(number)
        log.warning("Nagios ended the connection for %s; %d jobs are forgotten", connection.plugin, len(forgotten))
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

    def _give(self, held: _Held) -> None:
        """Has the executor run a job, perhaps again."""
        work = held.entry.work
        if held.given:
            late = time.time() - held.entry.received > work.timeout and work.attempts >= 2
            if late or work.attempts >= MOST_ATTEMPTS:
                text = b"UNKNOWN: the worker ended %d times while this check ran\n" % (work.attempts + 1)
                self._finish(held, _unknown(held.entry, text))
                return
            work = work._replace(attempts=work.attempts + 1)
            held.entry = held.entry._replace(work=work)
        held.given = True
        held.overdue = time.monotonic() + work.timeout + OVERDUE
        self._executor.send(work)

    def _replace_executor(self, why: str = "it was killed") -> None:
        log.error("the executor (process %d) is gone: %s, %s", self._executor.pid, why, self._executor.end())
        for held in self._jobs.values():
            held.overdue = max(held.overdue, time.monotonic() + OVERDUE)

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
            for held in [held for held in self._jobs.values() if held.answer is None]:
                self._give(held)
        for answer in answers:
            self._heard(answer)

    def _heard(self, answer: Answer) -> None:
        held = self._jobs.get(answer.number)
        if held is None or held.answer is not None:
            return  # cancelled when it was already on its way
        if answer.spool and held.entry.work.kind == CHECK:
            held.answer = answer
            held.spooled_by = time.monotonic() + _SLOW_SPOOL
            self._spooler.put(answer.number, answer.spool_kind, answer.spool)
        else:
            self._finish(held, answer)

    def _spooled(self, held: _Held, trouble: str) -> None:
        if not held.spooled_by or not held.answer:
            return
        held.spooled_by = 0.0
        answer = held.answer
        if trouble:
            log.error("perfdata not spooled: %s", trouble)
            answer = answer._replace(output=with_note(answer.output, f"perfdata not spooled: {trouble}"))
        self._finish(held, answer)

    def _finish(self, held: _Held, answer: Answer) -> None:
        """Nagios gets the result."""
        held.answer = answer
        self._answered += 1
        if held.connection:
            message = result(held.entry.job_id, held.entry.work.kind, answer)
            held.connection.answer(held.entry.work.number, message)
            self._flush(held.connection)
        else:
            self._hand_in(held)

    def _hand_in(self, held: _Held) -> None:
        assert held.answer
        try:
            hand_in(self._settings.results, held.answer)
        except Unnamed as error:
            log.error("a result can't be handed in: %s", error)
        except OSError as error:
            log.error("a result can't be handed in: %s: %s", self._settings.results, error.strerror)
        self._strike(held.entry.work.number)

    def _strike(self, number: int) -> None:
        self._jobs.pop(number, None)
        self._journal.strike(number)

    # ---- beginning and end

    def _take_over(self) -> None:
        """Goes on where a predecessor was killed: its connections, and what it had not answered."""
        names: dict[str, Connection] = {}
        for name, sock in kept.take():
            plugin = next(
                (plugin for plugin in self._settings.plugins if name.endswith("-" + plugin.replace(":", "_"))), ""
            )
            if not plugin or plugin in self._connections or not name.startswith("nagios-"):
                kept.forget(name)
                sock.close()
                continue
            names[name] = self._connections[plugin] = Connection(sock, plugin, name, registered=True)
        now = time.monotonic()
        self._absent = {plugin: (now, now) for plugin in self._settings.plugins if plugin not in self._connections}
        run, handed_in, gone = run_of(self._settings.query_socket), 0, 0
        for entry in list(self._journal.entries()):
            connection = names.get(entry.connection)
            age = time.time() - entry.received
            self._number = max(self._number, entry.work.number)
            # Without its connection a job is only Nagios's affair while that runs on, and waits; what is no check it has run again by itself.
            waits = (
                run and entry.nagios == run and entry.work.kind == CHECK and 0 <= age < entry.work.timeout + FORGOTTEN
            )
            if not connection and not waits:
                self._journal.strike(entry.work.number)
                gone += 1
                continue
            handed_in += not connection
            self._hold(entry, connection, inherited=True)
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
            self._flush(connection)
            connection.leave()
            kept.forget(connection.name)
        self._leaving += self._connections.values()
        self._connections = {}
        for number, held in list(self._jobs.items()):
            if not held.connection:
                continue
            held.connection = None
            if held.entry.work.kind != CHECK:
                if self._executor.ready and not held.answer:
                    self._executor.send(Cancel(number))
                self._strike(number)
            elif held.answer and not held.spooled_by:
                self._hand_in(held)

    def _over(self) -> bool:
        if not self._stop_by:
            return False
        awaited = self._jobs and self._stops == 1 and self._executor.running and time.monotonic() < self._stop_by
        if self._leaving or awaited:
            return False
        for held in list(self._jobs.values()):
            text = b"UNKNOWN: the worker was stopped before this check ended\n"
            self._finish(held, held.answer or _unknown(held.entry, text))
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
            f"{self._answered} answered, executor started {self._executor.starts} times"
        )
        if text != self._status[0]:
            notify.status(text)
        self._status = (text, now)


def _unknown(entry: Entry, text: bytes) -> Answer:
    """What Nagios gets where the executor gave no answer."""
    answer = Answer(entry.work.number, entry.received, time.time(), wait_status=3 << 8, output=text)
    try:
        whose = macros.whose(entry.work.environment)
    except macros.Unclear:
        return answer
    return answer._replace(host=whose.host, service=whose.service)


def with_note(output: bytes, note: str) -> bytes:
    """Plugin output with a remark at the end of the text of its first line."""
    first, newline, rest = output.partition(b"\n")
    text, bar, perfdata = first.partition(b"|")
    return (
        b"%s (%s)%s" % (text.rstrip(), note.replace("|", "?").encode("utf-8", "replace"), (b" " if bar else b"") + bar)
        + perfdata
        + newline
        + rest
    )


def handle_signals(broker: Broker) -> None:
    """TERM and INT stop it; of HUP it takes no notice."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, broker.stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
