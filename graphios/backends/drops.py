"""New series that carbon dropped, as it says itself: `carbon.agents.*.droppedCreates`, read from graphite-web.

carbon creates at most MAX_CREATES_PER_MINUTE files and drops the points of every other new series, without telling whoever sent them. It counts
them, by default once a minute, in a series of its own (carbon/instrumentation.py).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from urllib.parse import urlsplit, urlunsplit

from graphios.configuration.settings import CarbonBackend

log = logging.getLogger("graphios")

TARGET = "carbon.agents.*.droppedCreates"
INTERVAL = 60.0
_BACK = 600
"""Seconds that are read again each time: carbon's count of an interval arrives late."""
_LARGEST_ANSWER = 4_000_000
_TIMEOUTS = (5, 20)
_REMIND = 3600.0


class DroppedCreates:
    """Counts what carbon dropped since the start, in a thread of its own that the delivery never waits for."""

    def __init__(self, settings: CarbonBackend, interval: float | None = None) -> None:
        """Reads `settings.graphite_url` every `interval` seconds (None: INTERVAL), from now on."""
        self._name = settings.name
        self._url = settings.graphite_url.rstrip("/")
        self._paced = settings.creates_per_minute
        self._interval = interval = interval or INTERVAL
        self._since = int(time.time())
        self._seen: dict[tuple[str, int], float] = {}
        self._new = threading.Event()
        self._pause = interval
        self._not_before = 0.0
        self._stop = threading.Event()
        self._told = -_REMIND
        self.count: int | None = None
        """New series dropped since the start, as often as they were dropped; None until graphite-web has answered."""
        threading.Thread(target=self._run, name="droppedCreates", daemon=True).start()

    def send_again(self) -> bool:
        """Whether something was dropped since the last yes. The pause between two of them doubles while carbon goes on dropping."""
        now = time.monotonic()
        if not self._new.is_set():
            if now > self._not_before + 2 * self._interval:
                self._pause = self._interval
            return False
        if now < self._not_before:
            return False
        self._new.clear()
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, 16 * self._interval)
        return True

    def close(self) -> None:
        """Ends the thread as soon as it can; does not wait for it."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._account(self._read())
            except Exception as error:  # whatever comes from there, the next answer may be better
                self._complain(error)

    def _read(self) -> list[tuple[str, int, float]]:
        """Series, epoch second and dropped series of each interval. Raises whatever goes wrong."""
        import requests  # 100 ms, and only where graphite_url is set

        query = {
            "target": TARGET,
            "format": "json",
            "noCache": "1",
            "from": str(max(self._since, int(time.time()) - _BACK)),
        }
        with requests.get(f"{self._url}/render", params=query, timeout=_TIMEOUTS, stream=True) as answer:
            answer.raise_for_status()
            body = answer.raw.read(_LARGEST_ANSWER, decode_content=True)
        return [
            (str(series["target"]), int(second), float(value))
            for series in json.loads(body)
            for value, second in series["datapoints"]
            if value
        ]

    def _account(self, points: list[tuple[str, int, float]]) -> None:
        dropped: dict[str, int] = {}
        for series, second, value in points:
            # The value of an interval may grow while carbon still adds to it.
            more = int(value - self._seen.get((series, second), 0.0))
            if second >= self._since and more > 0:
                self._seen[series, second] = value
                dropped[series] = dropped.get(series, 0) + more
        oldest = time.time() - 2 * _BACK
        self._seen = {key: value for key, value in self._seen.items() if key[1] >= oldest}
        self.count = (self.count or 0) + sum(dropped.values())
        for series, number in dropped.items():
            log.warning(
                "%s: carbon dropped %d new series (%s); they are sent again. %s",
                self._name,
                number,
                series,
                self._advice(),
            )
        if dropped:
            self._new.set()

    def _advice(self) -> str:
        if self._paced:
            return f"Raise MAX_CREATES_PER_MINUTE in its carbon.conf, or lower creates_per_minute (now {self._paced})"
        return "Set creates_per_minute to what its carbon.conf has as MAX_CREATES_PER_MINUTE, or raise that"

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._told >= _REMIND:
            self._told = time.monotonic()
            where = _without_password(self._url)
            log.warning("%s: can't read %s from %s: %s", self._name, TARGET, where, type(error).__name__)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
