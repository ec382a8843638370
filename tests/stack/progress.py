"""What somebody sees who waits: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Steps with their time; each is shown while it runs (terminal) and when it is done."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._began = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A step that is done when the block ends."""
        self.show(what)
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self._clear()
            raise
        self.done(what, time.monotonic() - began)

    def show(self, what: str) -> None:
        """What is going on just now; nothing unless on a terminal."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            text = f"  ... {time.monotonic() - self._began:4.0f} s  {what}"[:width]
            print(f"\r\033[K{text}", end="", flush=True)

    def done(self, what: str, seconds: float | None = None) -> None:
        """A line that stays."""
        self._clear()
        print(f"  {what:<66}" + ("" if seconds is None else f" {seconds:5.1f} s"), flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", flush=True)
