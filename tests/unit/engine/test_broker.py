"""The broker between a Nagios and an executor that come and go: each job is answered once, or handed in, and each line spooled once.

The executor is a plain one (plain_executor.py), Nagios's end a socket; tests/real/test_worker_faults.py has the real ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.engine.worker import broker as module
from checks.engine.worker import held as held_module
from checks.engine.worker.broker import Broker, Settings
from checks.engine.worker.journal import Entry, Journal
from checks.engine.worker.messages import Answer, Work
from tests.unit.engine.nagios_end import PATIENCE, NagiosEnd

EXECUTOR = Path(__file__).with_name("plain_executor.py")
ROOT = Path(__file__).parents[3]


class Site:
    """A broker in a thread of its own, with its folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("spool", "results", "journal"):
            (root / name).mkdir()
        self.nagios = NagiosEnd(root / "qh")
        self.executor = (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['x', {str(root / 'given')!r}];"
                         f" exec(compile(open({str(EXECUTOR)!r}).read(), 'plain_executor', 'exec'))")  # fmt: skip
        self.stop_seconds = 20.0
        self.broker: Broker | None = None
        self._thread: threading.Thread | None = None
        self.plugins: tuple[str, ...] = ("check_x",)

    def start(self) -> None:
        settings = Settings(
            *(self.root / name for name in ("qh", "results")),
            self.plugins,
            self.root / "journal",
            self.root / "spool",
            self.executor,
            stop_seconds=self.stop_seconds,
        )
        self.broker = Broker(settings)
        self._thread = threading.Thread(target=self.broker.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self.broker and self._thread:
            self.broker.stop()
            self.ended()

    def ended(self) -> None:
        assert self._thread
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def given(self) -> list[str]:
        """What executors got: command and attempts."""
        path = self.root / "given"
        return path.read_text().splitlines() if path.exists() else []

    def journal(self) -> list[str]:
        return [path.name for path in (self.root / "journal").glob("job.*")]

    def spooled(self) -> str:
        return "".join(sorted(path.read_text() for path in (self.root / "spool").iterdir()))

    def handed_in(self) -> list[dict[str, str]]:
        released = sorted((self.root / "results").glob("c*.ok"))
        texts = [path.with_name(path.name.removesuffix(".ok")).read_text() for path in released]
        return [dict(line.split("=", 1) for line in text.splitlines()) for text in texts]


@pytest.fixture
def site() -> Iterator[Site]:
    # A socket's path has to be short.
    root = Path(tempfile.mkdtemp(prefix="broker-"))
    made = Site(root)
    yield made
    made.nagios.end()
    if made.broker:
        made.broker.stop()
        made.broker.stop()
        made.ended()
    shutil.rmtree(root)


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def test_a_job_is_run_answered_spooled_and_struck(site: Site) -> None:
    site.start()
    worker = site.nagios.worker()
    assert "plugin=check_x" in worker.asked
    assert "pid=" not in worker.asked
    worker.hand(0, "echo 'OK: x|a=1'; echo SPOOL a; exit 1")
    result = worker.result()
    assert (result["job_id"], result["wait_status"], result["exited_ok"]) == ("0", "256", "1")
    assert result["outstd"] == "OK: x|a=1\nSPOOL a\n"
    assert site.spooled() == "SPOOL a\n"
    wait_for(lambda: not site.journal())


def test_each_plugin_has_a_connection_of_its_own(site: Site) -> None:
    site.plugins = ("check_x", "check_y")
    site.start()
    asked = {site.nagios.worker().asked.rpartition("plugin=")[2] for _ in range(2)}
    assert asked == {"check_x", "check_y"}


def test_jobs_of_a_dead_executor_go_to_the_next_one_unseen(site: Site) -> None:
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "sleep 0.05; echo slow; echo SPOOL slow")
    worker.hand(1, "die")
    worker.hand(2, "echo quick")
    results = [worker.result() for _ in range(3)]
    assert {result["job_id"] for result in results} == {"0", "1", "2"}
    assert site.spooled() == "SPOOL slow\n"
    assert "die 1" in site.given()


def test_an_executor_that_speaks_nonsense_is_replaced(site: Site) -> None:
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "garbage")
    assert worker.result()["job_id"] == "0"
    assert site.given() == ["garbage 0", "garbage 1"]


@pytest.mark.slow
def test_an_executor_that_hangs_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.start()
    worker = site.nagios.worker()
    monkeypatch.setattr(held_module, "MOST_ATTEMPTS", 1)
    worker.hand(0, "mute")
    wait_for(lambda: site.given())
    assert site.broker
    (held,) = site.broker._jobs._held.values()
    held.overdue = 0.0
    wait_for(lambda: site.given() == ["mute 0", "mute 1"])
    os.kill(site.broker._executor.pid, signal.SIGKILL)
    result = worker.result()
    assert result["wait_status"] == "768"
    assert result["outstd"] == "UNKNOWN: the worker ended 2 times while this check ran\n"


def test_nagios_is_not_asked_for_jobs_without_an_executor(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.executor = ("/bin/false",)
    site.start()
    wait_for(lambda: caplog.text.count("is gone") >= 2)
    site.nagios._listening.settimeout(0)
    with pytest.raises(BlockingIOError):
        site.nagios.worker()


@pytest.mark.slow
def test_when_there_is_no_executor_any_more_nagioss_own_workers_take_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNREADY", 0.1)
    monkeypatch.setattr(held_module, "OVERDUE", -0.5)
    site.start()
    worker = site.nagios.worker()
    assert site.broker
    site.broker._executor._argv = ["/bin/false"]
    worker.hand(0, "die", timeout=1)
    worker.hand(1, "mute", service="load", timeout=1)
    assert worker.ended()
    worker.socket.close()
    wait_for(lambda: len(site.handed_in()) == 2)
    found = {result["service_description"]: result for result in site.handed_in()}
    assert {name: found[name]["return_code"] for name in found} == {"disk": "3", "load": "3"}
    assert found["disk"]["output"] == "UNKNOWN: the worker could not run this check "
    wait_for(lambda: not site.journal())


def test_nagios_restarts_and_is_served_again_without_its_old_jobs(site: Site) -> None:
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "mute")
    wait_for(lambda: site.given())
    site.nagios.end()
    wait_for(lambda: "cancelled" in site.given())
    assert not site.journal()
    site.nagios = NagiosEnd(site.root / "qh")
    worker = site.nagios.worker()
    worker.hand(0, "echo new")
    assert worker.result()["outstd"] == "new\n"
    assert not site.handed_in()


def test_a_stopped_broker_leaves_nothing_undone(site: Site) -> None:
    site.start()
    worker = site.nagios.worker()
    os.mkfifo(site.root / "gate")
    worker.hand(
        0, "read x < gate; echo 'WARNING: a|b=1'; echo SPOOL a; exit 1".replace("gate", str(site.root / "gate"))
    )
    worker.hand(1, "mute", service="handler", kind=5)
    wait_for(lambda: len(site.given()) == 2)
    assert site.broker
    site.broker.stop()
    assert worker.ended()
    # What Nagios has just sent.
    worker.hand(2, "echo late", service="late")
    worker.hand(3, "echo notified", service="notification", kind=1)
    worker.socket.close()
    (site.root / "gate").write_text("go\n")
    site.ended()
    found = {result["service_description"]: result["output"] for result in site.handed_in()}
    assert found == {"disk": r"WARNING: a|b=1\nSPOOL a ", "late": "late "}
    assert site.spooled() == "SPOOL a\n"
    assert not site.journal()
    assert not any("notified" in line for line in site.given())


def test_a_broker_that_may_not_wait_names_what_it_did_not_finish(site: Site) -> None:
    site.stop_seconds = 0.05
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "mute")
    wait_for(lambda: site.given())
    assert site.broker
    site.broker.stop()
    assert worker.ended()
    worker.socket.close()
    site.ended()
    (result,) = site.handed_in()
    assert result["output"] == "UNKNOWN: the worker was stopped before this check ended "
    assert (result["host_name"], result["service_description"]) == ("web01", "disk")


def leave_behind(site: Site, *entries: Entry) -> None:
    journal = Journal(site.root / "journal")
    for entry in entries:
        journal.enter(entry)
    journal.close()


def entry(site: Site, number: int, command: str, service: str, **changed: object) -> Entry:
    environment = f"NAGIOS_HOSTNAME=web01\nNAGIOS_SERVICEDESC={service}\n".encode()
    work = Work(number, int(changed.pop("kind", 0)), 60, command.encode(), environment)  # type: ignore[call-overload]
    left = Entry(work, number, "nagios-gone", module.run_of(site.root / "qh"), time.time() - 5)
    return left._replace(**changed)


def test_a_successor_runs_what_a_killed_broker_left_and_hands_it_in(site: Site) -> None:
    leave_behind(
        site,
        entry(site, 1, "echo one; echo SPOOL one", "one"),
        entry(site, 2, "echo handler", "handler", kind=5),
        entry(site, 3, "echo before", "before", nagios="1:2:3"),
        entry(site, 4, "echo old", "old", received=time.time() - 700),
    )
    site.start()
    wait_for(lambda: not site.journal())
    (result,) = site.handed_in()
    assert (result["service_description"], result["output"]) == ("one", r"one\nSPOOL one ")
    assert site.spooled() == "SPOOL one\n"
    assert site.given() == ["echo one; echo SPOOL one 0"]


def test_what_a_killed_broker_had_spooled_is_not_run_again(site: Site) -> None:
    left = entry(site, 1, "echo again; echo SPOOL again", "one")
    leave_behind(site, left)
    journal = Journal(site.root / "journal")
    answer = Answer(1, 1.0, 2.0, output=b"OK: first", spool=b"SPOOL first\n", host=b"web01", service=b"one")
    journal.settle(answer)
    journal.close()
    site.start()
    wait_for(lambda: not list((site.root / "journal").glob("*.1")))
    (result,) = site.handed_in()
    assert result["output"] == "OK: first "
    assert site.spooled() == ""
    assert not site.given()


def test_a_successor_after_the_end_of_nagios_does_nothing(site: Site) -> None:
    leave_behind(site, entry(site, 1, "echo one", "one"))
    site.nagios.end()
    (site.root / "qh").unlink()
    site.start()
    wait_for(lambda: not site.journal())
    site.stop()
    assert not site.handed_in()
    assert not site.given()


def test_a_full_spool_costs_the_perfdata_and_says_so(site: Site) -> None:
    (site.root / "spool").rmdir()
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "echo 'OK: x|a=1'; echo SPOOL a")
    assert worker.result()["outstd"] == (
        f"OK: x (perfdata not spooled: {site.root}/spool: No such file or directory) |a=1\nSPOOL a\n"
    )
    (site.root / "spool").mkdir()
    worker.hand(1, "echo SPOOL b")
    worker.result()
    assert site.spooled() == "SPOOL b\n"


@pytest.mark.slow
def test_a_spool_that_hangs_holds_up_no_result(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(held_module, "SLOW_SPOOL", 0.05)
    monkeypatch.setattr("graphios.spool_writer.write", lambda *_: gate.wait(PATIENCE))
    site.start()
    worker = site.nagios.worker()
    worker.hand(0, "echo SPOOL a")
    worker.hand(1, "echo b")
    assert {worker.result()["job_id"] for _ in range(2)} == {"0", "1"}
    gate.set()


def test_a_job_that_can_not_be_noted_is_run_all_the_same(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.start()
    worker = site.nagios.worker()
    shutil.rmtree(site.root / "journal")
    worker.hand(0, "echo a")
    assert worker.result()["outstd"] == "a\n"
    assert "journal" in caplog.text


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"OK: x | a=1\nmore", b"OK: x (n) | a=1\nmore"),
        (b"OK: x", b"OK: x (n)"),
        (b"", b" (n)"),
        (b"OK\n|a=1", b"OK (n)\n|a=1"),
    ],
)
def test_a_remark_stands_in_the_text_of_the_first_line(output: bytes, expected: bytes) -> None:
    assert held_module.with_note(output, "n") == expected
