"""The count that this shipper is judged by: points through kills of carbon and of graphios, every one of them readable from Graphite."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, Site
from tests.soak import SOAK, count
from tests.stack.graphite import Carbon, GraphiteWeb

# A timestamp must be within the finest retention when it is written and when it is read: the soak run takes up to an hour.
RETENTION = "1s:2h"
SERIES = count(200, 1000)
MOMENTS = count(100, 1000)
FILES = count(20, 200)
KILLS = count(3, 10)


@pytest.fixture
def own_carbon(
    request: pytest.FixtureRequest, make_stack_root: Callable[[str], Path], stack_user: str | None
) -> Iterator[Carbon]:
    """The shared one does for the few minutes of a small run."""
    if not SOAK:
        yield request.getfixturevalue("carbon")
        return
    daemon = Carbon(make_stack_root("million"), stack_user, retention=RETENTION, sparse=True)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def own_web(request: pytest.FixtureRequest, own_carbon: Carbon, stack_user: str | None) -> Iterator[GraphiteWeb]:
    if not SOAK:
        yield request.getfixturevalue("graphite")
        return
    daemon = GraphiteWeb(own_carbon.folder.parent, own_carbon, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


def test_points_through_kills_of_carbon_and_graphios(tmp_path: Path, own_carbon: Carbon, own_web: GraphiteWeb) -> None:
    ledger = Ledger("million", series=SERIES, moments=MOMENTS)
    site = Site(tmp_path, own_carbon.port, {"carbon": {"batch_bytes": count(50_000, 524_288)}})
    site.start()
    began = time.monotonic()
    kills = ["carbon", "graphios"] * KILLS
    random.shuffle(kills)
    every = FILES // len(kills)
    try:
        for number in range(FILES):
            site.write(f"service-perfdata.{number:04}", ledger.text(MOMENTS // FILES))
            if number % every == every - 1 and kills:
                site.wait(
                    lambda: len(site.waiting()) <= 1,
                    "a part of the spool to be worked off",
                    300,
                )
                time.sleep(random.uniform(0, 0.1))
                if kills.pop() == "carbon":
                    own_carbon.kill()
                    own_carbon.start()
                else:
                    site.kill()
                    site.start()
        assert not kills
        # Between batches, after it acknowledged everything.
        site.wait_until_empty(600)
        own_carbon.kill()
        own_carbon.start()
        ledger.check_readable(own_web, count(60, 900))
        site.wait(lambda: site.backend().get("state") == "idle", "graphios to have nothing to do", 300)
        assert len(ledger) == SERIES * MOMENTS
        assert site.rejects() == ""
        figures = {
            "points": len(ledger),
            "kills": 2 * KILLS + 1,
            "seconds": round(time.monotonic() - began),
            "memory": site.peak_memory(),
        }
        print(json.dumps(figures))
        assert site.peak_memory() < 64 * 1024**2
    finally:
        site.stop()
