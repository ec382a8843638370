"""The fork server: real processes, as the engine starts them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from checks.engine.forks import kinship
from checks.engine.forks.client import Child, Exit, ForkServer, NotStarted
from checks.engine.jobs import Job

KIT = "tests.unit.engine.forkable"
ENVIRONMENT = {"PATH": os.environ["PATH"]}
DEADLINE = 20.0
T = TypeVar("T")


class Ran(NamedTuple):
    """How a job ended, and what it printed."""

    code: int
    output: str
    errors: str
    exit: Exit


class Engine:
    """A loop and a fork server in it."""

    def __init__(self, runner: asyncio.Runner, folder: Path, server: ForkServer) -> None:
        self._runner, self.folder, self.server = runner, folder, server

    def do(self, what: Awaitable[T]) -> T:
        """Run it in the loop, for as long as a test waits."""

        async def bounded() -> T:
            return await asyncio.wait_for(what, DEADLINE)

        return self._runner.run(bounded())

    async def launch(self, job: Job) -> Child:
        """Start a job that prints into files."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            return await self.server.launch(job, out.fileno(), err.fileno())

    def run(self, job: Job) -> Ran:
        """Run a job to its end."""

        async def run() -> Exit:
            return await (await self.launch(job)).ended

        ended = self.do(run())
        texts = [(self.folder / name).read_text("utf-8", "surrogateescape") for name in ("out", "err")]
        return Ran(os.waitstatus_to_exitcode(ended.status), *texts, ended)

    def breed(self, *, wait: bool) -> tuple[Child, list[int]]:
        """Start one that has a child in its group and one in a session of its own."""
        family = self.folder / "family"
        family.unlink(missing_ok=True)
        child = self.do(self.launch(warm("breed", str(family), "wait" if wait else "end")))
        self.until(family.exists)
        return child, list(map(int, family.read_text(encoding="ascii").split()))

    def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until it holds."""

        async def wait() -> None:
            while not condition():
                await asyncio.sleep(0.005)

        self.do(wait())


def warm(function: str, *words: str, **fields: Any) -> Job:
    """Return a job for a function of the kit."""
    return Job("kit", ("kit", *words), f"{KIT}:{function}", **{"environment": ENVIRONMENT, **fields})


def shell(line: str, **fields: Any) -> Job:
    """Return a job for the shell."""
    return Job("line", ("/bin/sh", "-c", line), **{"environment": ENVIRONMENT, **fields})


def is_gone(pid: int) -> bool:
    """Return whether there is no such process any more, dead and unreaped ones included."""
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Return what has the loop."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shared(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Return an engine that many tests use."""
    engine = Engine(runner, tmp_path_factory.mktemp("engine"), ForkServer([f"{KIT}:surroundings"]))
    engine.do(engine.server.start())
    yield engine
    engine.do(engine.server.close())


@pytest.fixture
def engine(runner: asyncio.Runner, tmp_path: Path) -> Iterator[Engine]:
    """Return an engine of the test's own, with a fork server that is not started yet."""
    engine = Engine(runner, tmp_path, ForkServer())
    yield engine
    engine.do(engine.server.close())


def test_a_warm_check_finds_what_the_job_says_and_nothing_of_the_engine(shared: Engine, tmp_path: Path) -> None:
    environment = {"ODD": "b\udce4r", "TZ": "XYZ-3", "LANG": "C.UTF-8"}
    ran = shared.run(
        warm("surroundings", "-w", "\udcff", environment=environment, directory=str(tmp_path), umask=0o027)
    )
    found = json.loads(ran.output)
    assert found.pop("handled") == [signal.SIGINT]  # as in any Python
    assert found.pop("ignored") == [signal.SIGPIPE, signal.SIGXFSZ]
    assert set(found.pop("main")) <= {"__name__", "__doc__", "__loader__", "__package__", "__spec__"}
    assert found == {
        "argv": ["kit", "-w", "\udcff"],
        "environment": environment,
        "directory": str(tmp_path),
        "umask": 0o027,
        "leads": True,
        "descriptors": [0, 1, 2],
        "input": "/dev/null",
        "blocked": [],
        "zone": "XYZ",
        "name": "kit",
        "terminal": False,
    }
    assert (ran.code, ran.errors) == (0, "")


@pytest.mark.parametrize("words", [("--nonsense", "\udcff"), ("--include-path", "/nowhere", "-v")])
def test_a_warm_check_gives_byte_for_byte_what_its_command_gives(shared: Engine, words: tuple[str, ...]) -> None:
    code = "import sys; sys.argv[0] = 'check_disk'; from checks.check_disk import main; sys.exit(main())"
    cold = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, env=ENVIRONMENT, check=False)
    ran = shared.run(Job("disk", ("check_disk", *words), "checks.check_disk:CHECK.main", ENVIRONMENT))
    assert (ran.code, ran.output, ran.errors) == (cold.returncode, cold.stdout.decode(), cold.stderr.decode())


@pytest.mark.parametrize(
    ("value", "code", "errors"),
    [
        ("None", 0, ""),
        ("2", 2, ""),
        ("259", 3, ""),
        ("-1", 255, ""),
        ("True", 1, ""),
        ("2**70", 255, ""),
        ("'why'", 1, "why\n"),
        ("sys.exit()", 0, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("sys.stdout.close()", 0, ""),
    ],
)
def test_a_warm_check_ends_as_python_would(shared: Engine, value: str, code: int, errors: str) -> None:
    ran = shared.run(warm("leave", value))
    assert (ran.code, ran.output, ran.errors) == (code, "said\n", errors)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LC_ALL": "C"},
        {"LC_CTYPE": "POSIX"},
        {"LANG": "C.UTF-8", "A": "b"},
        {"LC_ALL": "xx_YY.UTF-8"},
        {"LANG": "xx_YY.UTF-8"},
    ],
)
def test_a_warm_check_finds_the_locale_as_python_would(shared: Engine, environment: dict[str, str]) -> None:
    code = "import os, sys; print(dict(os.environ), sys.stdin.errors, sys.stdout.errors, sys.stdout.encoding)"
    cold = subprocess.run(
        ["/usr/bin/python3", "-S", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert shared.run(warm("coding", environment=environment)).output == cold.stdout


def test_a_warm_check_is_not_over_before_its_threads_and_what_it_left_for_its_end(shared: Engine) -> None:
    assert shared.run(warm("in_its_end")).output == "thread\nat exit\n"


def test_a_crash_is_one_line_without_a_traceback(shared: Engine) -> None:
    ran = shared.run(warm("crash"))
    assert ran.code == 3
    assert ran.output.startswith("UNKNOWN: kit crashed: ValueError: no   such thing  [31m (in forkable.py:")
    assert (ran.output.count("\n"), ran.errors) == (1, "")


def test_an_entry_that_does_not_exist_and_a_directory_that_does_not_exist_are_named(shared: Engine) -> None:
    ran = shared.run(warm("nothing"))
    assert (ran.code, "AttributeError" in ran.output, ran.output.count("\n")) == (3, True, 1)
    ran = shared.run(warm("surroundings", directory="/no/where"))
    assert (ran.code, ran.output) == (3, "UNKNOWN: kit can't change to /no/where: No such file or directory\n")


@pytest.mark.parametrize("directory", ["/", "/usr"])
def test_a_program_starts_with_nothing_open_and_default_signals(shared: Engine, directory: str) -> None:
    line = "pwd; umask; readlink /proc/$$/fd/0; for n in 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$n ] && echo open $n; done"
    line += "; grep -E 'Sig(Blk|Ign)' /proc/self/status; echo $ONLY; exit 4"
    ran = shared.run(shell(line, directory=directory, umask=0o077, environment={"ONLY": "\udcff"}))
    assert ran.output.partition("Sig")[0].split() == [directory, "0077", "/dev/null"]
    assert _masks(ran.output) == (0, 0, "\udcff")
    assert ran.code == 4


@pytest.mark.parametrize("directory", ["/", "/usr"])
def test_a_program_is_looked_up_in_the_path_of_the_job(shared: Engine, tmp_path: Path, directory: str) -> None:
    (tmp_path / "plugin").write_text("echo $0 $1\n", encoding="ascii")  # and no #! line
    (tmp_path / "plugin").chmod(0o755)
    job = Job("plugin", ("plugin", "a b"), environment={"PATH": f"/no/where:{tmp_path}"}, directory=directory)
    assert shared.run(job).output == f"{tmp_path}/plugin a b\n"


def test_what_cannot_be_started_is_named(shared: Engine, tmp_path: Path) -> None:
    (tmp_path / "plugin").write_text("", encoding="ascii")
    for program, path, directory, why in (
        ("/usr/no/where", "", "/", "/usr/no/where: No such file or directory"),
        ("/opt/no/where", "", "/", "/opt/no/where: No such file or directory"),
        (f"{tmp_path}/plugin", "", "/", f"{tmp_path}/plugin: Permission denied"),
        ("plugin", str(tmp_path), "/", "plugin: Permission denied"),
        ("plugin", str(tmp_path), "/usr", "plugin: Permission denied"),
        ("plugin", "/no/where", "/", "plugin: No such file or directory"),
        ("/bin/true", "", "/no/where", "/no/where: No such file or directory"),
    ):
        with pytest.raises(NotStarted, match=f"^{why}$"):
            shared.run(Job("plugin", (program,), environment={"PATH": path}, directory=directory))
    for directory in ("/", "/usr"):
        with pytest.raises(NotStarted, match="Argument list too long"):
            shared.run(Job("long", ("/bin/true", "x" * 200_000), directory=directory))
        with pytest.raises(NotStarted, match="null byte"):
            shared.run(Job("null", ("/bin/true", "\0"), directory=directory))
    shared.until(lambda: not kinship.children(shared.server.pid))


def test_the_time_that_a_job_took_of_the_processor_is_told(shared: Engine) -> None:
    ran = shared.run(shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"))
    assert ran.exit.user + ran.exit.system > 0
    assert not ran.exit.lost


def test_an_environment_larger_than_the_socket_takes_at_once_arrives(shared: Engine) -> None:
    environment = {f"V{number}": "x" * 100_000 for number in range(12)}
    ran = shared.run(shell("echo ${#V0} ${#V11}", environment=environment))
    assert ran.output == "100000 100000\n"
    assert (
        len(json.loads(shared.run(warm("surroundings", environment=environment)).output)["environment"]["V11"])
        == 100_000
    )


def test_many_at_once_each_have_their_own_end(shared: Engine) -> None:
    async def run() -> list[int]:
        children = await asyncio.gather(*(shared.launch(shell(f"exit {number}")) for number in range(40)))
        return [os.waitstatus_to_exitcode((await child.ended).status) for child in children]

    before = len(list(Path("/proc/self/fd").iterdir()))
    assert shared.do(run()) == list(range(40))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert kinship.children(shared.server.pid) == []


def test_when_the_leader_ends_its_group_is_killed_and_who_left_it_is_left_alone(shared: Engine) -> None:
    child, (leader, grouped, apart) = shared.breed(wait=False)
    assert os.waitstatus_to_exitcode(shared.do(_end(child)).status) == 0
    assert child.pid == leader
    assert is_gone(leader)
    shared.until(lambda: is_gone(grouped))  # an orphan, which the fork server reaps
    assert not is_gone(apart)
    os.kill(apart, signal.SIGKILL)
    shared.until(lambda: is_gone(apart))


def test_term_ends_the_group_and_kill_all_descendants(shared: Engine) -> None:
    child, (leader, grouped, apart) = shared.breed(wait=True)
    child.signal_group(signal.SIGKILL)
    assert shared.do(_end(child)).status == signal.SIGKILL
    for pid in (leader, grouped, apart):
        shared.until(lambda pid=pid: is_gone(pid))
    child.signal_group(signal.SIGKILL)  # no harm
    child, (leader, grouped, apart) = shared.breed(wait=True)
    child.signal_group(signal.SIGTERM)
    assert shared.do(_end(child)).status == signal.SIGTERM
    for pid in (leader, grouped):
        shared.until(lambda pid=pid: is_gone(pid))
    os.kill(apart, signal.SIGKILL)
    shared.until(lambda: is_gone(apart))


def test_the_engine_may_open_more_than_its_children(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name, value in (("_open", 0), ("_limits", before), ("_adopted_before", False)):
        monkeypatch.setattr(ForkServer, name, value)  # as if there were no other in this process
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, before[1]))
    try:
        assert engine.run(shell("ulimit -n")).output == "500\n"
        assert engine.run(shell("ulimit -n", directory="/usr")).output == "500\n"
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 500
        engine.do(engine.server.close())
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_launch_that_is_cancelled_leaves_no_child(shared: Engine) -> None:
    async def cancel() -> None:
        launch = asyncio.ensure_future(shared.launch(shell("sleep 3600")))
        await asyncio.sleep(0)
        launch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launch

    shared.do(cancel())
    shared.until(lambda: not kinship.children(shared.server.pid))


def test_what_a_check_imports_is_there_for_its_next_run(shared: Engine) -> None:
    assert shared.run(warm("lazily")).output == "False\n"
    by = time.monotonic() + DEADLINE
    while shared.run(warm("lazily")).output != "True\n":
        assert time.monotonic() < by


GOOD = "def main(): print('ran')"
SPOILERS = {
    "raises": ("raise OSError('no such thing')", "its import fails: OSError: no such thing"),
    "ends": ("import sys; sys.exit(0)", "its import fails: SystemExit: 0"),
    "leaves": ("import os; os._exit(0)", "its import ends the process"),
    "crashes": ("import os; os.abort()", "its import ends the process"),
    "prints": ("print('hello')", "its import prints"),
    "opens": ("import os; os.open('/dev/null', 0)", "its import leaves something open"),
    "threads": ("import _thread, time; _thread.start_new_thread(time.sleep, (3600,))", "its import leaves a thread running"),
    "forks": ("import subprocess; p = subprocess.Popen(['/bin/sleep', '3600'])", "its import leaves a process running"),
    "signals": ("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "its import changes how signals are handled"),
    "alarms": ("import signal; signal.alarm(3600)", "its import sets a timer"),
    "patches": ("import os; os.getcwdb = None", "its import patches the standard library"),
    "sets": ("import os; os.environ['A'] = 'B'", "its import changes the environment"),
    "extends": ("import sys; sys.path.insert(0, '/nowhere')", "its import changes sys.path"),
}  # fmt: skip


@pytest.mark.slow
def test_an_import_that_does_harm_costs_its_entry_alone(
    runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, (line, _) in SPOILERS.items():
        (tmp_path / f"{name}_x.py").write_text(f"{line}\n{GOOD}\n", encoding="utf-8")
    (tmp_path / "good_x.py").write_text(GOOD, encoding="utf-8")
    entries = [f"{name}_x:main" for name in (*SPOILERS, "good")]
    engine = Engine(runner, tmp_path, ForkServer(entries))
    try:
        engine.do(engine.server.start())
        pid = engine.server.pid
        engine.until(lambda: len(engine.server.troubles) == len(SPOILERS))
        assert engine.server.troubles == [f"{name}_x:main: {why}" for name, (_, why) in SPOILERS.items()]
        assert engine.run(_job("good")).output == "ran\n"
        assert engine.run(_job("prints")).output == "hello\nran\n"  # cold, as its command would
        assert engine.run(_job("sets")).output == "ran\n"
        assert "OSError: no such thing" in engine.run(_job("raises")).errors
        assert engine.server.pid == pid
        assert kinship.children(pid) == []
    finally:
        engine.do(engine.server.close())


def test_an_import_that_hangs_costs_its_entry_alone(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hangs_x.py").write_text("import time; time.sleep(3600)\n", encoding="utf-8")
    engine.server = ForkServer(["hangs_x:main"], import_seconds=0.1)
    engine.do(engine.server.start())
    assert engine.run(shell("exit 6")).code == 6
    engine.until(lambda: engine.server.troubles == ["hangs_x:main: its import hangs"])
    engine.until(lambda: not kinship.children(engine.server.pid))


def test_a_file_that_changed_is_loaded_anew_and_what_runs_ends_as_it_began(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("checks.engine.forks.client._LOOK_EACH", 0.0)
    module = tmp_path / "good_x.py"
    module.write_text(GOOD, encoding="utf-8")
    engine.server = ForkServer(["good_x:main"])
    engine.do(engine.server.start())
    assert engine.run(_job("good")).output == "ran\n"
    engine.until(lambda: str(module) in engine.server._process.files)  # type: ignore[union-attr]
    assert not engine.do(engine.server.renew_if_stale())
    old = engine.server.pid
    running = engine.do(engine.launch(shell("sleep 3600")))
    module.write_text(GOOD.replace("ran", "ran anew"), encoding="utf-8")
    while not engine.do(
        engine.server.renew_if_stale()
    ):  # bounded: each look comes to an end, and the second one sees it at rest
        pass
    assert engine.run(_job("good")).output == "ran anew\n"
    assert engine.server.pid != old
    assert not is_gone(old)
    running.signal_group(signal.SIGTERM)
    assert engine.do(_end(running)).lost is False
    engine.until(lambda: is_gone(old))
    assert (engine.server.restarts, engine.server.troubles) == (0, [])


def test_what_cannot_be_loaded_anew_leaves_the_old_one_running(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.do(engine.server.start())
    pid = engine.server.pid
    monkeypatch.setattr(sys, "executable", "/no/where/python")
    with pytest.raises(NotStarted, match="can't start the fork server: No such file"):
        engine.do(engine.server.renew())
    assert engine.server.pid == pid
    assert engine.run(shell("exit 5")).code == 5


def test_when_the_fork_server_is_killed_its_children_are_lost_and_gone_and_the_next_job_runs(engine: Engine) -> None:
    engine.do(engine.server.start())
    first = engine.server.pid
    child, family = engine.breed(wait=True)
    program = engine.do(engine.launch(shell("sleep 3600 & sleep 3600")))
    os.kill(first, signal.SIGKILL)
    assert engine.do(_end(child)).lost
    assert engine.do(_end(program)).lost
    for pid in (*family, program.pid, first):
        if pid != family[2]:  # it made a session of its own and its parent died with the fork server
            engine.until(lambda pid=pid: is_gone(pid))
    assert engine.run(shell("exit 6")).code == 6
    assert engine.server.restarts == 1
    assert engine.server.pid not in (0, first)
    with contextlib.suppress(ProcessLookupError):
        os.kill(family[2], signal.SIGKILL)


def test_a_job_that_is_launched_while_the_fork_server_dies_runs_in_the_next_one(engine: Engine) -> None:
    engine.do(engine.server.start())
    os.kill(engine.server.pid, signal.SIGKILL)
    assert engine.run(shell("exit 6")).code == 6
    assert (engine.server.restarts, engine.server.forks) == (1, 1)


def test_an_import_that_kills_the_fork_server_is_not_tried_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    # The first import is that of the trial, the second one that of the fork server.
    line = f"import os; m = open({str(tmp_path / 'imports')!r}, 'a+'); m.write('x'); m.flush(); m.seek(0); m.read() == 'xx' and os.abort(); m.close()"
    (tmp_path / "late_x.py").write_text(f"{line}\n{GOOD}\n", encoding="utf-8")
    engine.server = ForkServer(["late_x:main"])
    engine.do(engine.server.start())
    engine.until(lambda: engine.server.troubles == ["late_x:main: its import ended the fork server"])
    assert engine.run(_job("late")).output == "ran\n"


def test_an_import_that_kills_its_parent_is_not_tried_for_ever(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    line = "import os; parent = os.getppid()\nif 'fork_server' in open(f'/proc/{parent}/cmdline').read(): os.kill(parent, 9)"
    (tmp_path / "kills_x.py").write_text(f"{line}\n{GOOD}\n", encoding="utf-8")
    engine.server = ForkServer(["kills_x:main"])
    engine.do(engine.server.start())
    engine.until(lambda: engine.server.troubles == ["kills_x:main: its import ended the fork server"])
    assert engine.run(shell("exit 6")).code == 6


def test_the_fork_server_of_another_version_is_not_spoken_to(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.engine.forks.fork_process.PROTOCOL", "0")
    with pytest.raises(NotStarted, match="another version was installed: the engine has to be started anew"):
        engine.do(engine.server.start())


def test_a_fork_server_that_cannot_start_says_why(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.engine.forks.fork_process._path", lambda: ["/no/where"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr("checks.engine.forks.fork_process._KEPT", ())
    with pytest.raises(NotStarted, match=r"the fork server ended at its start: .*No module named 'checks'"):
        engine.do(engine.server.start())
    assert engine.server.pid == 0


def test_when_it_is_closed_nothing_is_left_and_nothing_starts(engine: Engine) -> None:
    engine.do(engine.server.start())
    pid = engine.server.pid
    child, family = engine.breed(wait=True)
    engine.do(engine.server.close())
    assert engine.do(_end(child)).status == signal.SIGKILL
    assert [one for one in (pid, *family) if not is_gone(one)] == []
    with pytest.raises(NotStarted, match="ending"):
        engine.run(shell("exit 0"))


ENGINE = """
import asyncio, os, sys
sys.path[:] = {path!r}
from checks.engine.forks.client import ForkServer
from tests.unit.engine.test_forks import shell, warm
async def main():
    server = ForkServer()
    await server.start()
    await server.launch(warm("breed", {family!r}, "wait"), 1, 2)
    child = await server.launch(shell("trap : TERM; sleep 3600 & echo $$ $! > {program}.new; mv {program}.new {program}; wait; wait"), 1, 2)
    print(server.pid, flush=True)
    await child.ended
asyncio.run(main())
"""


def test_when_the_engine_is_killed_nothing_is_left(tmp_path: Path) -> None:
    family, program = tmp_path / "family", tmp_path / "program"
    code = ENGINE.format(path=sys.path, family=str(family), program=program)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as engine:
        assert engine.stdout
        pids = [int(engine.stdout.readline())]
        _until(lambda: family.exists() and program.exists())
        engine.kill()
    for file in (family, program):
        pids += map(int, file.read_text(encoding="ascii").split())
    assert len(pids) == 6
    _until(lambda: not any(map(_runs, pids)))


def _runs(pid: int) -> bool:
    """Return whether it runs; who has died and waits to be reaped by this machine's first process does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], object]) -> None:
    by = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < by
        time.sleep(0.005)


def _masks(text: str) -> tuple[int, int, str]:
    """Return the blocked and the ignored signals of a status in /proc, without 32 and 33, which belong to the C library; and the last word."""
    words = text.split()
    blocked, ignored = (int(words[words.index(f"Sig{which}:") + 1], 16) & ~(3 << 31) for which in ("Blk", "Ign"))
    return blocked, ignored, words[-1]


def _job(name: str) -> Job:
    return Job(name, (name,), f"{name}_x:main", ENVIRONMENT)


async def _end(child: Child) -> Exit:
    return await child.ended
