"""InfluxDB, or what else takes its line protocol over HTTP: /write (version 1) or /api/v2/write (version 2).

An answer of 2xx means that all of a batch is stored. InfluxDB stores the good points of a batch and answers 400 or
422 for the others ("partial write"), mostly without saying which: writing a point twice changes nothing, so they are
found by writing parts of the batch again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from graphios.backends.base import POINTS, DeliveryError, Refused
from graphios.backends.halving import settle
from graphios.backends.http import Answer, Http, shown
from graphios.backends.line_protocol import Layout, Written, number
from graphios.configuration.settings import InfluxBackend
from graphios.errors import Stopped
from graphios.points import Point

_CONTENT = (400, 413, 422)
_DROPPED = re.compile(r"dropped=(\d+)")
_OLD = re.compile(r"beyond retention policy|outside retention policy")
_COMMENT = b"# graphios\n"
_SHORT = 8_192
_STARTED = re.compile(r"^vm_app_start_timestamp (\S+)", re.MULTILINE)
_LOOK = 15.0
_LONGEST_METRICS = 1_048_576
_BACKSLASH_AT_RISK = re.compile(r"\\(?=[\\,= ]|\Z)")


class Influx:
    """One database or bucket."""

    takes = POINTS

    def __init__(self, settings: InfluxBackend, stopping: Callable[[], bool]) -> None:
        """Connects to nothing yet; `stopping` is asked several times a second."""
        self.name = settings.name
        base = settings.url.rstrip("/")
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if settings.version == 1:
            query = {"db": settings.database, "rp": settings.retention_policy, "precision": "s"}
            self._url = f"{base}/write?{urlencode({key: value for key, value in query.items() if value})}"
            self.address = f"{base} database {settings.database}"
        else:
            query = {"org": settings.organisation, "bucket": settings.bucket, "precision": "s"}
            self._url = f"{base}/api/v2/write?{urlencode(query)}"
            self.address = f"{base} bucket {settings.bucket}"
        if settings.token:
            headers["Authorization"] = f"Token {settings.token}"
        login = (settings.username, settings.password)
        self._http = Http(f"{self.name} {self.address}", settings.delivery, settings.tls, stopping, login, headers)
        self._layout = Layout(settings)
        # InfluxDB has written to its log what it acknowledged; VictoriaMetrics has not, and is written to as version 2.
        self.forgets = settings.version != 1 and settings.replay_seconds > 0
        self._metrics = f"{base}/metrics"
        self._connections, self._look_at = 0, 0.0
        self._started: str | None = None
        self._doubled: bool | None = None

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """Returns when all points are stored. Raises Refused (with the points that never will be), DeliveryError,
        Stopped.
        """
        points = [(position, item) for position, item in enumerate(items) if isinstance(item, Point)]
        refused = [(position, "no 64-bit number") for position, point in points if not number(point.value)]
        if refused:
            bad = {position for position, _ in refused}
            points = [pair for pair in points if pair[0] not in bad]
        lines = list(self._layout.lines(points, self._doubles_backslashes(points)))
        if lines:
            refused += [(position, reason) for line, reason in self._store(lines) for position in line.positions]
        if refused:
            refused.sort()
            raise Refused(f"{self.name} {self.address}: refuses {len(refused)} of {len(items)} values", refused)

    def lost_memory(self) -> bool:
        """Whether VictoriaMetrics was started anew since it was asked last: after every new connection, and now and then."""
        now = time.monotonic()
        if not self.forgets or (self._http.connections == self._connections and now < self._look_at):
            return False
        self._look_at = now + _LOOK
        try:
            before, self._started = self._started, self._start()
        except (DeliveryError, Stopped):
            return False
        self._connections = self._http.connections
        return before is not None and self._started is not None and before != self._started

    def _start(self) -> str | None:
        """When it was started, as VictoriaMetrics tells; None: it does not. Raises DeliveryError, Stopped."""
        answer = self._http.post(self._metrics, b"", longest=_LONGEST_METRICS)
        found = _STARTED.search(answer.text) if answer.taken else None
        return found[1] if found else None

    def identity(self) -> str:
        """See Backend."""
        try:
            started = self._start() if self.forgets else None
        except (DeliveryError, Stopped):
            return ""
        return f"{self.address} {started}" if started else ""

    def report(self) -> dict[str, int | float | str | None]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Gives the connection up."""
        self._http.close()

    def _store(self, lines: Sequence[Written]) -> list[tuple[Written, str]]:
        """The lines that are not taken, with the reason; all others are. Raises DeliveryError, Stopped."""
        answer = self._write(lines)
        if answer.taken:
            return []
        reason = _reason(answer)
        if answer.status != 413 and not _DROPPED.search(answer.text):
            self._see_whether_it_is_well(answer)
        dropped = max([int(count) for count in _DROPPED.findall(answer.text)], default=0)
        if dropped >= len(lines):
            return [(line, reason) for line in lines]
        if dropped and _OLD.search(answer.text):
            by_age = sorted(lines, key=lambda line: line.timestamp)
            # It is these only if everything else is taken.
            if self._write(by_age[dropped:]).taken:
                return [(line, reason) for line in by_age[:dropped]]
        return settle(lines, self._attempt, reason)

    def _attempt(self, lines: Sequence[Written]) -> str | None:
        answer = self._write(lines)
        if answer.status == 413 and len(lines) == 1 and len(lines[0].text) < _SHORT:
            raise self._http.refusal(answer)  # it takes nothing of any use: that is not the line's fault
        return None if answer.taken else _reason(answer)

    def _write(self, lines: Sequence[Written]) -> Answer:
        answer = self._http.post(self._url, "".join(line.text for line in lines).encode())
        if not answer.taken and answer.status not in _CONTENT:
            raise self._http.refusal(answer)
        return answer

    def _see_whether_it_is_well(self, refusal: Answer) -> None:
        """An answer of 400 may mean that the request is wrong, whatever it holds: then a request that holds nothing
        is refused as well. Raises DeliveryError.
        """
        if not self._http.post(self._url, _COMMENT).taken:
            raise DeliveryError(f"{self.name} {self.address}: {refusal.said}")

    def _doubles_backslashes(self, points: Sequence[tuple[int, Point]]) -> bool:
        """Whether the receiver reads two backslashes as one. It is asked only when that matters: everybody else has
        InfluxDB's name in the answer.
        """
        if self._doubled is None:
            texts = (text for _, point in points for text in (point.label, point.service or "", point.host))
            if not any(_BACKSLASH_AT_RISK.search(text) for text in texts):
                return False
            answer = self._http.post(self._url, _COMMENT)
            if answer.status >= 500 or answer.status in (404, 429):
                raise self._http.refusal(answer)
            self._doubled = "X-Server-Hostname" in answer.headers
        return self._doubled


def _reason(answer: Answer) -> str:
    return shown(answer.text) or answer.said
