"""Files that a receiver does not take: kept in `<state>/set-aside/<lane>/`, each with its reason beside it, for a human."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path

from graphios.backends.base import DeliveryError
from graphios.inputs.spool import FileKey

log = logging.getLogger("graphios")


class SetAside:
    """The directory."""

    def __init__(self, state: Path) -> None:
        self.directory = state / "set-aside"

    def keep(self, key: FileKey, lane: str, reason: str) -> None:
        """Keeps a copy of the file (a second name where possible), and why. Raises DeliveryError when it can't; a file that is gone is not missed."""
        target = self.directory / lane.replace("/", "_") / key.name[:200]
        try:
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            try:
                self._copy(key.path, target)
            except FileNotFoundError:
                return
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            target.with_name(f"{target.name}.reason").write_text(f"{stamp} {reason}\n", encoding="utf-8")
        except OSError as error:
            raise DeliveryError(f"{target}: {error.strerror}") from error
        log.error("%s is set aside as %s: %s", key.path, target, reason)

    @staticmethod
    def _copy(source: str, target: Path) -> None:
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return
        hidden = target.with_name(f".{target.name}")
        shutil.copyfile(source, hidden, follow_symlinks=False)
        with hidden.open("rb") as copy:
            os.fsync(copy.fileno())
        hidden.rename(target)

    @property
    def files(self) -> int:
        """How many lie there."""
        try:
            return sum(1 for path in self.directory.glob("*/*") if path.suffix != ".reason")
        except OSError:
            return 0
