"""The command `graphios` as an operator runs it: processes, exit codes, one line for every trouble, never a traceback."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphios.version import VERSION
from tests.unit.graphios.peers import close_at_once, closed_port, deaf, peer
from tests.unit.graphios.spool_lines import NOW, host_line, service_line

DEADLINE = 60


class Site:
    """A spool, a configuration and a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = root / "spool"
        self.spool.mkdir()
        self.config = root / "graphios.ini"
        self.rejects = root / "state" / "graphios-rejects.log"
        self.environment = os.environ | {"STATE_DIRECTORY": str(root / "state")}

    def configure(self, port: int, more: str = "", carbon: str = "") -> None:
        self.config.write_text(
            f"[spool]\ndirectory = {self.spool}\npoll_seconds = 0.05\n{more}\n[carbon]\nport = {port}\n{carbon}\n",
            encoding="utf-8",
        )

    def write(self, name: str, text: str, age: float = 60) -> Path:
        path = self.spool / f".{name}"  # then renamed, as Nagios's `mv` does: a daemon may be watching
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        os.utime(path, (time.time() - age, time.time() - age))
        return path.rename(self.spool / name)

    def argv(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "graphios.cli", "--config", str(self.config), *options]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*options), capture_output=True, text=True, env=self.environment, timeout=DEADLINE, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        log = (self.root / "log").open("w", encoding="utf-8")
        with log, subprocess.Popen(self.argv(), stderr=log, text=True, env=self.environment) as process:
            try:
                yield process
            finally:
                process.kill()
        assert "Traceback" not in self.log

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(encoding="utf-8")

    def files(self) -> list[str]:
        return sorted(path.name for path in self.spool.iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_once_ships_everything_and_removes_only_what_is_its_own(site: Site) -> None:
    site.write(
        "service-perfdata.1",
        service_line("load1=0.5;5;10;0; 'C: used %'=71%") + service_line("a=1", prefix="mon", postfix="x"),
        30,
    )
    site.write("host-perfdata.2", host_line("rta=1.5ms;;; pl=0%"), 20)
    for name in ("README", ".service-perfdata.3", "core"):
        site.write(name, "not ours")
    with peer() as carbon:
        site.configure(carbon.port)
        done = site.run("--once")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert site.files() == [".service-perfdata.3", "README", "core"]
    assert b"".join(carbon.received).decode().splitlines() == [
        f"web01.load.load1 0.5 {NOW}",
        f"web01.load.C__used__-10cb085c 71 {NOW}",
        f"mon.web01.x.a 1 {NOW}",
        f"web01._HOST_.rta 1.5 {NOW}",
        f"web01._HOST_.pl 0 {NOW}",
    ]


def test_once_with_carbon_down_keeps_the_files_and_says_why(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1"))
    port = closed_port()
    site.configure(port)
    done = site.run("--once")
    assert done.returncode == 2
    assert done.stderr == f"graphios: carbon 127.0.0.1:{port}: Connection refused; 1 files are still in the spool\n"
    assert site.files() == ["service-perfdata.1"]


def test_a_receiver_that_closes_without_reading_gets_nothing_removed(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1"))
    with peer(close_at_once) as carbon:
        site.configure(carbon.port)
        assert site.run("--once").returncode == 2
    assert site.files() == ["service-perfdata.1"]


def test_rejects_are_named_counted_and_do_not_hold_up_the_rest(site: Site) -> None:
    text = (
        service_line("a=1 b=x c=3")
        + "garbage\n"
        + service_line("x=1\tHOSTNAME::victim")
        + service_line("d=4")
        + service_line("e=123.4")[:-3]
    )
    site.write("service-perfdata.1", text)
    with peer() as carbon:
        site.configure(carbon.port)
        done = site.run("--once")
    assert done.returncode == 1
    assert "service-perfdata.1: 4 rejected, see " in done.stderr
    assert done.stderr.count("\n") == 1
    assert site.files() == []
    sent = b"".join(carbon.received).decode()
    assert [line.split()[:2] for line in sent.splitlines()] == [
        ["web01.load.a", "1"],
        ["web01.load.c", "3"],
        ["web01.load.d", "4"],
    ]
    rejects = [line.split("\t")[1:3] for line in site.rejects.read_text(encoding="ascii").splitlines()]
    assert rejects == [
        ["service-perfdata.1:1", "perfdata of web01, load: not a number with a unit"],
        ["service-perfdata.1:2", "no DATATYPE"],
        ["service-perfdata.1:3", "HOSTNAME occurs twice"],
        ["service-perfdata.1:5", "cut off: the last line has no newline"],
    ]


def test_dry_run_shows_lines_and_rejects_and_touches_nothing(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1 b=nan"))
    site.configure(closed_port())
    done = site.run("--dry-run")
    assert done.returncode == 1
    assert done.stdout == f"web01.load.a 1 {NOW}\n"
    assert done.stderr == "rejected service-perfdata.1:1: perfdata of web01, load: not a number with a unit: b=nan\n"
    assert site.files() == ["service-perfdata.1"]
    assert not site.rejects.exists()


@pytest.mark.slow
def test_a_file_that_is_still_written_is_left_alone(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1") + "DATATYPE::SERVICEPERF", age=0)
    with peer() as carbon:
        site.configure(carbon.port)
        done = site.run("--once")
    assert done.returncode == 2
    assert done.stderr == "graphios: 1 files may still be written to; left for later\n"
    assert carbon.received == []
    assert site.files() == ["service-perfdata.1"]


@pytest.mark.slow
def test_hostile_files_never_stop_the_work_or_reach_carbon(site: Site) -> None:
    site.write(
        "service-perfdata.binary", os.urandom(200_000).replace(b"::", b"").decode("utf-8", "surrogateescape"), 90
    )
    site.write("service-perfdata.empty", "", 80)
    site.write("service-perfdata.names", service_line("\udcff\x01=1 'a\x00b'=2 é.ü=3", host="we\udcffb"), 70)
    site.write("service-perfdata.dunder", "__class__::x\t" + service_line("ok=1"), 60)
    (site.spool / "service-perfdata.link").symlink_to("/etc/passwd")
    with peer() as carbon:
        site.configure(carbon.port)
        done = site.run("--once")
    assert done.returncode == 1
    assert site.files() == ["service-perfdata.link"]
    lines = b"".join(carbon.received).split(b"\n")[:-1]
    assert len(lines) == 4
    assert all(len(line.split(b" ")) == 3 and line.isascii() and line.decode().isprintable() for line in lines)


def test_a_second_graphios_on_the_same_spool_is_refused(site: Site) -> None:
    with deaf() as port:
        site.configure(port)
        with site.running():
            wait_for(lambda: f"{site.spool} to carbon" in site.log, "the first one to start")
            done = site.run("--once")
    assert (done.returncode, done.stderr) == (3, f"graphios: another graphios works on the spool {site.spool}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_carbon_hangs(site: Site, number: int) -> None:
    path = site.write("service-perfdata.1", service_line("a=1") * 1000)
    with deaf() as port:
        site.configure(port, carbon="send_timeout = 600\nack_timeout = 600\nconnect_timeout = 600")
        with site.running() as process:
            wait_for(lambda: "to carbon" in site.log, "it to start")
            process.send_signal(number)
            assert process.wait(5) == 0
    assert path.exists()


@pytest.mark.slow
def test_carbon_down_then_up_delivers_without_help(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1"))
    port = closed_port()
    site.configure(port, carbon="longest_pause = 0.2")
    with site.running():
        wait_for(lambda: "Connection refused; trying again" in site.log, "the trouble to be logged")
        with peer() as carbon:
            site.configure(carbon.port)
        assert site.files() == ["service-perfdata.1"]
    site.configure(port, carbon="longest_pause = 0.2")
    with peer() as carbon:
        site.configure(carbon.port)
        with site.running() as process:
            wait_for(lambda: not site.files(), "the file to be delivered")
            site.write("service-perfdata.2", service_line("b=2"))
            wait_for(lambda: not site.files(), "the next file to be delivered")
            process.terminate()
            assert process.wait(5) == 0
    assert b"".join(carbon.received).decode().split("\n")[:-1] == [f"web01.load.a 1 {NOW}", f"web01.load.b 2 {NOW}"]


@pytest.mark.slow
def test_a_line_of_a_megabyte_and_a_large_spool_take_little_memory(site: Site) -> None:
    long = service_line(" ".join(f"vm{number}.cpu.percent={number}.25%;90;95;0;100" for number in range(30_000)))
    assert len(long) > 1_000_000
    site.write("service-perfdata.1", long)
    site.write("service-perfdata.2", service_line("rta=1.5ms;1;2;0; pl=0%;1;2;0;100 x=3 y=4 z=5") * 60_000)
    with peer() as carbon:
        site.configure(carbon.port)
        # Not ru_maxrss: a child inherits that of the test process.
        peak = "import sys; from graphios.cli import main; code = main(); print(open('/proc/self/status').read()); sys.exit(code)"
        argv = [sys.executable, "-c", peak, *site.argv("--once")[3:]]
        done = subprocess.run(argv, env=site.environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(batch.count(b"\n") for batch in carbon.received) == 330_000
    kilobytes = int(done.stdout.split("VmHWM:")[1].split()[0])
    assert kilobytes < 64 * 1024


@pytest.mark.slow
def test_mistakes_are_one_line(site: Site, tmp_path: Path) -> None:
    done = site.run("--bogus")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "graphios: unrecognized arguments: --bogus (see graphios --help)\n"
    assert site.run("--onc").returncode == 3  # no abbreviations
    site.config.write_text("[spool]\ndirectory = /nowhere/spool\n", encoding="utf-8")
    for option in ("--once", "--dry-run"):
        done = site.run(option)
        assert (done.returncode, done.stderr) == (3, "graphios: spool /nowhere/spool: No such file or directory\n")


def test_rejects_that_cannot_be_written_are_told_before_anything_is_sent(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1"))
    with peer() as carbon:
        site.configure(carbon.port, f"[rejects]\nfile = {site.spool}/service-perfdata.1/rejects.log\n")
        done = site.run("--once")
    assert done.returncode == 3
    assert "graphios: reject file " in done.stderr
    assert done.stderr.count("\n") == 1
    assert carbon.received == []


def test_help_and_version_are_on_standard_output(site: Site) -> None:
    done = site.run("--version")
    assert (done.returncode, done.stdout) == (0, f"graphios {VERSION}\n")
    done = site.run("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--config", "--once", "--dry-run", "exit codes:"))


def test_a_closed_pipe_is_no_traceback(site: Site) -> None:
    site.write("service-perfdata.1", service_line("a=1") * 50_000)
    site.configure(closed_port())
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -1', "sh", *site.argv("--dry-run")],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stdout == f"web01.load.a 1 {NOW}\n"
    assert done.stderr == ""
