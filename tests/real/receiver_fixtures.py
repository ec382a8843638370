"""The receivers of graphios other than carbon, shared by the session; a test that ends one starts it again. A test file names this one in
`pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.influxdb import InfluxDb
from tests.stack.prometheus import Prometheus
from tests.stack.statsd import Statsd
from tests.stack.victoriametrics import VictoriaMetrics


@pytest.fixture(scope="session")
def receivers_root(make_stack_root: Callable[[str], Path]) -> Path:
    return make_stack_root("receivers")


@pytest.fixture(scope="session")
def influxdb(receivers_root: Path, stack_user: str | None) -> Iterator[InfluxDb]:
    daemon = InfluxDb(receivers_root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def secure_influxdb(receivers_root: Path, stack_user: str | None) -> Iterator[InfluxDb]:
    daemon = InfluxDb(receivers_root, stack_user, tls=True, auth=True, name="influxdb-tls")
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def victoriametrics(receivers_root: Path, stack_user: str | None) -> Iterator[VictoriaMetrics]:
    daemon = VictoriaMetrics(receivers_root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def prometheus(receivers_root: Path, stack_user: str | None) -> Iterator[Prometheus]:
    daemon = Prometheus(receivers_root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def statsd(receivers_root: Path, stack_user: str | None) -> Iterator[Statsd]:
    daemon = Statsd(receivers_root, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()
