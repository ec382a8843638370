"""Rates from counters between two runs: one state file per user, check, target and --state-key.

The file is JSON: {"version", "boot", "clock", "sources": {source: [epoch, {counter: value}]}, "notes": {...}}. `clock` is CLOCK_BOOTTIME,
so a step of the wall clock is no spike; `boot` is the kernel's boot id, so a reboot of this machine is a first run. A source's epoch
(such as the domain's id) changes when its counters start anew.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

VERSION = 1
# Two runs closer than this say nothing about a rate: one tick of a coarse counter would be a spike.
SHORTEST_INTERVAL = 0.5
_LARGEST_FILE = 64 << 20


class StateError(Exception):
    """The state can't be read or written; the check goes on without rates and names this."""


def state_directory() -> Path:
    """Return where state lies: $STATE_DIRECTORY, $XDG_STATE_HOME/testbed-checks or ~/.local/state/testbed-checks."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else _home() / ".local" / "state") / "testbed-checks"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise StateError("this user has no home directory; set STATE_DIRECTORY") from error


def delta(old: int, new: int, bits: int | None = None) -> int | None:
    """Return what a counter gained, or None after a reset; `bits` is its width where it can wrap within an interval."""
    if new >= old:
        return new - old
    if bits is not None and 3 << (bits - 2) <= old < 1 << bits and new < 1 << (bits - 2):
        return new + (1 << bits) - old
    return None


class Counters:
    """The counters of the run before, and those of this one.

    `interval` is the time between the two in seconds, or None when there are no rates; `why` says why not.
    """

    def __init__(self, check: str, target: str, key: str | None = None) -> None:
        self._file = _file_name(check, target, key)
        self._sources: dict[str, Any] = {}
        self._stored: tuple[float, dict[str, Any]] | None = None
        self._new: dict[str, tuple[str, dict[str, int]]] = {}
        self.notes: dict[str, Any] = {}
        self.interval: float | None = None
        self.why = "first run"
        self._boot = _boot_id()
        self._clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            self._read()
        except StateError as error:
            self.why = str(error)

    def _read(self) -> None:
        directory = state_directory()
        path = directory / self._file
        try:
            _trusted(directory)
            if path.stat().st_size > _LARGEST_FILE:
                raise StateError(f"state file {path} is too large")
            document = json.loads(path.read_bytes())
            boot, clock, sources = document["boot"], float(document["clock"]), document["sources"]
            if document["version"] != VERSION or not isinstance(sources, dict):
                raise ValueError("another version")
            if not 0 <= clock < math.inf:
                raise ValueError("no time")
            notes = document.get("notes")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"can't read state file {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise StateError(f"state file {path} is damaged") from error
        if boot != self._boot or clock > self._clock:
            self.why = "first run since this machine booted"
            return
        self.notes = notes if isinstance(notes, dict) else {}
        self._stored = (clock, sources)
        if self._clock - clock < SHORTEST_INTERVAL:
            self.why = f"last run was less than {SHORTEST_INTERVAL} s ago"
            return
        self._sources, self.interval, self.why = sources, self._clock - clock, ""

    @staticmethod
    def writable() -> bool:
        """Whether state can be kept at all; where it can't, nothing is remembered of the target either."""
        try:
            place = state_directory()
            while not place.exists() and place != place.parent:
                place = place.parent
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        except (OSError, StateError):
            return False

    def mark(self) -> None:
        """Take now as the time of this run's counters: called when they arrive, because the source may be slow."""
        before = self._clock
        self._clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self.interval is not None:
            self.interval += self._clock - before

    def previous(self, source: str, epoch: str) -> dict[str, int]:
        """Return the counters of the run before; empty where the source is new or began a new epoch."""
        entry = self._sources.get(source)
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] != epoch or not isinstance(entry[1], dict):
            return {}
        return entry[1]

    def keep(self, source: str, epoch: str, values: dict[str, int]) -> None:
        """Keep the counters of this run for the next."""
        self._new[source] = (epoch, values)

    def rate(self, old: int | None, new: int | None, bits: int | None = None) -> float | None:
        """Return the gain per second, never negative, or None where it can't be known."""
        if not self.interval or not isinstance(old, int) or old < 0 or new is None:
            return None
        gained = delta(old, new, bits)
        return None if gained is None else gained / self.interval

    def save(self) -> None:
        """Write this run's counters atomically. Raises StateError; a concurrent run that is writing wins."""
        self._write(
            {"version": VERSION, "boot": self._boot, "clock": self._clock, "sources": self._new, "notes": self.notes}
        )

    def save_notes(self) -> None:
        """Write only what the check noted about the target; the counters and their time stay as they were. Raises StateError."""
        clock, sources = self._stored or (self._clock, {})
        self._write({"version": VERSION, "boot": self._boot, "clock": clock, "sources": sources, "notes": self.notes})

    def _write(self, document: dict[str, Any]) -> None:
        directory = state_directory()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _trusted(directory)
            half = directory / f".{self._file}.new"
            # One name for the half-written file, so that killed runs leave one at the most; the lock keeps two writers apart.
            with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if not _is(half, file.fileno()):
                    return  # its writer finished between our open and our lock: this is the live file now
                file.truncate()
                file.write(json.dumps(document, separators=(",", ":")).encode())
                file.flush()
                half.replace(directory / self._file)
        except OSError as error:
            raise StateError(f"can't write state in {directory}: {error.strerror}") from error


def last_saved(check: str, target: str, key: str | None = None) -> float | None:
    """Return the seconds since another run of the same user saved its counters, or None where none ever did."""
    try:
        return max(0.0, time.time() - (state_directory() / _file_name(check, target, key)).stat().st_mtime)
    except (OSError, StateError):
        return None


def _file_name(check: str, target: str, key: str | None) -> str:
    import zlib

    readable = re.sub("[^A-Za-z0-9]+", "_", target)[:40].strip("_")
    check_sum = zlib.crc32(f"{target}\0{key or ''}".encode("utf-8", "surrogateescape"))
    return f"{check}-{os.getuid()}-{readable}-{check_sum:08x}.json"


def _trusted(directory: Path) -> None:
    """Refuse a directory that others can write to, or that is somebody else's: they could forge what we read."""
    found = directory.stat()
    if found.st_uid not in (os.getuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(f"state directory {directory} can be written by others")


def _is(path: Path, descriptor: int) -> bool:
    """Tell whether `path` is the name of the open file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "unknown"
