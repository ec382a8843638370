"""graphios's commands, and check_graphios over the real NRPE, beside a graphios that ships to a real carbon."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, Site
from tests.stack import place
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.nrpe import Nrpe
from tests.stack.place import free_port

pytest_plugins = ["tests.real.shipping_fixtures"]


def ask(server: Nrpe, command: str) -> tuple[int, str]:
    done = subprocess.run(server.check_argv(command), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def until(server: Nrpe, command: str, wanted: Callable[[int, str], bool], seconds: float = 60) -> str:
    """The first answer that is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(*(answer := ask(server, command))):
        assert time.monotonic() < deadline, answer
        time.sleep(0.3)
    return answer[1]


@pytest.fixture
def public_site(make_stack_root: Callable[[str], Path], carbon: Carbon) -> Iterator[Site]:
    """A site whose status document NRPE's user can read."""
    root = make_stack_root("graphios-commands")
    root.chmod(0o755)
    run = root / "run"
    run.mkdir()
    site = Site(root, carbon.port, {"status": {"file": run / "status.json"}})
    yield site
    if site.process:
        site.process.kill()
        site.process.wait(30)


def test_check_graphios_through_nrpe_tells_how_the_shipper_is(
    public_site: Site, make_nrpe: Callable[..., Nrpe], stack_user: str | None, graphite: GraphiteWeb
) -> None:
    site = public_site
    check = f"{place.command('check_graphios')} --status {site.root}/run/status.json"
    server = make_nrpe({})
    place.give(server.state, stack_user)
    server.commands["check_graphios"] = f"STATE_DIRECTORY={server.state} {check} --save-state"
    server.commands["by_hand"] = f"STATE_DIRECTORY={server.state} {check}"
    server.commands["impatient"] = f"{check} --error-warning 0.5 --error-critical '' --age-critical 5"
    server.stop()
    server.start()

    code, text = ask(server, "check_graphios")
    assert (code, text.startswith("GRAPHIOS CRITICAL - graphios does not run")) == (2, True), text

    ledger = Ledger("checked", series=50)
    site.write("service-perfdata.1", ledger.text(4))
    site.start()
    text = until(server, "by_hand", lambda code, text: code == 0 and "acknowledged=200c" in text)
    assert re.match(r"GRAPHIOS OK - lag [\d.]+ s, 0 files waiting, 1 backend", text)
    ledger.check_readable(graphite)
    assert ask(server, "check_graphios")[0] == 0

    site.write("service-perfdata.2", "DATATYPE::SERVICEPERFDATA\tno time, no host\n")
    text = until(server, "by_hand", lambda code, text: code == 1)
    assert "rejected since the last run: 1 (> 0)" in text
    assert ask(server, "check_graphios")[0] == 1
    time.sleep(1)  # runs that are closer than half a second tell nothing of what lies between
    assert ask(server, "check_graphios")[0] == 0, "it counts since the last run"

    site.kill()
    text = until(server, "impatient", lambda code, text: code == 2)
    assert "graphios is silent" in text

    # A carbon that is not there, and a clean end.
    site.configure({"carbon": {"port": free_port()}})
    site.write("service-perfdata.3", ledger.text(1))
    site.start()
    text = until(server, "impatient", lambda code, text: code == 1)
    assert re.search(r"carbon delivers nothing \(.*Connection refused.*\) for", text)
    assert site.stop() == 0
    text = until(server, "impatient", lambda code, text: code == 2)
    assert "graphios does not run: it ended" in text


def own_terminal(descriptor: int) -> None:
    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def command(site: Site, name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "graphios.cli", name, "--config", str(site.config), *words]


def say(site: Site, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `graphios NAME`."""
    return subprocess.run(
        command(site, name, *words), capture_output=True, text=True, env=site.env, timeout=120, check=False
    )


class Terminal:
    """A command in a pseudo terminal of 40 lines and 200 columns."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 200))
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env, preexec_fn=lambda: own_terminal(theirs)
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, wanted: str, seconds: float = 60) -> str:
        """Everything shown so far, once something that matches `wanted` was."""
        deadline = time.monotonic() + seconds
        while not re.search(wanted, self.text):
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.text[-3000:]
            try:
                new = os.read(self._ours, 65536)
            except OSError:
                new = b""
            assert new, f"it ended: {self.text[-3000:]}"
            self.text += new.decode()
        return self.text

    def press_ctrl_c(self) -> int:
        """Its exit code."""
        os.write(self._ours, b"\x03")
        code = self.process.wait(30)
        while select.select([self._ours], [], [], 0.2)[0]:
            try:
                if not (new := os.read(self._ours, 65536)):
                    break
            except OSError:
                break
            self.text += new.decode()
        os.close(self._ours)
        return code


def test_status_shows_the_work_on_a_backlog_live(site: Site, carbon: Carbon, graphite: GraphiteWeb) -> None:
    ledger = Ledger("backlog", 50, 250)
    port = carbon.port
    site.configure({"carbon": {"port": free_port(), "batch_bytes": 4000}})
    for number in range(12):
        site.write(f"service-perfdata.{number:02}", ledger.text(20), age=100 - number)
    size = sum(path.stat().st_size for path in site.spool.iterdir())
    site.start()
    screen = Terminal(command(site, "status", "--watch"), site.env)
    text = screen.read_until(r"retrying[^\n]* 12 files")
    assert "\x1b[H" in text
    screen.read_until(r"carbon: error: .*refused|TROUBLE: carbon delivers nothing")
    screen.read_until(r"backlog \[\.{20}\] 0% of [\d.]+ kB done, 12 files")
    # carbon comes to where it is expected, in the form of another configuration that is read again.
    site.configure({"carbon": {"port": port}})
    assert site.process
    site.process.send_signal(signal.SIGHUP)
    screen.read_until(r"metrics/s, no backlog")
    ledger.check_readable(graphite)
    assert size > 100_000
    assert screen.press_ctrl_c() == 0
    assert "Traceback" not in screen.text
    done = say(site, "status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["seen"]["process"]) == (0, "running")
    assert document["backends"][0]["acknowledged"] == len(ledger)
    site.kill()
    done = say(site, "status")
    deadline = time.monotonic() + 30
    while "is gone" not in done.stdout and time.monotonic() < deadline:
        time.sleep(0.5)
        done = say(site, "status")
    assert done.returncode == 2
    assert "is gone and did not end by itself" in done.stdout


def test_a_backfill_that_was_ended_goes_on_and_every_point_is_readable(
    site: Site, graphite: GraphiteWeb, tmp_path: Path
) -> None:
    ledger = Ledger("history", 50, 100)
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(6):
        (archive / f"perfdata-{number}.gz").write_bytes(gzip.compress(ledger.text(10).encode()))
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    argv = command(site, "backfill", "--since", "2h", "--rate", "400", str(archive))
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=site.env)
    site.wait(lambda: ledger.compare(graphite)[0] < len(ledger), "the first points of the archive")
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 2, err
    delivered = re.search(r"([\d,]+) metrics delivered", out)
    assert delivered
    first = int(delivered[1].replace(",", ""))
    assert 0 < first < len(ledger)
    assert "the same command goes on from here" in err

    # A graphios that runs is not disturbed, and new lines arrive meanwhile.
    live = Ledger("live", series=5)
    site.write("service-perfdata.1", live.text(3))
    site.start()
    done = say(site, "backfill", "--since", "2h", "--rate", "100000", str(archive))
    assert done.returncode == 0, done.stderr
    assert "going on with what was begun before" in done.stderr
    assert f"{len(ledger):,} metrics delivered, 0 rejected" in done.stdout
    ledger.check_readable(graphite)
    live.check_readable(graphite)
    assert {path.name: path.read_bytes() for path in archive.iterdir()} == before
    assert site.stop() == 0


def test_a_backfill_survives_carbons_that_are_killed(
    site: Site, carbon: Carbon, graphite: GraphiteWeb, tmp_path: Path
) -> None:
    ledger = Ledger("killed", 50, 100)
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(5):
        (archive / f"perfdata-{number}").write_text(ledger.text(12))
    argv = command(site, "backfill", "--since", "2h", "--rate", "600", str(archive))
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=site.env)
    for share in (0.2, 0.5):
        left = int(len(ledger) * (1 - share))
        site.wait(lambda left=left: ledger.compare(graphite)[0] < left, "some of the archive")  # type: ignore[misc]
        carbon.kill()
        carbon.start()
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert f"{len(ledger):,} metrics delivered, 0 rejected" in out
    assert "may have lost its memory" in err
    ledger.check_readable(graphite)


def test_explain_names_what_carbon_then_has(site: Site, graphite: GraphiteWeb) -> None:
    ledger = Ledger("explained", series=5)
    path = site.write("service-perfdata.1", ledger.text(1))
    done = say(site, "explain", str(path))
    assert done.returncode == 0, done.stderr
    told = {
        found[1]: (float(found[2]), int(found[3]))
        for found in re.finditer(r"^    (\S+) (\S+) (\d+)$", done.stdout, re.M)
    }
    assert told == {name: (value, when) for name, points in ledger.points.items() for when, value in points.items()}
    assert site.once().returncode == 0
    ledger.check_readable(graphite)
