"""graphios killed -9 at any moment of a file's life, alone and in turn with carbon: what it had not finished is sent by the next one."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.proxy import Proxy

pytest_plugins = ("tests.real.shipping_fixtures",)


def test_killed_at_random_moments(site: Site, graphite: GraphiteWeb) -> None:
    ledger = Ledger("kills", moments=400)
    site.configure({"carbon": {"batch_bytes": 5000}})
    rounds = count(12, 200)
    for number in range(rounds):
        site.write(f"service-perfdata.{number:04}", ledger.text(1))
    for number in range(rounds):
        site.write(f"host-perfdata.{number:04}", ledger.text(1))
        site.start()
        moment = time.monotonic() + random.uniform(0, 0.8)
        assert site.process
        while time.monotonic() < moment:
            assert site.process.poll() is None, site.log
            time.sleep(0.005)
        site.kill()
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    assert site.rejects() == ""
    site.stop()


STAGES: dict[str, Callable[[Site, Proxy], object]] = {
    "nothing sent yet": lambda site, proxy: proxy.received,
    "first bytes of the first batch": lambda site, proxy: any(proxy.received),
    "in the third batch": lambda site, proxy: proxy.bytes_passed > 13_000,
    "some lines acknowledged": lambda site, proxy: site.backend().get("acknowledged"),
    "one file gone": lambda site, proxy: len(site.waiting()) < 3,
    "the last file gone": lambda site, proxy: not site.waiting(),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_when(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb, stage: str) -> None:
    ledger = Ledger(f"stage{list(STAGES).index(stage)}")
    site = make_site({"carbon": {"batch_bytes": 5000}}, proxy.port)
    proxy.piece, proxy.delay = 512, 0.01
    for number in range(3):
        site.write(f"service-perfdata.{number}", ledger.text(8))
    site.start()
    site.wait(lambda: STAGES[stage](site, proxy), stage)
    site.kill()
    proxy.mend()
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_a_long_file_is_not_begun_anew_after_a_kill(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # Graphios 2 sent 79,591 points twice here. What was acknowledged is not sent again but for the replay of the window, which
    # a receiver that forgets needs; replay_minutes = 0 says that this one does not.
    ledger = Ledger("resume", series=100, moments=300)
    site = make_site({"carbon": {"batch_bytes": 20_000, "replay_minutes": 0}}, proxy.port)
    site.write("service-perfdata.1", ledger.text(300))
    site.start()
    site.wait(lambda: proxy.bytes_passed > 300_000, "a part of the file to be delivered")
    site.kill()
    assert site.waiting() == ["service-perfdata.1"]
    site.start()
    site.wait_until_empty()
    lines = proxy.lines()
    assert len(set(lines)) == len(ledger)
    # Two batches may be on their way when it is killed.
    assert sum(map(len, lines)) + len(lines) - sum(map(len, set(lines))) - len(set(lines)) <= 2 * 20_000 + 1000
    ledger.check_readable(graphite)
    site.stop()


def test_both_killed_in_turn(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    ledger = Ledger("inturn", series=200, moments=300)
    site.start()
    number = 0
    for _ in range(count(2, 30)):
        for victim in ("carbon", "graphios", "both"):
            site.write(f"service-perfdata.{number:03}", ledger.text(3))
            number += 1
            time.sleep(random.uniform(0, 0.15))
            if victim != "graphios":
                carbon.kill()
            if victim != "carbon":
                site.kill()
                site.start()
            if victim != "graphios":
                carbon.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_once_killed_again_and_again(make_site: MakeSite, carbon: Carbon, graphite: GraphiteWeb) -> None:
    ledger = Ledger("oncekill")
    site = make_site({"carbon": {"batch_bytes": 5000}})
    for number in range(5):
        site.write(f"service-perfdata.{number}", ledger.text(10))
    for _ in range(count(6, 60)):
        process = subprocess.Popen(site.command("--once"), env=site.env, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.1, 0.6))
        process.kill()
        process.wait(30)
    assert site.once().returncode == 0
    assert site.empty()
    ledger.check_readable(graphite)
