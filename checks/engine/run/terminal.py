"""What a terminal is given: printable text only, measured and cut in columns."""

from __future__ import annotations

import locale
import os
import unicodedata
from typing import TextIO

CUT = "..."


def printable(text: str, encoding: str = "utf-8") -> str:
    """Return `text` as one line of characters that show themselves and do nothing else; what `encoding` lacks is a question mark."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)
        text = text.encode(encoding, "replace").decode(encoding)
    return text.strip()


def columns(text: str) -> int:
    """Return how many columns printable text takes: East Asian wide characters two, combining ones none (Unicode TR 11)."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def cut(text: str, room: int) -> str:
    """Return `text` in at most `room` columns, and "..." at its end where it was longer."""
    if columns(text) <= room:
        return text
    room -= len(CUT)
    if room < 0:
        return CUT[: room + len(CUT)]
    end = 0
    for end, char in enumerate(text):  # noqa: B007
        room -= _columns_of(char)
        if room < 0:
            break
    return text[:end].rstrip() + CUT


def padded(text: str, room: int) -> str:
    """Return `text` in exactly `room` columns, cut or filled with blanks."""
    text = cut(text, room)
    return text + " " * (room - columns(text))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be looking at it."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def understands_escapes(stream: TextIO | None) -> bool:
    """Whether it is a terminal in which a line can be drawn again."""
    return is_terminal(stream) and os.environ.get("TERM", "dumb") != "dumb"


def wants_colours(stream: TextIO | None) -> bool:
    """Whether states may be coloured there; NO_COLOR says no, see no-color.org."""
    return understands_escapes(stream) and not os.environ.get("NO_COLOR")


def encoding_of(stream: TextIO | None) -> str:
    """Return what this stream shows. On a terminal the locale decides: Python writes UTF-8 in the locale C as well."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return locale.getencoding() if is_terminal(stream) and encoding.lower() == "utf-8" else encoding


def width_of(stream: TextIO | None, default: int = 80) -> int:
    """Return how many columns it has now."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError):
        found = 0
    return found or default


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
