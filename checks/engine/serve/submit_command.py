"""Results handed to a command on its standard input, in the format of send_nsca(8).

That is HOST, SERVICE, CODE and text, separated by tabs, and ETB between two results.
NSCA 2.9 and nsca-ng take it alike. The command runs in the engine's pool, one at a time, with a deadline; it ends when the engine does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from checks.engine.jobs import Job
from checks.engine.pool import Pool
from checks.engine.results import result
from checks.engine.serve.submit import Handed, Report
from checks.output import clean_text

ETB = b"\x17"
NAME = "the submit command"
SECONDS = 30.0
# The pool gives every child an empty standard input; the batch is memory of ours, and the child opens it for itself.
_LINE = 'exec <"$0" || exit 126\n'


class SubmitCommand:
    """A shell line that reads results."""

    longest_delay = 60.0

    def __init__(self, pool: Pool, line: str, host: bytes, environment: Mapping[str, str]) -> None:
        self._pool, self._line, self._host, self._environment = pool, line, host, environment

    async def hand(self, reports: Sequence[Report]) -> Handed:
        """Hand them in. All count as taken when it exits with 0, and none otherwise."""
        try:
            batch = os.memfd_create("results", os.MFD_CLOEXEC)
        except OSError as error:
            return Handed(0, f"memory for a batch: {error.strerror}")
        try:
            with open(batch, "wb", closefd=False) as file:
                file.write(ETB.join(record(self._host, report) for report in reports))
            argv = ("/bin/sh", "-c", _LINE + self._line, f"/proc/{os.getpid()}/fd/{batch}")
            job = Job(NAME, argv, environment=self._environment, seconds=SECONDS, output_limit=65536)
            ended = await self._pool.run(job)
        except OSError as error:
            return Handed(0, f"memory for a batch: {error.strerror}")
        finally:
            os.close(batch)
        if not ended.trouble and ended.code == 0:
            return Handed(len(reports))
        if ended.trouble or ended.code is None:
            reason = result(job, ended).first_line.removeprefix("UNKNOWN: ")
        else:
            said = (ended.errors.strip() or ended.output.strip()).rpartition(b"\n")[2].decode("utf-8", "replace")
            reason = f"{NAME} failed, exit code {ended.code}" + (f": {clean_text(said)[:200]}" if said else "")
        # One that hangs or can't be started says nothing about a single result.
        return Handed(0, reason, refusing=not ended.trouble and ended.code not in (126, 127))


def record(host: bytes, report: Report) -> bytes:
    """Return what send_nsca reads for one report."""
    text = report.text.replace(ETB, b" ").replace(b"\t", b" ")
    return b"%s\t%s\t%d\t%s\n" % (host, report.service, report.code, text)
