"""When a file has been delivered to every lane, it leaves the spool for the replay window."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping

from graphios.delivery.progress import Progress
from graphios.delivery.rejects import Watermark
from graphios.delivery.troubles import Troubles
from graphios.delivery.window import Window
from graphios.inputs.spool import FileKey, SpoolError, inode_of


class Removal:
    """For several threads."""

    def __init__(
        self, progress: Progress, window: Window, watermark: Watermark, troubles: Troubles, lanes: Iterable[str]
    ) -> None:
        self._progress, self._window, self._watermark, self._troubles = progress, window, watermark, troubles
        self._lanes = frozenset(lanes)
        self._lock = threading.Lock()
        self.removed = 0

    def consider(self, keys: Iterable[FileKey], lane: str = "", offsets: Mapping[FileKey, int] | None = None) -> None:
        """Moves those of these files away that every lane has finished, as they are now. What can't be moved stays, and is said.

        `offsets` are the positions of `lane`, which need not be looked up then.
        """
        known = offsets if self._lanes == {lane} else None
        gone = []
        with self._lock:
            for key in keys:
                try:
                    if self._remove(key, known):
                        gone.append(key)
                        self._watermark.forget(key)
                        self._troubles.over(key.directory)
                except SpoolError as error:
                    self._troubles.say(key.directory, str(error))
                    break
            if gone:
                self._progress.forget(gone)

    def _remove(self, key: FileKey, known: Mapping[FileKey, int] | None) -> bool:
        """Whether the file is gone now."""
        try:
            status = os.lstat(key.path)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise SpoolError(f"{key.path}: {error.strerror}") from error
        if inode_of(status) != key.inode:
            return True
        if known is not None:
            reached = known[key]
        else:
            positions = self._progress.of_file(key)
            reached = min(positions[lane].offset if lane in positions else -1 for lane in self._lanes)
        if reached < status.st_size:
            return False
        self._window.take(key, status.st_size)
        self.removed += 1
        return True
