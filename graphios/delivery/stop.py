"""How everything is told to end."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Stop:
    """Tells everything to end: the process, or this configuration only."""

    def __init__(self) -> None:
        self.process = threading.Event()
        self._wake = threading.Event()
        self.reload = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def end(self) -> None:
        """The process shall end."""
        self.process.set()
        self._wake.set()
        self.wake()

    def read_again(self) -> None:
        """The configuration shall be read again."""
        self.reload.set()
        self._wake.set()
        self.wake()

    def told(self) -> bool:
        """Whether work shall stop."""
        return self._wake.is_set()

    def sleep(self, seconds: float) -> None:
        """Waits so long, or until told to stop."""
        self._wake.wait(seconds)

    def go_on(self) -> None:
        """Work may begin again, unless the process shall end."""
        self.reload.clear()
        if not self.process.is_set():
            self._wake.clear()
