"""One idle connection to a carbon: its end tells that carbon died, and lost what it had not written yet.

Some servers close idle connections and live on. A heartbeat, one line of our own every minute, keeps most of them from it. Where one closes
nevertheless, again and again after the same time, and takes the next connection at once, the end means nothing: carbon takes longer to start.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from graphios.backends.connection import Connection
from graphios.errors import Stopped

log = logging.getLogger("graphios")

HEARTBEAT = 60.0
"""Seconds between two of them; carbon-c-relay ends connections that were idle for ten minutes."""

_ALIKE = 3
"""So many ends after the same time make a rule. Until then each is taken for a death."""


class IdleLimit:
    """What is known of a server's habit to close idle connections. Outlives the single connection."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ages: list[float] = []
        self.seconds: float | None = None

    def closed_after(self, age: float) -> bool:
        """Whether an end after `age` idle seconds, with the next connection taken at once, is a habit."""
        if self._ages and not _alike(age, self._ages[0]):
            self._ages.clear()
        self._ages.append(age)
        if len(self._ages) < _ALIKE:
            return False
        if self.seconds is None or not _alike(age, self.seconds):
            log.warning(
                "%s closes connections that are idle for %.3g s; that this one ends is no longer taken for a restart",
                self._address,
                age,
            )
        self.seconds = age
        del self._ages[:-_ALIKE]
        return True


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= max(0.5, 0.05 * other)


class Monitor:
    """Watches from a thread of its own, so that it notices at once whatever else waits."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        limit: IdleLimit,
        heartbeat: Callable[[], bytes] | None = None,
        interval: float = HEARTBEAT,
    ) -> None:
        """Connects. Raises OSError, Stopped. `heartbeat` makes what is sent every `interval` seconds; None: nothing is."""
        self._connect = connect
        self._limit = limit
        self._heartbeat = heartbeat
        self._interval = interval
        self._ended = threading.Event()
        self._closed = False
        self._connection = connect()
        self._thread = threading.Thread(target=self._watch, name="carbon monitor", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the connection has ended. Never blocks."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it ends within `seconds`."""
        return self._ended.wait(seconds)

    def close(self) -> None:
        """Ends it without waiting for anything."""
        self._closed = True
        self._connection.end()

    def _watch(self) -> None:
        with suppress(OSError, Stopped):
            self._connection.keep_alive()
            while (age := self._until_end()) is not None:
                if not self._reconnected() or not self._limit.closed_after(age):
                    break
        self._ended.set()
        self._connection.close()

    def _until_end(self) -> float | None:
        """The idle seconds before the peer's orderly end; None: closed by us. Raises OSError for any other end."""
        active = time.monotonic()
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while not self._closed:
            interval = min(self._interval, (self._limit.seconds or self._interval) / 2)
            left = active + interval - time.monotonic()
            if not self._heartbeat:
                poll.poll()
            elif left > 0:
                poll.poll(left * 1000)
            else:
                self._connection.send(self._heartbeat())
                active = time.monotonic()
            if self._connection.received() == b"" and not self._closed:
                return time.monotonic() - active
        return None

    def _reconnected(self) -> bool:
        """Whether the server took a connection at once, which is our new one."""
        started = time.monotonic()
        connection = self._connect()
        self._connection.close()
        self._connection = connection
        connection.keep_alive()
        if self._closed:
            connection.end()
        return time.monotonic() - started < 1
