"""The file of a Pacer: SQLite, the series carbon has, and the lines that wait for theirs to be created."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    known REAL,      -- when it was first acknowledged
    queued INTEGER   -- its place among those with parked lines
);
CREATE INDEX IF NOT EXISTS series_queued ON series (queued) WHERE queued IS NOT NULL;
CREATE TABLE IF NOT EXISTS parked (
    id INTEGER NOT NULL,
    line TEXT NOT NULL,
    place INTEGER NOT NULL,
    delivered REAL,  -- when; kept for the replay window
    PRIMARY KEY (id, line)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parked_waiting ON parked (id) WHERE delivered IS NULL;
CREATE INDEX IF NOT EXISTS parked_delivered ON parked (delivered) WHERE delivered IS NOT NULL;
CREATE TABLE IF NOT EXISTS clock (seconds REAL NOT NULL, place INTEGER NOT NULL);
INSERT INTO clock SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""
_VERSION = 1
_CHUNK = 500
_PAGE = 4096
_RECOUNT = 10.0
_EXPIRE = 60.0


def identity(name: str) -> int:
    """What a series is known by: 64 bits of a hash. Two of a million meet once in 10^7 sites, and then share a turn."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class Store:
    """Opened at the first use, and again after trouble. Every method may raise sqlite3.Error or OSError, and has changed nothing then."""

    def __init__(self, path: Path, replay_seconds: float, clock: Callable[[], float], max_bytes: int) -> None:
        self.path = path
        self._replay = replay_seconds
        self._clock = clock
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None
        self._offset = 0.0
        self._place = 0
        self._expired = self._counted = float("-inf")
        self.waiting = (0, 0)
        """Series and points parked; for any thread."""

    def states(self, series: Sequence[int]) -> Iterator[tuple[int, bool]]:
        """Of those that are in the file: the series, and whether it has parked lines."""
        database = self._open()
        for start in range(0, len(series), _CHUNK):
            chunk = series[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            yield from database.execute(f"SELECT id, queued IS NOT NULL FROM series WHERE id IN ({marks})", chunk)

    def park(self, lines: Sequence[tuple[int, str]]) -> None:
        """Lines, each with its series, in their order; on disk when it returns. A line that is parked already is parked once, as the newest."""
        with self._changing(durable=True) as database:
            place = self._place
            rows = [(series, line, place + number) for number, (series, line) in enumerate(lines, 1)]
            database.executemany(
                "INSERT INTO series (id, queued) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET queued = COALESCE(queued, excluded.queued)",
                [(series, number) for series, _, number in rows],
            )
            database.executemany(
                "INSERT INTO parked (id, line, place) VALUES (?, ?, ?) "
                "ON CONFLICT (id, line) DO UPDATE SET place = excluded.place, delivered = NULL",
                rows,
            )
            self._place = place + len(rows)

    def queue(self) -> Iterator[tuple[int, bool]]:
        """The series with parked lines, the longest waiting first, and whether carbon has it already."""
        database = self._open()
        last = -1
        while rows := database.execute(
            "SELECT id, known IS NOT NULL, queued FROM series WHERE queued > ? ORDER BY queued LIMIT 100", (last,)
        ).fetchall():
            for series, known, last in rows:  # noqa: B007  # where the next hundred begin
                yield series, bool(known)

    def parked(self, series: int, limit: int) -> list[str]:
        """Its parked lines, oldest first, until they are `limit` characters or more."""
        lines: list[str] = []
        size = 0
        rows = self._open().execute(
            "SELECT line FROM parked WHERE id = ? AND delivered IS NULL ORDER BY place", (series,)
        )
        for (line,) in rows:
            lines.append(line)
            size += len(line)
            if size >= limit:
                break
        rows.close()
        return lines

    def unqueue(self, series: int) -> None:
        """It has no parked lines."""
        with self._changing() as database:
            database.execute("UPDATE series SET queued = NULL WHERE id = ?", (series,))

    def delivered(self, series: Sequence[int], lines: Sequence[tuple[int, str]]) -> set[int]:
        """These series exist, and of these parked lines each is delivered. Returns those of the series that have no parked lines left."""
        with self._changing() as database:
            now = self._now()
            database.executemany(
                "INSERT INTO series (id, known) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET known = COALESCE(known, excluded.known)",
                [(one, now) for one in series],
            )
            database.executemany(
                "UPDATE parked SET delivered = ? WHERE id = ? AND line = ?", [(now, one, line) for one, line in lines]
            )
            empty = set()
            for one in series:
                if not database.execute(
                    "SELECT 1 FROM parked WHERE id = ? AND delivered IS NULL LIMIT 1", (one,)
                ).fetchone():
                    database.execute("UPDATE series SET queued = NULL WHERE id = ?", (one,))
                    empty.add(one)
        return empty

    def lost(self) -> None:
        """What came to be, or was delivered, within the replay window, did not."""
        with self._changing(durable=True) as database:
            border = self._now() - self._replay
            again = database.execute("SELECT DISTINCT id FROM parked WHERE delivered >= ?", (border,)).fetchall()
            database.execute("UPDATE parked SET delivered = NULL WHERE delivered >= ?", (border,))
            database.executemany(
                "UPDATE series SET queued = (SELECT MIN(place) FROM parked WHERE parked.id = series.id AND delivered IS NULL) WHERE id = ?",
                again,
            )
            database.execute("DELETE FROM series WHERE known >= ? AND queued IS NULL", (border,))
            database.execute("UPDATE series SET known = NULL WHERE known >= ?", (border,))
            self._counted = float("-inf")

    def close(self) -> None:
        """It may be used again."""
        if self._database:
            with suppress(sqlite3.Error):
                self._database.close()
        self._database = None

    def why(self, error: Exception) -> str:
        """For people."""
        if isinstance(error, sqlite3.DatabaseError) and "full" in str(error):
            return f"{error}; {self.waiting[0]} series wait in it: raise MAX_CREATES_PER_MINUTE in carbon.conf and creates_per_minute"
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return f"{error}; move it away, the points that are parked in it are lost then"
        return str(error)

    def _open(self) -> sqlite3.Connection:
        if self._database:
            return self._database
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise sqlite3.DatabaseError(f"made by a newer graphios (version {version})")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA cache_size = -4000")
            database.execute(f"PRAGMA max_page_count = {max(64, self._max_bytes // _PAGE)}")
            if version < _VERSION:
                database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
            seconds, self._place = database.execute("SELECT seconds, place FROM clock").fetchone()
            # Seconds in which somebody was running: no step of the clock, and no time off, ends the replay window early.
            self._offset = max(seconds + 0.001, self._offset + self._clock()) - self._clock()
            self._count(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def _now(self) -> float:
        return self._clock() + self._offset

    @contextmanager
    def _changing(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction; after trouble nothing of it is there, and the file is opened anew. Not `durable`: a crash of the machine may undo it."""
        database = self._open()
        place = self._place
        try:
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            database.execute("BEGIN IMMEDIATE")
            yield database
            now = self._now()
            if now >= self._expired + _EXPIRE:
                database.execute("DELETE FROM parked WHERE delivered < ?", (now - self._replay,))
                self._expired = now
            database.execute("UPDATE clock SET seconds = ?, place = ?", (now, self._place))
            database.execute("COMMIT")
        except BaseException:
            self._place = place
            self.close()
            raise
        self._count(database)

    def _count(self, database: sqlite3.Connection) -> None:
        """Counting takes time with the file: then it is done every ten seconds, but whether anything waits at all is always known."""
        started = time.monotonic()
        if started < self._counted:
            any_waits = database.execute("SELECT 1 FROM series WHERE queued IS NOT NULL LIMIT 1").fetchone() is not None
            if any_waits == bool(self.waiting[0]):
                return
        series = database.execute("SELECT COUNT(*) FROM series WHERE queued IS NOT NULL").fetchone()[0]
        points = database.execute("SELECT COUNT(*) FROM parked WHERE delivered IS NULL").fetchone()[0]
        self.waiting = (series, points)
        took = time.monotonic() - started
        self._counted = started + (_RECOUNT if took > 0.005 else 0)
