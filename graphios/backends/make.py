"""A backend for each kind of settings. Its module, and what that needs, is imported only where it is used."""

from __future__ import annotations

from collections.abc import Callable

from graphios.backends.base import Backend
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    InfluxBackend,
    PrometheusBackend,
    StatsdBackend,
)


def make(settings: BackendSettings, stopping: Callable[[], bool], heartbeat: str = "") -> Backend:
    """The receiver that `settings` describe; connects to nothing yet.

    `heartbeat` is the name of a series of our own that a carbon may be sent every minute, so that it does not end an idle connection; empty: none.
    """
    if isinstance(settings, CarbonBackend):
        from graphios.backends.carbon import Carbon

        return Carbon(settings, stopping, heartbeat)
    if isinstance(settings, StatsdBackend):
        from graphios.backends.statsd import Statsd

        return Statsd(settings, stopping)
    if isinstance(settings, InfluxBackend):
        from graphios.backends.influxdb import Influx

        return Influx(settings, stopping)
    if isinstance(settings, PrometheusBackend):
        from graphios.backends.prometheus import Prometheus

        return Prometheus(settings, stopping)
    from graphios.backends.output import Output

    return Output(settings, stopping)
