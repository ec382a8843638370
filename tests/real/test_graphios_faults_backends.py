"""Several receivers of which one is dead, limits of the spool, and a configuration that changes under a running graphios."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.place import free_port
from tests.stack.proxy import Proxy
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.shipping_fixtures",)

CLOSED = {"connect_timeout": 1, "send_timeout": 1, "ack_timeout": 1, "longest_pause": 0.3}


def copies(lines: list[str]) -> set[int]:
    """How often each line was sent."""
    return set(Counter(lines).values())


@pytest.mark.parametrize("death", ["refuses", "never reads", "closes"][: count(2, 3)])
def test_a_dead_backend_neither_stops_nor_duplicates_the_other_and_gets_everything_later(
    make_site: MakeSite, proxy: Proxy, carbon: Carbon, graphite: GraphiteWeb, death: str
) -> None:
    # Graphios 2: 12 copies in 12 s at the healthy one, or the data of the dead one lost without trace.
    ledger = Ledger(f"twobackends{len(death)}", moments=160)
    with Proxy(carbon.port) as dead:
        site = make_site({"carbon:dead": {"port": dead.port, **CLOSED}}, proxy.port)
        if death == "refuses":
            dead.refuse()
        elif death == "closes":
            dead.cut_after = 0
        else:
            dead.reading = False
        site.start()
        for number in range(count(5, 40)):
            site.write(f"service-perfdata.{number}", ledger.text(4))
            site.wait(lambda: len(proxy.lines()) >= len(ledger), "everything at the healthy backend")
        site.wait(lambda: site.backend("carbon:dead").get("retries", 0) >= count(2, 20), "tries in vain")
        ledger.check_readable(graphite)
        assert copies(proxy.lines()) == {1}
        status = site.running_status()
        assert site.backend("carbon:dead")["waiting_files"] == len(site.waiting()) == count(5, 40)
        assert site.backend("carbon:dead")["error"]
        assert {entry["name"] for entry in status["backends"]} == {"carbon", "carbon:dead"}
        # Over a restart as well, each backend goes on where it was. (carbon itself may get the window again at a start.)
        dead.mend()
        if death == "refuses":
            dead.listen()
        site.wait_until_empty()
        assert set(dead.lines()) == set(proxy.lines())
        assert len(set(dead.lines())) == len(ledger)
        assert copies(proxy.lines()) == {1}
        site.stop()


def test_a_dead_backend_over_restarts_costs_the_other_no_copies(
    make_site: MakeSite, proxy: Proxy, carbon: Carbon, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("restarts")
    with Proxy(carbon.port) as dead:
        dead.refuse()
        options = {"carbon": {"replay_minutes": 0}, "carbon:dead": {"port": dead.port, "replay_minutes": 0, **CLOSED}}
        site = make_site(options, proxy.port)
        for number in range(4):
            site.write(f"service-perfdata.{number}", ledger.text(4))
            site.start()
            site.wait(lambda: len(set(proxy.lines())) >= len(ledger), "everything at the healthy backend")
            site.wait(lambda: site.backend().get("state") == "idle", "the healthy backend to be done")
            site.stop(signal.SIGTERM if number % 2 else signal.SIGKILL)
        lines = Counter(proxy.lines())
        assert len(lines) == len(ledger)
        # A kill -9 may come between an acknowledgement and its record, and costs the batch in question.
        assert sum(lines.values()) - len(lines) <= len(ledger) // 2
        dead.listen()
        site.start()
        site.wait_until_empty()
        assert set(dead.lines()) == set(lines)
        site.stop()


def test_the_second_server_stands_in_for_the_first(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb) -> None:
    # Graphios 2 (#77): the second was never reached, no file was deleted, and the first got everything again and again.
    ledger = Ledger("failover")
    site = make_site()
    site.configure({"carbon": {"host": f"127.0.0.1:{free_port()}, 127.0.0.1:{proxy.port}"}})
    site.sections["carbon"].pop("port")
    site.configure({})
    site.start()
    for number in range(3):
        site.write(f"service-perfdata.{number}", ledger.text(4))
        site.wait_until_empty()
    ledger.check_readable(graphite)
    assert len(set(proxy.lines())) == len(ledger)
    site.stop()


def test_the_spool_has_a_limit_and_what_is_dropped_is_counted_and_named(
    make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("kept")
    site = make_site({"limits": {"max_files": 10}}, proxy.port)
    proxy.refuse()
    site.start()
    site.wait(lambda: " INFO graphios " in site.log, "graphios to run")
    old = service_line("x=1", host="dropped", service="old")
    for number in range(5):
        site.write(f"service-perfdata.0{number}", old * 3, age=600 - number)
    for number in range(10):
        site.write(f"service-perfdata.1{number}", ledger.text(1))
    site.wait(lambda: len(site.waiting()) == 10, "the spool to be within its limit")
    assert site.waiting()[0] == "service-perfdata.10"
    site.wait(lambda: site.running_status() and site.running_status()["dropped"]["files"] == 5, "it to be counted")
    assert site.status()["dropped"] == {"files": 5, "bytes": 5 * 3 * len(old), "lines": 15}
    for number in (0, 4):
        assert f"service-perfdata.0{number}" in site.log
    proxy.listen()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_the_spool_has_a_limit_in_bytes(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("keptbytes")
    site = make_site({"limits": {"max_bytes": 200_000}}, proxy.port)
    proxy.refuse()
    site.start()
    site.write("service-perfdata.old", service_line("x=1", host="dropped", service="bytes") * 600, age=600)
    site.wait(lambda: "refused" in site.log, "a try in vain")
    for number in range(5):
        site.write(f"service-perfdata.{number}", ledger.text(5))
    site.wait(lambda: "service-perfdata.old" not in site.waiting(), "the oldest to be dropped")
    assert site.waiting() == [f"service-perfdata.{number}" for number in range(5)]
    proxy.listen()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_the_spool_has_a_limit_in_age(make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb) -> None:
    ledger = Ledger("keptage")
    site = make_site({"limits": {"max_age_hours": 1}}, proxy.port)
    proxy.refuse()
    site.start()
    site.write("service-perfdata.1-old", service_line("x=1", host="dropped", service="age"), age=3700)
    site.write("service-perfdata.2", ledger.text(2), age=3000)
    site.wait(lambda: site.waiting() == ["service-perfdata.2"], "what is older than an hour to be dropped")
    site.wait(lambda: "service-perfdata.1-old" in site.log, "the log to name it")
    proxy.listen()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def hang_up(site: Site) -> None:
    """SIGHUP."""
    assert site.process
    os.kill(site.process.pid, signal.SIGHUP)


def test_a_wrong_configuration_is_refused_and_the_old_one_kept(site: Site, graphite: GraphiteWeb) -> None:
    ledger = Ledger("wronghup")
    site.start()
    site.write("service-perfdata.0", ledger.text(2))
    site.wait_until_empty()
    good = site.config.read_text()
    for number, wrong in enumerate(
        (
            "[carbon]\nport = many\n",
            "[nonsense]\n",
            "not an ini file",
            "",
            "[spool]\ndirectory = /nowhere/at/all\n",
            "\x00",
        ),
        1,
    ):
        site.config.write_text(wrong)
        said = site.log.count("graphios.ini") + site.log.count("/nowhere/at/all")
        hang_up(site)
        site.wait(
            lambda said=said: site.log.count("graphios.ini") + site.log.count("/nowhere/at/all") > said,
            f"{wrong!r} to be refused",
        )  # type: ignore[misc]
        site.write(f"service-perfdata.{number}", ledger.text(2))
        site.wait_until_empty()
    site.config.unlink()
    said = site.log.count("graphios.ini")
    hang_up(site)
    site.wait(lambda: site.log.count("graphios.ini") > said, "the missing file to be named")
    site.config.write_text(good)
    site.write("service-perfdata.9", ledger.text(2))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_a_new_configuration_is_taken_in_the_middle_of_a_backlog(
    make_site: MakeSite, proxy: Proxy, carbon: Carbon, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("newhup")
    proxy.refuse()
    site = make_site(port=proxy.port)
    site.start()
    for number in range(5):
        site.write(f"service-perfdata.{number}", ledger.text(4))
    site.wait(lambda: "refused" in site.log, "a try in vain")
    other = site.root / "other"
    other.mkdir()
    site.write("service-perfdata.7", ledger.text(4), spool=other)
    site.configure({"carbon": {"port": carbon.port}, "spool:other": {"directory": other}})
    hang_up(site)
    site.wait_until_empty()
    site.wait(lambda: not list(other.glob("service-perfdata.*")), "the new spool to be worked off")
    ledger.check_readable(graphite)
    site.stop()


def test_signals_of_a_new_configuration_again_and_again_lose_nothing(
    proxied: Site, proxy: Proxy, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("hups", moments=400)
    proxied.start()
    proxied.wait(proxied.running_status, "graphios to run")
    for number in range(count(15, 200)):
        proxied.write(f"service-perfdata.{number:03}", ledger.text(2))
        proxied.configure({"carbon": {"batch_bytes": 5000 + number}})
        hang_up(proxied)
    proxied.wait_until_empty()
    ledger.check_readable(graphite)
    assert Path(f"/proc/{proxied.process.pid}").exists() if proxied.process else False
    proxied.stop()


def test_a_configuration_that_hangs_on_the_network_does_not_stop_a_signal(make_site: MakeSite, proxy: Proxy) -> None:
    ledger = Ledger("huphang", moments=500)
    proxy.reading = False
    site = make_site({"carbon": {"send_timeout": 300, "ack_timeout": 300, "batch_bytes": 8_000_000}}, proxy.port)
    site.write("service-perfdata.1", ledger.text(500))
    site.start()
    site.wait(lambda: site.backend().get("state") == "delivering", "the delivery to hang")
    site.configure({"log": {"level": "debug"}})
    hang_up(site)
    assert site.stop() == 0
    assert site.waiting() == ["service-perfdata.1"]


def test_signals_in_quick_succession_end_it(proxied: Site, proxy: Proxy) -> None:
    # A handler that runs inside another one must not wait for what that one holds.
    proxied.write("service-perfdata.1", Ledger("quick").text(1))
    for _ in range(count(6, 100)):
        proxied.start()
        before = len(proxy.received)
        proxied.wait(lambda before=before: len(proxy.received) > before, "graphios to connect")  # type: ignore[misc]
        for _ in range(20):
            hang_up(proxied)
        proxied.stop(random.choice([signal.SIGTERM, signal.SIGINT]))
