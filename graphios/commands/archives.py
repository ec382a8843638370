"""Lines of spool files wherever they were put away: plain, .gz, .bz2 or .xz; a block at a time, whatever their size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from graphios.errors import GraphiosError
from graphios.inputs.spool import LONGEST_LINE, Cut

_BLOCK = 262_144
_KEPT = 4000


class ArchiveError(GraphiosError):
    """A file can't be read (further); the message names it and says why."""


def open_archive(path: Path) -> BinaryIO:
    """The content of the regular file `path`, expanded by the ending of its name. Raises ArchiveError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ArchiveError(f"{path}: not a regular file")
        raw = os.fdopen(descriptor, "rb", buffering=0)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
    if path.suffix == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    return cast(BinaryIO, raw)


def lines(file: BinaryIO, name: str, cut: bool = True) -> Iterator[tuple[int, bytes | Cut]]:
    """Each line of `file` with its number from 1, without its newline; what is too long comes as Cut.

    So does a last line without a newline, unless `cut` is false. `name` is for what is raised: ArchiveError.
    """
    number = 1
    parts: list[bytes] = []
    length = 0
    while block := _block(file, name):
        *whole, rest = block.split(b"\n")
        for piece in whole:
            length += len(piece)
            parts.append(piece)
            yield number, _line(parts, length)
            number, parts, length = number + 1, [], 0
        length += len(rest)
        if length <= LONGEST_LINE:
            parts.append(rest)
        else:
            parts = [b"".join(parts)[:_KEPT]]
    if length and cut:
        yield number, Cut("cut off: the last line has no newline", b"".join(parts)[:_KEPT])
    elif length:
        yield number, _line(parts, length)


def _block(file: BinaryIO, name: str) -> bytes:
    try:
        if isinstance(file, io.RawIOBase):
            return file.read(_BLOCK) or b""
        return cast(io.BufferedIOBase, file).read1(_BLOCK)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ArchiveError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _line(parts: list[bytes], length: int) -> bytes | Cut:
    if length > LONGEST_LINE:
        return Cut(f"line longer than {LONGEST_LINE} bytes", b"".join(parts)[:_KEPT])
    return b"".join(parts) if len(parts) > 1 else parts[0]
