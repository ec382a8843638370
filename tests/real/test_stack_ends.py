"""The private stack leaves nothing behind, however it ends, and touches nothing of the machine's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import place, processes
from tests.stack.daemon import Daemon, StackError, accepts, wait_until
from tests.stack.libvirt import Libvirt
from tests.stack.nrpe import Nrpe

# A whole stack in a process of its own, which says what it made and then waits for a word.
OWNER = """
import json, sys
from pathlib import Path
from tests.stack import place
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.libvirt import Libvirt
from tests.stack.nrpe import Nrpe
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe

root = place.make_root(sys.argv[1])
user = place.daemon_user()
libvirt = Libvirt(root)
libvirt.start()
libvirt.add_guest("one", nics=2)
carbon = Carbon(root, user)
carbon.start()
graphite = GraphiteWeb(root, carbon, user)
graphite.start()
nrpe = Nrpe(root, {"sleep": "/bin/sleep 300"}, True, user)
nrpe.start()
parts = [libvirt, carbon, graphite, nrpe]
print(json.dumps({
    "pids": [part.daemon.pid for part in parts] + [libvirt.qemu_pid("one")],
    "ports": [carbon.port, carbon.query_port, graphite.port, nrpe.port],
    "sleep": nrpe.check_argv("sleep"),
}), flush=True)
sys.stdin.readline()
for part in reversed(parts):
    part.stop()
place.clean(root)
"""


def machine_state() -> dict[str, object]:
    """What a stack must not change: network devices, mounts, accounts, libvirt's folders."""
    return {
        "devices": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "accounts": [Path(f"/etc/{name}").read_text() for name in ("passwd", "group")],
        "folders": [os.path.exists(path) for path in ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt")],  # noqa: PTH110
    }


class Owner:
    """The process that runs OWNER."""

    def __init__(self) -> None:
        self.name = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.before = machine_state()
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, self.name],
            cwd=place.CLONE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.made: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert all(processes.start_time(pid) for pid in self.made["pids"])
        assert all(accepts(port) for port in self.made["ports"])

    @property
    def root(self) -> Path:
        return place.base() / self.name

    def assert_gone(self) -> None:
        """Nothing is left of what was made."""
        assert processes.processes_of(self.root) == []
        assert [pid for pid in self.made["pids"] if processes.start_time(pid)] == []
        assert [port for port in self.made["ports"] if accepts(port)] == []
        assert not self.root.exists()
        assert machine_state() == self.before


@pytest.fixture
def owner() -> Iterator[Owner]:
    """A started stack whose owner is another process."""
    started = Owner()
    yield started
    started.process.kill()
    started.process.communicate()
    place.clean(started.root)


def test_a_stopped_stack_leaves_no_process_mount_tap_port_or_file(owner: Owner) -> None:
    owner.process.communicate("stop\n", timeout=60)
    assert owner.process.returncode == 0
    owner.assert_gone()


def test_what_a_killed_owner_left_is_ended_by_the_next_one(owner: Owner) -> None:
    check = subprocess.Popen(owner.made["sleep"], stdout=subprocess.DEVNULL)  # a check that runs meanwhile ends, too
    wait_until(
        lambda: any(b"sleep\x00300" in processes.command_line(pid) for pid in processes.processes_of(owner.root)),
        10,
        "the check",
    )
    owner.process.send_signal(signal.SIGKILL)
    owner.process.wait()
    assert processes.processes_of(owner.root) != []
    place.clean_abandoned(owner.name)
    owner.assert_gone()
    check.wait(30)


def test_a_stack_whose_owner_lives_is_not_cleaned_as_abandoned(owner: Owner) -> None:
    place.clean_abandoned(owner.name)
    assert all(processes.start_time(pid) for pid in owner.made["pids"])


def test_a_process_id_that_was_given_to_somebody_else_is_not_signalled() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        started = processes.start_time(stranger.pid)
        assert started is not None
        assert not processes.send_signal(stranger.pid, started - 1, signal.SIGKILL)
        assert stranger.poll() is None
        stranger.kill()


def test_a_daemon_sees_nothing_of_the_callers_environment(
    make_stack_root: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_stack_root("environment")
    for name in ("LIBVIRT_DEFAULT_URI", "PYTHONPATH", "http_proxy", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "somewhere/else")
    daemon = Daemon("env", ["/usr/bin/env"], root / "env.log")
    daemon.start()
    wait_until(lambda: not daemon.alive(), 10, "env ends")
    assert "somewhere/else" not in daemon.log.read_text()
    assert f"{processes.MARK}={root}" in daemon.log.read_text()


def test_a_daemon_that_dies_at_once_is_named_with_its_last_words_and_its_log(
    make_stack_root: Callable[[str], Path],
) -> None:
    root = make_stack_root("dying")
    daemon = Daemon("dying", ["/bin/sh", "-c", "echo the reason; exit 1"], root / "dying.log")
    daemon.start()
    with pytest.raises(StackError, match=rf"^dying ended at once: the reason; see {root}/dying\.log$"):
        daemon.wait_ready(lambda: False, 10, "never")


def test_a_paused_daemon_is_stopped(make_stack_root: Callable[[str], Path]) -> None:
    daemon = Daemon("sleeper", ["/bin/sleep", "600"], make_stack_root("paused") / "sleeper.log")
    daemon.start()
    pid = daemon.pid
    daemon.pause()
    daemon.stop()
    assert processes.start_time(pid) is None


def test_a_clone_in_a_deep_folder_works_with_unix_sockets_of_limited_length(
    make_stack_root: Callable[[str], Path],
) -> None:
    root = make_stack_root("d" * 80)
    libvirt = Libvirt(root)
    libvirt.start()
    try:
        libvirt.add_guest("one")
        assert processes.start_time(libvirt.qemu_pid("one"))
        sockets = place.socket_folder(root)
        assert sockets != root
    finally:
        libvirt.stop()
        place.clean(root)
    assert not sockets.exists()


def test_a_port_that_somebody_else_took_in_between_is_replaced(
    make_stack_root: Callable[[str], Path], stack_user: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_stack_root("ports")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stolen, real = taken.getsockname()[1], place.free_port
        ports = iter([stolen])
        monkeypatch.setattr("tests.stack.nrpe.free_port", lambda: next(ports, None) or real())
        server = Nrpe(root, {}, False, stack_user)
        server.start()
        assert server.port != stolen
        assert server.daemon
        assert server.daemon.listens(server.port)
        server.stop()
