"""Checks that Nagios waits for and nobody has: those it sent to a broker that was killed before it read them.

Nagios would wait for them for more than ten minutes. In status.dat they are overdue since the broker died; told to, Nagios checks them at once.
Formats: status.dat and objects.cache of Nagios Core 4, and its external commands; tried with 4.4.6.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from checks.engine import command_pipe
from checks.engine.log import log

_RESCUE, _RESCUE_AFTER = 120.0, 3.0
_LONGEST = 256 * 1024 * 1024
_COMMAND = re.compile(rb"^define command \{\n\tcommand_name\t(.*)\n\tcommand_line\t(.*)$", re.MULTILINE)
_STATUS = re.compile(rb"^(service|host)status \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(
    rb"^\t(host_name|service_description|check_command|next_check|active_checks_enabled)=(.*)$", re.MULTILINE
)


class Files(NamedTuple):
    """Of Nagios, see nagios.cfg."""

    objects: Path
    status: Path
    commands: Path


class Rescue:
    """Has Nagios check what a killed predecessor had not even read."""

    def __init__(self, files: Files, before: float, known: set[tuple[bytes, bytes]]) -> None:
        """What was due `before`, and is so in a status of Nagios that was written a while after that. `known`: what is run anyway.

        In between Nagios's own workers run what becomes due; most of that is over by then, and the rest runs twice.
        """
        self._files, self._before, self._after, self._known = files, before, before + _RESCUE_AFTER, known
        self._left: list[tuple[bytes, bytes]] | None = None

    def done(self, plugins: Collection[str]) -> bool:
        """Does what it can do now; whether that was all."""
        if time.time() > self._after + _RESCUE:
            return True
        try:
            if self._left is None:
                if self._files.status.stat().st_mtime < self._after:
                    return False
                found = find(self._files, plugins, self._before)
                self._left = [whose for whose in found if whose not in self._known]
                if self._left:
                    log.warning(
                        "Nagios waits for %d checks that got lost with the predecessor: run again", len(self._left)
                    )
            self._left = self._left[check_now(self._files, self._left) :] if self._left else []
        except OSError as error:
            log.warning("lost checks: %s: %s; tried again", error.filename, error.strerror)
            return False
        return not self._left


def find(files: Files, plugins: Collection[str], before: float) -> list[tuple[bytes, bytes]]:
    """Host and service (empty: the host itself) of the checks by these plugins that were due before that time, and are so still.

    Raises OSError.
    """
    names = {os.path.basename(plugin).encode() for plugin in plugins}  # noqa: PTH119
    commands = {
        command
        for command, line in _COMMAND.findall(_read(files.objects))
        if line.split(b" ")[0].rpartition(b"/")[2] in names
    }
    found = []
    for _, body in _STATUS.findall(_read(files.status)):
        fields = dict(_FIELD.findall(body))
        command = fields.get(b"check_command", b"").partition(b"!")[0]
        due = fields.get(b"next_check", b"")
        if (
            command in commands
            and fields.get(b"active_checks_enabled") == b"1"
            and due.isdigit()
            and 0 < int(due) <= before
        ):
            found.append((fields[b"host_name"], fields.get(b"service_description", b"")))
    return found


def check_now(files: Files, stranded: Iterable[tuple[bytes, bytes]]) -> int:
    """Has Nagios check them; how many it has taken. Never waits. Raises OSError when there is no Nagios."""
    count = 0
    with command_pipe.opened(files.commands) as pipe, contextlib.suppress(BlockingIOError):
        for host, service in stranded:
            now = b"%d" % time.time()
            words = (
                (b"SCHEDULE_FORCED_SVC_CHECK", host, service, now)
                if service
                else (b"SCHEDULE_FORCED_HOST_CHECK", host, now)
            )
            line = b"[%s] %s\n" % (now, b";".join(words))
            if len(line) <= select.PIPE_BUF:
                os.write(pipe, line)
            count += 1
    return count


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST)
