"""The status document of a running graphios, as somebody else reads it: it may be absent, half-written, old, or somebody's joke."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from graphios.errors import GraphiosError

STALE = 30.0
"""Seconds; a running graphios writes the document every 2."""

_FRESH = 6.0
_LARGEST = 16 * 1024 * 1024
_MOST = 10_000
_NOT_FOUND = "is not there"


class StatusError(GraphiosError):
    """There is no usable status document; the message says where it was looked for and what is wrong with it."""


class Part:
    """One object of the document. What is missing or of a wrong type is None, empty or 0, as if an older graphios had written it."""

    def __init__(self, found: object) -> None:
        self._found: dict[str, Any] = found if isinstance(found, dict) else {}

    def number(self, key: str) -> float | None:
        """A finite number, or None."""
        value = self._found.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e18:
            return None
        return value if math.isfinite(value) else None

    def count(self, key: str) -> int:
        """A whole number that is not negative; 0 where there is none."""
        return max(0, int(self.number(key) or 0))

    def text(self, key: str) -> str:
        """A text that is safe on a terminal, at most 500 characters; empty where there is none."""
        return printable(self._found.get(key))

    def texts(self, key: str) -> list[str]:
        """The texts of a list."""
        return [text for text in map(printable, self._list(key)) if text]

    def part(self, key: str) -> Part:
        """The object under `key`; an empty one where there is none."""
        return Part(self._found.get(key))

    def parts(self, key: str) -> list[Part]:
        """The objects of a list."""
        return [Part(entry) for entry in self._list(key) if isinstance(entry, dict)]

    def counts(self) -> dict[str, int]:
        """Every count of this object, by name, the largest first."""
        found = {printable(key): self.count(key) for key in list(self._found)[:_MOST] if self.number(key) is not None}
        return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))

    def flag(self, key: str) -> bool | None:
        """True, false, or None where it is not said."""
        value = self._found.get(key)
        return value if isinstance(value, bool) else None

    def _list(self, key: str) -> list[Any]:
        value = self._found.get(key)
        return value[:_MOST] if isinstance(value, list) else []


class Document(Part):
    """The whole document, `path` it was read from, and `raw`, what it holds."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self.path, self.raw = path, raw


class Process(NamedTuple):
    """What is known about the process that wrote the document. `age` in seconds, None where the document has no time."""

    state: str  # running, ended (as it should), gone (killed, crashed), hung, unknown
    age: float | None


def read(path: Path) -> Document:
    """The document in `path`. Raises StatusError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StatusError(f"{path}: not a regular file")
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise StatusError(f"{path} {_NOT_FOUND}") from None
    except (OSError, ValueError) as error:
        raise StatusError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > _LARGEST:
        raise StatusError(f"{path}: larger than {_LARGEST} bytes, so this is no status document")
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        raise StatusError(f"{path}: no status document, perhaps cut off ({reason})") from None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise StatusError(f"{path}: JSON, but no status document of graphios")
    return Document(path, found)


def process(document: Document, now: float) -> Process:
    """Whether the graphios that wrote `document` is still at it, at the time `now`."""
    written = document.number("time")
    if written is None:
        return Process("unknown", None)
    age = now - written
    if document.flag("running") is False:
        return Process("ended", age)
    there = _is_there(document.count("pid"), written)
    if age > STALE:
        return Process("gone" if there is False else "hung", age)
    if age < -STALE:
        return Process("unknown", age)  # the clock went back: nothing can be said about its age
    # A fresh document speaks for itself: its process may be in a container, under another number.
    return Process("gone" if there is False and age > _FRESH else "running", age)


def _is_there(pid: int, written: float) -> bool | None:
    """Whether process `pid` lives and is older than the document; None where that can't be seen."""
    try:
        os.kill(pid, 0)  # other than /proc it answers whatever may be hidden from us
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(text.rpartition(")")[2].split()[19])
        boot = next(
            line for line in Path("/proc/stat").read_text(encoding="ascii").splitlines() if line[:6] == "btime "
        )
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK") < written + 5
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def printable(value: object, longest: int = 500) -> str:
    """A text as it can stand on one line of a terminal, cut at `longest` characters; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    text = value[:longest]
    return text if text.isprintable() else "".join([char if char.isprintable() else "?" for char in text])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
