"""The jobs that Nagios waits for, one file each: what a broker that is killed leaves to its successor.

It has to outlive the broker, not the machine: without Nagios nobody waits for them. So it belongs into a folder in memory, and nothing is synced.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from checks.engine.log import log
from checks.engine.worker.messages import Answer, BadFrame, Work, decode, encode

_PREFIX = "job."


class InUse(Exception):
    """Another broker has this journal."""


class Entry(NamedTuple):
    """A job, and who handed it over."""

    work: Work
    job_id: int
    """Nagios's own number of it, on this connection."""
    connection: str
    """The name of the connection it came by."""
    nagios: str
    """Which run of Nagios sent it, see broker.run_of()."""
    received: float
    """In seconds since the epoch."""


class Journal:
    """A folder of jobs. For one broker at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, InUse."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if isinstance(error, BlockingIOError):
                raise InUse(f"another worker uses the journal {folder}") from None
            raise
        self.killed = os.pread(self._lock, 1000, 0).decode("ascii", "replace")
        """The run of Nagios that a predecessor served which did not end well; empty when there was none."""

    def serves(self, nagios: str) -> None:
        """Notes which run of Nagios this broker serves."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, len(nagios))
            os.pwrite(self._lock, nagios.encode("ascii"), 0)

    def entries(self) -> Iterator[Entry]:
        """What is in it, the oldest first; a file that is none is removed, and named in the log. Raises OSError."""
        listed = os.listdir(self._folder)  # noqa: PTH208
        names = sorted(int(name.removeprefix(_PREFIX)) for name in listed if _is_ours(name))
        for name in listed:
            # Of a job that was struck in the same moment.
            if name.startswith("answer.") and name.replace("answer.", _PREFIX) not in listed:
                (self._folder / name).unlink(missing_ok=True)
        for number in names:
            path = self._path(number)
            try:
                yield _read(path.read_bytes(), number)
            except (OSError, ValueError, KeyError, TypeError, BadFrame) as error:
                log.warning("%s is dropped: %s", path, error)
                self.strike(number)

    def enter(self, entry: Entry) -> None:
        """Writes a job down. Raises OSError; then it is not there."""
        rest = entry._asdict()
        del rest["work"]
        path = self._path(entry.work.number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        data = json.dumps(rest).encode() + b"\n" + encode(entry.work)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, "not all of it could be written", str(path))
        except OSError:
            self.strike(entry.work.number)
            raise
        finally:
            os.close(fd)

    def settle(self, answer: Answer) -> None:
        """Notes the answer of a job whose perfdata is in the spool: it must not be run and spooled again. For any thread."""
        with contextlib.suppress(OSError):
            self._answer_path(answer.number).write_bytes(encode(answer._replace(spool=b"")))

    def settled(self, number: int) -> Answer | None:
        """The answer that was noted for a job."""
        try:
            answer = decode(self._answer_path(number).read_bytes())
        except (OSError, BadFrame):
            return None
        return answer if isinstance(answer, Answer) and answer.number == number else None

    def strike(self, number: int) -> None:
        """Takes a job out; nobody waits for it any more."""
        for path in (self._path(number), self._answer_path(number)):
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """The broker ends well."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def _answer_path(self, number: int) -> Path:
        return self._folder / f"answer.{number}"

    def _path(self, number: int) -> Path:
        return self._folder / f"{_PREFIX}{number}"


def _is_ours(name: str) -> bool:
    rest = name.removeprefix(_PREFIX)
    return name.startswith(_PREFIX) and rest.isascii() and rest.isdigit()


def _read(data: bytes, number: int) -> Entry:
    head, _, frame = data.partition(b"\n")
    work = decode(frame)
    if not isinstance(work, Work) or work.number != number:
        raise ValueError("not the job that its name says")
    rest = json.loads(head)
    return Entry(work, int(rest["job_id"]), str(rest["connection"]), str(rest["nagios"]), float(rest["received"]))
