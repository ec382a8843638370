"""The lines of NRPE's configuration, taken apart as NRPE 4.1 does it, and the engine's interval in a comment.

Whatever is wrong is a ValueError whose text is for the operator.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LINE_LIMIT = 2046
"""Bytes of a line; NRPE takes the rest for another line."""
_BLANKS = b" \t\n\v\f\r"
_INTERVAL = re.compile(r"#[#\s]*interval\s*=\s*(.*)", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_INTERVAL = 366 * 86400


class Interval(NamedTuple):
    """An interval that waits for its command, and its line."""

    seconds: float
    number: int


def clean(raw: bytes) -> str:
    """Return a line without the blanks around it. Raises ValueError."""
    stripped = raw.strip(_BLANKS)
    if len(raw) > LINE_LIMIT and stripped:
        raise ValueError(f"longer than {LINE_LIMIT} bytes, where NRPE cuts it")
    if stripped.startswith(b"#"):
        return stripped.decode("utf-8", "replace")
    try:
        text = stripped.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if any((character < " " and character != "\t") or character == "\x7f" for character in text):
        raise ValueError("control characters")
    return text


def comment(line: str, number: int, before: Interval | None) -> Interval | None:
    """Return the interval that waits after a comment. Raises ValueError."""
    if said := _INTERVAL.fullmatch(line):
        return Interval(_seconds(said[1]), number)
    return None if "command[" in line else before  # a command that is commented out has it


def is_command(line: str) -> bool:
    """Whether it defines a command, or is meant to."""
    return "command[" in line.lstrip("=").partition("=")[0]


def command(line: str) -> tuple[str, str]:
    """Return the name of a command and its line for a shell. Raises ValueError."""
    said, value = assignment(line)
    # As NRPE finds it: after the first [, up to the next ].
    name = said.lstrip("[").partition("[")[2].lstrip("]").partition("]")[0]
    if not name.strip() or not name.isprintable():
        raise ValueError("no name in command[...]")
    return name, _without_arguments(value.strip())


def assignment(line: str) -> tuple[str, str]:
    """Return name and value of a directive. Raises ValueError."""
    name, equals, value = line.lstrip("=").partition("=")
    if not equals or not value:
        raise ValueError("not a name, = and a value")
    return name, value


def _without_arguments(line: str) -> str:
    """Return the line as NRPE runs it when it is given no arguments: each second piece between $ is a macro, $ARG1$ is empty and $$ is $."""
    pieces = line.split("$")
    for index in range(1, len(pieces), 2):
        closed = index + 1 < len(pieces)
        if closed and (pieces[index].startswith("ARG") or not pieces[index]):
            pieces[index] = "" if pieces[index] else "$"
        else:  # NRPE closes the last one in any case, and breaks the line
            pieces[index] = f"${pieces[index]}{'$' if closed else ''}"
    return "".join(pieces)


def _seconds(text: str) -> float:
    """Return the seconds that "60", "90s", "5m", "1h" or "1d" means. Raises ValueError."""
    said = _SECONDS.fullmatch(text)
    seconds = float(said[1]) * _UNITS[said[2].lower()] if said else 0.0
    if not 1 <= seconds <= _LONGEST_INTERVAL:
        raise ValueError(f"interval {text[:40]!r} is not seconds from 1 on, or such as 5m or 1h")
    return seconds
