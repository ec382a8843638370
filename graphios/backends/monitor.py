"""One idle connection to a carbon: its end tells that carbon died, and lost what it had not written yet.

Some servers close idle connections and live on. A heartbeat, one line of our own every minute, keeps most of them from it. Where a connection ended
nevertheless and the server took the next one at once, that end still counts as a death, but from then on heartbeats come in time for it, and a second
connection, younger than the first, bears witness: a death ends both at once, an idle limit only one.
"""

from __future__ import annotations

import logging
import os
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

_SHORTEST = 0.2
"""Seconds; what lives no longer was not closed for being idle."""
_GRACE = 1.0
"""Seconds in which both connections end when the server dies, whatever is between us and it."""


class IdleLimit:
    """After how many idle seconds a server seems to close connections. Outlives the single connection."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.seconds: float | None = None

    def closed_after(self, age: float) -> None:
        """A connection ended after `age` idle seconds, and the next one was taken at once."""
        if age < _SHORTEST:
            return
        if self.seconds is None:
            log.warning(
                "%s ended a connection that was idle for %.3g s, and took the next one at once: it was restarted, or has an idle limit; "
                "a second connection is kept now, to tell which",
                self._address,
                age,
            )
        self.seconds = age


class _Watched:
    def __init__(self, connection: Connection) -> None:
        connection.keep_alive()
        self.connection = connection
        self.active = time.monotonic()

    def ended(self) -> bool:
        try:
            return self.connection.received() == b""
        except OSError:
            return True


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
        self._closed = threading.Event()
        self._watched = [_Watched(connect())]
        self._lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._watch, name="carbon monitor", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the server has died. Never blocks."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it dies within `seconds`."""
        return self._ended.wait(seconds)

    def close(self) -> None:
        """Ends it without waiting for anything."""
        self._closed.set()
        with self._lock:
            if not self._ended.is_set():
                os.eventfd_write(self._bell, 1)

    def _watch(self) -> None:
        try:
            with suppress(OSError, Stopped):
                while not self._closed.is_set():
                    self._pause()
                    self._beat()
                    gone = [one for one in self._watched if one.ended()]
                    if gone and not self._lives_on(gone):
                        break
                    self._call_witness()
        finally:
            for one in self._watched:
                one.connection.close()
            with self._lock:  # a number that was closed may soon be another file's
                self._ended.set()
                os.close(self._bell)

    def _pause(self) -> None:
        """Until something happens, or is to be done."""
        now = time.monotonic()
        times = [one.active + self._beats() - now for one in self._watched] if self._heartbeat else []
        if self._limit.seconds and len(self._watched) < 2:
            times.append(self._watched[0].active + self._limit.seconds / 2 - now)
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for one in self._watched:
            poll.register(one.connection, select.POLLIN)
        poll.poll(max(0.0, min(times)) * 1000 + 1 if times else None)

    def _beats(self) -> float:
        return min(self._interval, (self._limit.seconds or self._interval) / 3)

    def _beat(self) -> None:
        for one in self._watched:
            if self._heartbeat and time.monotonic() >= one.active + self._beats():
                with suppress(OSError):  # its end is seen where ends are looked for
                    one.connection.send(self._heartbeat())
                one.active = time.monotonic()

    def _lives_on(self, gone: list[_Watched]) -> bool:
        """Whether the server that ended these did not die."""
        age = time.monotonic() - max(one.active for one in gone)
        left = [one for one in self._watched if one not in gone]
        for one in gone:
            one.connection.close()
        self._watched = left
        if left:
            self._closed.wait(min(_GRACE, (self._limit.seconds or _GRACE) / 4))
            return not any(one.ended() for one in left)
        started = time.monotonic()
        self._connect().close()
        if time.monotonic() - started < _GRACE:
            self._limit.closed_after(age)
        return False

    def _call_witness(self) -> None:
        """Opens the second connection where one is needed, when the first is half as old as the server lets it become."""
        limit = self._limit.seconds
        if limit and len(self._watched) < 2 and time.monotonic() >= self._watched[0].active + limit / 2:
            self._watched.append(_Watched(self._connect()))
