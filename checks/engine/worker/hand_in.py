"""Hands a result to Nagios Core through its folder of check results, for a job whose connection is gone.

Nagios takes it for the result of the check that it still counts as running, and schedules the next one: otherwise it would wait for more than
ten minutes. The format is that of nagioscore, base/utils.c, process_check_result_file(): files called `c` and six characters, read as soon as
there is one with `.ok` behind the name; tried with 4.4.6.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from checks.engine.worker.messages import TIMED_OUT, Answer

# Nagios's own words for the same case.
_NO_OUTPUT = b"(No output returned from plugin)"


class Unnamed(Exception):
    """The result can't be handed in, because nobody knows whose it is."""


def usable(folder: Path) -> None:
    """Raises OSError when results can't be written there."""
    if not folder.is_dir():
        raise NotADirectoryError(20, "no such folder", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "not writable for this user", str(folder))


def text(answer: Answer, now: float) -> bytes:
    """The file for a result. Raises Unnamed."""
    for name in (answer.host, answer.service):
        if any(byte < 32 for byte in name):
            raise Unnamed("its host or service has a control character")
    if not answer.host:
        raise Unnamed("Nagios did not say whose check it was")
    code = os.waitstatus_to_exitcode(answer.wait_status)
    fields = {
        b"file_time": b"%d" % now,
        b"host_name": answer.host,
        **({b"service_description": answer.service} if answer.service else {}),
        # Active, scheduled by Nagios, and to be scheduled again.
        b"check_type": b"0",
        b"check_options": b"0",
        b"scheduled_check": b"1",
        b"reschedule_check": b"1",
        b"latency": b"0",
        b"start_time": b"%.6f" % answer.start,
        b"finish_time": b"%.6f" % answer.stop,
        b"early_timeout": b"%d" % (answer.error_code == TIMED_OUT),
        b"exited_ok": b"%d" % (not answer.error_code),
        b"return_code": b"%d" % (code if code >= 0 else 3),
        b"output": _output(answer),
    }
    return b"".join(b"%s=%s\n" % pair for pair in fields.items())


def _output(answer: Answer) -> bytes:
    output = answer.output.replace(b"\0", b" ")
    if not output.strip():
        output = (
            b"(No output on stdout) stderr: " + answer.errors.replace(b"\0", b" ")
            if answer.errors.strip()
            else _NO_OUTPUT
        )
    # A line end in the file would end the field. One backslash at the very end would join the next line to it.
    return output.rstrip(b"\n").replace(b"\\", b"\\\\").replace(b"\r", b" ").replace(b"\n", b"\\n") + b" "


def write(folder: Path, data: bytes) -> Path:
    """Puts a result where Nagios finds it; returns its path. Raises OSError; then nothing is left."""
    while True:
        path = folder / ("c" + os.urandom(3).hex())
        ready, hidden = path.with_name(path.name + ".ok"), folder / f".{path.name}.{os.getpid()}"
        try:
            # Whose `.ok` this is, has the name: no other worker and no Nagios takes it for its own before it is whole.
            os.close(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            hidden.write_bytes(data)
            os.link(hidden, path)
            break
        except FileExistsError:
            continue
        finally:
            with contextlib.suppress(OSError):
                hidden.unlink()
    try:
        ready.touch(mode=0o600)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path


def hand_in(folder: Path, answer: Answer) -> Path:
    """Hands a result in. Raises Unnamed, OSError."""
    return write(folder, text(answer, time.time()))
