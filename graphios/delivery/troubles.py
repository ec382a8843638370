"""What is wrong at the moment: logged when it begins, again now and then while it lasts, and shown in the status."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger("graphios")

_REMIND = 300.0
"""Seconds between two log lines about the same trouble."""
_MOST = 1000


class Troubles:
    """One text for each thing something may be wrong with. For several threads."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self.said = 0

    def say(self, about: str, text: str) -> None:
        """`text` is wrong with `about`; logged, but not every second."""
        now = time.monotonic()
        with self._lock:
            self.said += 1
            old, told = self._texts.get(about, ("", now - _REMIND))
            tell = old != text or now - told >= _REMIND
            if about not in self._texts and len(self._texts) >= _MOST:
                del self._texts[next(iter(self._texts))]
            self._texts[about] = text, now if tell else told
        if tell:
            log.error("%s", text)

    def over(self, about: str) -> None:
        """Nothing is wrong with it any more."""
        if about in self._texts:
            with self._lock:
                self._texts.pop(about, None)

    def current(self) -> list[str]:
        """The texts, the most recent last."""
        with self._lock:
            return [text for text, _ in self._texts.values()]
