"""Checks of the real NRPE that run warm in a real engine: no different from those that NRPE runs itself, whatever becomes of the engine."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack import place
from tests.stack.daemon import wait_until
from tests.stack.engine import Engine
from tests.stack.nrpe import CHECK_NRPE, Nrpe
from tests.stack.processes import start_time
from tests.unit.test_contract import RECORDED, Ports, shape

MINFLT_OF_CHILDREN = 8  # of the fields after the name in /proc/PID/stat, proc(5): grows with every child that is reaped


@pytest.fixture(scope="module")
def engine(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Engine]:
    """A running engine. A test that kills it starts it again."""
    engine = Engine(make_stack_root("warm"), stack_user)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def nrpe(make_stack_root: Callable[[str], Path], stack_user: str | None, engine: Engine, silent: int) -> Iterator[Nrpe]:
    """NRPE (plain) with the first recorded command line of each check, KIND_NAME, KIND being cold or warm; and with checks that wait."""
    ports = Ports()
    lines = {
        name: [re.sub(r"\{(\w+)\}", lambda match: ports[match[1]], word) for word in cases[0]]
        for name, cases in RECORDED.items()
    }
    waiting = ["-p", str(silent), "--sibling-port", str(silent)]
    lines["check_advertise_server_waits"] = [*waiting, "-t", "4"]
    lines["check_advertise_server_hangs"] = [*waiting, "-t", "3600"]
    server = Nrpe(make_stack_root("warm-nrpe"), {}, False, stack_user, command_timeout=60)
    for name, words in lines.items():
        script = place.command(re.sub("_(waits|hangs)$", "", name))
        for kind, where in (("cold", "off"), ("warm", str(engine.socket))):
            state = server.state / kind
            line = shlex.join([str(script), *words])
            server.commands[f"{kind}_{name}"] = f"STATE_DIRECTORY={state} TESTBED_CHECKS_ENGINE={where} {line}"
    server.start()
    yield server
    server.stop()


def begin(nrpe: Nrpe, command: str) -> subprocess.Popen[bytes]:
    argv = [CHECK_NRPE, "-H", "127.0.0.1", "-p", str(nrpe.port), "-n", "-t", "60:3", "-c", command]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(asked: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    output, _ = asked.communicate(timeout=90)
    return asked.returncode, output


def ask(nrpe: Nrpe, command: str) -> tuple[int, bytes]:
    return finish(begin(nrpe, command))


def without_numbers(answer: tuple[int, bytes]) -> tuple[int, bytes]:
    return answer[0], re.sub(rb"\d+(\.\d+)?", b"0", answer[1])


def ran_warm(engine: Engine) -> int:
    """A number that grows with each check that ran in the engine and ended."""
    assert engine.daemon
    (fork_server,) = engine.processes()[1:2]
    fields = Path(f"/proc/{fork_server}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[MINFLT_OF_CHILDREN])


def is_running(engine: Engine) -> bool:
    return len(engine.processes()) > 2


def ask_until_warm(nrpe: Nrpe, engine: Engine, name: str) -> tuple[int, bytes]:
    """The answer of a warm run; a busy machine may need several tries to begin it in time."""
    before = ran_warm(engine)

    def tried() -> tuple[int, bytes] | None:
        answer = ask(nrpe, f"warm_{name}")
        return answer if ran_warm(engine) > before else None

    answer = wait_until(tried, 60, f"{name} runs warm; the engine said: {engine.log()}")
    assert answer
    return answer


def begin_warm(nrpe: Nrpe, engine: Engine, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Begin a check that waits; it and its child once that has run in the engine for so long that the client counts on it."""
    for _ in range(20):
        asked = begin(nrpe, f"warm_{name}")
        while asked.poll() is None:
            for child in engine.processes()[2:]:
                if age_of(child) > 1.2:
                    return asked, child
            time.sleep(0.02)
    raise AssertionError(f"it did not run warm; the engine said: {engine.log()}")


def age_of(pid: int) -> float:
    """Seconds since the process began; 0 where it is gone."""
    started = start_time(pid)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return now - started / os.sysconf("SC_CLK_TCK") if started else 0


def test_every_check_says_the_same_warm_and_cold(nrpe: Nrpe, engine: Engine) -> None:
    exact = []
    for name in RECORDED:
        cold, again = (ask(nrpe, f"cold_{name}") for _ in range(2))
        warm = ask_until_warm(nrpe, engine, name)
        if cold == again:
            exact.append(name)
            assert warm == cold
        else:  # times and counters
            assert without_numbers(warm) == without_numbers(cold)
        assert warm[1].count(b"\n") > 0
        assert b"NRPE:" not in warm[1]
    assert "check_virt_stats" in exact


def test_every_recorded_input_gives_the_same_warm_and_cold(
    make_stack_root: Callable[[str], Path], tmp_path: Path
) -> None:
    """Run by hand: NRPE's user can't read what hand-made inputs need."""
    engine, ports = Engine(make_stack_root("warm-recorded")), Ports()

    def said(case: tuple[str, list[str]]) -> list[tuple[int, str, bytes]]:
        name, words = case
        found = []
        for kind, where in (("cold", "off"), ("warm", str(engine.socket))):
            environment = {
                "PATH": "/usr/bin:/bin",
                "TESTBED_CHECKS_ENGINE": where,
                "STATE_DIRECTORY": str(tmp_path / kind),
            }
            done = subprocess.run(
                [place.command(name), *words], env=environment, capture_output=True, timeout=90, check=False
            )
            code, text = shape((done.returncode, done.stdout.decode()))  # type: ignore[no-untyped-call]
            found.append((code, text, done.stderr))
        return found

    cases = [
        (name, [re.sub(r"\{(\w+)\}", lambda match: ports[match[1]], word) for word in words])
        for name, lines in RECORDED.items()
        for words in lines[1:]
    ]
    engine.start()
    try:
        before = ran_warm(engine)
        with ThreadPoolExecutor(4) as threads:
            for case, (cold, warm) in zip(cases, threads.map(said, cases), strict=True):
                assert warm == cold, case
        assert ran_warm(engine) > before
    finally:
        engine.stop()


def test_without_an_engine_a_check_runs_as_ever(nrpe: Nrpe, engine: Engine) -> None:
    engine.stop()
    assert not engine.socket.exists()
    assert ask(nrpe, "warm_check_virt_stats") == ask(nrpe, "cold_check_virt_stats")
    engine.start()
    assert ask_until_warm(nrpe, engine, "check_virt_stats")


@pytest.mark.parametrize("who", ["engine", "fork server"])
def test_an_engine_that_stands_still_delays_a_check_and_no_more(nrpe: Nrpe, engine: Engine, who: str) -> None:
    pid = engine.processes()[0 if who == "engine" else 1]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert ask(nrpe, "warm_check_virt_stats") == ask(nrpe, "cold_check_virt_stats")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not is_running(engine), 20, "what was asked for meanwhile is not left running")
    assert ask_until_warm(nrpe, engine, "check_virt_stats") == ask(nrpe, "cold_check_virt_stats")


@pytest.mark.parametrize("who", ["engine", "fork server", "child"])
def test_killed_in_the_middle_the_check_still_has_one_answer(nrpe: Nrpe, engine: Engine, who: str) -> None:
    cold = begin(nrpe, "cold_check_advertise_server_waits")
    asked, child = begin_warm(nrpe, engine, "check_advertise_server_waits")
    os.kill(
        {"engine": engine.processes()[0], "fork server": engine.processes()[1], "child": child}[who], signal.SIGKILL
    )
    answer = finish(asked)
    if who == "child":
        # NRPE tells a death by a signal so, warm or cold.
        assert answer == (3, b"NRPE: Unable to read output\n")
    else:
        assert without_numbers(answer) == without_numbers(finish(cold))
        assert answer[1].count(b"\n") == 1
    cold.communicate(timeout=90)
    wait_until(lambda: not age_of(child), 20, "the child is gone")
    if who == "engine":
        engine.stop()
        engine.start()
    wait_until(lambda: len(engine.processes()) == 2, 20, "a fork server is there")
    assert ask_until_warm(nrpe, engine, "check_virt_stats")


def test_an_engine_that_falls_silent_in_the_middle_is_left(nrpe: Nrpe, engine: Engine) -> None:
    cold = begin(nrpe, "cold_check_advertise_server_waits")
    asked, _ = begin_warm(nrpe, engine, "check_advertise_server_waits")
    assert engine.daemon
    engine.daemon.pause()
    try:
        assert without_numbers(finish(asked)) == without_numbers(finish(cold))
    finally:
        engine.daemon.resume()
    wait_until(lambda: not is_running(engine), 20, "nothing is left running")


def test_nrpes_timeout_ends_a_hung_check_in_the_engine_at_once(
    nrpe: Nrpe, engine: Engine, make_nrpe: Callable[..., Nrpe]
) -> None:
    impatient = make_nrpe(
        {"warm_hangs": nrpe.commands["warm_check_advertise_server_hangs"]}, tls=False, command_timeout=3
    )
    asked, child = begin_warm(impatient, engine, "hangs")
    assert finish(asked) == (3, b"NRPE: Command timed out after 3 seconds\n")
    wait_until(lambda: not age_of(child), 20, "the check is ended")
    assert ask_until_warm(nrpe, engine, "check_virt_stats")


def test_a_socket_or_folder_that_others_can_change_is_not_asked(nrpe: Nrpe, engine: Engine) -> None:
    for path, mode in ((engine.socket, 0o660), (engine.folder, 0o770), (engine.folder, 0o1777)):
        before, right = ran_warm(engine), path.stat().st_mode & 0o7777
        path.chmod(mode)
        try:
            assert ask(nrpe, "warm_check_virt_stats") == ask(nrpe, "cold_check_virt_stats")
            assert ran_warm(engine) == before
        finally:
            path.chmod(right)


def test_an_engine_of_another_user_is_not_asked(
    nrpe: Nrpe, engine: Engine, needs_root: Callable[[str], None], stack_user: str | None
) -> None:
    if not stack_user:
        needs_root("an engine of another user than NRPE's")
        return
    account = engine.socket.stat()
    before = ran_warm(engine)
    for path in (engine.socket, engine.folder):
        os.chown(path, 65534, account.st_gid)
        path.chmod(path.stat().st_mode | 0o055)
        assert ask(nrpe, "warm_check_virt_stats") == ask(nrpe, "cold_check_virt_stats")
        os.chown(path, account.st_uid, account.st_gid)
        path.chmod(path.stat().st_mode & ~0o055)
    # Nor does it take what another user asks.
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(engine.socket))
        assert stranger.recv(1) == b""
    assert ran_warm(engine) == before
    assert "of another user" in engine.log()


@pytest.mark.parametrize(
    ("prefix", "why"),
    [("nice -n 5", "nice value"), ("ulimit -f 1000;", "limits"), ("PYTHONWARNINGS=error", "environment")],
)
def test_what_would_differ_in_the_engine_runs_here(
    make_nrpe: Callable[..., Nrpe], engine: Engine, prefix: str, why: str
) -> None:
    script = place.command("check_disk")
    line = f"TESTBED_CHECKS_ENGINE={engine.socket} {script} --version"
    if prefix.startswith("nice"):
        line = f"TESTBED_CHECKS_ENGINE={engine.socket} {prefix} {script} --version"
    elif prefix:
        line = f"{prefix} {line}"
    server = make_nrpe({"here": line}, tls=False)
    before = ran_warm(engine)
    code, output = ask(server, "here")
    assert (code, output[:11]) == (3, b"check_disk ")
    assert ran_warm(engine) == before
    assert why in engine.log()


def test_many_at_once_all_answer(nrpe: Nrpe, engine: Engine) -> None:
    expected = ask(nrpe, "cold_check_virt_stats")
    before = ran_warm(engine)
    asked = [begin(nrpe, "warm_check_virt_stats") for _ in range(12)]
    assert [finish(one) for one in asked] == [expected] * len(asked)
    assert ran_warm(engine) > before
