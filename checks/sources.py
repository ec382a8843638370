"""What checks read from files and servers they don't trust: bounded regular files, and strict JSON."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from checks.deadline import BadInput, stage
from checks.output import clean_name

# Beyond this a float of JSON is no measurement, and a sum of two could be infinite.
_HIGHEST = 1e18


class Contents(NamedTuple):
    """A file's bytes, and when it was changed last (epoch seconds)."""

    data: bytes
    changed: float


def read_file(path: Path, largest: int) -> Contents | None:
    """Return a regular file of at most `largest` bytes, or None where there is none. Raises CheckError, never waits for a writer of a pipe."""
    with stage(f"reading {clean_name(str(path))}"):
        try:
            # Looked at before it is opened as well: opening a device can already do something.
            _must_be_regular(path, path.stat())
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            status = os.fstat(descriptor)
            _must_be_regular(path, status)
            if status.st_size > largest:
                raise BadInput(f"{clean_name(str(path))} is larger than {largest} bytes")
            # os.pread makes room for all it may read; a size of 0 can be that of a file made when it is read.
            return Contents(os.pread(descriptor, status.st_size or largest, 0), status.st_mtime)
        finally:
            os.close(descriptor)


def _must_be_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{clean_name(str(path))} is not a regular file")


def read_json(data: bytes, what: str, *, nan_is_null: bool = False, doubled_is_null: bool = False) -> Any:
    """Return the JSON document in `data` (UTF-8; RFC 8259). Raises BadInput, which calls it `what`.

    A key that occurs twice is refused, for which of the two is meant nobody knows; so is what only Python takes for a number (NaN, Infinity).
    With `doubled_is_null` and `nan_is_null` only that one value counts as unknown.
    """
    pairs, constant = _null_doubled if doubled_is_null else _unique, _null if nan_is_null else _no_constant
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise BadInput(f"{what} is nested too deeply") from None
    except UnicodeDecodeError:
        raise BadInput(f"{what} is not UTF-8") from None
    except ValueError as error:
        raise BadInput(f"{what} is damaged or cut: {' '.join(str(error).split())[:100]}") from None


def number(value: object) -> float | None:
    """Return a finite JSON number as it is; None for everything else (true is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HIGHEST < value < _HIGHEST:
        return None
    return value


def count(value: object) -> int | None:
    """Return a whole JSON number from 0 up to 64 bits; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 64:
        return None
    return int(value) if math.trunc(value) == value else None


def text(value: object, longest: int = 300) -> str:
    """Return a JSON text, cut after `longest` characters; "" for everything else."""
    return value[:longest] if isinstance(value, str) else ""


def table(value: object) -> dict[str, Any]:
    """Return a JSON object; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _null_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found[key] = None
            seen.add(key)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _null(_: str) -> None:
    return None
