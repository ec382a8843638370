"""An installer's archive, read through to its end without unpacking anything to disk, however hostile it is.

Every member is read, so that a damaged or cut archive shows, in pieces: memory does not grow with what an archive claims or holds. What makes
tarfile and zipfile read much at once (long names, sparse maps, the list at the end of a zip) goes through a file that refuses it.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import tarfile
import tempfile
import time
import zipfile
from typing import IO, NamedTuple

from checks.installer import vesselinfo

LARGEST_UNPACKED = 1024 * 1024 * 1024
MOST_MEMBERS = 50_000
_PIECE = 65536
_LONGEST_LIST = 4 * 1024 * 1024
_LARGEST_HEAD = 128 * 1024
# In the newer builder's archives, the older one's, and the zip inside an older Android package.
_VESSELINFO = ("seattle/seattle_repy/vesselinfo", "./seattle/seattle_repy/vesselinfo")
_INNER = "res/raw/seattle.zip"
_ENCRYPTED = 0x1


class BadArchive(Exception):
    """An archive that is damaged, hostile or no installer; the text is for an operator."""


class Contents(NamedTuple):
    """What an archive holds: the number of its members, and the file that makes it a custom installer."""

    members: int
    vesselinfo: bytes


def read(file: IO[bytes], until: float) -> Contents:
    """Return what an installer's archive holds, a .tgz or a .zip by how it begins.

    `until` is the moment of time.monotonic() at which reading has to end. Raises BadArchive.
    """
    file.seek(0)
    begin = file.read(4)
    file.seek(0)
    reader = _Reader(until)
    try:
        if begin[:2] == b"\x1f\x8b":
            reader.tgz(file)
        elif begin[:2] == b"PK":
            reader.zip(file)
        else:
            raise BadArchive(f"it is neither a .tgz nor a .zip, it begins with {begin!r}")
    except (BadArchive, MemoryError):
        raise
    except EOFError as error:
        raise BadArchive("it is cut off") from error
    except Exception as error:  # tarfile and zipfile raise whatever their parts raise: zlib.error, struct.error, IndexError, RecursionError ...
        raise BadArchive(f"it is damaged: {str(error)[:100] or type(error).__name__}") from error
    if reader.found is None:
        raise BadArchive(f"{_VESSELINFO[0]} is missing among its {reader.members} members")
    if not reader.others:
        raise BadArchive("it holds nothing but vesselinfo (rebuild the base installer first)")
    return Contents(reader.members, reader.found)


class _Reader:
    """Reads members one by one and counts them."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.members = 0
        self.unpacked = 0
        self.found: bytes | None = None
        self.others = False
        """Whether there are files besides vesselinfo: what gets installed."""

    def tgz(self, file: IO[bytes]) -> None:
        """Read a .tgz to its end. Raises BadArchive, and whatever gzip and tarfile raise."""
        with gzip.GzipFile(fileobj=file) as packed:
            unpacked = _Unpacked(packed, self)
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                while member := self._next(archive, unpacked):
                    self._member(member.name)
                    _must_stay_inside(member)
                    if member.name not in _VESSELINFO:
                        self.others |= member.isreg()
                        continue
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise BadArchive("its vesselinfo is no plain file")
                    unpacked.allow(vesselinfo.LARGEST + _PIECE)
                    self._keep(content.read(vesselinfo.LARGEST + 1))
            unpacked.end()

    def _next(self, archive: tarfile.TarFile, unpacked: _Unpacked) -> tarfile.TarInfo | None:
        unpacked.allow(_LARGEST_HEAD)
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps all it has seen
        return archive.next()

    def zip(self, file: IO[bytes], *, inner: bool = False) -> None:
        """Read a .zip to its end. Raises BadArchive, and whatever zipfile raises."""
        with zipfile.ZipFile(_Sparing(file)) as archive:
            for member in archive.infolist():
                self._member(member.filename)
                if member.flag_bits & _ENCRYPTED:
                    raise BadArchive("it is encrypted")
                # The other ways to compress are unpacked without bounds, and no builder uses them.
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise BadArchive("it is compressed in a way that installers are not")
                self.others |= not (member.is_dir() or member.filename in _VESSELINFO)
                with archive.open(member) as content:
                    if member.filename in _VESSELINFO:
                        self._keep(content.read(vesselinfo.LARGEST + 1))
                    elif member.filename == _INNER and not inner:
                        self._inner(content)
                    while piece := content.read(_PIECE):
                        self.count(len(piece))

    def _inner(self, content: IO[bytes]) -> None:
        """Read the archive inside an Android package."""
        with tempfile.TemporaryFile() as file:
            while piece := content.read(_PIECE):
                self.count(len(piece))
                file.write(piece)
            self.zip(file, inner=True)

    def _member(self, name: str) -> None:
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise BadArchive(f"it has more than {MOST_MEMBERS} members")
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            raise BadArchive(f"it would write outside its folder: {name[:80]!a}")

    def _keep(self, text: bytes) -> None:
        """Keep vesselinfo; where a .tgz has it twice, the last one counts, as when it is unpacked."""
        if len(text) > vesselinfo.LARGEST:
            raise BadArchive(f"its vesselinfo is larger than {vesselinfo.LARGEST} bytes")
        self.found = text

    def count(self, size: int) -> None:
        """Take note of unpacked bytes. Raises BadArchive where they, or their time, are too much."""
        self.unpacked += size
        if self.unpacked > LARGEST_UNPACKED:
            raise BadArchive(f"it unpacks to more than {LARGEST_UNPACKED} bytes")
        if time.monotonic() > self.until:
            raise BadArchive("it could not be read through in time")


def _must_stay_inside(member: tarfile.TarInfo) -> None:
    """Refuse what could write outside its folder when it is unpacked, or is no file at all."""
    if member.issym() or member.islnk():
        folder = posixpath.dirname(member.name) if member.issym() else ""
        target = posixpath.normpath(posixpath.join(folder, member.linkname))
        if target.startswith("/") or target.split("/")[0] == "..":
            raise BadArchive(f"it has a link that leads outside its folder: {member.name[:80]!a}")
    elif not (member.isreg() or member.isdir()):
        raise BadArchive(f"it has a member that is no file: {member.name[:80]!a}")


class _Sparing(io.RawIOBase):
    """A file that can be searched, and refuses to be read much at once: only a list of very many members is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return where in the file we are."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere else."""
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or fewer at the end. Raises BadArchive where it is too much."""
        asked = _LONGEST_LIST + 1 if size is None or size < 0 else size
        if size is not None and size > _LONGEST_LIST:
            raise BadArchive("its list of members is too long")
        data = self._file.read(asked)
        if len(data) > _LONGEST_LIST:
            raise BadArchive("its list of members is too long")
        return data


class _Unpacked(io.RawIOBase):
    """What a gzip unpacks to, forwards only; what is read of each member's head is bounded, and everything is counted."""

    def __init__(self, packed: gzip.GzipFile, reader: _Reader) -> None:
        self._packed, self._reader = packed, reader
        self._position = 0
        self._allowed = _LARGEST_HEAD

    def allow(self, size: int) -> None:
        """Let that much be read until the next call; what is passed over does not count."""
        self._allowed = size

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Forwards."""
        return True

    def tell(self) -> int:
        """Return how much was unpacked."""
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or fewer at the end. Raises BadArchive."""
        if size is None or not 0 <= size <= self._allowed:
            raise BadArchive("the head of a member is too long")
        self._allowed -= size
        pieces: list[bytes] = []
        while size > 0 and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Pass over what is before `offset`."""
        if whence or offset < self._position:
            raise BadArchive("its members are not one behind the other")
        while self._position < offset and self._piece(offset - self._position):
            pass
        return self._position

    def end(self) -> None:
        """Read what is left, which is nothing but zeros in a whole archive: tarfile stops silently where it understands no more."""
        while piece := self._piece(_PIECE):
            if piece.count(0) < len(piece):
                raise BadArchive(f"it is damaged behind member {self._reader.members}")

    def _piece(self, most: int) -> bytes:
        piece = self._packed.read(min(most, _PIECE))
        self._position += len(piece)
        self._reader.count(len(piece))
        return piece
