"""The JSON document of `testbed-checks run --json`.

version         1; it changes when a key changes its meaning or goes
program         "testbed-checks <version>"
began, seconds  when the run began (seconds since the epoch), and how long it took
code, state     exit code of the run, and its name
interrupted     whether a signal ended it before its end
counts          number of results by state
results         worst first: name, code, state, text (first line without perfdata), output (all of it), trouble ("" or deadline, flood,
                crashed, lost, exit code, silent, not started), began, seconds, cpu (seconds), command, source and line (where it is defined)
not_run         names of checks without a result, where it was interrupted
broken          what can't be used: source, line (0: the file itself), reason
figures         what the engine counted
not_warmed      checks whose libraries can't be loaded ahead, and why
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from checks.engine.commands.commands import Command, Reading
from checks.engine.results import STATES, Result
from checks.engine.run.round import Round
from checks.engine.run.table import worst_first
from checks.version import VERSION


def render(done: Round, reading: Reading, commands: Mapping[str, Command], code: int) -> str:
    """Return the document, in ASCII."""
    counts = Counter(result.code for result in done.results)
    document = {
        "version": 1,
        "program": f"testbed-checks {VERSION}",
        "began": round(done.began, 3),
        "seconds": round(done.seconds, 3),
        "code": code,
        "state": STATES[code],
        "interrupted": done.interrupted,
        "counts": {state: counts[number] for number, state in enumerate(STATES)},
        "results": [_result(result, commands[result.name]) for result in worst_first(done.results)],
        "not_run": sorted([*done.stopped, *done.not_begun]),
        "broken": [{"source": str(one.source), "line": one.number, "reason": one.reason} for one in reading.broken],
        "figures": done.figures,
        "not_warmed": done.troubles,
    }
    return json.dumps(document, indent=2) + "\n"


def _result(result: Result, command: Command) -> dict[str, Any]:
    return {
        "name": result.name,
        "code": result.code,
        "state": STATES[result.code],
        "text": result.first_line,
        "output": result.output.decode("utf-8", "replace"),
        "trouble": result.trouble,
        "began": round(result.began, 3),
        "seconds": round(result.seconds, 3),
        "cpu": round(result.cpu, 4),
        "command": command.line,
        "source": str(command.source),
        "line": command.number,
    }
