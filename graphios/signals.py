"""Signals as calls in a thread of their own.

A handler runs in the middle of whatever the main thread does, which may hold the very lock the handler needs; a thread does not.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def answered(calls: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """For the length of a with statement these signals are nothing but these calls. For the main thread."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)

    def wait() -> None:
        while numbers := os.read(ours, 100):
            for number in numbers:
                if number in calls:
                    calls[signal.Signals(number)]()

    thread = threading.Thread(target=wait, name="signals", daemon=True)
    thread.start()
    wakeup = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in calls}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(theirs)
        thread.join()
        os.close(ours)
