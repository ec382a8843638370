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

from checks.engine.catalog import can_be_warm, entry_for
from checks.engine.jobs import OUTPUT_LIMIT, Job

LINE_LIMIT = 2046
"""Bytes of a line, its end counted: NRPE takes the rest for another line."""
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""As NRPE gives it to a plugin."""
_FILE_LIMIT = 1024 * 1024
_FILES_LIMIT = 1000
_DEPTH_LIMIT = 16
_SETTLED = 1_000_000_000
_BLANKS = b" \t\n\v\f\r"
_INTERVAL = re.compile(r"#[#\s]*interval\s*=\s*(.*)", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_INTERVAL = 366 * 86400
_COMMAND = re.compile(r"command\[+([^\]]+)\]?.*")
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
        return f"{self.source}{f', line {self.number}' if self.number else ''}: {self.reason}"


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

    def read(self) -> Reading:
        """Return the commands and what is broken. Never raises for what is in the files."""
        reader = _Reader()
        for path in self.paths:
            reader.path(path)
        self._read = reader.stamps
        return Reading(reader.commands(), reader.broken)

    def changed(self) -> bool:
        """Whether read() would find other files now. To be asked once in a while: a file that changed is left until it is the same twice."""
        if self._read is None:
            return True
        now = {path: _stamp(path) for path in self._read}
        settled = now == self._seen
        self._seen = now
        return settled and now != self._read


def job(
    command: Command, *, environment: Mapping[str, str], seconds: float = 60.0, output_limit: int = OUTPUT_LIMIT
) -> Job:
    """Return how the command runs: in a fork of the warmed process where it is plain words and its program is one of ours, else by a shell."""
    plain = _PLAIN.fullmatch(command.line)
    if plain:
        assigned = dict(word.split("=", 1) for word in shlex.split(plain[1]))
        own = {**environment, **assigned}
        words = shlex.split(plain[2])
        entry = entry_for(words[0], own.get("PATH", PATH)) if can_be_warm(own) else ""
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
    """One reading."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self.stamps: dict[Path, _Stamp] = {}
        self._found: dict[str, Command] = {}
        self._prefix = ""
        self._files = 0

    def commands(self) -> dict[str, Command]:
        """Return what was found, with NRPE's command_prefix where there is one."""
        if not self._prefix:
            return self._found
        return {name: found._replace(line=f"{self._prefix} {found.line}") for name, found in self._found.items()}

    def path(self, path: Path, within: tuple[Path, ...] = ()) -> None:
        """Read a file or a directory."""
        self.stamps[path] = _stamp(path)
        if path.is_dir():
            self._directory(path, within)
        else:
            self._file(path, within)

    def _directory(self, folder: Path, within: tuple[Path, ...]) -> None:
        if len(within) > _DEPTH_LIMIT:
            return self._name(folder, 0, f"more than {_DEPTH_LIMIT} levels of directories and includes")
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            return self._name(folder, 0, error.strerror or str(error))
        for path in paths:
            if path.name.endswith(".cfg") or path.is_dir():
                self.path(path, (*within, folder))
        return None

    def _file(self, path: Path, within: tuple[Path, ...]) -> None:
        self._files += 1
        if path in within:
            return self._name(path, 0, "includes itself")
        if len(within) > _DEPTH_LIMIT or self._files > _FILES_LIMIT:
            return self._name(path, 0, f"more than {_FILES_LIMIT} files, or {_DEPTH_LIMIT} levels of includes")
        try:
            content = _content(path)
        except OSError as error:
            return self._name(path, 0, error.strerror or str(error))
        interval: float | None = None
        for number, line in enumerate(content.split(b"\n"), 1):
            interval = self._line(path, number, line, interval, (*within, path))
        return None

    def _line(
        self, path: Path, number: int, raw: bytes, interval: float | None, within: tuple[Path, ...]
    ) -> float | None:
        """Take one line; return the interval for the next one."""
        stripped = raw.strip(_BLANKS)
        if not stripped:
            return None
        if stripped.startswith(b"#"):
            return self._comment(path, number, stripped, interval)
        try:
            text = stripped.decode("utf-8")
        except UnicodeDecodeError:
            self._name(path, number, "not UTF-8")
            return None
        name, equals, value = text.partition("=")
        if len(raw) >= LINE_LIMIT:
            self._name(path, number, f"longer than {LINE_LIMIT} bytes, which NRPE cuts")
        elif not equals or not name or not value:
            self._name(path, number, "not a name, = and a value")
        elif name in ("include", "include_file", "include_dir"):
            self.path(Path(value), within)
        elif name == "command_prefix":
            self._prefix = value
        elif "command[" in name:
            self._command(path, number, name, value, interval)
        return None

    def _comment(self, path: Path, number: int, raw: bytes, interval: float | None) -> float | None:
        said = _INTERVAL.fullmatch(raw.decode("utf-8", "replace"))
        if not said:
            return interval
        seconds = _seconds(said[1])
        if seconds is None:
            self._name(path, number, f"interval {said[1]!r} is not seconds, or such as 5m or 1h")
        return seconds

    def _command(self, path: Path, number: int, name: str, line: str, interval: float | None) -> None:
        said = _COMMAND.fullmatch(name)
        if not said or not said[1].isprintable():
            return self._name(path, number, "no name in command[...]")
        if not line.replace("\t", " ").isprintable():
            return self._name(path, number, "control characters in a command")
        self._found[said[1]] = Command(said[1], line, interval, path, number)
        return None

    def _name(self, path: Path, number: int, reason: str) -> None:
        self.broken.append(Broken(path, number, reason))


def _seconds(text: str) -> float | None:
    """Return the seconds that "60", "90s", "5m", "1h" or "1d" means, or None."""
    said = _SECONDS.fullmatch(text.strip())
    seconds = float(said[1]) * _UNITS[said[2].lower()] if said else 0.0
    return seconds if 1 <= seconds <= _LONGEST_INTERVAL else None


def _stamp(path: Path) -> _Stamp:
    """Return what tells one state of a file or directory from another."""
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    # Written just now: the next write may leave the very same stamp, so this one is not to be trusted.
    fresh = abs(time.time_ns() - found.st_ctime_ns) < _SETTLED
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, fresh)


def _content(path: Path) -> bytes:
    """Return the content of a regular file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(_FILE_LIMIT + 1)
    if len(content) > _FILE_LIMIT:
        raise OSError(0, f"larger than {_FILE_LIMIT} bytes")
    return content
