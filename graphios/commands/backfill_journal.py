"""How far a backfill has come: an SQLite file for each backfill and backend, so that an interrupted one goes on where it was."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphios.errors import GraphiosError

_TABLES = """
    create table if not exists file (path text primary key, identity text, lines integer);
    create table if not exists fact (name text primary key, value)
"""


class JournalError(GraphiosError):
    """The journal can't be used; the message names it and says why."""


def key(words: Sequence[str]) -> str:
    """Names one backfill by what it was asked to do."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:12]


class Journal:
    """Files and lines that one backend has acknowledged, and the counts up to there. For one thread at a time."""

    def __init__(self, path: Path, restart: bool) -> None:
        """Opens or makes `path`, anew with `restart`, and locks it. Raises JournalError, also when another backfill uses it."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if restart:
                self._unlink()
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript(_TABLES)
        except BlockingIOError:
            raise JournalError("the same backfill runs already") from None
        except OSError as error:
            raise JournalError(f"journal {path}: {error.strerror}") from None
        except sqlite3.Error as error:
            raise JournalError(f"journal {path}: {error}; --restart begins anew") from None

    def lines(self, path: str, identity: str) -> int:
        """How many lines of the file are done; 0 where it is another file than then."""
        row = self._one("select lines from file where path = ? and identity = ?", (path, identity))
        return int(row) if isinstance(row, int) else 0

    def fact(self, name: str) -> object:
        """What was kept under `name`; None where nothing was."""
        return self._one("select value from fact where name = ?", (name,))

    def keep_fact(self, name: str, value: object) -> None:
        """Keeps a text or number. Raises JournalError."""
        self._write(["insert or replace into fact values (?, ?)"], [(name, value)])

    def counts(self) -> Counter[str]:
        """The counts up to what is done."""
        rows = self._database.execute("select name, value from fact where name like 'count %'").fetchall()
        return Counter({name[6:]: int(value) for name, value in rows})

    def done(self, files: Mapping[str, tuple[str, int]], counts: Counter[str]) -> None:
        """So many first lines of each file (path: identity, lines) are done, and `counts` hold. Raises JournalError."""
        marks = [(path, identity, lines) for path, (identity, lines) in files.items()]
        facts = [(f"count {name}", value) for name, value in counts.items()]
        self._write(
            ["insert or replace into file values (?, ?, ?)"] * len(marks)
            + ["insert or replace into fact values (?, ?)"] * len(facts),
            [*marks, *facts],
        )

    def finish(self) -> None:
        """Everything is done: forgets it."""
        self.close()
        self._unlink()

    def close(self) -> None:
        """Lets go of it; what was kept stays."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _unlink(self) -> None:
        for end in ("", "-journal", ".lock"):
            with contextlib.suppress(OSError):
                Path(f"{self.path}{end}").unlink()

    def _one(self, query: str, values: tuple[object, ...]) -> object:
        try:
            row = self._database.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}; --restart begins anew") from None
        return row[0] if row else None

    def _write(self, statements: list[str], values: Sequence[tuple[object, ...]]) -> None:
        try:
            self._database.execute("begin")
            for statement, row in zip(statements, values, strict=True):
                self._database.execute(statement, row)
            self._database.execute("commit")
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}") from None
