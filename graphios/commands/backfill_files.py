"""Which archived spool files a backfill reads, and in which order."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from graphios.commands.archives import ArchiveError, open_archive
from graphios.errors import GraphiosError

TIME = re.compile(rb"(?:\A|\t)TIMET::(\d{1,10})(?=\t|\r?\Z)")
"""The check's time in a line."""

_FIRST_TIME = re.compile(rb"(?:\A|\t|\n)TIMET::(\d{9,10})(?=[\t\r\n])")
_FIELD = re.compile(rb"(?:\A|\t|\n)(?:DATATYPE|TIMET|HOSTNAME)::")
_LOOK = 65_536


class Archive(NamedTuple):
    """A file to read. Archives sort by the time of their first line."""

    first: int
    path: str
    identity: str
    size: int


class Found(NamedTuple):
    """What there is below the given paths: the archives, oldest first, what is no perfdata, and what can't be read, with the reason."""

    archives: list[Archive]
    left_out: list[str]
    unreadable: list[str]


def find(paths: Sequence[Path], forbidden: Sequence[Path]) -> Found:
    """The archives among `paths`, directories included with all below them. Raises GraphiosError for a path that is missing, or that lies
    in one of the `forbidden` directories, where graphios works itself."""
    archives: dict[str, Archive] = {}
    left_out: list[str] = []
    unreadable: list[str] = []
    for path in paths:
        real = Path(os.path.realpath(path))
        for own in forbidden:
            if real == own or own in real.parents:
                raise GraphiosError(f"{path} lies in {own}, where graphios works: it ships that itself")
        for file in _files(path, forbidden, unreadable):
            try:
                found = _look_at(file)
            except ArchiveError as error:
                unreadable.append(str(error))
                continue
            if found:
                archives[found.path] = found
            else:
                left_out.append(f"{file}: holds no perfdata")
    return Found(sorted(archives.values()), left_out, unreadable)


def _files(path: Path, forbidden: Sequence[Path], unreadable: list[str]) -> Iterator[Path]:
    """The regular files at or below `path`, but hidden ones, and what links lead to. Raises GraphiosError."""

    def note(error: OSError) -> None:
        unreadable.append(f"{error.filename}: {error.strerror}")

    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise GraphiosError(f"{path}: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=note):
        real = Path(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if name[0] != "." and real / name not in forbidden)
        for name in sorted(names):
            file = Path(folder, name)
            if name[0] != "." and not file.is_symlink() and file.is_file():
                yield file


def _look_at(path: Path) -> Archive | None:
    """The archive, if its beginning looks like perfdata or is empty. Raises ArchiveError."""
    with open_archive(path) as file:
        status = os.fstat(file.fileno())
        try:
            head = file.read(_LOOK)
        except Exception as error:  # each library has its own for a damaged file
            raise ArchiveError(f"{path}: {error or type(error).__name__}") from None
    if head and not _FIELD.search(head):
        return None
    time = _FIRST_TIME.search(head)
    first = int(time[1]) if time else int(status.st_mtime)
    identity = f"{status.st_size} {status.st_mtime_ns}"
    return Archive(first, os.path.realpath(path), identity, status.st_size)
