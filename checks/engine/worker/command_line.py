"""A command line of Nagios, taken apart as its own workers do: into words where no shell is needed, which saves starting one.

Nagios knows blanks, quotes and backslashes, and words NAME=VALUE in front. Everything that a shell may mean otherwise goes to /bin/sh -c.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SHELL = "/bin/sh"
# A piece of a word: plain characters, an escaped one, a quoted text. A backslash before a double quote within double quotes is taken differently by
# different versions of Nagios: a shell knows.
_PIECE = re.compile(
    r"""(?P<plain>[^\s"'\\|<>&;()`$*?\x00]+)|\\(?P<escaped>[^\x00])|'(?P<single>[^'\x00]*)'|"(?P<double>(?:[^"\\$`\x00]|\\[^"\x00])*)\"""",
    re.ASCII,
)
_BLANKS = re.compile(r"[ \t\r\n]+")
_IN_DOUBLE = re.compile(r"\\([\\$`])")


class CommandLine(NamedTuple):
    """`argv` to be executed, with these variables set."""

    argv: tuple[str, ...]
    variables: dict[str, str]


def parse(line: str) -> CommandLine:
    """Return what to execute for this line; no words where it names no program."""
    words = _words(line)
    if words is None:
        return CommandLine((SHELL, "-c", line), {})
    variables: dict[str, str] = {}
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if "" in variables:
        return CommandLine((SHELL, "-c", line), {})
    return CommandLine(tuple(words), variables)


def _words(line: str) -> list[str] | None:
    """The words; None where a shell is needed."""
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(line):
        if blanks := _BLANKS.match(line, position):
            if word is not None:
                words.append(word)
                word = None
            position = blanks.end()
            continue
        piece = _PIECE.match(line, position)
        if not piece:
            return None
        position = piece.end()
        text = piece[piece.lastgroup or "plain"]
        word = (word or "") + (_IN_DOUBLE.sub(r"\1", text) if piece.lastgroup == "double" else text)
    if word is not None:
        words.append(word)
    return words
