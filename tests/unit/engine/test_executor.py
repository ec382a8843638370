"""The executor of the worker: over its socket, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from checks.engine.forks.client import ForkServer
from checks.engine.jobs import Ended, Job
from checks.engine.pool import Pool
from checks.engine.worker import nagios_config
from checks.engine.worker.executor import Executor
from checks.engine.worker.messages import TIMED_OUT, Answer, BadFrame, Cancel, Decoder, Message, Ready, Work, encode
from tests.unit.engine import nagios_jobs

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 60
SERVICE = nagios_jobs.service()
JOBS = {
    "words": Work(1, 0, 60, b"/bin/echo OK 'a  b' | | a=1".replace(b"| |", b"'|'"), SERVICE),
    "shell": Work(2, 0, 60, b"echo \"OK $NAGIOS_HOSTNAME $A\" '| a=1'; exit 1", SERVICE),
    "variables": Work(3, 0, 60, b"A='x y' /bin/sh -c 'echo OK $A $NAGIOS_SERVICEDESC, $NOTIFY_SOCKET.'", SERVICE),
    "missing": Work(4, 0, 60, b"/nonexistent/check_x -w 1", SERVICE),
    "nothing": Work(5, 0, 60, b" ", SERVICE),
    "signal": Work(6, 0, 60, b"/bin/sh -c 'kill -9 $$'", SERVICE),
    "code": Work(7, 0, 60, b"/bin/sh -c 'echo TEXT; exit 200'", SERVICE),
    "errors": Work(8, 0, 60, b"/bin/sh -c 'echo oh >&2; exit 2'", SERVICE),
    "hung": Work(9, 0, 1, b"/bin/sleep 1000", SERVICE),
    "host": Work(10, 0, 60, b"/bin/echo 'UP | rta=1'", nagios_jobs.HOST),
    "forged": Work(11, 0, 60, b"/bin/echo 'OK | a=1'", nagios_jobs.service("x\nNAGIOS_HOSTNAME=victim")),
    "handler": Work(12, 4, 60, b"/bin/echo 'done | a=1'", SERVICE),
    "bytes": Work(13, 0, 60, b"/usr/bin/printf 'OK \\377\\000 | a=1'", SERVICE),
    "large": Work(
        14,
        0,
        60,
        b'/bin/sh -c \'printf "OK | "; i=0; while [ $i -lt 2000 ]; do printf "l$i=1 "; i=$((i+1)); done\'',
        SERVICE,
    ),
    "ours": Work(15, 0, 60, b"check_disk --version", SERVICE),
}


def config(folder: Path) -> Path:
    path = folder / "nagios.cfg"
    path.write_text(f"object_cache_file={folder}/none\nstatus_file={folder}/none\n")
    return path


async def talk(path: Path, messages: Iterable[Message], answers: int) -> dict[int, Answer]:
    """What a new executor answers, up to so many answers; then it is hung up on."""
    server = ForkServer()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    found: dict[int, Answer] = {}
    decoder = Decoder()
    try:
        reader, writer = await asyncio.open_connection(sock=theirs)
        executor = Executor(Pool(server), nagios_config.read(path))
        serving = asyncio.ensure_future(executor.serve(reader, writer))
        with ours:
            for message in messages:
                await loop.sock_sendall(ours, encode(message))
            while len(found) < answers:
                data = await asyncio.wait_for(loop.sock_recv(ours, 65536), DEADLINE)
                assert data, "the executor hung up"
                for message in decoder.feed(data):
                    assert isinstance(message, Answer)
                    assert message.number not in found
                    found[message.number] = message
        await asyncio.wait_for(serving, DEADLINE)
        writer.close()
    finally:
        await server.close()
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    path = config(tmp_path_factory.mktemp("nagios"))
    os.environ["NOTIFY_SOCKET"] = "/run/ours"
    try:
        found = asyncio.run(talk(path, JOBS.values(), len(JOBS)))
    finally:
        del os.environ["NOTIFY_SOCKET"]
    return {name: found[work.number] for name, work in JOBS.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status", "output"),
    [
        ("words", 0, b"OK a  b | a=1\n"),
        ("shell", 256, b"OK web01  | a=1\n"),
        ("variables", 0, "OK x y Disk ö=1, .\n".encode()),
        ("nothing", 512, b"CRITICAL:  can't be started: there is no command\n"),
        ("signal", 9, b"UNKNOWN: /bin/sh was ended by signal 9\n"),
        ("code", 200 << 8, b"TEXT\n"),
        ("errors", 512, b""),
        ("host", 0, b"UP | rta=1\n"),
        ("handler", 0, b"done | a=1\n"),
        ("bytes", 0, b"OK \xff  | a=1"),
        ("ours", 768, None),
    ],
)
def test_each_job_is_run_and_answered(answers: dict[str, Answer], name: str, status: int, output: bytes | None) -> None:
    found = answers[name]
    assert (found.wait_status, found.error_code) == (status, 0)
    assert output is None or found.output == output
    assert 0 < found.start <= found.stop <= time.time()


@pytest.mark.slow
def test_our_own_check_runs_warm(answers: dict[str, Answer]) -> None:
    assert answers["ours"].output.startswith(b"check_disk ")


@pytest.mark.slow
def test_standard_error_is_passed_on(answers: dict[str, Answer]) -> None:
    assert answers["errors"].errors == b"oh\n"


@pytest.mark.slow
def test_a_missing_program_is_critical_as_with_nagios(answers: dict[str, Answer]) -> None:
    found = answers["missing"]
    assert found.wait_status >> 8 in (2, 127)
    assert b"/nonexistent/check_x" in found.output + found.errors


@pytest.mark.slow
def test_a_hung_one_is_ended_at_its_time(answers: dict[str, Answer]) -> None:
    found = answers["hung"]
    assert (found.error_code, found.output) == (TIMED_OUT, b"")
    assert found.stop - found.start >= 1


@pytest.mark.slow
def test_perfdata_is_shipped_for_those_whose_it_is(answers: dict[str, Answer]) -> None:
    assert b"\tHOSTNAME::web01\tSERVICEDESC::Disk \xc3\xb6=1\t" in answers["words"].spool
    assert (answers["words"].host, answers["words"].service) == (b"web01", "Disk ö=1".encode())
    assert answers["host"].spool.startswith(b"DATATYPE::HOSTPERFDATA\t")
    assert answers["host"].spool_kind == "host"
    assert answers["large"].spool.count(b"=1 ") == 1999
    assert len(answers["large"].output) <= 4000
    assert [answers[name].spool for name in ("forged", "handler", "hung", "signal")] == [b""] * 4
    assert b"NAGIOS_HOSTNAME comes twice" in answers["forged"].output


@pytest.mark.slow
def test_a_cancelled_job_is_ended_and_not_answered(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    messages = [
        Work(1, 0, 900, b"/bin/sh -c 'echo $$ > %b; exec sleep 900'" % bytes(pid), SERVICE),
        # It ends when the other has begun.
        Work(2, 0, 900, b"/bin/sh -c 'until [ -s %b ]; do sleep 0.02; done'" % bytes(pid), SERVICE),
    ]

    async def run() -> None:
        server = ForkServer()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            reader, writer = await asyncio.open_connection(sock=theirs)
            serving = asyncio.ensure_future(
                Executor(Pool(server), nagios_config.read(config(tmp_path))).serve(reader, writer)
            )
            for message in messages:
                await loop.sock_sendall(ours, encode(message))
            assert _numbers(await asyncio.wait_for(loop.sock_recv(ours, 65536), DEADLINE)) == [2]
            for message in (Cancel(1), Cancel(99), Work(3, 0, 60, b"/bin/true", SERVICE)):
                await loop.sock_sendall(ours, encode(message))
            assert _numbers(await asyncio.wait_for(loop.sock_recv(ours, 65536), DEADLINE)) == [3]
            await asyncio.to_thread(wait_gone, int(pid.read_text()))
            ours.close()
            await asyncio.wait_for(serving, DEADLINE)
            writer.close()
        finally:
            ours.close()
            await server.close()

    asyncio.run(run())


@pytest.mark.slow
def test_a_job_without_a_place_is_over_at_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.engine.worker.executor._GRACE", 0.1)

    class Full(Pool):
        """A pool whose places are all taken for ever."""

        async def run(self, job: Job, started: object = None) -> Ended:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    async def run() -> Answer | None:
        executor = Executor(Full(ForkServer()), nagios_config.read(config(tmp_path)))
        return await asyncio.wait_for(executor.run(Work(1, 0, 1, b"/bin/true", SERVICE)), DEADLINE)

    found = asyncio.run(run())
    assert found is not None
    assert (found.error_code, found.output, found.spool) == (TIMED_OUT, b"", b"")
    assert found.stop - found.start >= 1


def _numbers(data: bytes) -> list[int]:
    return [message.number for message in Decoder().feed(data) if isinstance(message, Answer)]


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
                return
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


@pytest.mark.slow
def test_what_is_no_message_ends_it(tmp_path: Path) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with ours:
            reader, writer = await asyncio.open_connection(sock=theirs)
            ours.sendall(b"\xff" * 100)
            executor = Executor(Pool(ForkServer()), nagios_config.read(config(tmp_path)))
            with pytest.raises(BadFrame):
                await asyncio.wait_for(executor.serve(reader, writer), DEADLINE)
            writer.close()

    asyncio.run(run())


@contextlib.contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """The executor as the broker starts it."""
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-P", "-m", "checks.engine.worker.executor", "--nagios-cfg", str(config(folder))]
    started = subprocess.Popen(words, stdin=theirs, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True)
    theirs.close()
    ours.settimeout(DEADLINE)
    try:
        with ours:
            yield started, ours
    finally:
        started.kill()
        started.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["hang-up", "SIGTERM", "SIGKILL"])
def test_nothing_survives_it(tmp_path: Path, way: str) -> None:
    pid = tmp_path / "pid"
    with process(tmp_path) as (executor, channel):
        line = b"/bin/sh -c 'trap \"\" TERM; echo $$ > %b; while :; do sleep 1; done'" % bytes(pid)
        channel.sendall(encode(Work(1, 0, 900, line, SERVICE)))
        until = b"/bin/sh -c 'until [ -s %b ]; do sleep 0.02; done'" % bytes(pid)
        channel.sendall(encode(Work(2, 0, 900, until, SERVICE)))
        decoder, heard = Decoder(), []
        while len(heard) < 2:
            heard += decoder.feed(channel.recv(65536))
        assert heard[0] == Ready(executor.pid)
        assert [message.number for message in heard[1:]] == [2]
        if way == "hang-up":
            channel.close()
        else:
            executor.send_signal(signal.Signals[way])
        assert executor.wait(DEADLINE) == (-9 if way == "SIGKILL" else 0)
        wait_gone(int(pid.read_text()))
        assert executor.stderr is not None
        assert b"Traceback" not in executor.stderr.read()


@pytest.mark.slow
def test_without_nagios_cfg_it_says_so(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "checks.engine.worker.executor", "--nagios-cfg", str(tmp_path / "none")]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(words, stdin=theirs, capture_output=True, cwd=ROOT, timeout=DEADLINE, check=False)
    assert done.returncode == 3
    assert done.stderr == f"executor: {tmp_path}/none: No such file or directory\n".encode()
