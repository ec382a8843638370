"""A node's installation against what metainfo lists: missing, different and extra files.

Nothing outside its folder is opened, no link is followed, and nothing but regular files is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from checks.seattle.errors import Malformed
from checks.seattle.metainfo import LARGEST, LARGEST_SOURCE, Entry, Metainfo, Pinned, parse, parse_pinned

UPDATER = "softwareupdater.py"
_CHUNK = 1 << 20
_MOST_EXTRA = 20_000
# What writemetainfo.py never lists, and the folders of vessels, which hold their users' files.
_NEVER_LISTED = re.compile(r".*(?:\.pyc|\.swp|_repy\.py|metainfo)")
_VESSEL = re.compile(r"v\d+")
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Odd(NamedTuple):
    """A file that is not as it should be, and why."""

    name: str
    why: str


class Comparison(NamedTuple):
    """What a look at the local files found. `compared` counts those that could be compared; `late` says how many time did not suffice for."""

    compared: int
    missing: tuple[str, ...]
    different: tuple[Odd, ...]
    unreadable: tuple[Odd, ...]
    extra: tuple[str, ...]
    late: int


class Unusual(OSError):
    """What is there is no regular file; the text says what it is."""


def compare(folder: Path, entries: Sequence[Entry], ignore: Sequence[re.Pattern[str]], until: float) -> Comparison:
    """Compare the files of `folder` with what metainfo lists, except those whose whole name an expression matches.

    `until` is the moment of time.monotonic() at which no other file is read. Raises OSError where the folder itself can't be read.
    """
    listed = {entry.name for entry in entries}
    with _opened(folder) as root:
        extra = [name for name in _others(root, listed) if not _any(ignore, name)]
        missing: list[str] = []
        different: list[Odd] = []
        unreadable: list[Odd] = []
        wanted = [entry for entry in entries if not _any(ignore, entry.name)]
        late = 0
        for number, entry in enumerate(wanted):
            if time.monotonic() >= until:
                late = len(wanted) - number
                break
            try:
                why = _difference(root, entry)
            except _NOT_THERE:
                missing.append(entry.name)
                continue
            except Unusual as error:
                why = str(error)
            except OSError as error:
                unreadable.append(Odd(entry.name, error.strerror or str(error)))
                continue
            if why:
                different.append(Odd(entry.name, why))
    compared = len(wanted) - late - len(unreadable)
    return Comparison(compared, tuple(missing), tuple(different), tuple(unreadable), tuple(sorted(extra)), late)


def read_metainfo(folder: Path) -> Metainfo | None:
    """Return the metainfo the updater took last, None where it has taken none yet. Raises Malformed and OSError."""
    with _opened(folder) as root:
        try:
            return parse(_content(root, "metainfo", LARGEST + 1))
        except _NOT_THERE:
            return None


def read_pinned(folder: Path) -> Pinned:
    """Return what the installed softwareupdater.py trusts. Raises Malformed and OSError."""
    with _opened(folder) as root:
        source = _content(root, UPDATER, LARGEST_SOURCE + 1)
    if len(source) > LARGEST_SOURCE:
        raise Malformed(f"larger than {LARGEST_SOURCE} bytes")
    return parse_pinned(source)


def _any(expressions: Sequence[re.Pattern[str]], name: str) -> bool:
    return any(expression.fullmatch(name) for expression in expressions)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def _difference(root: int, entry: Entry) -> str:
    """Return how a local file differs, "" where it does not. Raises OSError, Unusual where it is no regular file."""
    with _file(root, entry.name) as file:
        size = os.fstat(file).st_size
        if size != entry.size:
            return f"{size} bytes instead of {entry.size}"
        sha1 = hashlib.sha1(usedforsecurity=False)
        # It may grow while it is read: no further than the size it should have.
        left = size
        while left > 0 and (chunk := os.read(file, min(left, _CHUNK))):
            sha1.update(chunk)
            left -= len(chunk)
    return "" if sha1.hexdigest() == entry.sha1 else "another SHA-1"


def _content(root: int, name: str, most: int) -> bytes:
    with _file(root, name) as file:
        data = bytearray()
        while len(data) < most and (chunk := os.read(file, min(most - len(data), _CHUNK))):
            data += chunk
    return bytes(data)


@contextmanager
def _file(root: int, name: str) -> Iterator[int]:
    """Open a regular file below `root` without following a link at any step. Raises OSError."""
    *folders, last = name.split("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    at = os.dup(root)
    try:
        for part in folders:
            _must_be(at, part, stat.S_ISDIR)
            below = os.open(part, flags | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        # Before it is opened: opening a device can do something.
        _must_be(at, last, stat.S_ISREG)
        file = os.open(last, flags, dir_fd=at)
    finally:
        os.close(at)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Unusual("changed while it was looked at")
        yield file
    finally:
        os.close(file)


_KINDS = (
    (stat.S_ISLNK, "a symbolic link, not followed"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISREG, "a file where a directory should be"),
)


def _must_be(at: int, name: str, wanted: Callable[[int], bool]) -> None:
    mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    if not wanted(mode):
        raise Unusual(next((said for is_kind, said in _KINDS if is_kind(mode)), "a device"))


def _others(root: int, listed: set[str]) -> Iterator[str]:
    """Yield what is in the installation but not in metainfo: names of files of any kind, at most some thousands."""
    seen = 0
    for top, folders, files, _ in os.fwalk(".", dir_fd=root):
        if top == ".":
            folders[:] = [name for name in folders if not _VESSEL.fullmatch(name)]
        seen += len(files) + len(folders)
        for name in files:
            path = f"{top}/{name}"[2:]
            if path not in listed and not _NEVER_LISTED.fullmatch(name):
                yield path
        if seen > _MOST_EXTRA:
            return
