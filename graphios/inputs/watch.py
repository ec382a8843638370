"""Notices new files in directories at once, for any number of waiting threads.

A file is there when it was moved or linked into a directory, or closed after it was written. inotify(7) tells, through inotify-simple; where
it can't (not installed, its limits reached, a file system whose changes come from elsewhere), waiting is a pause of the time that was given.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inotify_simple import INotify

_LOG = logging.getLogger("graphios")

# See inotify(7).
_CLOSE_WRITE, _MOVED_TO, _CREATE = 0x08, 0x80, 0x100
_GONE = 0x400 | 0x800 | 0x2000 | 0x8000  # deleted, moved, unmounted, watch removed
_OVERFLOW = 0x4000
_WATCHED = _CLOSE_WRITE | _MOVED_TO | _CREATE | 0x400 | 0x800 | 0x01000000  # the last: directories only

_LOOK_AGAIN = 1.0
"""Seconds between two looks whether each directory is still the one that is watched."""


class Watcher:
    """One thread that watches all directories. `wait` serves any number of threads; none takes another's news."""

    def __init__(self, directories: Sequence[str]) -> None:
        self.notified = False
        """Whether new files are noticed at once."""
        self._directories = tuple(dict.fromkeys(directories))
        self._changes = 0
        self._changed = threading.Condition()
        self._inotify: INotify | None = None
        self._watches: dict[int, str] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._told: set[str] = set()
        self._closing = False
        self._wake_end, self._read_end = -1, -1
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins to watch. Never fails: what can't be watched is logged, and looked at by those who wait."""
        try:
            from inotify_simple import INotify

            self._inotify = INotify()
            self._read_end, self._wake_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except (ImportError, OSError) as error:
            self._give_up(str(error))
            return
        self.notified = True
        self._watch_all()
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, and every wait."""
        self._closing = True
        if self._wake_end >= 0:
            with contextlib.suppress(OSError):
                os.write(self._wake_end, b"x")
            self._thread.join(5)
            for end in (self._wake_end, self._read_end):
                os.close(end)
            self._wake_end = -1
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self.wake()

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, seen: int, seconds: float) -> int:
        """Returns when anything arrived since `seen`, at the latest after `seconds`: the number to pass as `seen` next time.

        It is 0 in the beginning. Files that were there before start() are not news.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen or self._closing, seconds)
            return self._changes

    def wake(self) -> None:
        """Ends every wait. May be called by any thread; not by signal handlers, as it takes a lock."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _give_up(self, reason: str) -> None:
        self.notified = False
        _LOG.warning("new files are noticed by looking for them, not at once: %s", reason)

    def _run(self) -> None:
        assert self._inotify is not None
        poll = select.poll()
        poll.register(self._inotify.fileno(), select.POLLIN)
        poll.register(self._read_end, select.POLLIN)
        looked = time.monotonic()
        while not self._closing:
            try:
                poll.poll(_LOOK_AGAIN * 1000)
                # All of them: some tell that a directory is gone.
                news = [self._is_news(event.wd, event.mask, event.name) for event in self._inotify.read(timeout=0)]
                if any(news):
                    self.wake()
            except OSError as error:
                self._give_up(str(error))
                return
            if time.monotonic() - looked >= _LOOK_AGAIN or len(self._watches) < len(self._directories):
                looked = time.monotonic()
                self._watch_all()

    def _is_news(self, watch: int, mask: int, name: str) -> bool:
        if mask & _OVERFLOW:
            return True
        if mask & _GONE:
            directory = self._watches.pop(watch, None)
            self._seen.pop(directory or "", None)
            return False
        if name.startswith("."):
            return False  # being written
        if mask & (_CLOSE_WRITE | _MOVED_TO):
            return True
        try:
            # Made just now and not empty: a hard link to something whole.
            return Path(self._watches.get(watch, ""), name).lstat().st_size > 0
        except OSError:
            return False

    def _watch_all(self) -> None:
        """Watches what is not watched yet, or is another directory by now. Such a one may hold files already: that is news."""
        for directory in self._directories:
            try:
                status = Path(directory).stat()
                if self._seen.get(directory) == (status.st_dev, status.st_ino):
                    continue
                self._forget(directory)
                assert self._inotify is not None
                self._watches[self._inotify.add_watch(directory, _WATCHED)] = directory
                self._seen[directory] = (status.st_dev, status.st_ino)
                self._told.discard(directory)
            except OSError as error:
                self._forget(directory)
                if directory not in self._told:
                    self._told.add(directory)
                    _LOG.warning("%s: new files are noticed by looking for them: %s", directory, error.strerror)
                continue
            if self._thread.is_alive():
                self.wake()

    def _forget(self, directory: str) -> None:
        self._seen.pop(directory, None)
        for watch in [watch for watch, watched in self._watches.items() if watched == directory]:
            del self._watches[watch]
            with contextlib.suppress(OSError):
                if self._inotify is not None:
                    self._inotify.rm_watch(watch)
