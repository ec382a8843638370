"""How far each lane has got in each file: on disk, so that a restart goes on there.

It is only ever behind what was acknowledged, so losing it costs a second delivery, never a first. It lies in an SQLite file; where that can't
be used, the rest of the process works from memory, and says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from graphios.inputs.spool import FileKey, SpoolFile, inode_of

log = logging.getLogger("graphios")

_TABLE = """\
CREATE TABLE IF NOT EXISTS progress (directory BLOB, name BLOB, inode INTEGER, lane TEXT, offset INTEGER, line INTEGER, changed INTEGER,
 fingerprint BLOB, boot TEXT, at REAL, PRIMARY KEY (directory, name, inode, lane)) WITHOUT ROWID"""
_RECEIVERS = "CREATE TABLE IF NOT EXISTS receivers (lane TEXT PRIMARY KEY, identity TEXT) WITHOUT ROWID"
_PAGE = 500
_RETRY = 5.0


class Position(NamedTuple):
    """What a lane has had acknowledged of a file: its first `offset` bytes, which are `line` lines."""

    offset: int
    line: int
    changed: int  # the file's modification time then, nanoseconds
    fingerprint: bytes

    def fits(self, file: SpoolFile) -> bool:
        """Whether this is still the file it was written for: not truncated, and beginning the same. Raises SpoolError."""
        return self.offset <= file.size and self.fingerprint == file.fingerprint(self.offset)


def boot_id() -> str:
    """Tells one run of the kernel from the next; empty where it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def uptime() -> float:
    """Seconds since the machine booted, time asleep included; nobody can step this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Progress:
    """The positions of all lanes. For several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._boot = boot_id()
        self.trouble = ""
        self._retry = 0.0
        self._closed = False
        try:
            self._connection = self._open()
        except (sqlite3.Error, OSError) as error:
            self._connection = self._replace(error)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            # Alone on it (the state directory is locked), so no shared memory; a lost commit costs a second delivery, so no fsync for each.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-2000")
            connection.execute(_TABLE)
            connection.execute(_RECEIVERS)
            connection.execute("SELECT max(length(fingerprint) + offset + line + changed + at) FROM progress")
        except BaseException:
            connection.close()
            raise
        return connection

    def _replace(self, error: Exception) -> sqlite3.Connection:
        """A database that works: a new file in the place of a broken one, else memory."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError, sqlite3.Error):
                self._put_aside()
                connection = self._open()
                log.warning("%s was broken (%s) and is new now: what is in the spools is sent again", self._path, error)
                return connection
        return self._in_memory(error)

    def _put_aside(self) -> None:
        self._path.replace(f"{self._path}.broken")
        for end in ("-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        self.trouble = f"{self._path}: {error}; a restart would send again what is in the spools"
        log.error("%s", self.trouble)
        self._retry = time.monotonic() + _RETRY
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.execute(_TABLE)
        connection.execute(_RECEIVERS)
        return connection

    def _fail(self, error: sqlite3.Error) -> None:
        """Goes on in memory, with what can still be read."""
        old = self._connection
        self._connection = self._in_memory(error)
        with contextlib.suppress(sqlite3.Error):
            old.rollback()
        with contextlib.suppress(sqlite3.Error):
            self._connection.executemany(
                "INSERT OR REPLACE INTO progress VALUES (?,?,?,?,?,?,?,?,?,?)", old.execute("SELECT * FROM progress")
            )
        with contextlib.suppress(sqlite3.Error):
            old.close()

    def recover(self) -> None:
        """Goes back to the disk, if it could not be used and can now. To be called now and then."""
        with self._lock:
            if not self.trouble or time.monotonic() < self._retry:
                return
            self._retry = time.monotonic() + _RETRY
            try:
                self._put_aside() if self._path.exists() else None
                new = self._open()
                new.execute("BEGIN")
                rows = self._connection.execute("SELECT * FROM progress")
                new.executemany("INSERT OR REPLACE INTO progress VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
                new.execute("COMMIT")
            except (sqlite3.Error, OSError):
                return
            self._connection.close()
            self._connection = new
            self.trouble = ""
            log.info("%s can be written again", self._path)

    def _run(self, statements: Iterable[tuple[str, list[tuple[object, ...]]]]) -> None:
        """Runs them in one transaction."""
        statements = list(statements)
        with self._lock:
            for _ in range(2):
                try:
                    if not self._connection.in_transaction:
                        self._connection.execute("BEGIN")
                    for sql, rows in statements:
                        self._connection.executemany(sql, rows)
                    self._connection.execute("COMMIT")
                    return
                except sqlite3.Error as error:
                    self._fail(error)

    def _ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                self._fail(error)
                return self._connection.execute(sql, values).fetchall()

    def mark(self, lane: str, marks: Iterable[tuple[FileKey, Position]]) -> None:
        """This much of these files was acknowledged to `lane`."""
        now = uptime()
        rows: list[tuple[object, ...]] = [
            (*_blobs(key), lane, at.offset, at.line, at.changed, at.fingerprint, self._boot, now) for key, at in marks
        ]
        self._run([("INSERT OR REPLACE INTO progress VALUES (?,?,?,?,?,?,?,?,?,?)", rows)])

    def forget(self, keys: Iterable[FileKey]) -> None:
        """These files are no longer in the spool. On disk with the next mark: until then it is only useless."""
        rows = [_blobs(key) for key in keys]
        with self._lock:
            try:
                if not self._connection.in_transaction:
                    self._connection.execute("BEGIN")
                self._connection.executemany("DELETE FROM progress WHERE directory=? AND name=? AND inode=?", rows)
            except sqlite3.Error as error:
                self._fail(error)
                self._connection.executemany("DELETE FROM progress WHERE directory=? AND name=? AND inode=?", rows)

    def commit(self) -> None:
        """Writes what forget() left."""
        if self._connection.in_transaction:
            self._run([])

    def position(self, lane: str, key: FileKey) -> Position | None:
        """Where `lane` goes on in this file; None: at its beginning."""
        sql = "SELECT offset, line, changed, fingerprint FROM progress WHERE directory=? AND name=? AND inode=? AND lane=?"
        rows = self._ask(sql, (*_blobs(key), lane))
        return Position(*rows[0]) if rows else None  # type: ignore[arg-type]  # the table's types

    def of_file(self, key: FileKey) -> dict[str, Position]:
        """The positions of all lanes that have one in this file."""
        sql = "SELECT lane, offset, line, changed, fingerprint FROM progress WHERE directory=? AND name=? AND inode=?"
        return {str(lane): Position(*rest) for lane, *rest in self._ask(sql, _blobs(key))}  # type: ignore[arg-type]

    def count(self, lane: str) -> int:
        """In how many files `lane` has a position."""
        return int(self._ask("SELECT count(*) FROM progress WHERE lane=?", (lane,))[0][0])  # type: ignore[call-overload,no-any-return]

    def all_of(self, lane: str, within: float | None = None) -> Iterator[tuple[FileKey, Position]]:
        """The files `lane` has a position in, by name; those it got acknowledged longer than `within` seconds ago are left out, if known."""
        last: tuple[object, ...] = (b"", b"", -1)
        since = uptime() - within if within is not None else -1.0
        sql = (
            "SELECT directory, name, inode, offset, line, changed, fingerprint FROM progress WHERE lane=? AND (boot!=? OR at>=?)"
            f" AND (directory, name, inode) > (?,?,?) ORDER BY directory, name, inode LIMIT {_PAGE}"
        )
        while rows := self._ask(sql, (lane, self._boot, since, *last)):
            for directory, name, inode, *rest in rows:
                yield FileKey(os.fsdecode(directory), os.fsdecode(name), int(inode)), Position(*rest)  # type: ignore[arg-type,call-overload]
            last = rows[-1][:3]

    def note_receiver(self, lane: str, identity: str) -> None:
        """The receiver that has everything `lane` delivered; see Backend.identity."""
        self._run([("INSERT OR REPLACE INTO receivers VALUES (?,?)", [(lane, identity)])])

    def receiver(self, lane: str) -> str:
        """What was noted last; empty if nothing was."""
        rows = self._ask("SELECT identity FROM receivers WHERE lane=?", (lane,))
        return str(rows[0][0]) if rows else ""

    def clean(self, lanes: Iterable[str], directories: Iterable[str]) -> None:
        """Drops what belongs to lanes or spools that are no more, and to files that are gone."""
        lanes = list(lanes)
        spools: list[object] = [os.fsencode(directory) for directory in directories]
        for column, known in (("lane", list[object](lanes)), ("directory", spools)):
            holes = ",".join("?" * len(known))
            self._run(
                [(f"DELETE FROM progress WHERE {column} NOT IN ({holes})", [tuple(known)])]
            )  # only question marks
        for lane in lanes:
            gone = []
            for key, _ in self.all_of(lane):
                try:
                    if inode_of(os.lstat(key.path)) == key.inode:
                        continue
                except FileNotFoundError:
                    pass
                except OSError:
                    continue
                gone.append(key)
            self.forget(gone)
        self.commit()

    def close(self) -> None:
        """Writes and closes it."""
        with self._lock:
            if not self._closed:
                self.commit()
                self._closed = True
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()


def _blobs(key: FileKey) -> tuple[bytes, bytes, int]:
    return os.fsencode(key.directory), os.fsencode(key.name), key.inode
