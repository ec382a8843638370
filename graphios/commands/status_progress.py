"""What two or more status documents tell: rates, and how far the work on a backlog has come."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from graphios.commands.status_document import Document
from graphios.commands.units import count, duration, many, size

_KEPT = 15
"""Documents a rate is taken over: 30 s."""

_BACKLOG = 10.0
"""Seconds of lag from which waiting files are a backlog, and not what was just written."""

_BAR = 20


class _Seen(NamedTuple):
    time: float
    acknowledged: int
    waiting: int


class _Backend:
    """One backend over time: what it acknowledged, and the bytes that wait for it."""

    def __init__(self) -> None:
        self.seen: deque[_Seen] = deque(maxlen=_KEPT)
        self.most = 0
        self.lag = 0.0
        self.files = 0
        self.state = ""

    def add(self, seen: _Seen) -> None:
        if self.seen and (seen.acknowledged < self.seen[-1].acknowledged or seen.time < self.seen[-1].time):
            self.seen.clear()  # graphios was started anew
        if self.seen and seen.time == self.seen[-1].time:
            return
        self.seen.append(seen)

    def rate(self, field: str) -> float | None:
        """What `field` gained a second; None before there are two documents."""
        if len(self.seen) < 2:
            return None
        first, last = self.seen[0], self.seen[-1]
        gained: int = getattr(last, field) - getattr(first, field)
        return gained / (last.time - first.time)


class Progress:
    """Takes the documents one after the other."""

    def __init__(self) -> None:
        self._backends: dict[str, _Backend] = {}

    def add(self, document: Document) -> None:
        """Take the newest document."""
        names = set()
        for part in document.parts("backends"):
            name = part.text("name")
            names.add(name)
            backend = self._backends.setdefault(name, _Backend())
            waiting = part.count("waiting_bytes")
            backend.add(_Seen(document.number("time") or 0.0, part.count("acknowledged"), waiting))
            backend.lag, backend.files, backend.state = (
                part.number("lag_seconds") or 0.0,
                part.count("waiting_files"),
                part.text("state"),
            )
            # What was worked off before does not count for the next backlog.
            backend.most = max(backend.most, waiting) if waiting and (backend.lag > _BACKLOG or backend.most) else 0
        self._backends = {name: backend for name, backend in self._backends.items() if name in names}

    def rates(self) -> dict[str, float]:
        """Metrics acknowledged a second, by backend, where two documents are known."""
        found = {name: backend.rate("acknowledged") for name, backend in self._backends.items()}
        return {name: rate for name, rate in found.items() if rate is not None}

    def lines(self) -> list[str]:
        """A line for each backend: its rate, and how far it is where it works off a backlog."""
        return [_line(name, backend) for name, backend in self._backends.items()]


def _line(name: str, backend: _Backend) -> str:
    rate = backend.rate("acknowledged")
    said = f"{name}: {backend.state or '?'}" + (f", {count(rate)} metrics/s" if rate is not None else "")
    waiting = backend.seen[-1].waiting if backend.seen else 0
    if not backend.most:
        return f"{said}, no backlog"
    done = 1 - waiting / backend.most
    bar = "#" * int(done * _BAR)
    said += f", backlog [{bar.ljust(_BAR, '.')}] {int(done * 100)}% of {size(backend.most)} done"
    said += f", {many(backend.files, 'file')} ({size(waiting)}) left"
    gain = backend.rate("waiting")
    if gain is None:
        return said
    if gain < 0:
        return f"{said}, {size(-gain)}/s, about {duration(waiting / -gain)} to go"
    return f"{said}, growing by {size(gain)}/s" if gain else f"{said}, standing still"
