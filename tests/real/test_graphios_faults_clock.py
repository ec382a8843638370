"""The clock of the machine stepped under a running graphios: by an hour or a day, forward or backward, while files are half written.

Python's clock is put forward or back inside graphios by a sitecustomize module (only CLOCK_REALTIME; intervals stay true, as they do when an
administrator sets the clock).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, MakeSite, Site
from tests.soak import count
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.proxy import Proxy

pytest_plugins = ("tests.real.shipping_fixtures",)

# Debian's libfaketime 0.9.10 makes clock_nanosleep(), and with it time.sleep(), fail.
STEPPED = """\
import os, time
true, true_ns, true_get = time.time, time.time_ns, time.clock_gettime
def offset():
    with open(os.environ["TEST_CLOCK"], "rb") as file:
        return int(file.read())
time.time = lambda: true() + offset()
time.time_ns = lambda: true_ns() + offset() * 10**9
time.clock_gettime = lambda number: true_get(number) + (offset() if number == time.CLOCK_REALTIME else 0)
"""
STEPS = {"day forward": 86_400, "hour backward": -3600, "hour forward": 3600, "day backward": -86_400}
STEP = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
# Where each step takes seconds: a carbon that is killed, a file that has to settle.
SOME = pytest.mark.parametrize("step", list(STEPS.values())[: count(2, 4)], ids=list(STEPS)[: count(2, 4)])


class Clock:
    """The clock that graphios sees: the true one plus `offset` seconds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.offset = 0
        self.step(0)
        (folder / "sitecustomize.py").write_text(STEPPED, encoding="ascii")
        self.environment = {"PYTHONPATH": str(folder), "TEST_CLOCK": str(self._file)}

    def step(self, seconds: int) -> None:
        """Sets it forward, or backward."""
        self.offset += seconds
        new = self._file.with_suffix(".new")
        new.write_text(str(self.offset), encoding="ascii")
        new.rename(self._file)

    def touch(self, path: Path) -> None:
        """What the kernel would do at a write now: the file's time is that of this clock."""
        now = time.time() + self.offset
        os.utime(path, (now, now))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def runs(site: Site) -> Callable[[], bool]:
    """Whether it said that it runs."""
    return lambda: " INFO graphios " in site.log


def write(site: Site, clock: Clock, name: str, text: str) -> Path:
    path = site.spool / f".{name}"
    path.write_text(text, encoding="utf-8")
    clock.touch(path)
    return path.rename(site.spool / name)


@STEP
def test_a_half_written_file_is_left_alone_over_a_step_and_shipped_whole(
    make_site: MakeSite, graphite: GraphiteWeb, clock: Clock, step: int
) -> None:
    ledger = Ledger(f"step{step}".replace("-", "m"))
    site = make_site({"spool": {"settle_seconds": 60}})
    site.start(**clock.environment)
    site.wait(runs(site), "graphios to run")
    text = ledger.text(4)
    half = write(site, clock, "service-perfdata.half", text[:-20])
    clock.step(step)
    for number in range(3):
        other = write(site, clock, f"service-perfdata.{number}", ledger.text(2))
        site.wait(lambda other=other: not other.exists(), "a whole file to be shipped")  # type: ignore[misc]
    assert half.exists(), site.rejects()
    with half.open("a", encoding="utf-8") as file:
        file.write(text[-20:])
    clock.touch(half)
    site.wait_until_empty()
    assert site.rejects() == ""
    ledger.check_readable(graphite)
    site.stop()


@SOME
def test_a_file_that_nobody_finishes_is_shipped_in_the_end_whatever_the_clock_did(
    make_site: MakeSite, graphite: GraphiteWeb, clock: Clock, step: int
) -> None:
    ledger = Ledger(f"left{step}".replace("-", "m"))
    site = make_site({"spool": {"settle_seconds": 2}})
    site.start(**clock.environment)
    site.wait(runs(site), "graphios to run")
    write(site, clock, "service-perfdata.left", ledger.text(4) + "DATATYPE::SERVICEPERF")
    clock.step(step)
    site.wait_until_empty()
    assert "DATATYPE::SERVICEPERF" in site.rejects()
    ledger.check_readable(graphite)
    site.stop()


@SOME
def test_the_window_is_kept_over_a_step_for_a_carbon_that_dies(
    make_site: MakeSite, carbon: Carbon, graphite: GraphiteWeb, clock: Clock, step: int
) -> None:
    ledger = Ledger(f"window{step}".replace("-", "m"), series=500)
    site = make_site()
    site.start(**clock.environment)
    write(site, clock, "service-perfdata.1", ledger.text(4))
    site.wait_until_empty()
    clock.step(step)
    write(site, clock, "service-perfdata.2", ledger.text(4))
    site.wait_until_empty()
    carbon.kill()
    carbon.start()
    ledger.check_readable(graphite)
    site.stop()


@SOME
def test_tries_go_on_after_a_step(
    make_site: MakeSite, proxy: Proxy, graphite: GraphiteWeb, clock: Clock, step: int
) -> None:
    ledger = Ledger(f"tries{step}".replace("-", "m"))
    site = make_site(port=proxy.port)
    proxy.cut_after = 0
    site.start(**clock.environment)
    write(site, clock, "service-perfdata.1", ledger.text(2))
    site.tries(proxy, 3)
    clock.step(step)
    site.tries(proxy, 3)
    proxy.mend()
    site.wait_until_empty()
    ledger.check_readable(graphite)
    site.stop()
