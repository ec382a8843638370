"""The resident engine as a real process: what it survives, what it hands on, and that nothing is wrong or twice."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.mounts import Mounts, fill
from tests.stack import processes
from tests.stack.daemon import StackError, wait_until
from tests.stack.place import command
from tests.stack.resident import Resident, scheduled

# A text that no other run has.
ONCE = "read up rest < /proc/uptime; read id < /proc/sys/kernel/random/uuid; echo OK: $id"

STEPPED = """\
import os, time
true, true_ns = time.time, time.time_ns
def offset():
    try:
        with open(os.environ.get("TEST_CLOCK", ""), "rb") as file:
            return int(file.read() or b"0")
    except OSError:
        return 0
time.time = lambda: true() + offset()
time.time_ns = lambda: true_ns() + offset() * 10**9
"""


@pytest.fixture
def make_engine(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Callable[..., Resident]]:
    engines: list[Resident] = []

    def make(**options: object) -> Resident:
        engines.append(Resident(make_stack_root(f"serve{len(engines)}"), stack_user, **options))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(make_engine: Callable[..., Resident]) -> Resident:
    return make_engine()


def test_results_go_to_the_spool_and_to_the_submit_command(engine: Resident) -> None:
    plugin = engine.folder / "long"
    plugin.write_text(
        "#!/bin/sh\necho \"WARNING: first | 'a b'=1 x=2;;;;\"; echo 'second | y=3'; exit 1\n", encoding="utf-8"
    )
    plugin.chmod(0o755)
    engine.write("a.cfg", scheduled("check_long", str(plugin)), "command[only_when_asked]=/bin/echo never")
    engine.start("--spool", engine.spool, "--submit", engine.collecting, "--prefix", "site")
    engine.wait(lambda: engine.handed() and engine.spooled(), "results")
    first = engine.handed()[0]
    assert (first.service, first.code, first.text) == ("check_long", 1, "WARNING: first\nsecond")
    line = engine.spooled()[0]
    assert (line["HOSTNAME"], line["SERVICEDESC"], line["SERVICESTATE"]) == ("node", "check_long", "WARNING")
    assert line["SERVICEPERFDATA"] == "'a b'=1 x=2;;;; y=3"
    assert (line["GRAPHITEPREFIX"], line["GRAPHITEPOSTFIX"]) == ("site", "long")
    engine.wait(lambda: "engine" in engine.services(), "its own figures")
    figures = next(one for one in engine.spooled() if one["SERVICEDESC"] == "engine")
    assert "checks.done=" in figures["SERVICEPERFDATA"]
    assert "submit.taken=" in figures["SERVICEPERFDATA"]
    assert "only_when_asked" not in engine.services()
    engine.stop()


def test_systemd_hears_of_it(engine: Resident) -> None:
    engine.write("a.cfg", scheduled("one", "/bin/echo OK"))
    engine.start("--submit", engine.collecting, environment={"WATCHDOG_USEC": "1000000"})
    engine.wait(lambda: engine.said("WATCHDOG=1"), "a sign of life")
    engine.wait(lambda: engine.said("STATUS=1 commands with an interval"), "its status")
    engine.stop()
    assert engine.said("STOPPING=1")


def test_a_file_dropped_in_is_picked_up_and_a_broken_one_costs_only_itself(engine: Resident) -> None:
    engine.write("a.cfg", scheduled("first", "/bin/echo OK"))
    engine.start("--submit", engine.collecting)
    engine.wait(lambda: "first" in engine.services(), "the first command")
    engine.write("b.cfg", scheduled("second", "/bin/echo OK"), "command[]=/bin/echo", "# interval=soon", "no sense")
    engine.wait(lambda: "second" in engine.services(), "the command that was dropped in")
    engine.wait(lambda: engine.log.count("b.cfg, line") >= 3, "each broken line to be named")
    engine.wait(lambda: engine.said("broken:"), "systemd to be told")
    engine.wait(lambda: any(one.service == "engine" and one.code == 1 for one in engine.handed()), "a warning")
    named = engine.log.count("b.cfg, line")
    before = len(engine.handed())
    (engine.commands / "b.cfg").unlink()
    engine.wait(lambda: len(engine.handed()) > before + 3, "the first command to go on")
    assert engine.log.count("b.cfg, line") == named, "said again and again"
    engine.stop()


def test_what_would_go_nowhere_does_not_run(engine: Resident) -> None:
    mark = engine.state / "ran"
    engine.write("a.cfg", scheduled("one", f"touch {shlex.quote(str(mark))}"))
    engine.start(environment={"WATCHDOG_USEC": "1000000"})
    engine.wait(lambda: "says where results go" in engine.log, "the operator to be told")
    engine.wait(lambda: engine.signs() >= 3, "some seconds")
    assert not mark.exists()
    engine.stop()


def test_hup_reads_anew_and_renews_what_is_loaded(engine: Resident) -> None:
    engine.write("a.cfg", scheduled("first", ONCE))
    engine.start("--submit", engine.collecting)
    engine.wait(lambda: engine.handed(), "a result")
    before = set(engine.children())
    engine.forget_said()
    assert engine.daemon
    engine.daemon.kill(signal.SIGHUP)
    engine.wait(lambda: engine.said("RELOADING=1") and engine.said("READY=1"), "the reload")
    engine.wait(lambda: set(engine.children()) - before and not before & set(engine.children()), "a new fork server")
    count = len(engine.handed())
    engine.wait(lambda: len(engine.handed()) > count + 2, "results after it")
    texts = Counter(one.text for one in engine.handed() if one.service == "first")
    assert set(texts.values()) == {1}
    engine.stop()


def test_term_ends_it_with_all_its_children(engine: Resident) -> None:
    stubborn = "trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000"
    engine.write("a.cfg", *(scheduled(f"stubborn{number}", stubborn) for number in range(5)))
    engine.start("--submit", engine.collecting, "--spool", engine.spool)
    engine.wait(lambda: len(_sleepers(engine)) >= 10, "the children")
    children = engine.children()
    engine.stop()
    assert engine.daemon
    assert not [pid for pid in children if processes.start_time(pid)]
    assert not engine.socket.exists()
    # What it stopped itself says nothing about what was looked at.
    assert not [one for one in engine.handed() if one.service.startswith("stubborn")]
    assert "Traceback" not in engine.log


def _parent(pid: int) -> int:
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
        )
    except OSError:
        return 0


def _sleepers(engine: Resident) -> list[int]:
    return [pid for pid in engine.children() if processes.command_line(pid).startswith(b"sleep\0")]


def test_kill_9_and_restart_hand_on_nothing_wrong_and_nothing_twice(engine: Resident) -> None:
    engine.write(
        "a.cfg",
        *(scheduled(f"fast{number}", f"sh -c {shlex.quote(ONCE)}") for number in range(10)),
        scheduled("slow", f"sleep 0.5; {ONCE}"),
        scheduled("never", "sleep 1000"),
    )
    for _ in range(2):
        count = len(engine.handed())
        engine.start("--submit", engine.collecting, "--spool", engine.spool)
        engine.wait(lambda count=count: len(engine.handed()) > count + 20, "results")  # type: ignore[misc]
        children = engine.children()
        assert engine.daemon
        engine.daemon.kill()
        wait_until(
            lambda children=children: not [pid for pid in children if processes.start_time(pid)],  # type: ignore[misc]
            20,
            "the children end with it",
        )
    found = [one for one in engine.handed() if one.service != "engine"]
    assert {one.code for one in found} == {0}, found
    assert set(Counter(one.text for one in found).values()) == {1}
    # The socket that was left behind was replaced.
    engine.start("--submit", engine.collecting)
    engine.stop()


def test_what_a_dying_fork_server_takes_along_runs_again(engine: Resident) -> None:
    engine.write("a.cfg", *(scheduled(f"slow{number}", f"sleep 0.7; {ONCE}") for number in range(5)))
    engine.start("--submit", engine.collecting, "--spool", engine.spool)
    engine.wait(lambda: len(_sleepers(engine)) >= 3, "checks that run")
    assert engine.daemon
    parent = engine.daemon.pid
    server = next(pid for pid in engine.children() if _parent(pid) == parent)
    os.kill(server, signal.SIGKILL)
    count = len(engine.handed())
    engine.wait(lambda: len(engine.handed()) > count + 10, "results after it")
    engine.wait(lambda: "engine" in engine.services(), "figures")
    found = [one for one in engine.handed() if one.service != "engine"]
    assert {one.code for one in found} == {0}, found
    assert {one.service for one in found} == {f"slow{number}" for number in range(5)}
    engine.stop()


def test_two_hundred_at_once(engine: Resident) -> None:
    names = {f"check{number}" for number in range(200)}
    engine.write("a.cfg", *(scheduled(name, f"/bin/echo 'OK: {name} | v=1'", "3") for name in sorted(names)))
    engine.start("--submit", engine.collecting, "--spool", engine.spool)
    # First runs are spread over the interval: all become due while it can't start any.
    assert engine.daemon
    engine.daemon.pause()
    due = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > due, 20, "all are due")
    engine.daemon.resume()
    engine.wait(lambda: names <= engine.services(), "all of them")
    texts = {one.service: (one.code, one.text) for one in engine.handed() if one.service in names}
    assert texts == {name: (0, f"OK: {name}") for name in names}
    engine.wait(lambda: names <= {line["SERVICEDESC"] for line in engine.spooled()}, "all perfdata")
    engine.stop()


def test_the_clock_steps_a_day_forward_and_two_days_back(engine: Resident) -> None:
    clock = engine.folder / "clock"
    clock.write_text("0", encoding="ascii")
    (engine.folder / "sitecustomize.py").write_text(STEPPED, encoding="ascii")
    engine.write("a.cfg", scheduled("one", f"{ONCE}' | v=1'"))
    environment = {"PYTHONPATH": str(engine.folder), "TEST_CLOCK": str(clock)}
    engine.start("--submit", engine.collecting, "--spool", engine.spool, environment=environment)
    engine.wait(engine.spooled, "a result before")
    for step in (86_400, -86_400):
        clock.write_text(str(step), encoding="ascii")
        stepped = time.time() + step

        def after(stepped: float = stepped) -> list[int]:
            times = [int(line["TIMET"]) for line in engine.spooled() if line["SERVICEDESC"] == "one"]
            return [when for when in times if abs(when - stepped) < 3600]

        engine.wait(lambda after=after: len(after()) > 1, "results after the step")  # type: ignore[misc]
        # An interval of a second: neither a burst to catch up, nor a day's silence.
        assert max(Counter(after()).values()) <= 2
    found = [one for one in engine.handed() if one.service == "one"]
    assert {one.code for one in found} == {0}
    assert set(Counter(one.text for one in found).values()) == {1}
    engine.stop()


def test_a_submit_command_that_fails(engine: Resident) -> None:
    switch = engine.state / "broken"
    switch.touch()
    engine.write("a.cfg", scheduled("one", f"{ONCE}' | v=1'"), scheduled("two", ONCE))
    line = f"if [ -e {shlex.quote(str(switch))} ]; then echo no route >&2; exit 1; fi; {engine.collecting}"
    engine.start("--submit", line, "--spool", engine.spool)
    engine.wait(lambda: "no route" in engine.log, "the reason to be said")
    engine.wait(lambda: len(engine.spooled()) > 1, "perfdata to go on")
    switch.unlink()
    engine.wait(lambda: engine.services() >= {"one", "two"}, "results as soon as it works")
    assert set(Counter(one.text for one in engine.handed() if one.service != "engine").values()) == {1}
    engine.stop()


def test_a_submit_command_that_hangs_holds_up_no_check(engine: Resident) -> None:
    engine.write("a.cfg", scheduled("one", "/bin/echo 'OK | v=1'"))
    engine.start("--submit", "sleep 1000", "--spool", engine.spool)
    engine.wait(lambda: _sleepers(engine), "the submit command")
    count = len(engine.spooled())
    engine.wait(lambda: len(engine.spooled()) > count + 2, "results meanwhile")
    sleepers = _sleepers(engine)
    engine.stop()
    # What can't be kept is named.
    assert "not handed on: " in engine.log.splitlines()[-1]
    assert not [pid for pid in sleepers if processes.start_time(pid)]


def test_a_command_file_without_reader(engine: Resident) -> None:
    pipe = engine.state / "nagios.cmd"
    engine.write("a.cfg", scheduled("one", ONCE), scheduled("two", "printf 'CRITICAL: a\\\\b\\nmore\\n'; exit 2"))
    engine.start("--command-file", pipe, "--spool", engine.spool)
    engine.wait(lambda: "No such file or directory" in engine.log, "the missing file to be named")
    os.mkfifo(pipe, 0o666)
    pipe.chmod(0o666)
    engine.wait(lambda: "no Nagios reads it" in engine.log, "the pipe without reader to be named")
    lines = _read(pipe, engine, 8)
    assert len(lines) == len(set(lines))
    words = [line.partition("] ")[2].split(";", 4) for line in lines]
    assert {word[0] for word in words} == {"PROCESS_SERVICE_CHECK_RESULT"}
    assert next(word for word in words if word[2] == "two")[1:] == ["node", "two", "2", r"CRITICAL: a\\b\nmore"]
    pipe.unlink()
    pipe.write_text("", encoding="ascii")
    pipe.chmod(0o666)
    engine.wait(lambda: "no named pipe" in engine.log, "a file that is none to be named")
    assert pipe.read_text(encoding="ascii") == ""
    engine.stop()


def _read(pipe: Path, engine: Resident, wanted: int) -> list[str]:
    """The first lines that come."""
    text = b""
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:

        def enough() -> bool:
            nonlocal text
            try:
                text += os.read(reader, 65536)
            except BlockingIOError:
                return False
            return text.count(b"\n") >= wanted

        engine.wait(enough, "lines in the pipe")
    finally:
        os.close(reader)
    return text.decode().splitlines()


def test_a_full_disk_below_the_spool(make_stack_root: Callable[[str], Path]) -> None:
    with Mounts() as mounts:
        engine = Resident(make_stack_root("full"), prefix=mounts.enter)
        try:
            mounts.tmpfs(engine.spool, "256k")
            _full_disk(engine, mounts.root / str(engine.spool).lstrip("/"))
        finally:
            engine.close()


def _full_disk(engine: Resident, spool: Path) -> None:
    """`spool`: as the test sees it."""
    filler = fill(spool)
    engine.write("a.cfg", scheduled("one", 'read id < /proc/sys/kernel/random/uuid; echo "OK $id | $id=1"'))
    engine.start("--spool", engine.spool, "--submit", engine.collecting)
    engine.wait(lambda: "No space left" in engine.log, "the full disk to be named")
    engine.wait(lambda: len(engine.handed()) > 3, "states to go on")
    filler.unlink()
    engine.wait(lambda: list(spool.glob("service-perfdata.*")), "the spool to be written again")
    # What waited is there as well, once.
    handed = {one.text.split()[1] for one in engine.handed() if one.service == "one"}
    engine.wait(lambda: all(text in _lines(spool) for text in handed), "what waited")
    values = [line.rpartition("::")[2] for line in _lines(spool).splitlines() if "SERVICEDESC::one\t" in line]
    assert len(values) == len(set(values))
    engine.stop()


def _lines(spool: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in spool.glob("service-perfdata.*"))


def test_a_second_engine_leaves_the_first_ones_socket_alone(engine: Resident) -> None:
    engine.start()
    argv: list[str | Path] = [
        command("testbed-checks"),
        "serve",
        "--commands",
        engine.commands,
        "--socket",
        engine.socket,
    ]
    user = engine.folder.stat().st_uid if os.geteuid() == 0 else None
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, user=user)
    assert done.returncode == 3
    assert "another engine listens there" in done.stdout
    assert engine.socket.is_socket()
    engine.stop()


def test_the_socket_that_systemd_made(engine: Resident) -> None:
    if engine.socket.exists():
        engine.socket.unlink()
    engine.start("--spool", engine.spool, activated=True)
    environment = {"PATH": "/usr/bin:/bin", "TESTBED_CHECKS_ENGINE": str(engine.socket)}
    user, group = (engine.folder.stat().st_uid, engine.folder.stat().st_gid) if os.geteuid() == 0 else (None, None)
    groups = os.getgrouplist(pwd.getpwuid(user).pw_name, group) if user is not None and group is not None else None
    argv: list[str | Path] = [command("check_disk"), "--help"]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env=environment,
        user=user,
        group=group,
        extra_groups=groups,
    )
    assert (done.returncode, done.stdout[:6]) == (3, "usage:")
    engine.wait(engine.spooled, "its figures")
    assert "warm.served=1c warm.refused=0c" in engine.spooled()[0]["SERVICEPERFDATA"], engine.log
    engine.stop()
    assert engine.socket.is_socket(), "it is systemd's"


def test_mistakes_are_named_at_once(tmp_path: Path) -> None:
    for options, words in [
        (["--commands", str(tmp_path / "none")], "is not there"),
        (["--commands", str(tmp_path), "--spool", str(tmp_path / "none")], "no directory that can be written to"),
        (["--commands", str(tmp_path), "--host", "a;b"], "semicolon"),
        (["--commands", str(tmp_path), "--submit", "x", "--command-file", "/y"], "not allowed with"),
    ]:
        argv: list[str | Path] = [command("testbed-checks"), "serve", "--socket", "off", *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, words in done.stdout, done.stderr) == (3, True, ""), done


def test_an_engine_that_can_not_come_up_says_so(engine: Resident) -> None:
    engine.socket.write_text("", encoding="ascii")
    with pytest.raises(StackError, match="something else than a socket"):
        engine.start()
