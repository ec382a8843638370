"""A carbon that dies, stops, or hangs up: every point that was spooled is readable from Graphite in the end.

What Graphios 2 lost in these tests stands in the comments (506,379 points spooled where nothing else is said).
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.place import free_port
from tests.stack.proxy import Proxy

pytest_plugins = ("tests.real.shipping_fixtures",)


def test_carbon_killed_in_the_middle_of_a_batch_ten_times(
    proxied: Site, proxy: Proxy, carbon: Carbon, graphite: GraphiteWeb
) -> None:
    # Reset in the middle of a file: Graphios 2 lost 4,199 of 110,428.
    ledger = Ledger("midbatch", moments=200)
    proxied.configure({"carbon": {"batch_bytes": 20000}})
    proxy.piece, proxy.delay = 1024, 0.002
    proxied.start()
    for number in range(10):
        proxied.write(f"service-perfdata.{number}", ledger.text(20))
        before, part = len(proxy.received), random.randint(1, 15000)
        proxied.wait(
            lambda before=before, part=part: any(len(data) >= part for data in proxy.received[before:]),  # type: ignore[misc]
            "carbon to have a part of a batch",
        )
        carbon.kill()
        carbon.start()
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    assert len(ledger) == 10_000
    proxied.stop()


def test_carbon_killed_after_it_acknowledged_everything(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    # What it had in its memory is gone: the acknowledgement alone does not cover that, the replay window does.
    ledger = Ledger("acknowledged", series=500)
    site.start()
    lost_by_carbon = []
    for number in range(count(2, 20)):
        site.write(f"service-perfdata.{number}", ledger.text(4))
        site.wait_until_empty()
        carbon.kill()
        carbon.start()
        lost_by_carbon.append(ledger.compare(graphite)[0])
        ledger.check_readable(graphite)
    assert any(lost_by_carbon), "carbon wrote everything before it died each time, so nothing was proved"
    site.stop()


def test_carbon_killed_while_graphios_is_away(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    ledger = Ledger("away", series=500)
    site.write("service-perfdata.1", ledger.text(10))
    site.start()
    site.wait_until_empty()
    site.kill()
    carbon.kill()
    carbon.start()
    site.start()
    ledger.check_readable(graphite)
    site.stop()


def test_carbon_dies_exactly_between_files(proxied: Site, proxy: Proxy, carbon: Carbon, graphite: GraphiteWeb) -> None:
    ledger = Ledger("between")
    proxied.start()
    for number in range(2):
        proxied.write(f"service-perfdata.{number}", ledger.text(5))
        proxied.wait_until_empty()
        carbon.stop()
        carbon.start()
    ledger.check_readable(graphite)
    proxied.stop()


def test_carbon_stopped_for_a_minute(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    # It accepts connections (the kernel does) and never reads: Graphios 2 lost all, without a word.
    ledger = Ledger("stopped", moments=400)
    site.configure({"carbon": {"ack_timeout": count(1, 3)}})
    site.start()
    assert carbon.daemon
    carbon.daemon.pause()
    try:
        for number in range(20):
            site.write(f"service-perfdata.{number:02}", ledger.text(20))
        site.wait(lambda: site.backend().get("error"), "the status to say that carbon takes nothing")
        # A minute is twelve tries of five seconds in the soak run.
        site.wait(lambda: site.backend().get("retries", 0) >= count(1, 12), "more tries in vain", 300)
        assert len(site.waiting()) == 20
    finally:
        carbon.daemon.resume()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    assert site.status()["set_aside"]["files"] == 0
    site.stop()


def test_carbon_stopped_then_killed_then_started(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    # Graphios 2 lost 71,826 of 110,428; the acknowledgement lost none.
    ledger = Ledger("stopkill", moments=400)
    site.configure({"carbon": {"ack_timeout": 1}})
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    assert carbon.daemon
    carbon.daemon.pause()
    for number in range(1, 10):
        site.write(f"service-perfdata.{number}", ledger.text(40))
    site.wait(lambda: "trying again" in site.log, "graphios to notice that carbon takes nothing")
    carbon.kill()
    assert len(site.waiting()) == 9
    carbon.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


@pytest.mark.parametrize(("reset", "moments"), [(False, 1), (True, 60)], ids=["end-of-stream-small", "reset-large"])
def test_a_receiver_that_closes_without_reading_for_longer_than_all_tries(
    make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb, reset: bool, moments: int
) -> None:
    # As a load balancer does that has no carbon behind it. Nothing passes, so no file is to blame: none is set aside.
    ledger = Ledger(f"closes{reset:d}{moments}", moments=2 * moments)
    site = make_site({"carbon": {"tries": 3, "longest_pause": 0.2}}, proxy.port)
    proxy.cut_after, proxy.reset = 0, reset
    site.write("service-perfdata.1", ledger.text(moments))
    site.write("service-perfdata.2", ledger.text(moments))
    site.start()
    site.tries(proxy, 15)
    assert site.waiting() == ["service-perfdata.1", "service-perfdata.2"]
    proxy.mend()
    site.wait_until_empty()
    assert site.status()["set_aside"]["files"] == 0
    ledger.check_readable(graphite)
    site.stop()


@pytest.fixture
def never_accepts() -> Iterator[int]:
    """A port where the kernel takes connections that no program ever takes or reads."""
    with socket.create_server(("127.0.0.1", free_port()), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_a_listener_that_never_accepts_gets_nothing_removed(make_site: MakeSite, never_accepts: int) -> None:
    # Graphios 2 lost 506,379 of 506,379, deleted all 20 files and logged no warning; with one large file it hung for ever.
    ledger = Ledger("deaf", moments=500)
    site = make_site({"carbon": {"send_timeout": 0.5, "ack_timeout": 0.5}}, never_accepts)
    for number in range(19):
        site.write(f"service-perfdata.{number:02}", ledger.text(2))
    site.write("service-perfdata.19", ledger.text(400))
    site.start()
    site.wait(lambda: site.backend().get("retries", 0) >= 2, "tries in vain")
    assert len(site.waiting()) == 20
    assert site.backend()["error"]
    assert str(never_accepts) in site.log
    site.stop()


def test_while_carbon_is_down_nothing_is_read_again_and_the_tries_become_rare(make_site: MakeSite) -> None:
    # Graphios 2: 133 connection attempts in 30 s, 20 files parsed again each time, 59 % of a core.
    attempts = []
    with socket.create_server(("127.0.0.1", free_port())) as listener:

        def hang_up() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                attempts.append(1)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        site = make_site({"carbon": {"longest_pause": 30}}, listener.getsockname()[1])
        ledger = Ledger("down", moments=500)
        for number in range(20):
            site.write(f"service-perfdata.{number:02}", ledger.text(25))
        site.start()
        site.wait(lambda: site.backend().get("retries", 0) >= 5, "tries in vain")
        read = site.status()["lines_read"]
        seen = len(attempts)
        # Until its next report of itself, which comes every 2 s, the doubling pause has no room for more than a few tries.
        last = site.status()["time"]
        wait_until(lambda: site.status()["time"] > last, 30, "the next status")
        assert site.status()["lines_read"] == read < 20 * 250
        assert len(attempts) - seen <= 8
        assert len(site.waiting()) == 20
        assert len(site.log) < 10_000
        site.stop()
        listener.shutdown(socket.SHUT_RDWR)
