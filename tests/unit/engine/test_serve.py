"""What `testbed-checks serve` is told, where it listens, and what it says of itself."""

from __future__ import annotations

import argparse
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from checks import cli
from checks.engine.results import Result
from checks.engine.serve import local_socket
from checks.engine.serve.hand_on import bad_name
from checks.engine.serve.local_socket import SocketError
from checks.engine.serve.outlets import Outlets
from checks.engine.serve.perfdata_spool import PerfdataSpool
from checks.engine.serve.submit import Handed, Report, Submitter


def folder(tmp_path: Path) -> Path:
    path = tmp_path / "own"
    path.mkdir(mode=0o755)
    return path


def test_a_socket_of_its_own_is_for_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "made" / "engine.sock"
    with local_socket.opened(path) as listening:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        local_socket.removed(path, listening)
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = folder(tmp_path) / "engine.sock"
    local_socket.opened(path).close()
    with local_socket.opened(path) as listening:
        with pytest.raises(SocketError, match="another engine listens there"):
            local_socket.opened(path)
        # Nobody takes them: its queue is full.
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(300)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(str(path))
        with pytest.raises(SocketError, match="another engine listens there"):
            local_socket.opened(path)
        for client in waiting:
            client.close()
        listening.close()


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = folder(tmp_path) / "engine.sock"
    first = local_socket.opened(path)
    first.close()
    with local_socket.opened(path):
        local_socket.removed(path, first)
        assert path.is_socket()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = folder(tmp_path) / "engine.sock"
    path.write_text("mine", encoding="ascii")
    with pytest.raises(SocketError, match="something else than a socket"):
        local_socket.opened(path)
    assert path.read_text(encoding="ascii") == "mine"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_directory_that_others_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    place = folder(tmp_path)
    place.chmod(mode)
    with pytest.raises(SocketError, match="others may write there"):
        local_socket.opened(place / "engine.sock")


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match="too long"):
        local_socket.opened(folder(tmp_path) / ("x" * 120))


def passed(monkeypatch: pytest.MonkeyPatch, descriptor: int, count: str = "1", pid: int = 0) -> socket.socket | None:
    """What is found where systemd passed this descriptor."""
    monkeypatch.setattr(local_socket, "_FIRST_PASSED", descriptor)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_PID", str(pid or os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", "x")
    try:
        return local_socket.passed()
    finally:
        assert not [name for name in os.environ if name.startswith("LISTEN_")]


def test_the_socket_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_socket.opened(folder(tmp_path) / "engine.sock") as listening:
        descriptor = os.dup(listening.fileno())
        os.set_inheritable(descriptor, True)
        found = passed(monkeypatch, descriptor)
        assert found
        assert found.getsockname() == listening.getsockname()
        assert not found.get_inheritable()
        found.close()


def test_the_socket_of_systemd_for_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passed(monkeypatch, 3, pid=1) is None
    assert passed(monkeypatch, 3, count="0") is None
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert local_socket.passed() is None


def test_something_else_from_systemd_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SocketError, match="2 sockets"):
        passed(monkeypatch, 3, count="2")
    reader, writer = os.pipe()
    with pytest.raises(SocketError):
        passed(monkeypatch, reader)
    os.close(writer)
    ours, theirs = socket.socketpair()
    with pytest.raises(SocketError, match="something else"):
        passed(monkeypatch, theirs.detach())
    ours.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "a;b"], "--host 'a;b': holds a semicolon"),
        (["--prefix", "a\tb"], "--prefix"),
        (["--spool", "/no/such/spool"], "--spool /no/such/spool: no directory"),
        (["--submit", " "], "--submit: no command"),
        (["--submit", "x", "--command-file", "y"], "not allowed with"),
        (["--socket", "/proc/none/engine.sock"], "/proc/none"),
        (["--commands", "/no/such/folder"], "is not there"),
    ],
)
def test_mistakes(options: Sequence[str], words: str, tmp_path: Path) -> None:
    code, text = cli.run(["serve", "--commands", str(tmp_path), "--socket", "off", *options])
    assert code == 3
    assert words in text


class Server:
    """Takes everything, and keeps it."""

    longest_delay = 1.0

    def __init__(self) -> None:
        self.got: list[Report] = []

    async def hand(self, reports: Sequence[Report]) -> Handed:
        self.got += reports
        return Handed(len(reports))


def outlets(tmp_path: Path, submitter: Submitter | None = None) -> Outlets:
    opts = argparse.Namespace(host="node", prefix="", html=None, title="", details=False)
    return Outlets(opts, submitter, PerfdataSpool(tmp_path))


def lines(tmp_path: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("service-perfdata.*"))


def test_what_is_dropped_is_in_the_figures_and_makes_them_a_warning(tmp_path: Path) -> None:
    import asyncio

    server = Server()
    submitter = Submitter(server)
    place = outlets(tmp_path, submitter)
    place.figures("checks.done=1c", [])
    asyncio.run(submitter.step())
    assert (server.got[-1].service, server.got[-1].code) == (b"engine", 0)
    for _ in range(3):
        place.hand_on(Result("disk", 0, b"OK | v=1\n"), 1_700_000_000)
    place.figures("checks.done=4c", [])
    asyncio.run(submitter.step())
    report = server.got[-1]
    assert (report.service, report.code) == (b"engine", 1)
    assert report.text == b"WARNING: 2 results were dropped, not all handed on, or replaced"
    place.flush()
    last = lines(tmp_path).splitlines()[-1]
    assert "submit.dropped=2c" in last
    assert "checks.done=4c" in last
    # Told once: the next time all is well.
    place.figures("checks.done=5c", [])
    asyncio.run(submitter.step())
    assert server.got[-1].code == 0


@pytest.mark.parametrize("name", ["a;b", "engine", " "])
def test_a_name_that_can_not_be_handed_on_is_named_and_counted(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = outlets(tmp_path)
    for _ in range(2):
        place.hand_on(Result(name, 0, b"OK | v=1\n"), 1)
    place.figures("checks.done=0c", [])
    place.flush()
    assert "handed_on.incomplete=2c" in lines(tmp_path)
    assert lines(tmp_path).count("\n") == 1
    assert len([entry for entry in caplog.records if "not handed on" in entry.message]) == 1


def test_all_declared_figures_are_there(tmp_path: Path) -> None:
    from checks.engine.serve import outlets as room
    from checks.engine.serve import perfdata_spool, submit

    place = outlets(tmp_path, Submitter(Server()))
    place.figures("checks.done=0c", [])
    place.flush()
    for measure in (*room.MEASURES, *submit.MEASURES, *perfdata_spool.MEASURES):
        assert f" {measure.label}=0{measure.unit}" in lines(tmp_path)
        assert not bad_name(measure.label)
