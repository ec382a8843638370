"""What a run means to Nagios: one of four states, and the output that says why."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import NamedTuple

from checks.engine.jobs import CANCELLED, DEADLINE, ERRORS_FLOOD, FLOOD, LOST, NOT_STARTED, Ended, Job
from checks.output import clean_name, clean_text, decimal

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# As in checks.plugin: a known problem outranks what could not be found out.
_ORDER = (OK, UNKNOWN, WARNING, CRITICAL)

# What a shell gives where the program is missing, or can't be executed; then it says so itself.
_SHELL = (126, 127)


class Result(NamedTuple):
    """The result of one run."""

    name: str
    code: int
    """0 to 3."""
    output: bytes
    """What the check printed, or one line that begins with UNKNOWN and names what went wrong; ends with a newline."""
    trouble: str = ""
    """As in Ended, or "crashed", "exit code", "silent"; empty where the check itself had its say."""
    began: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    cpu: float = 0.0
    """CPU time, user and system, in seconds."""

    @property
    def completed(self) -> bool:
        """Whether the check ran to its end and said something: what the schedule's backing off goes by."""
        return not self.trouble

    @property
    def first_line(self) -> str:
        """The first line without perfdata, clean: no control characters, no "|"."""
        return clean_text(self.output.partition(b"\n")[0].partition(b"|")[0].decode("utf-8", "replace"))


def worst(codes: Iterable[int]) -> int:
    """Return the worst of these exit codes; OK where there is none."""
    return max(codes, key=_ORDER.index, default=OK)


def severity(code: int) -> int:
    """Return how bad a state is, 0 to 3, for sorting."""
    return _ORDER.index(code)


def result(job: Job, ended: Ended) -> Result:
    """Return what a run means. A run that did not end by itself is UNKNOWN, and its output names it and why."""
    trouble, why = _trouble(job, ended)
    code = ended.code if ended.code is not None and ended.code in range(4) else UNKNOWN
    output = ended.output if ended.output.endswith(b"\n") or not ended.output else ended.output + b"\n"
    if trouble:
        code = UNKNOWN
        said = clean_text(ended.output.partition(b"\n")[0].partition(b"|")[0].decode("utf-8", "replace"))[:200]
        told = f"; it printed: {said}" if said else ""
        output = f"UNKNOWN: {clean_name(job.name)}: {clean_text(why)}{told}\n".encode("utf-8", "replace")
    return Result(job.name, code, output, trouble, ended.began, ended.seconds, ended.user + ended.system)


def _trouble(job: Job, ended: Ended) -> tuple[str, str]:
    """Return what went wrong, in a word and in a sentence; empty words where nothing did."""
    limit = decimal(round(job.seconds, 1))
    sentences = {
        DEADLINE: f"no end within {limit} s, it was stopped",
        FLOOD: f"{_flood(job, ended)}, it was stopped",
        CANCELLED: "stopped before its end",
        LOST: "its process was lost",
        NOT_STARTED: f"can't be started: {ended.reason}",
    }
    if ended.trouble:
        return ended.trouble, sentences[ended.trouble]
    if ended.signal:
        return "crashed", f"ended by {_signal_name(ended.signal)}"
    if not ended.output.strip():
        errors = clean_text(ended.errors.decode("utf-8", "replace").strip().rpartition("\n")[2])[:200]
        if errors and ended.code in _SHELL:
            return "silent", errors
        return "silent", f"printed nothing, exit code {ended.code}" + (
            f"; on standard error: {errors}" if errors else ""
        )
    if ended.code not in range(4):
        return "exit code", f"exit code {ended.code} is none of a plugin's"
    return "", ""


def _flood(job: Job, ended: Ended) -> str:
    if len(ended.output) < job.output_limit:
        return f"wrote more than {ERRORS_FLOOD} bytes to standard error"
    return f"printed more than {job.output_limit} bytes"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
