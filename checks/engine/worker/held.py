"""The jobs that Nagios waits for, from the moment it hands them over until it has their results."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from checks.engine.log import log
from checks.engine.worker import macros
from checks.engine.worker.executor_process import Executor
from checks.engine.worker.hand_in import Unnamed, hand_in
from checks.engine.worker.journal import Entry, Journal
from checks.engine.worker.messages import CHECK, Answer, Cancel, Work
from checks.engine.worker.query_handler import Connection, Gone, Handed, result
from checks.engine.worker.spooler import Spooler

OVERDUE = 30.0
"""Seconds after a job's own timeout in which the executor has to answer, or it counts as hung."""
MOST_ATTEMPTS = 20
"""Executors that may die over a job. Its timeout limits them as well, from the third on."""
SLOW_SPOOL = 20.0
"""Seconds that a result waits for its perfdata to be on disk."""


@dataclass(slots=True)
class Held:
    """A job, and how far it is."""

    entry: Entry
    connection: Connection | None
    """None: nobody can be answered any more, the result is handed in."""
    overdue: float
    """When its answer has to be there, by the monotonic clock."""
    given: bool = False
    """Whether an executor got it."""
    answer: Answer | None = None
    """While its perfdata is being written, or its result is on its way."""
    spooled_by: float = 0.0
    """While its perfdata is being written: when it is waited for no longer."""


class Jobs:
    """All of them: noted in the journal, given to an executor as soon as there is one, spooled once, answered once, struck."""

    def __init__(self, journal: Journal, executor: Executor, spool: Path, results: Path) -> None:
        """`results`: Nagios's folder for results whose connection is gone."""
        self._journal, self._executor, self._results = journal, executor, results
        self.spooler = Spooler(spool, self._settle)
        self._held: dict[int, Held] = {}
        self._inherited: set[tuple[str, int]] = set()
        self._number = 0
        self._nameless = False
        self.answered = 0

    def __len__(self) -> int:
        return len(self._held)

    def accept(self, job: Handed, connection: Connection, leaving: bool, run: str) -> None:
        """Takes a job from Nagios. `leaving`: by a connection that takes no results any more; `run`: which run of Nagios it is."""
        # When a worker leaves, Nagios runs whatever is no check again by itself. A predecessor may have noted a job and then died.
        if (connection.name, job.job_id) in self._inherited or (leaving and job.kind != CHECK):
            return
        self._number = max(self._number + 1, time.time_ns() // 1000)
        work = Work(self._number, job.kind, job.timeout, job.command, job.environment)
        entry = Entry(work, job.job_id, connection.name, run, time.time())
        try:
            self._journal.enter(entry)
        except OSError as error:
            log.error("the journal: %s; if this process dies now, a check is late", error)
        if not job.environment and job.kind == CHECK and not self._nameless:
            self._nameless = True
            log.warning("Nagios sent a check without environment macros: its perfdata can't be shipped")
        self._hold(entry, None if leaving else connection)

    def inherit(self, entry: Entry, connection: Connection | None) -> None:
        """Takes a job from a predecessor's journal, to be answered on a connection that was kept, or to be handed in."""
        self._number = max(self._number, entry.work.number)
        if connection:
            self._inherited.add((connection.name, entry.job_id))
        if answer := self._journal.settled(entry.work.number):
            held = self._held[entry.work.number] = Held(entry, connection, 0.0)
            self._finish(held, answer)
        else:
            self._hold(entry, connection)

    def _settle(self, number: int) -> None:
        """Called by the spooler's thread."""
        held = self._held.get(number)
        if held and held.answer:
            self._journal.settle(held.answer)

    def _hold(self, entry: Entry, connection: Connection | None) -> None:
        held = self._held[entry.work.number] = Held(entry, connection, time.monotonic() + entry.work.timeout + OVERDUE)
        if self._executor.ready:
            self._give(held)

    def forget(self, connection: Connection) -> int:
        """Nagios does not wait for these any more; how many they were."""
        numbers = [number for number, held in self._held.items() if held.connection is connection]
        for number in numbers:
            self._drop(number)
        return len(numbers)

    def leave(self) -> None:
        """The connections take no results any more: those of checks are handed in. The rest Nagios runs again by itself."""
        for number, held in list(self._held.items()):
            if not held.connection:
                continue
            held.connection = None
            if held.entry.work.kind != CHECK:
                self._drop(number)
            elif held.answer and not held.spooled_by:
                self._hand_in(held)

    def give_all(self) -> None:
        """There is a new executor."""
        for held in [held for held in self._held.values() if held.answer is None]:
            self._give(held)

    def _give(self, held: Held) -> None:
        work = held.entry.work
        if held.given:
            late = time.time() - held.entry.received > work.timeout and work.attempts >= 2
            if late or work.attempts >= MOST_ATTEMPTS:
                self._give_up(held, b"UNKNOWN: the worker ended %d times while this check ran\n" % (work.attempts + 1))
                return
            work = work._replace(attempts=work.attempts + 1)
            held.entry = held.entry._replace(work=work)
        held.given = True
        held.overdue = time.monotonic() + work.timeout + OVERDUE
        self._executor.send(work)

    def executor_lost(self) -> None:
        """The next executor gets its time."""
        for held in self._held.values():
            held.overdue = max(held.overdue, time.monotonic() + OVERDUE)

    def heard(self, answer: Answer) -> None:
        """Takes an answer of the executor."""
        held = self._held.get(answer.number)
        if held is None or held.answer is not None:
            return  # cancelled when it was already on its way
        if answer.spool and held.entry.work.kind == CHECK:
            held.answer = answer
            held.spooled_by = time.monotonic() + SLOW_SPOOL
            self.spooler.put(answer.number, answer.spool_kind, answer.spool)
        else:
            self._finish(held, answer)

    def take_spooled(self) -> None:
        """Goes on with those whose perfdata is on disk, or can't be."""
        for number, trouble in self.spooler.done():
            if held := self._held.get(number):
                self._spooled(held, trouble)

    def look_after(self, now: float) -> bool:
        """Does what is due by the monotonic clock. Whether the executor seems to hang."""
        hangs = False
        for held in list(self._held.values()):
            if held.spooled_by and now > held.spooled_by:
                # Its perfdata stays in the queue; Nagios need not wait for it.
                self._spooled(held, "")
            elif not held.answer and now > held.overdue:
                if self._executor.ready:
                    hangs = True
                else:
                    self._give_up(held, b"UNKNOWN: the worker could not run this check\n")
        return hangs

    def give_up_all(self, text: bytes) -> None:
        """Hands in what is left, with this text where there is no result."""
        for held in list(self._held.values()):
            if held.answer:
                self._finish(held, held.answer)
            else:
                self._give_up(held, text)

    def flush(self, connection: Connection) -> None:
        """Writes what Nagios takes now; what it has taken is struck."""
        with contextlib.suppress(Gone):  # reading tells
            for number in connection.flush():
                self._strike(number)

    def _spooled(self, held: Held, trouble: str) -> None:
        if not held.spooled_by or not held.answer:
            return
        held.spooled_by = 0.0
        answer = held.answer
        if trouble:
            log.error("perfdata not spooled: %s", trouble)
            answer = answer._replace(output=with_note(answer.output, f"perfdata not spooled: {trouble}"))
        self._finish(held, answer)

    def _give_up(self, held: Held, text: bytes) -> None:
        entry = held.entry
        answer = Answer(entry.work.number, entry.received, time.time(), wait_status=3 << 8, output=text)
        with contextlib.suppress(macros.Unclear):
            whose = macros.whose(entry.work.environment)
            answer = answer._replace(host=whose.host, service=whose.service)
        self._finish(held, answer)

    def _finish(self, held: Held, answer: Answer) -> None:
        """Nagios gets the result."""
        held.answer = answer
        self.answered += 1
        if held.connection:
            message = result(held.entry.job_id, held.entry.work.kind, answer)
            held.connection.answer(held.entry.work.number, message)
            self.flush(held.connection)
        else:
            self._hand_in(held)

    def _hand_in(self, held: Held) -> None:
        assert held.answer
        try:
            hand_in(self._results, held.answer)
        except Unnamed as error:
            log.error("a result can't be handed in: %s", error)
        except OSError as error:
            log.error("a result can't be handed in: %s: %s", self._results, error.strerror)
        self._strike(held.entry.work.number)

    def _drop(self, number: int) -> None:
        if self._executor.ready and self._held[number].answer is None:
            self._executor.send(Cancel(number))
        self._strike(number)

    def _strike(self, number: int) -> None:
        held = self._held.pop(number, None)
        if held and self._inherited:
            self._inherited.discard((held.entry.connection, held.entry.job_id))
        self._journal.strike(number)


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
