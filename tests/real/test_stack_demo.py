"""bin/demo does what its page in the README says, and leaves nothing behind, however it is ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import place, processes

NAME = f"demo-of-test-{os.getpid()}"
FAMILIES = ("state", "cpu", "vcpu", "balloon", "block", "host")


def demo(word: str) -> subprocess.Popen[str]:
    """A running bin/demo with a folder of its own, as from a shell that has its own ideas of libvirt and Python."""
    strange = {"TESTBED_DEMO": NAME, "LIBVIRT_DEFAULT_URI": "qemu+ssh://elsewhere/system", "PYTHONPATH": "/nowhere"}
    return subprocess.Popen(
        [place.CLONE / "bin" / "demo", word],
        env=os.environ | strange,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(word: str) -> tuple[int, str]:
    """Exit code and text of a bin/demo that ends by itself."""
    process = demo(word)
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


def get(url: str) -> str:
    """The page behind an address."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def root() -> Path:
    return place.base() / NAME


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """The demo of this test is gone after it, also when the test failed."""
    yield
    place.clean(root())
    shutil.rmtree(place.VAR / "log" / NAME, ignore_errors=True)
    (place.VAR / f"{NAME}.lock").unlink(missing_ok=True)


def command_after(words: str, text: str) -> str:
    """The shell command that is printed below these words."""
    found = re.search(rf"{words}.*\n +(\S.*)\n", text)
    assert found, text
    return found.group(1)


def test_it_shows_points_of_every_family_pages_that_answer_and_commands_that_work_and_ends_without_a_trace() -> None:
    code, text = run("start")
    assert code == 0, text
    for family in FAMILIES:
        assert f"points in Graphite: {family}" in text
    assert "points in Graphite: net" in text or "Note: No network counters" in text

    nagios, services, graphite, graph = (
        re.search(rf"^  {page} +(http://127\.0\.0\.1:\S+)$", text, re.MULTILINE)
        for page in ("Nagios", "services", "Graphite", "CPU")
    )
    assert nagios
    assert services
    assert graphite
    assert graph
    assert "Nagios" in get(nagios.group(1))
    assert "VIRT_STATS OK" in get(services.group(1))
    assert "Graphite" in get(graphite.group(1))
    series = json.loads(get(f"{graph.group(1)}&format=json"))
    assert len(series) == 3

    for words, said in (
        ("through NRPE", "VIRT_STATS OK - 3 of 3 guests running"),
        ("on the node", "web01"),
        ("The guests", "web01"),
    ):
        done = subprocess.run(
            command_after(words, text), shell=True, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done
        assert said in done.stdout

    # What Graphite has is what libvirt says.
    virsh = command_after("The guests", text).replace("list --all", "dominfo web01")
    said = subprocess.run(virsh, shell=True, capture_output=True, text=True, timeout=60, check=True).stdout
    memory = re.search(r"Max memory: +(\d+) KiB", said)
    assert memory
    target = urllib.parse.quote("*.*.*.web01.balloon.maximum")
    points = json.loads(get(f"{graphite.group(1)}render?target={target}&from=-5min&format=json"))[0]["datapoints"]
    assert {value for value, _ in points if value is not None} == {int(memory.group(1)) * 1024}

    ending = text[text.index("  family") :]
    code, text = run("start")
    assert code == 0
    assert "already running" in text
    assert ending in text
    code, text = run("status")
    assert code == 0
    assert ending in text

    assert run("stop") == (0, "demo: stopped, nothing is left running\n")
    assert processes.processes_of(root()) == []
    assert not root().exists()
    assert run("status") == (1, "demo: not running\n")
    assert run("stop") == (0, "demo: it was not running\n")


@pytest.mark.parametrize("moment", ["Starting the pipeline", "libvirtd", "graphite-web", "points in Graphite"])
def test_ctrl_c_leaves_nothing_running(moment: str) -> None:
    process = demo("start")
    assert process.stdout
    assert any(moment in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is left running" in text
    assert processes.processes_of(root()) == []
    assert not root().exists()


def test_what_a_killed_start_left_is_named_and_ended_by_stop() -> None:
    process = demo("start")
    assert process.stdout
    assert any("carbon" in line for line in process.stdout)
    process.kill()
    process.communicate()
    code, text = run("status")
    assert code == 1
    assert re.search(r"its start was killed and left \d+ processes; bin/demo stop ends them", text)
    assert run("stop")[0] == 0
    assert processes.processes_of(root()) == []


def test_stop_ends_a_start_that_is_under_way() -> None:
    process = demo("start")
    assert process.stdout
    assert any("libvirtd" in line for line in process.stdout)
    assert run("stop")[0] == 0
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert processes.processes_of(root()) == []


def test_a_daemon_that_died_is_named_by_status_and_replaced_by_the_next_start() -> None:
    assert run("start")[0] == 0
    pid, _ = (root() / "pids" / "carbon").read_text(encoding="ascii").split()
    os.kill(int(pid), signal.SIGKILL)
    code, text = run("status")
    assert code == 1
    assert "carbon ended" in text
    code, text = run("start")
    assert code == 0
    assert "points in Graphite: cpu" in text
    assert run("stop")[0] == 0


def test_an_unknown_word_is_refused_and_help_helps() -> None:
    code, text = run("begin")
    assert code == 2
    assert text.startswith("demo: there is no 'begin'\nUsage: bin/demo")
    code, text = run("--help")
    assert code == 0
    assert text.startswith("Usage: bin/demo")
