"""What the run of a job means: to Nagios, as its own workers would have told it, and to graphios: the perfdata that Nagios does not write itself.

Nagios Core 4.4, measured: it keeps the perfdata of a service's check that exits with 4 or more and of one that a signal ended, but of none that
exits with 126 or 127 or took too long; of a host's check that exits with 4 or more it keeps none.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from checks.engine.jobs import DEADLINE, ERRORS_FLOOD, FLOOD, LOST, Ended
from checks.engine.worker.macros import Whose
from checks.engine.worker.messages import TIMED_OUT, Answer, Work
from checks.engine.worker.nagios_config import OwnPerfdata
from graphios import plugin_output, spool_writer

SHORT = 4000
"""Bytes of the short form for Nagios, as with graphios-tap."""
_ERRORS = 4000
_CRITICAL, _UNKNOWN = 2, 3
_STATES = {0: b"OK", 1: b"WARNING", 2: b"CRITICAL"}
_HOST_STATES = {0: b"UP", 1: b"UP"}
_NO_EXECUTABLE = (126, 127)
_TAP = re.compile(rb"(?:^|[/\s'\"=])graphios-tap(?:['\"]?\s|$)")


class Told(NamedTuple):
    """What Nagios is told of a run, and what of its output is shipped."""

    wait_status: int
    output: bytes
    spool: bytes = b""


def answer(work: Work, ended: Ended, whose: Whose | str, own: OwnPerfdata, limit: int = SHORT) -> Answer:
    """Return the answer for a check. `whose` is a text where it is not certain: why. `limit`: bytes for Nagios."""
    found = _outline(work, ended)
    if isinstance(whose, Whose):
        kind = "service" if whose.service else "host"
        found = found._replace(spool_kind=kind, host=whose.host, service=whose.service)
    if ended.trouble:
        return found
    told = _told(work, ended, whose, own, limit)
    return found._replace(wait_status=told.wait_status, output=told.output, spool=told.spool)


def helper_answer(work: Work, ended: Ended) -> Answer:
    """Return the answer for a job that is no check, such as an event handler. Nothing is shipped."""
    found = _outline(work, ended)
    if ended.trouble:
        return found
    return found._replace(wait_status=_wait_status(ended), output=ended.output[:SHORT].replace(b"\0", b" "))


def failed(work: Work, reason: str) -> Answer:
    """Return the answer for a job that was not run, for a reason of our own."""
    now = time.time()
    return Answer(work.number, now, now, _UNKNOWN << 8, output=f"UNKNOWN: {_clean(reason)}\n".encode())


def _outline(work: Work, ended: Ended) -> Answer:
    """The answer without output, except for a run that did not come to an end of its own: there this is all of it."""
    found = Answer(
        work.number,
        ended.began,
        ended.began + ended.seconds,
        user=ended.user,
        system=ended.system,
        errors=ended.errors[:_ERRORS].replace(b"\0", b" "),
    )
    if ended.trouble == DEADLINE:
        return found._replace(error_code=TIMED_OUT)
    if ended.trouble:
        code, text = _not_ended(work, ended)
        return found._replace(wait_status=code << 8, output=text)
    return found


def _wait_status(ended: Ended) -> int:
    return ended.signal if ended.code is None else ended.code << 8


def _not_ended(work: Work, ended: Ended) -> tuple[int, bytes]:
    """Exit code and text for a run that did not come to an end of its own."""
    name = _clean(os.fsdecode(work.command.strip().partition(b" ")[0]))
    if ended.trouble == FLOOD:
        how = f"printed more than {plugin_output.LONGEST_RAW} bytes"
        if len(ended.output) < plugin_output.LONGEST_RAW:
            how = f"wrote more than {ERRORS_FLOOD} bytes to standard error"
        return _UNKNOWN, f"UNKNOWN: {name} {how}, it was ended\n".encode()
    if ended.trouble == LOST:
        return _UNKNOWN, f"UNKNOWN: {name}: its process was lost\n".encode()
    # Nagios's own workers exit with the error number then, 2 for a missing file: critical.
    return _CRITICAL, f"CRITICAL: {name} can't be started: {_clean(ended.reason or ended.trouble)}\n".encode()


def _told(work: Work, ended: Ended, whose: Whose | str, own: OwnPerfdata, limit: int) -> Told:
    status = _wait_status(ended)
    name = work.command.strip().partition(b" ")[0]
    found = plugin_output.Digest(ended.output, len(ended.output), ended.signal, name)
    if not found.perfdata or _TAP.search(work.command):
        return Told(status, found.text(limit))
    if isinstance(whose, str):
        found.notes.append(f"perfdata not spooled: {whose}")
        return Told(status, found.text(limit))
    text = found.text(limit)
    kept = found.output.kept if _keeps(whose, ended.code) and own.written(whose.host, whose.service) else 0
    rest = plugin_output.not_cut(found.output.perfdata[kept:].strip())
    return Told(status, text, _line(whose, ended, rest) if rest else b"")


def _keeps(whose: Whose, code: int | None) -> bool:
    """Whether Nagios keeps the perfdata of a check that ended so; None: by a signal."""
    if code is None or code < 4:
        return True
    return bool(whose.service) and code not in _NO_EXECUTABLE


def _line(whose: Whose, ended: Ended, perfdata: bytes) -> bytes:
    timestamp = int(ended.began + ended.seconds)
    code = 3 if ended.code is None else ended.code
    if whose.service:
        state = _STATES.get(code, b"UNKNOWN")
        return spool_writer.service_line(
            timestamp, whose.host, whose.service, perfdata, state, whose.command, b"", whose.prefix, whose.postfix
        )
    state = _HOST_STATES.get(code, b"DOWN")
    return spool_writer.host_line(
        timestamp, whose.host, perfdata, state, whose.command, b"", whose.prefix, whose.postfix
    )


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() and char != "|" else "?" for char in text)[:300]
