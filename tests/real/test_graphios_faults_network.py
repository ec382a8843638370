"""A network that cuts, resets, delays, trickles and reorders connections to carbon: nothing lost, nothing wrong, nothing removed too early."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.daemon import wait_until
from tests.stack.graphite import GraphiteWeb
from tests.stack.proxy import Proxy

pytest_plugins = ("tests.real.shipping_fixtures",)


@pytest.mark.parametrize("reset", [False, True], ids=["end-of-stream", "reset"])
def test_connections_cut_at_any_byte(proxied: Site, proxy: Proxy, graphite: GraphiteWeb, reset: bool) -> None:
    ledger = Ledger(f"cut{reset:d}", moments=200)
    proxied.configure({"carbon": {"longest_pause": 0.1}})
    proxy.reset = reset
    for number in range(4):
        proxied.write(f"service-perfdata.{number}", ledger.text(50))
    proxy.cut_after = 1
    proxied.start()
    for _ in range(count(12, 300)):
        before = len(proxy.received)
        proxied.wait(lambda before=before: len(proxy.received) > before or proxied.empty(), "the next connection")  # type: ignore[misc]
        proxy.cut_after = random.randint(1, 60000)
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    proxied.stop()


def test_a_batch_is_kept_when_the_connection_is_cut_just_before_its_last_line_ends(
    proxied: Site, proxy: Proxy, graphite: GraphiteWeb
) -> None:
    # All but the last newline arrived, then a clean end: carbon drops the line that has no newline, without a word.
    ledger = Ledger("lastbyte")
    proxied.write("service-perfdata.1", ledger.text(10))
    proxied.start()
    proxied.wait_until_empty()
    length = max(len(data) for data in proxy.received)
    proxied.stop()
    ledger = Ledger("lastbytf")
    proxy.cut_after = length - 1
    proxied.write("service-perfdata.2", ledger.text(10))
    proxied.start()
    proxied.tries(proxy, 5)
    assert proxied.waiting() == ["service-perfdata.2"]
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    proxied.stop()


def test_a_slow_network_is_not_taken_for_a_dead_carbon(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("slow", moments=200)
    proxied.configure({"carbon": {"batch_bytes": 100_000}})
    # Half a second of trickle a batch, and the acknowledgement comes late as well: below every time-out.
    proxy.piece, proxy.delay = 4096, 0.02
    for number in range(3):
        proxied.write(f"service-perfdata.{number}", ledger.text(50))
    proxied.start()
    proxied.wait_until_empty()
    lines = proxy.lines()
    assert len(lines) == len(set(lines)) == len(ledger)
    ledger.check_readable(graphite)
    proxied.stop()


def test_data_that_arrives_late_and_out_of_order(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # The first connection's data lie in the network until long after graphios gave it up and went on.
    ledger = Ledger("late", moments=200)
    proxied.configure({"carbon": {"ack_timeout": 0.5}})
    proxied.start()
    for number in range(count(3, 20)):
        proxy.holds_next = True
        proxied.write(f"service-perfdata.{number}a", ledger.text(5))
        proxied.wait(lambda: not proxy.holds_next and proxied.empty(), "graphios to give up the connection and go on")
        proxied.write(f"service-perfdata.{number}b", ledger.text(5))
        proxied.wait_until_empty()
        proxy.release()
    lines = proxy.lines()
    wait_until(lambda: len(proxy.lines()) > len(set(lines)), 20, "the late copies to pass")
    ledger.check_readable(graphite)
    proxied.stop()


def test_no_acknowledgement_no_removal(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # Every byte arrives, but our end of stream is swallowed: carbon goes on waiting, nobody closes.
    ledger = Ledger("noend")
    proxied.configure({"carbon": {"ack_timeout": 0.5}})
    proxy.swallows_half_close = True
    proxied.write("service-perfdata.1", ledger.text(5))
    proxied.start()
    proxied.tries(proxy, 4)
    assert proxied.waiting() == ["service-perfdata.1"]
    assert "acknowledge" in proxied.log
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    proxied.stop()


def test_a_receiver_that_stops_reading_in_the_middle(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("midway", moments=600)
    proxied.configure({"carbon": {"send_timeout": 0.5, "ack_timeout": 0.5, "batch_bytes": 8_000_000}})
    proxied.write("service-perfdata.1", ledger.text(500))
    proxied.write("service-perfdata.2", ledger.text(50))
    proxy.reading = False
    proxied.start()
    proxied.tries(proxy, 4)
    assert len(proxied.waiting()) == 2
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    proxied.stop()


GARBAGE = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "binary": bytes(range(256)) * 100,
    "endless": b"x" * 5_000_000,
}


@pytest.mark.parametrize("kind", sorted(GARBAGE))
def test_a_receiver_that_answers(proxied: Site, proxy: Proxy, graphite: GraphiteWeb, kind: str) -> None:
    # Carbon never answers: what answers is something else, and its hanging up is no acknowledgement. Files wait until carbon is back.
    ledger = Ledger(f"answers-{kind}")
    proxied.configure({"carbon": {"ack_timeout": 1}})
    proxy.garbage, proxy.cut_after = GARBAGE[kind], 10
    proxied.write("service-perfdata.1", ledger.text(5))
    proxied.start()
    proxied.tries(proxy, 4)
    assert proxied.waiting() == ["service-perfdata.1"]
    proxy.mend()
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    assert proxied.peak_memory() < 64 * 1024**2
    proxied.stop()


def test_a_flapping_network(proxied: Site, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("flapping", moments=500)
    proxied.start()
    for number in range(count(8, 100)):
        proxied.write(f"service-perfdata.{number:03}", ledger.text(5))
        proxy.refuse()
        proxy.cut_all()
        time.sleep(random.uniform(0, 0.3))
        proxy.listen()
        proxied.tries(proxy, 1)
        time.sleep(random.uniform(0, 0.1))
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    proxied.stop()


def _stops_reading(proxy: Proxy) -> None:
    proxy.reading = False


def _swallows(proxy: Proxy) -> None:
    proxy.swallows_half_close = True


def _refuses(proxy: Proxy) -> None:
    proxy.refuse()


def _trickles(proxy: Proxy) -> None:
    proxy.piece, proxy.delay = 10, 0.2


@pytest.mark.parametrize(
    ("hang", "number"),
    [
        (_stops_reading, signal.SIGTERM),
        (_stops_reading, signal.SIGINT),
        (_swallows, signal.SIGTERM),
        (_refuses, signal.SIGTERM),
        (_trickles, signal.SIGTERM),
    ],
)
def test_a_signal_ends_graphios_within_5_seconds_whatever_hangs(
    make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb, hang: Callable[[Proxy], None], number: int
) -> None:
    # The promise is in seconds: every time-out here is far longer, so that only the signal can end it.
    long = dict.fromkeys(("connect_timeout", "send_timeout", "ack_timeout", "longest_pause"), 300)
    site = make_site({"carbon": {**long, "batch_bytes": 8_000_000}}, proxy.port)
    ledger = Ledger(f"term{hang.__name__}{number:d}", moments=300)
    hang(proxy)
    site.write("service-perfdata.1", ledger.text(300))
    site.start()
    # The first connection is the idle one, which watches.
    site.wait(lambda: "refused" in site.log if hang is _refuses else proxy.connections >= 2, "the delivery to begin")
    began = time.monotonic()
    assert site.stop(number) == 0
    assert time.monotonic() - began < 5
    assert site.waiting() == ["service-perfdata.1"]
    proxy.cut_all()
    proxy.mend()
    if hang is _refuses:
        proxy.listen()
    assert site.once().returncode == 0
    ledger.check_readable(graphite)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_ends_an_idle_graphios(site: Site, number: int) -> None:
    site.start()
    site.wait(lambda: site.log, "graphios to say that it runs")
    began = time.monotonic()
    assert site.stop(number) == 0
    assert time.monotonic() - began < 5
