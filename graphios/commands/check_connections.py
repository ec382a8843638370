"""Tries to reach every backend: a connection, and TLS where it has it; nothing is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

from graphios.backends.addresses import resolve
from graphios.backends.connector import Connector
from graphios.commands.describe import address
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    InfluxBackend,
    OutputBackend,
    PrometheusBackend,
    StatsdBackend,
    Timeouts,
    Tls,
)

_LONGEST = 5.0


class Attempt(NamedTuple):
    """What came of trying one address."""

    backend: str
    address: str
    outcome: str
    fine: bool


class _Target(NamedTuple):
    backend: str
    host: str
    port: int
    tls: Tls | None
    timeouts: Timeouts
    udp: bool = False


def attempts(backends: Sequence[BackendSettings]) -> list[Attempt]:
    """Tries all addresses of all backends at once, each at most 5 s for the connection and as long for TLS."""
    targets = [target for backend in backends for target in _targets(backend)]
    if not targets:
        return []
    with ThreadPoolExecutor(min(16, len(targets))) as pool:
        return list(pool.map(_attempt, targets))


def _targets(backend: BackendSettings) -> Iterator[_Target]:
    if isinstance(backend, OutputBackend):
        return
    timeouts = backend.delivery.timeouts
    timeouts = timeouts._replace(connect=min(timeouts.connect, _LONGEST), send=min(timeouts.send, _LONGEST))
    if isinstance(backend, CarbonBackend):
        for host, port in backend.servers:
            yield _Target(backend.name, host, port, backend.tls, timeouts)
    elif isinstance(backend, StatsdBackend):
        yield _Target(backend.name, backend.host, backend.port, None, timeouts, backend.protocol == "udp")
    elif isinstance(backend, InfluxBackend | PrometheusBackend):
        parts = urlsplit(backend.url)
        https = parts.scheme == "https"
        port = parts.port or (443 if https else 80)
        yield _Target(backend.name, parts.hostname or "", port, backend.tls if https else None, timeouts)


def _attempt(target: _Target) -> Attempt:
    name = address(target.host, target.port)
    began = time.monotonic()
    try:
        if target.udp:
            found = resolve(target.host, target.port, target.timeouts.connect, lambda: False)
            return Attempt(target.backend, name, f"is {found[0][4][0]!s}; UDP does not tell whether it listens", True)
        Connector(target.timeouts, target.tls).connect(target.host, target.port).close()
    except OSError as error:
        return Attempt(target.backend, name, str(error.strerror or error), False)
    took = (time.monotonic() - began) * 1000
    return Attempt(target.backend, name, f"reached{' with TLS' if target.tls else ''} in {took:.0f} ms", True)
