"""What a Prometheus holds already of the series of a batch, asked through its query interface
(prometheus.io/docs/prometheus/latest/querying/api).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from graphios.backends.http import Http
from graphios.backends.remote_write import Sample, Series

_WRITE = "/api/v1/write"
_QUERY = "/api/v1/query"
_HOSTS = 50
"""So many hosts are asked for at once."""
_LONGEST_ANSWER = 8 * 1024 * 1024
_STEP = 240
"""Seconds; less than the 300 for which an instant query finds a sample (query.lookback-delta), so that the newest one
is among the steps.
"""
_LONGEST_LOOK = 30 * 86_400
_REGEX_SPECIAL = re.compile(r"([.+*?()|\[\]{}^$\\])")


class Stored(NamedTuple):
    """`newest`: milliseconds of each series' newest sample; `values`: what it holds at the times of the batch's
    samples.
    """

    newest: dict[Series, int]
    values: dict[tuple[Series, int], float]


def query_address(write_url: str) -> str | None:
    """Where a Prometheus is asked that is written to there; None: that is no Prometheus, as far as can be seen."""
    base, found, rest = write_url.partition(_WRITE)
    return f"{base}{_QUERY}" if found and not rest.strip("/") else None


def look(http: Http, url: str, samples: Sequence[Sample]) -> Stored | None:
    """What is known of the series of `samples`; None where it is not to be learned. Raises DeliveryError, Stopped."""
    known = Stored({}, {})
    by_name: dict[str, list[tuple[str, Sample]]] = {}
    for one in samples:
        labels = dict(one.series)
        by_name.setdefault(labels["__name__"], []).append((labels["host"], one))
    for name, of in by_name.items():
        hosts = sorted({host for host, _ in of})
        for start in range(0, len(hosts), _HOSTS):
            chosen = hosts[start : start + _HOSTS]
            among = set(chosen)
            if not _look(
                http, url, name, chosen, [one.milliseconds // 1000 for host, one in of if host in among], known
            ):
                return None
    return known


def _look(http: Http, url: str, name: str, hosts: list[str], times: list[int], known: Stored) -> bool:
    """Adds what is stored of one metric of some hosts to `known`; whether that could be learned. `times` in seconds."""
    selector = f"{name}{{host=~{_any_of(hosts)}}}"
    first, last = min(times), max(times)
    until = (max(last, int(time.time())) // _STEP + 1) * _STEP
    length = min(until - first + _STEP, _LONGEST_LOOK)
    found = _ask(http, url, f"max_over_time(timestamp({selector})[{length}s:{_STEP}s])", until)
    if not found:
        return found is not None
    for one in found:
        known.newest[_series(name, one)] = round(float(one["value"][1]) * 1000)
    found = _ask(http, url, f"{selector}[{last - first + 1}s]", last)
    for one in found or []:
        series = _series(name, one)
        for moment, value in one["values"]:
            known.values[series, round(moment * 1000)] = float(value)
    return found is not None


def _ask(http: Http, url: str, query: str, moment: int) -> list[dict[str, Any]] | None:
    answer = http.post(url, {"query": query, "time": str(moment)}, longest=_LONGEST_ANSWER)
    if not answer.taken or not answer.whole:
        return None
    try:
        document = json.loads(answer.text)
        found = document["data"]["result"]
        return found if all("metric" in one and ("value" in one or "values" in one) for one in found) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _series(name: str, found: dict[str, Any]) -> Series:
    """Functions of PromQL take the metric's name away."""
    return tuple(sorted((found["metric"] | {"__name__": name}).items()))


def _any_of(texts: list[str]) -> str:
    """A regular expression of RE2 for exactly these, as a string of PromQL."""
    return json.dumps("|".join(_REGEX_SPECIAL.sub(r"\\\1", text) for text in texts), ensure_ascii=False)
