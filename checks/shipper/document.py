"""graphios's status document (version 1, JSON, written every 2 s) as records. Strict: a field that can't be right makes the whole unusable.

Fields may be missing, because an older graphios has fewer; what is there must be of its type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from checks.deadline import BadInput
from checks.output import clean_name
from checks.sources import read_file, read_json

VERSION = 1
_LARGEST = 16 << 20
_LONGEST_TEXT = 300
_HIGHEST = 1 << 62
Counts = Mapping[str, int]


class Spool(NamedTuple):
    """One spool directory; `oldest` is the time of its oldest file, epoch seconds, None when it is empty."""

    directory: str
    files: int
    bytes: int
    oldest: float | None


class Backend(NamedTuple):
    """One receiver. Times are epoch seconds; `figures` are its numbers by their names in the document."""

    name: str
    address: str
    state: str
    error: str
    error_since: float | None
    last_success: float | None
    lag: float
    figures: Counts


class Document(NamedTuple):
    """The status of one graphios at `time`; counts are since `started`."""

    program: str
    pid: int
    started: float
    time: float
    running: bool
    lag: float
    spools: tuple[Spool, ...]
    figures: Counts
    rejected: Counts
    rejected_total: int
    reject_file: str
    skipped: Counts
    trouble: tuple[str, ...]
    backends: tuple[Backend, ...]

    @property
    def epoch(self) -> str:
        """What its counts began with."""
        return f"{self.pid}:{self.started}"


BACKEND_COUNTERS = ("acknowledged", "sent", "retries", "replayed", "refused")
BACKEND_SOMETIMES = {
    "waiting_files": "",
    "waiting_bytes": "B",
    "parked_series": "",
    "parked_points": "",
    "dropped_creates": "c",
    "memory_losses": "c",
    "set_aside": "c",
}
"""What only some backends have, and its unit in perfdata."""


def read(path: Path) -> bytes | None:
    """Return the bytes of the document, or None where there is none. Raises CheckError where it can't be read."""
    found = read_file(path, _LARGEST)
    return found.data if found else None


def parse(text: bytes) -> Document:
    """Return the records in `text`. Raises BadInput."""
    found = read_json(text, "the status document")
    whole = _Fields(found, "the status document")
    if whole.whole("version", None) != VERSION:
        raise BadInput(f"the status document is not of version {VERSION}, the one this check knows")
    rejected, dropped = whole.part("rejected"), whole.part("dropped")
    window, aside = whole.part("window"), whole.part("set_aside")
    figures = {name: whole.whole(name) for name in ("lines_read", "metrics_read")}
    figures |= {f"dropped.{name}": dropped.whole(name) for name in ("files", "bytes", "lines")}
    figures |= {"set_aside.files": aside.whole("files")}
    figures |= {f"window.{name}": window.whole(name) for name in ("files", "bytes")}
    backends = tuple(_backend(part) for part in whole.parts("backends"))
    if len({backend.name for backend in backends}) != len(backends):
        raise BadInput("the status document has two backends of one name")
    return Document(
        whole.text("program"),
        whole.whole("pid"),
        whole.number("started", 0.0),
        whole.number("time", None),
        whole.flag("running"),
        whole.number("lag_seconds", 0.0),
        tuple(_spool(part) for part in whole.parts("spools")),
        figures,
        rejected.part("by_reason").counts(),
        rejected.whole("total"),
        rejected.text("file"),
        whole.part("skipped").counts(),
        whole.texts("trouble"),
        backends,
    )


def _spool(part: _Fields) -> Spool:
    return Spool(part.text("directory"), part.whole("files"), part.whole("bytes"), part.number_or_none("oldest"))


def _backend(part: _Fields) -> Backend:
    name = part.text("name")
    if not name:
        raise BadInput("the status document has a backend without a name")
    figures = {name: part.whole(name) for name in BACKEND_COUNTERS}
    figures |= {name: part.whole(name) for name in BACKEND_SOMETIMES if part.has(name)}
    return Backend(
        name,
        part.text("address"),
        part.text("state"),
        part.text("error"),
        part.number_or_none("error_since"),
        part.number_or_none("last_success"),
        part.number("lag_seconds", 0.0),
        figures,
    )


class _Fields:
    """One object of the document; each method raises BadInput for a field that is not of its type."""

    def __init__(self, found: object, where: str) -> None:
        if not isinstance(found, dict):
            raise BadInput(f"{where} is not what graphios writes")
        self._found: dict[str, Any] = found

    def has(self, key: str) -> bool:
        return self._found.get(key) is not None

    def number_or_none(self, key: str) -> float | None:
        value = self._found.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_HIGHEST < value < _HIGHEST:
            raise self._wrong(key)
        return value

    def number(self, key: str, default: float | None) -> float:
        value = self.number_or_none(key)
        value = default if value is None else value
        if value is None:
            raise self._wrong(key)
        return value

    def whole(self, key: str, default: int | None = 0) -> int:
        value = self.number(key, default)
        if value < 0 or math.trunc(value) != value:
            raise self._wrong(key)
        return int(value)

    def text(self, key: str) -> str:
        value = self._found.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key)
        return value[:_LONGEST_TEXT]

    def flag(self, key: str) -> bool:
        value = self._found.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key)
        return value

    def part(self, key: str) -> _Fields:
        value = self._found.get(key)
        return _Fields({} if value is None else value, f"{key!r} of the status document")

    def parts(self, key: str) -> list[_Fields]:
        return [_Fields(entry, f"{key!r} of the status document") for entry in self._list(key)]

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._list(key)
        if not all(isinstance(entry, str) for entry in found):
            raise self._wrong(key)
        return tuple(entry[:_LONGEST_TEXT] for entry in found)

    def counts(self) -> dict[str, int]:
        return {key: self.whole(key) for key in self._found if self.has(key)}

    def _list(self, key: str) -> list[Any]:
        value = self._found.get(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key)
        return value or []

    def _wrong(self, key: str) -> BadInput:
        return BadInput(f"{clean_name(key[:60])!r} of the status document is not what graphios writes")
