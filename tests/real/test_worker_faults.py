"""The worker of a real Nagios Core when something dies: its executor, its broker, Nagios.

No result is lost and none comes twice; a check whose result is lost would not run again for more than ten minutes, because Nagios waits for it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.engine.worker import hand_in
from checks.engine.worker.messages import Answer
from tests.real.worker_site import PATIENCE, ServiceManager, WorkerSite
from tests.stack.daemon import wait_until
from tests.stack.place import give


@pytest.fixture
def site(
    make_stack_root: Callable[[str], Path], stack_user: str | None, request: pytest.FixtureRequest
) -> Iterator[WorkerSite]:
    made = WorkerSite(make_stack_root(f"worker-{request.node.name[5:25]}"), stack_user)
    try:
        made.nagios.start()
        yield made
    finally:
        made.stop()


def once(site: WorkerSite) -> None:
    """Asserts that what Nagios took of the worker and what the worker spooled is the same, each run once."""
    taken = Counter(run for _, run, ours in site.taken() if ours)
    spooled = Counter(site.spooled())
    assert taken == spooled
    assert set(taken.values()) == {1}


def test_an_executor_killed_ten_times_costs_no_result(site: WorkerSite) -> None:
    site.start_worker()
    site.wait_for_each()
    for _ in range(10):
        before = len(site.taken())
        wait_until(lambda: len(site.taken()) > before and site.jobs(), PATIENCE, "it runs checks")  # noqa: B023
        site.kill_executor()
    site.wait_for_each(2)
    site.finish()
    once(site)
    assert "broken" not in site.said()
    assert "doesn't exist" not in site.said()


def test_nagios_restarts_and_finds_its_worker_again(site: WorkerSite) -> None:
    site.start_worker()
    site.wait_for_each()
    assert site.nagios.daemon
    site.nagios.daemon.kill(signal.SIGHUP)
    wait_until(lambda: "Caught SIGHUP" in site.said(), PATIENCE, "Nagios restarts")
    site.wait_for_each()
    site.nagios.stop()
    site.nagios.start()
    site.wait_for_each()
    assert site.worker
    assert site.worker.alive()
    site.finish()
    assert set(Counter(site.spooled()).values()) == {1}


def test_a_killed_broker_leaves_its_jobs_to_its_successor(site: WorkerSite) -> None:
    worker = site.start_worker()
    site.wait_for_each()
    wait_until(lambda: site.jobs() >= 4, PATIENCE, "the slow checks run")
    worker.kill()
    left = site.jobs()
    assert left
    site.start_worker()
    site.wait_for_each()
    site.finish()
    once(site)
    assert f"{left} of them to be handed in, 0 forgotten" in site.log.read_text(encoding="utf-8")


def test_what_a_killed_broker_had_not_even_read_is_checked_again(site: WorkerSite) -> None:
    worker = site.start_worker()
    site.wait_for_each()
    worker.pause()

    def all_due() -> bool:
        due = [int(fields["next_check"]) for (_, service), fields in site.nagios.status().items() if service]
        # Long enough that Nagios, on a busy machine as well, has handed them over.
        return max(due) < time.time() - 3

    wait_until(all_due, PATIENCE, "Nagios waits for every check")
    worker.kill()
    site.start_worker()
    site.wait_for_each()
    site.finish()
    once(site)
    assert re.search(r"Nagios waits for \d+ checks that got lost", site.log.read_text(encoding="utf-8"))


def test_nagioss_own_workers_take_over_from_one_that_is_stopped(site: WorkerSite) -> None:
    worker = site.start_worker()
    site.wait_for_each()
    wait_until(lambda: site.jobs() >= 4, PATIENCE, "the slow checks run")
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: not worker.alive(), PATIENCE, "the worker ends")
    assert not site.jobs()
    site.wait_for_each(by_worker=False)
    assert site.log.read_text(encoding="utf-8").count("ERROR") == 0
    once(site)


def test_nagios_does_not_even_notice_when_a_broker_under_systemd_is_killed(site: WorkerSite) -> None:
    manager = ServiceManager(site)
    try:
        for _ in range(3):
            process = manager.start_worker()
            wait_until(lambda: manager.listen() and manager.kept, PATIENCE, "the worker is ready")
            site.wait_for_each()
            wait_until(
                lambda: manager.listen() is not None and manager.kept and site.jobs() >= 4,
                PATIENCE,
                "the slow checks run",
            )
            process.kill()
            process.wait()
        process = manager.start_worker()
        site.wait_for_each()
        site.finish()
        once(site)
        assert "broken" not in site.said()
        assert site.log.read_text(encoding="utf-8").count("1 connections kept") == 3
        process.terminate()
        process.wait(PATIENCE)
    finally:
        manager.close()


def test_a_result_that_is_handed_in_is_taken_as_it_is(site: WorkerSite, stack_user: str | None) -> None:
    """What Nagios has of it is what it would have from a worker: text, further lines, perfdata, state."""
    site.nagios.submit("STOP_EXECUTING_SVC_CHECKS")
    output = b"WARNING: a \\ b; [c] 'd' = e|x=1;2;3 'y z'=4\nmore \\n than one line\n\nhost_name=other\n\\"
    answer = Answer(1, 1700000000.0, 1700000001.0, 1 << 8, output=output, host=b"node", service=b"quick0")
    folder = site.nagios.folder / "checkresults"

    def taken() -> bool:
        # A check that was already running may come later.
        if not list(folder.iterdir()):
            hand_in.hand_in(folder, answer)
            give(folder, stack_user)
        return site.nagios.status()["node", "quick0"]["current_state"] == "1"

    wait_until(taken, PATIENCE, "Nagios takes the result")
    status = site.nagios.status()["node", "quick0"]
    assert status["plugin_output"] == r"WARNING: a \ b: [c] 'd' = e"
    assert status["performance_data"] == "x=1;2;3 'y z'=4"
    assert status["long_plugin_output"] == r"more \\n than one line\n\nhost_name=other\n\\"
    assert status["check_type"] == "0"
