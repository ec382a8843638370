"""What a process runs, told from its command line alone: by the rules of who reads that line, never by a substring.

The rules: Python's own (`python -u script`, `-m module`, `-c code`), and those of Seattle's repy.py: `repy.py [options] restrictions program`,
where a security layer (encasementlib, dylink) takes the next program as its argument. Source of repy's options: its usage text, V1 and V2.
An argument further behind is only data: `python editor.py advertiseserver.py` runs editor.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Letters of Python's options (2 and 3) behind which a value stands, in the same word or the next.
_PYTHON_VALUES = "WXQ"
_PYTHON_LONG_VALUES = ("--check-hash-based-pycs",)
_REPY = "repy.py"
_REPY_VALUES = ("--ip", "--iface", "--logfile", "--stop", "--status", "--cwd")
_REPY_LAYERS = ("encasementlib", "dylink")
_REPY_PROGRAMS = (".repy", ".r2py", ".py", ".mix")


class Runs(NamedTuple):
    """What one process runs, each as it is written: `direct` are the program and the script of its interpreter, `repy` what repy.py runs."""

    direct: tuple[str, ...]
    repy: tuple[str, ...] = ()

    @property
    def in_repy(self) -> bool:
        """Whether it is a process of repy.py, which are two with one command line: the program and its resource monitor."""
        return _REPY in map(base_name, self.direct)

    def matches(self, name: str, direct_only: bool = False) -> bool:
        """Tell whether this is `name`: a base name, or, with a slash in it, the whole path."""
        there = self.direct if direct_only else self.direct + self.repy
        return name in there if "/" in name else any(base_name(path) == name for path in there)


def base_name(path: str) -> str:
    """Return what is behind the last slash."""
    return path.rpartition("/")[2]


def arguments(data: bytes) -> list[str]:
    """Return the arguments in /proc/<pid>/cmdline (proc(5)); of a process that wrote its own title, the title's words."""
    words = data.rstrip(b"\0").split(b"\0")
    if len(words) == 1 and b" " in words[0]:
        words = words[0].split()
    return [os.fsdecode(word) for word in words]


def runs(words: Sequence[str]) -> Runs:
    """Return what the process with these arguments runs; nothing where there are none, as in a kernel thread or a zombie."""
    if not words or not words[0]:
        return Runs(())
    # A login shell's name begins with "-"; a daemon that writes its own title begins it with its name and a colon.
    program = words[0].removeprefix("-").rstrip(":")
    if not base_name(program).startswith("python"):
        return Runs((program,))
    rest = _script_and_behind(words[1:])
    if not rest:
        return Runs((program,))
    return Runs((program, rest[0]), tuple(_in_repy(rest[1:])) if base_name(rest[0]) == _REPY else ())


def _script_and_behind(words: Sequence[str]) -> Sequence[str]:
    """Return the script that Python runs and the words behind it; nothing where it runs code or reads its standard input."""
    skip = False
    for number, word in enumerate(words):
        if skip:
            skip = False
        elif word == "-" or not word:
            return ()
        elif word == "--":
            return words[number + 1 :]
        elif word.startswith("--"):
            skip = word in _PYTHON_LONG_VALUES
        elif not word.startswith("-"):
            return words[number:]
        else:
            letter, value = _valued_option(word)
            if letter == "c":
                return ()
            if letter == "m":
                behind = words[number + 1 :]
                module, behind = (value, behind) if value else (behind[0] if behind else "", behind[1:])
                return [f"{module.rpartition('.')[2]}.py", *behind] if module else ()
            skip = bool(letter) and not value
    return ()


def _valued_option(word: str) -> tuple[str, str]:
    """Return the letter of a cluster such as -uW that takes a value, and the value in the same word."""
    for place, letter in enumerate(word[1:], start=2):
        if letter in _PYTHON_VALUES or letter in "cm":
            return letter, word[place:]
    return "", ""


def _in_repy(words: Sequence[str]) -> Iterator[str]:
    """Yield the program that repy.py runs, and behind a security layer the programs it is given."""
    skip = False
    behind_restrictions = behind_layer = False
    for word in words:
        if skip:
            skip = False
        elif behind_layer and not word.endswith(_REPY_PROGRAMS):
            return
        elif word.startswith("-"):
            skip = word in _REPY_VALUES
        elif not behind_restrictions:
            behind_restrictions = True
        else:
            yield word
            behind_layer = base_name(word).rpartition(".")[0] in _REPY_LAYERS or behind_layer
            if not behind_layer:
                return
