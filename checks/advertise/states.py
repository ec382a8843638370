"""Node states, each a public key under which its nodes are advertised: which are asked for, and where their key files lie."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from checks.options import UsageError, Values
from checks.ranges import Limit, parse_range
from checks.seattle.keys import PublicKey, read_key

_SUFFIX = ".publickey"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"


class States:
    """What --state was given: the names of states and the range of nodes of each."""

    def __init__(self) -> None:
        self.limits: dict[str, Limit | None] = {}

    def add(self, text: str) -> None:
        """Take `NAME` or `NAME=RANGE`. Raises ValueError."""
        name, _, limit = text.partition("=")
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"{text[:80]!r} is not NAME or NAME=RANGE with the name of a key file")
        self.limits[name] = parse_range(limit)


class KeyFiles:
    """What --state-key was given: public key files."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def add(self, text: str) -> None:
        """Take a path. Raises ValueError."""
        self.paths.append(key_file(text))


def key_file(text: str) -> Path:
    """Return the path of a key file, which has a name. Raises ValueError."""
    path = Path(text)
    if "\0" in text or not 0 < len(os.fsencode(path.name)) < 256:
        raise ValueError(f"{text[:80]!r} is not a file's path")
    return path


class State(NamedTuple):
    """One state to count: its name, and the files of which the first that is there holds its key."""

    name: str
    paths: tuple[Path, ...]


def read_state(state: State) -> PublicKey:
    """Return the key of a state. Raises OSError, of the first file where none is there, and Malformed."""
    missing = None
    for path in state.paths:
        try:
            return read_key(path)
        except FileNotFoundError as error:
            missing = missing or error
    raise missing or FileNotFoundError()


def states(opts: Values) -> list[State]:
    """Return the states asked for, in the order of --get-only, --state-key, --state. Raises UsageError."""
    found: dict[str, State] = {}
    given = [*opts.state_key.paths]
    if isinstance(opts.get_only, Path):
        given.insert(0, opts.get_only)
    for path in given:
        name = path.name.removesuffix(_SUFFIX)
        if found.setdefault(name, State(name, (path,))).paths != (path,):
            raise UsageError(f"two key files of the name {name!r}: the name tells states apart")
    for name in opts.state.limits:
        if name not in found:
            if opts.state_directory is None:
                raise UsageError(f"--state {name} needs --state-directory, where {name}{_SUFFIX} is")
            paths = (opts.state_directory / f"{name}{_SUFFIX}", opts.state_directory / name)
            found[name] = State(name, paths)
    return list(found.values())
