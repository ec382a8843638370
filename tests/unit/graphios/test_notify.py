"""What systemd is told, on a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphios import notify


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"\0graphios-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name)
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        yield receiver


def test_each_state_is_one_datagram(systemd: socket.socket) -> None:
    notify.ready("3 files\nwaiting é")
    assert systemd.recv(1000).decode() == "READY=1\nSTATUS=3 files waiting é"
    notify.ready()
    assert systemd.recv(1000) == b"READY=1"
    notify.status("carbon is down")
    assert systemd.recv(1000) == b"STATUS=carbon is down"
    notify.watchdog()
    assert systemd.recv(1000) == b"WATCHDOG=1"
    notify.stopping()
    assert systemd.recv(1000) == b"STOPPING=1"


def test_a_reload_carries_the_time(systemd: socket.socket) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    notify.reloading()
    first, second = systemd.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    told = int(second.removeprefix("MONOTONIC_USEC=")) / 1e6
    assert before - 1e-5 <= told <= time.clock_gettime(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize("value", [None, "", "relative", "/not/there", "vsock:2:1"])
def test_without_systemd_nothing_happens(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    notify.ready("x")
    notify.stopping()


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", None, 30.0),
        ("30000000", "ours", 30.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("x", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_systemds(
    microseconds: str | None, pid: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert notify.watchdog_seconds() == seconds
