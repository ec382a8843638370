"""Prometheus remote write 1.0, to Prometheus itself or what else takes it.

How Prometheus (2.42, measured) treats a request: one sample out of order, out of bounds or other than what it holds
for that time makes it answer 400 and forget the whole request, without a word on which sample it was; with a window
for late samples, one that is later still is a 500, "too old sample". Two values for one time within a request, or
samples of a series in the wrong order, are dropped without a word. A sample that it has already is fine while it is
the newest of its series, otherwise it is out of order: so a batch that is sent again is mostly refused. And one
sample from the future makes all of today out of bounds.

So: samples go sorted, one for each time; those from the future don't go. Where a request is refused, Prometheus is
asked what it holds: what is there already is done, what is older than its series' newest goes by itself, and the rest
is good. Where it can't be asked, or that does not help, the request is halved.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from graphios.backends.base import POINTS, DeliveryError, Refused, Remembering
from graphios.backends.halving import settle
from graphios.backends.http import Answer, Http, shown
from graphios.backends.line_protocol import number
from graphios.backends.remote_write import HEADERS, Sample, Series, request, sample
from graphios.backends.stored import look, query_address
from graphios.configuration.settings import PrometheusBackend
from graphios.errors import GraphiosError
from graphios.points import Point

_CONTENT = (400, 409, 413, 422)
_TOO_OLD = "too old sample"
_BOUNDS = "out of bounds"
_ORDER = "out of order"
_AHEAD = 600
"""Seconds that a sample may be ahead of our clock; Prometheus allows as much to what it scrapes."""
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

Found = list[tuple[Sample, str]]


class Prometheus(Remembering):
    """One Prometheus. It has written to its log what it acknowledged."""

    takes = POINTS

    def __init__(
        self,
        settings: PrometheusBackend,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Connects to nothing yet; `stopping` is asked several times a second. Raises GraphiosError for a metric's
        name that Prometheus would drop without a word.
        """
        if not _METRIC.fullmatch(settings.metric):
            raise GraphiosError(f"{settings.name}: {settings.metric!r} is no name for a metric of Prometheus")
        self.name, self.address = settings.name, settings.url
        self._metric, self._clock = settings.metric, clock
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        login = (settings.username, settings.password)
        self._http = Http(f"{self.name} {self.address}", settings.delivery, settings.tls, stopping, login, headers)
        self._url = settings.url
        self._query = query_address(settings.url)

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """Returns when all points are stored. Raises Refused (with the points that never will be), DeliveryError,
        Stopped.
        """
        refused: list[tuple[int, str]] = []
        samples: list[Sample] = []
        latest = self._clock() + _AHEAD
        for position, item in enumerate(items):
            if not isinstance(item, Point):
                continue
            if not number(item.value):
                refused.append((position, "no 64-bit number"))
            elif item.timestamp > latest:
                refused.append((position, f"more than {_AHEAD} s in the future: it would keep all others out"))
            else:
                samples.append(sample(position, item, self._metric))
        samples, twice = _one_for_each_time(samples)
        refused += [(one.position, reason) for one, reason in twice]
        if samples:
            refused += [(one.position, reason) for one, reason in self._store(samples)]
        if refused:
            refused.sort()
            raise Refused(f"{self.name} {self.address}: refuses {len(refused)} of {len(items)} values", refused)

    def close(self) -> None:
        """Gives the connection up."""
        self._http.close()

    def _store(self, samples: list[Sample]) -> Found:
        """The samples that are not taken, with the reason; all others are. Raises DeliveryError, Stopped."""
        answer = self._write(samples)
        if answer.taken:
            return []
        if answer.status != 413:
            self._see_whether_it_is_well(answer)
        stored = look(self._http, self._query, samples) if self._query else None
        if stored is None or answer.status == 413:
            return settle(samples, self._attempt, _reason(answer))
        late, fresh, refused = [], [], []
        for one in samples:
            if one.milliseconds > stored.newest.get(one.series, -1):
                fresh.append(one)
                continue
            held = stored.values.get((one.series, one.milliseconds))
            if held is None:
                late.append(one)
            elif held != one.value:
                refused.append((one, f"another value ({held:.15g}) is stored for this time"))
        refused += self._store_late(late) if late else []
        return refused + (self._store_fresh(fresh) if fresh else [])

    def _store_late(self, samples: list[Sample]) -> Found:
        """Those that are older than what their series hold. Without a window for late samples none is taken."""
        reason = self._attempt(samples)
        if reason is None:
            return []
        if _ORDER in reason or _BOUNDS in reason:
            return [(one, f"{reason}: newer ones are stored already") for one in samples]
        return settle(samples, self._attempt, reason)

    def _store_fresh(self, samples: list[Sample]) -> Found:
        """Those that are the newest of their series, or the first."""
        reason = self._attempt(samples)
        if reason is None:
            return []
        if _BOUNDS not in reason and _TOO_OLD not in reason:
            return settle(samples, self._attempt, reason)
        refused, samples = self._too_old(samples)
        if not samples:
            return refused
        reason = self._attempt(samples)
        return refused + (settle(samples, self._attempt, reason) if reason else [])

    def _too_old(self, samples: list[Sample]) -> tuple[Found, list[Sample]]:
        """Without those that are out of bounds. The bound is a point in time, the same for all series: it is searched
        with the first sample of each series,
        which may be stored without keeping another one out.
        """
        refused: Found = []
        while samples:
            firsts = _firsts(samples)
            low, high = 0, len(firsts)  # firsts[:low] are too old, firsts[high:] are not
            middle = high - 1
            reason = ""
            while low < high:
                answer = self._attempt([firsts[middle]])
                if answer is None:
                    high = middle
                elif _BOUNDS in answer or _TOO_OLD in answer:
                    low, reason = middle + 1, answer
                else:
                    return refused, samples
                middle = (low + high) // 2
            if low == 0:
                break
            bound = firsts[low - 1].milliseconds
            refused += [(one, reason) for one in samples if one.milliseconds <= bound]
            samples = [one for one in samples if one.milliseconds > bound]
        return refused, samples

    def _attempt(self, samples: Sequence[Sample]) -> str | None:
        answer = self._write(samples)
        return None if answer.taken else _reason(answer)

    def _write(self, samples: Sequence[Sample]) -> Answer:
        answer = self._http.post(self._url, request(samples), HEADERS)
        if answer.taken or answer.status in _CONTENT or (answer.status == 500 and _TOO_OLD in answer.text):
            return answer
        raise self._http.refusal(answer)

    def _see_whether_it_is_well(self, refusal: Answer) -> None:
        """An answer of 400 may mean that the request is wrong, whatever it holds: then an empty one is refused as
        well. Raises DeliveryError.
        """
        if not self._http.post(self._url, request([]), HEADERS).taken:
            raise DeliveryError(f"{self.name} {self.address}: {refusal.said}")


def _one_for_each_time(samples: list[Sample]) -> tuple[list[Sample], Found]:
    """Sorted by time, without repetitions; and what differs from what came first for the same time, as Prometheus
    would refuse it.
    """
    first: dict[tuple[Series, int], Sample] = {}
    twice: Found = []
    for one in samples:
        there = first.setdefault((one.series, one.milliseconds), one)
        if there is not one and there.value != one.value:
            twice.append((one, f"another value ({there.value:.15g}) came first for this time"))
    return sorted(first.values(), key=lambda one: one.milliseconds), twice


def _firsts(samples: list[Sample]) -> list[Sample]:
    """The first sample of each series; `samples` and these are sorted by time."""
    seen: dict[Series, Sample] = {}
    for one in samples:
        seen.setdefault(one.series, one)
    return list(seen.values())


def _reason(answer: Answer) -> str:
    return shown(answer.text) or answer.said
