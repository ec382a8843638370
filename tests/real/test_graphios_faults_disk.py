"""Full, read-only and foreign file systems below spool, state and reject file: delivery goes on where it can, nothing is lost, trouble is said.

Each test has small file systems of its own, in a namespace that ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.mounts import Mounts, fill
from tests.real.shipping_site import Ledger, Options, Site
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.proxy import Proxy
from tests.unit.graphios.spool_lines import service_line

pytest_plugins = ("tests.real.shipping_fixtures",)


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    with Mounts() as namespace:
        yield namespace


@pytest.fixture
def mounted_site(tmp_path: Path, mounts: Mounts, carbon: Carbon) -> Iterator[Callable[..., Site]]:
    """mounted_site(("spool", "state"), size="4m"): a site whose folders of these names are file systems of their own; "" is its root."""
    sites: list[Site] = []

    def make(names: tuple[str, ...], size: str = "4m", options: Options | None = None, port: int | None = None) -> Site:
        root = tmp_path / "site"
        for folder in [root / name for name in ("", "spool", "state")]:
            folder.mkdir(exist_ok=True)
        for name in names:
            mounts.tmpfs(root / name, size)
        sites.append(Site(root, port or carbon.port, options, mounts.enter, mounts.root))
        return sites[-1]

    yield make
    for site in sites:
        if site.process and site.process.poll() is None:
            site.process.kill()
            site.process.wait(30)


def test_everything_on_one_disk_that_is_full(mounted_site: Callable[..., Site], graphite: GraphiteWeb) -> None:
    # Spool and state share the disk, as /var does; what Nagios could still write is delivered, and the disk gets room by that.
    ledger = Ledger("diskfull")
    site = mounted_site(("",), "4m")
    for number in range(5):
        site.write(f"service-perfdata.{number}", ledger.text(10))
    filler = fill(site.outside(site.root))
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.wait(lambda: "No space left" in site.log, "the full disk to be named")
    filler.unlink()
    site.write("service-perfdata.9", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.wait(site.running_status, "the status to be written again")
    site.stop()


def test_state_on_a_disk_that_is_full_from_the_start(mounted_site: Callable[..., Site], graphite: GraphiteWeb) -> None:
    ledger = Ledger("statefull")
    site = mounted_site(("state",), "64k")
    filler = fill(site.outside(site.state))
    for number in range(5):
        site.write(f"service-perfdata.{number}", ledger.text(10))
    site.start()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    assert "No space left" in site.log
    filler.unlink()
    site.write("service-perfdata.9", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_state_that_gets_full_while_carbon_dies(
    mounted_site: Callable[..., Site], carbon: Carbon, graphite: GraphiteWeb
) -> None:
    # The window that carbon needs again lies there: what is in it must stay usable.
    ledger = Ledger("windowfull", series=500)
    site = mounted_site(("state",), "4m")
    site.start()
    site.write("service-perfdata.0", ledger.text(4))
    site.wait_until_empty()
    filler = fill(site.outside(site.state))
    site.write("service-perfdata.1", ledger.text(4))
    site.wait_until_empty()
    carbon.kill()
    carbon.start()
    ledger.check_readable(graphite)
    filler.unlink()
    site.stop()


def test_the_reject_file_on_a_full_disk_costs_no_good_line(
    mounted_site: Callable[..., Site], graphite: GraphiteWeb
) -> None:
    ledger = Ledger("rejectfull")
    site = mounted_site(("state",), "64k")
    site.configure({"rejects": {"file": site.state / "rejects.log"}})
    filler = fill(site.outside(site.state))
    bad = service_line("x=one", host="rejectfull", service="bad")
    site.write("service-perfdata.1", ledger.text(1) + bad + ledger.text(1))
    site.write("service-perfdata.2", ledger.text(1))
    site.start()
    ledger.check_readable(graphite)
    site.wait(lambda: "No space left" in site.log, "the full disk to be named")
    filler.unlink()
    recorded = site.outside(site.state / "rejects.log")
    site.wait(lambda: recorded.exists() and "x=one" in recorded.read_text(), "the reject to be recorded")
    site.wait_until_empty()
    site.stop()


def test_a_spool_that_became_read_only_is_said_and_not_sent_again_and_again(
    mounted_site: Callable[..., Site], mounts: Mounts, proxy: Proxy, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("readonly")
    site = mounted_site(("spool",), port=proxy.port)
    site.start()
    site.wait(site.running_status, "graphios to run")
    proxy.reading = False
    for number in range(3):
        site.write(f"service-perfdata.{number}", ledger.text(10))
    mounts.remount(site.spool, "ro")
    proxy.reading = True
    ledger.check_readable(graphite)
    site.wait(lambda: "Read-only" in site.log, "the read-only spool to be said")
    site.wait(
        lambda: any("Read-only" in text or "read-only" in text for text in site.running_status().get("trouble", [])),
        "the status to say so",
    )
    lines = proxy.lines()
    assert len(lines) == len(set(lines)), "sent once"
    assert len(site.log) < 5000
    mounts.remount(site.spool, "rw")
    site.wait_until_empty()
    site.write("service-perfdata.9", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    lines = proxy.lines()
    assert len(lines) == len(set(lines)), "sent once"
    site.stop()


def test_a_spool_that_is_read_only_from_the_start_is_refused_with_its_reason(
    mounted_site: Callable[..., Site], mounts: Mounts, proxy: Proxy
) -> None:
    ledger = Ledger("ro")
    site = mounted_site(("spool",), port=proxy.port)
    site.write("service-perfdata.1", ledger.text(2))
    mounts.remount(site.spool, "ro")
    done = site.once()
    assert done.returncode in (2, 3)
    assert str(site.spool) in done.stderr
    assert len(proxy.lines()) <= len(ledger)


def test_state_that_is_read_only(mounted_site: Callable[..., Site], mounts: Mounts, graphite: GraphiteWeb) -> None:
    # Either it refuses to start and names the directory, or it delivers; never both silence and loss.
    ledger = Ledger("statero")
    site = mounted_site(("state",))
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    mounts.read_only(site.state)
    for number in range(1, 4):
        site.write(f"service-perfdata.{number}", ledger.text(10))
    ledger.check_readable(graphite)
    site.wait(lambda: "Read-only" in site.log, "the read-only state to be said")
    assert len(site.log) < 10_000
    mounts.uncover(site.state)
    site.wait_until_empty()
    site.write("service-perfdata.9", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_state_on_another_file_system_keeps_the_window(
    mounted_site: Callable[..., Site], carbon: Carbon, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("crossfs", series=500)
    site = mounted_site(("spool", "state"), "16m")
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    assert site.running_status() == {} or not site.running_status()["trouble"]
    carbon.kill()
    carbon.start()
    ledger.check_readable(graphite)
    site.stop()


def test_a_spool_that_is_unmounted_and_comes_back(
    mounted_site: Callable[..., Site], mounts: Mounts, graphite: GraphiteWeb
) -> None:
    ledger = Ledger("gone")
    site = mounted_site(("spool",))
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    site.stop()
    mounts.unmount(site.spool)
    mounts.tmpfs(site.spool)
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()


def test_the_spool_directory_removed_and_made_again_under_a_running_graphios(
    make_site: Callable[..., Site], graphite: GraphiteWeb
) -> None:
    ledger = Ledger("remade")
    site = make_site()
    site.start()
    site.write("service-perfdata.0", ledger.text(10))
    site.wait_until_empty()
    site.spool.rename(site.root / "old-spool")
    site.wait(
        lambda: any(str(site.spool) in text for text in site.running_status().get("trouble", [])),
        "the missing spool to be said",
    )
    site.spool.mkdir()
    site.write("service-perfdata.1", ledger.text(10))
    site.wait_until_empty()
    ledger.check_readable(graphite)
    wait_until(lambda: not site.running_status()["trouble"], 20, "the trouble to be over")
    site.stop()
