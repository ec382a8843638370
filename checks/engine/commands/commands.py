"""The commands the engine runs: NRPE's configuration, read as NRPE 4.1 reads it, with an interval in a comment above a command.

# interval=60
command[check_disk]=/opt/testbed-checks/bin/check_disk
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from checks.engine.commands import nrpe_lines
from checks.engine.commands.catalog import can_be_warm, entry_for
from checks.engine.jobs import OUTPUT_LIMIT, Job
from checks.output import clean_text

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""As NRPE gives it to a plugin."""
_BYTES_LIMIT = 16 * 1024 * 1024
_FILES_LIMIT = 1000
_DEPTH_LIMIT = 16
_BROKEN_LIMIT = 1000
# Nanoseconds.
_SETTLED = 1_000_000_000
# How often a change that goes on is waited for.
_PATIENCE = 10
# What a shell takes as it stands, outside and inside of quotes.
_PIECE = r"""(?:[\w@%+=:,./^-]|[^\x00-\x7f]|'[^']*'|"[^"$`\\]*")"""
_PLAIN = re.compile(rf"[ \t]*((?:[A-Za-z_]\w*={_PIECE}*[ \t]+)*)({_PIECE}+(?:[ \t]+{_PIECE}+)*)[ \t]*", re.ASCII)


class Command(NamedTuple):
    """One command: its line as a shell takes it, the seconds between two runs (None: only when asked for), and where it is defined."""

    name: str
    line: str
    interval: float | None
    source: Path
    number: int


class Broken(NamedTuple):
    """What can't be used: its file, its line (0: the file itself), and why."""

    source: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return clean_text(f"{self.source}{f', line {self.number}' if self.number else ''}: {self.reason}")


class Reading(NamedTuple):
    """All there is at one time."""

    commands: dict[str, Command]
    broken: list[Broken]


_Stamp = tuple[int, ...]


class Commands:
    """Reads commands from files and directories, and notices when they change."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self._read: dict[Path, _Stamp] | None = None
        self._seen: dict[Path, _Stamp] = {}
        self._restless = 0

    def read(self) -> Reading:
        """Return the commands and what is broken. Never raises for what is in the files."""
        reader = self._reader()
        self._read, self._restless = reader.stamps, 0
        return Reading(reader.commands(), reader.broken)

    def changed(self) -> bool:
        """Whether read() would find other files now. To be asked once in a while: a file that changed is left until it is the same twice."""
        if self._read is None:
            return True
        if all(_stamp(path) == stamp for path, stamp in self._read.items()):
            self._restless = 0
            return False
        now = self._reader().stamps  # with the files that are new
        # Something may be written all the time, and the change that is meant is not to wait for its end.
        self._restless += 1
        settled = now == self._seen or self._restless > _PATIENCE
        self._seen = now
        return settled

    def _reader(self) -> _Reader:
        reader = _Reader()
        for path in self.paths:
            reader.path(path)
        return reader


def job(
    command: Command, *, environment: Mapping[str, str], seconds: float = 60.0, output_limit: int = OUTPUT_LIMIT
) -> Job:
    """Return how the command runs: in a fork of the warmed process where it is plain words and its program is one of ours, else by a shell.

    What keeps a check from the engine under NRPE, --no-engine and TESTBED_CHECKS_ENGINE=off, does so here.
    """
    plain = _PLAIN.fullmatch(command.line)
    if plain:
        assigned = dict(word.split("=", 1) for word in shlex.split(plain[1]))
        own = {**environment, **assigned}
        words = shlex.split(plain[2])
        wanted = can_be_warm(own) and "--no-engine" not in words and own.get("TESTBED_CHECKS_ENGINE", "/")[:1] == "/"
        entry = entry_for(words[0], own.get("PATH", PATH)) if wanted else ""
        if entry:
            return Job(command.name, tuple(words), entry, own, seconds=seconds, output_limit=output_limit)
    shell = ("/bin/sh", "-c", command.line)
    return Job(command.name, shell, "", dict(environment), seconds=seconds, output_limit=output_limit)


def environment() -> dict[str, str]:
    """Return what a command finds in its environment: what NRPE gives, and STATE_DIRECTORY where the engine has one."""
    try:
        user = pwd.getpwuid(os.geteuid())
        name, home, shell = user.pw_name, user.pw_dir, user.pw_shell
    except KeyError:  # a container's user
        name, home, shell = str(os.geteuid()), "/", "/bin/sh"
    found = {"PATH": PATH, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell}
    if state := os.environ.get("STATE_DIRECTORY"):
        found["STATE_DIRECTORY"] = state
    return found


class _Reader:
    """One reading. Bounded in files, bytes and depth, whatever includes what."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self.stamps: dict[Path, _Stamp] = {}
        self._found: dict[str, Command] = {}
        self._prefix = ""
        self._files = 0
        self._bytes = _BYTES_LIMIT

    def commands(self) -> dict[str, Command]:
        """Return what was found, with NRPE's command_prefix where there is one."""
        if not self._prefix:
            return self._found
        return {name: found._replace(line=f"{self._prefix} {found.line}") for name, found in self._found.items()}

    def path(self, path: Path, within: tuple[_Stamp, ...] = ()) -> None:
        """Read a file or a directory; `within`: what includes it."""
        self._files += 1
        if self._files > _FILES_LIMIT:
            if self._files == _FILES_LIMIT + 1:
                self._name(path, 0, f"not read, as all that follows: more than {_FILES_LIMIT} files")
            return
        stamp = self.stamps[path] = _stamp(path)
        if stamp[:2] in within:
            self._name(path, 0, "includes itself")
        elif len(within) > _DEPTH_LIMIT:
            self._name(path, 0, f"more than {_DEPTH_LIMIT} levels of directories and includes")
        else:
            try:
                read = self._directory if _is_directory(stamp) else self._file
                read(path, (*within, stamp[:2]))
            except (OSError, ValueError) as error:
                self._name(path, 0, getattr(error, "strerror", "") or str(error))

    def _directory(self, folder: Path, within: tuple[_Stamp, ...]) -> None:
        """Read what NRPE reads of a directory: regular files *.cfg, and directories that are neither hidden nor named so."""
        for path in sorted(folder.iterdir()):
            stamp = _stamp(path)
            hidden, named = path.name.startswith("."), path.suffix == ".cfg"
            nowhere = len(stamp) == 1  # hidden and linked to nowhere: an editor's lock
            if (not hidden and not named) if _is_directory(stamp) else (named and not (hidden and nowhere)):
                self.path(path, within)

    def _file(self, path: Path, within: tuple[_Stamp, ...]) -> None:
        content = _content(path, self._bytes)
        self._bytes -= len(content)
        interval: nrpe_lines.Interval | None = None
        for number, raw in enumerate([*content.split(b"\n"), b""], 1):
            before, interval = interval, None
            try:
                line = nrpe_lines.clean(raw)
                if line.startswith("#"):
                    interval = nrpe_lines.comment(line, number, before)
                elif nrpe_lines.is_command(line):
                    self._command(path, number, line, before.seconds if before else None)
                else:
                    if before:
                        self._name(path, before.number, "an interval, but no command right below it")
                    self._directive(line, within)
            except ValueError as error:
                self._name(path, number, str(error))

    def _command(self, path: Path, number: int, line: str, interval: float | None) -> None:
        name, words = nrpe_lines.command(line)
        self._found[name] = Command(name, words, interval, path, number)

    def _directive(self, line: str, within: tuple[_Stamp, ...]) -> None:
        if not line:
            return
        name, value = nrpe_lines.assignment(line)
        if name in ("include", "include_file", "include_dir"):
            self.path(Path("/", value), within)
        elif name == "command_prefix":
            self._prefix = value

    def _name(self, path: Path, number: int, reason: str) -> None:
        if len(self.broken) < _BROKEN_LIMIT:
            self.broken.append(Broken(path, number, reason))
        elif len(self.broken) == _BROKEN_LIMIT:
            self.broken.append(Broken(path, number, "and more"))


def _is_directory(stamp: _Stamp) -> bool:
    return len(stamp) > 1 and stat.S_ISDIR(stamp[2])


def _stamp(path: Path) -> _Stamp:
    """Return what tells one state of a file or directory from another; one number where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        return (getattr(error, "errno", 0) or 0,)
    # Written just now: the next write may leave the very same stamp, so this one is not to be trusted.
    fresh = abs(time.time_ns() - found.st_ctime_ns) < _SETTLED
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, fresh)


def _content(path: Path, limit: int) -> bytes:
    """Return the content of a regular file. Raises OSError and ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {_BYTES_LIMIT} bytes in all")
    return content
