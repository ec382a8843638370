"""Results written into the command file of Nagios, a named pipe, as PROCESS_SERVICE_CHECK_RESULT (Nagios Core, external commands).

A pipe takes a line of up to PIPE_BUF bytes whole or not at all, so a full one costs nothing but time.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Sequence
from pathlib import Path

from checks.engine import command_pipe
from checks.engine.serve.submit import Handed, Report

LONGEST_LINE = select.PIPE_BUF


class CommandFile:
    """The command file of a Nagios on this machine."""

    longest_delay = 5.0

    def __init__(self, path: Path, host: bytes) -> None:
        self._path, self._host = path, host

    async def hand(self, reports: Sequence[Report]) -> Handed:
        """Write as many as it takes now; never blocks."""
        taken = 0
        try:
            with command_pipe.opened(self._path) as pipe:
                for report in reports:
                    os.write(pipe, line(self._host, report))
                    taken += 1
        except OSError as error:
            return Handed(taken, f"{self._path}: {_reason(error)}")
        return Handed(taken)


def line(host: bytes, report: Report) -> bytes:
    """Return the external command, at most LONGEST_LINE bytes where the text was made for it (see short_form)."""
    command = (b"PROCESS_SERVICE_CHECK_RESULT", host, report.service, b"%d" % report.code, escaped(report.text))
    return b"[%d] %s\n" % (report.when, b";".join(command))


def escaped(text: bytes) -> bytes:
    """Return text as Nagios reads it from one line: line ends and backslashes behind a backslash."""
    return text.rstrip().replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def _reason(error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return "no Nagios reads it"
    if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
        return "Nagios does not read it fast enough"
    return error.strerror or str(error)
