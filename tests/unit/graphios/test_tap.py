"""graphios-tap through real processes, as Nagios runs it."""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from graphios.inputs.line import Line, LineReader, Source
from graphios.perfdata import items, perhaps_cut
from graphios.version import VERSION
from tests.soak import count

SCRIPT = Path(__file__).parents[3] / "graphios" / "graphios-tap"
DEADLINE = 60


class Tap:
    """The tap and a spool of its own."""

    def __init__(self, spool: Path, script: Path = SCRIPT) -> None:
        self.spool = spool
        self.script = script
        self.options = ["--spool", str(spool), "--host", "web01", "--service", "Disk Space"]

    def argv(self, command: list[str], *more: str) -> list[str]:
        return [str(self.script), *self.options, *more, "--", *command]

    def run(self, command: list[str], *more: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(self.argv(command, *more), capture_output=True, timeout=DEADLINE, check=False)
        assert b"Traceback" not in done.stderr + done.stdout
        return done

    def prints(self, output: bytes, code: int = 0, *more: str) -> subprocess.CompletedProcess[bytes]:
        """Runs a plugin with this output."""
        path = self.spool.parent / "output"
        path.write_bytes(output)
        return self.run(["sh", "-c", f"cat '{path}'; exit {code}"], *more)

    def lines(self) -> list[Line]:
        texts = [path.read_bytes().decode("utf-8", "surrogateescape") for path in sorted(self.spool.iterdir())]
        assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts)
        return [LineReader().read(text[:-1].encode("utf-8", "surrogateescape"), time.time()) for text in texts]

    def perfdata(self) -> str:
        (line,) = self.lines()
        return line.perfdata if isinstance(line.perfdata, str) else str(line.perfdata, "utf-8")


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    (tmp_path / "spool").mkdir()
    return Tap(tmp_path / "spool")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 127, 255])
def test_exit_code_output_and_standard_error_pass_through(tap: Tap, code: int) -> None:
    done = tap.run(["sh", "-c", f"echo 'text|a=1'; echo warning >&2; exit {code}"])
    assert (done.returncode, done.stdout, done.stderr) == (code, b"text|a=1\n", b"warning\n")
    state = {0: "OK", 1: "WARNING", 2: "CRITICAL"}.get(code, "UNKNOWN")
    assert f"\tSERVICESTATE::{state}\t" in next(tap.spool.iterdir()).read_text(encoding="utf-8")


def test_the_spool_line_says_whose_perfdata_it_is(tap: Tap) -> None:
    before = int(time.time())
    tap.run(["echo", "OK | a=1;2;3 'b c'=2"], "--prefix", "mon", "--postfix=$_SERVICEGRAPHITEPOSTFIX$")
    (line,) = tap.lines()
    assert before <= line.timestamp <= time.time()
    assert line.source == Source("web01", "Disk Space", "mon", "")
    assert line.perfdata == "a=1;2;3 'b c'=2"


def test_a_script_without_interpreter_line_runs_as_under_nagios(tap: Tap, tmp_path: Path) -> None:
    (tmp_path / "check_it").write_text('echo "OK $1 | a=1"; exit 1\n', encoding="ascii")
    (tmp_path / "check_it").chmod(0o755)
    done = tap.run([f"{tmp_path}/check_it", "x y"])
    assert (done.returncode, done.stdout) == (1, b"OK x y | a=1\n")


def test_all_perfdata_is_spooled_and_nagios_gets_what_fits(tap: Tap) -> None:
    items = [f"vm{number}.cpu.percent={number}.5%;90;95" for number in range(5000)]
    done = tap.prints(f"OK - 5000 guests | {' '.join(items)}\nmore text\n".encode(), 1)
    assert done.returncode == 1
    assert 3900 < len(done.stdout) < 4001
    first, more = done.stdout.decode().splitlines()
    text, _, kept = first.partition(" | ")
    assert (text, more) == ("OK - 5000 guests", "more text")
    assert kept.split() == items[: len(kept.split())]
    assert tap.perfdata().split() == items


@pytest.mark.parametrize("length", [4001, 4096, 7168, 8192])
def test_nothing_is_taken_for_cut_off_by_nagios_which_did_not_see_it(tap: Tap, length: int) -> None:
    printed = "".join(f"m{number:04}=1 " for number in range(length // 8 - 1)).ljust(length - 3, "k") + "=12"
    assert len(printed) == length
    assert perhaps_cut(printed)
    tap.prints(f"OK | {printed}\n".encode())
    assert not perhaps_cut(tap.perfdata())
    found, wrong, _ = items(tap.perfdata())
    assert (found[-1], wrong) == (items(printed)[0][-1], [])


def test_both_perfdata_sections_are_spooled(tap: Tap) -> None:
    done = tap.prints(b"OK | a=1\ntext\nlast | b=2\nc=3\n")
    assert done.stdout == b"OK | a=1\ntext\nlast | b=2\nc=3\n"
    assert tap.perfdata() == "a=1 b=2 c=3"


def test_output_without_a_bar_is_not_spooled(tap: Tap) -> None:
    assert tap.prints(b"OK - a=1\nb=2\n").stdout == b"OK - a=1\nb=2\n"
    assert tap.prints(b"").stdout == b""
    assert list(tap.spool.iterdir()) == []


def compressed(text: bytes) -> bytes:
    head = b"OK - 9 guests [compressed, graphios-tap expands it]\nCOMPRESSED deflate base64 %d\n" % len(text)
    return head + base64.encodebytes(zlib.compress(text))


def test_compressed_output_is_expanded(tap: Tap) -> None:
    items = " ".join(f"vm{number}.cpu.percent={number}.5%" for number in range(20_000))
    done = tap.prints(compressed(f"OK - 9 guests | {items}\nsecond line\n".encode()), 2)
    assert done.returncode == 2
    assert done.stdout.startswith(b"OK - 9 guests | vm0.cpu.percent=0.5% vm1.")
    assert len(done.stdout) <= 4000
    assert tap.perfdata() == items


def test_compressed_output_that_is_cut_is_named_and_the_state_passes(tap: Tap) -> None:
    output = compressed(b"CRITICAL | " + os.urandom(30_000).hex().encode())
    done = tap.prints(output[:2000], 2)
    assert done.returncode == 2
    assert done.stdout.startswith(
        b"OK - 9 guests [compressed, graphios-tap expands it] (perfdata not spooled: compressed output is "
    )
    assert done.stdout.count(b"\n") == 1
    assert list(tap.spool.iterdir()) == []


@pytest.mark.slow
def test_a_bomb_is_refused_by_name(tap: Tap) -> None:
    done = tap.prints(compressed(b"\0" * 100_000_000), 1)
    assert done.returncode == 1
    assert b"compressed output expands to 100000000 bytes, over the limit of 16777216" in done.stdout


def test_output_over_the_limit_is_refused_by_name(tap: Tap) -> None:
    done = tap.run(["sh", "-c", "printf 'OK | '; head -c 40000000 /dev/zero | tr '\\0' a; exit 1"])
    assert done.returncode == 1
    assert done.stdout.startswith(b"OK (perfdata not spooled: output of 40000005 bytes is over the limit of 16777216)")
    assert list(tap.spool.iterdir()) == []


@pytest.mark.parametrize("length", [1023, 65504])
def test_an_item_nrpe_may_have_cut_is_not_shipped(tap: Tap, length: int) -> None:
    items = b" ".join(b"m%05d=123456" % number for number in range(6000))
    done = tap.prints((b"OK | " + items)[:length] + b"\n")
    whole = (b"OK | " + items)[5:length].rpartition(b" ")[0].decode()
    assert tap.perfdata() == whole
    assert f"(last perfdata item not shipped: NRPE may have cut it at {length + 1} bytes)".encode() in done.stdout


def test_tabs_line_ends_and_bytes_forge_nothing(tap: Tap) -> None:
    tap.prints(b"OK\xff\0 | a=1\tHOSTNAME::victim 'b\tc'=2 \xff=3\0\nTIMET::1\n| DATATYPE::x=4\n")
    (line,) = tap.lines()
    assert line.source == Source("web01", "Disk Space")
    assert line.perfdata == "a=1 HOSTNAME::victim 'b c'=2 \udcff=3  DATATYPE::x=4"


def test_nagios_never_sees_a_nul(tap: Tap) -> None:
    assert tap.prints(b"OK\0 still here\xff | a=1\n").stdout == b"OK  still here\xff | a=1\n"


@pytest.mark.parametrize("make", ["missing", "file", "read-only"])
def test_a_spool_that_cannot_be_written_costs_the_perfdata_only(tap: Tap, make: str) -> None:
    spool = tap.spool
    if make == "missing":
        spool = tap.spool / "nowhere"
    elif make == "file":
        spool = tap.spool / "file"
        spool.touch()
    else:
        spool = Path("/proc/self")
    tap.options[1] = str(spool)
    done = tap.run(["sh", "-c", "echo 'WARNING | a=1'; exit 1"])
    assert done.returncode == 1
    assert done.stdout.startswith(f"WARNING (perfdata not spooled: {spool}: ".encode())
    assert done.stdout.endswith(b") | a=1\n")


def test_a_full_disk_costs_the_perfdata_only(tap: Tap) -> None:
    items = " ".join(f"vm{number}=1" for number in range(5000))
    (tap.spool.parent / "output").write_text(f"OK | {items}\n", encoding="ascii")
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *tap.argv(["cat", str(tap.spool.parent / "output")])]
    done = subprocess.run(limited, capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0
    assert f"OK (perfdata not spooled: {tap.spool}: File too large) | vm0=1 ".encode() in done.stdout
    assert list(tap.spool.iterdir()) == []


@pytest.mark.parametrize("command", ["/nonexistent/check_x", "no-such-check-anywhere", "/etc/passwd", "/"])
def test_a_command_that_cannot_be_started_is_unknown(tap: Tap, command: str) -> None:
    done = tap.run([command])
    assert done.returncode == 3
    assert done.stdout.startswith(f"UNKNOWN: {command} can't be started: ".encode())
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGPIPE])
def test_a_command_killed_by_a_signal_looks_so_to_nagios(tap: Tap, number: int) -> None:
    done = tap.run(["sh", "-c", f"kill -{number} $$"])
    assert done.returncode == -number
    assert done.stdout == f"UNKNOWN: sh was ended by signal {int(number)}\n".encode()


def test_the_last_item_of_a_killed_command_is_not_shipped(tap: Tap) -> None:
    done = tap.run(["sh", "-c", "printf 'OK | a=1 b=123'; kill -9 $$"])
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"OK (last perfdata item not shipped: the command was ended by signal 9) | a=1\n"
    assert tap.perfdata() == "a=1"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [False, True], ids=["plain", "ignores-term"])
@pytest.mark.parametrize("group", [False, True], ids=["tap-alone", "group"])
def test_ending_the_tap_ends_the_command(tap: Tap, tmp_path: Path, deaf: bool, group: bool) -> None:
    trap = "trap '' TERM;" if deaf else ""
    command = ["sh", "-c", f"{trap} echo $$ > {tmp_path}/pid; while :; do sleep 0.2; done"]
    process = subprocess.Popen(tap.argv(command), stdout=subprocess.PIPE, start_new_session=group)
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the command to start")
        pid = int((tmp_path / "pid").read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == -signal.SIGTERM
        wait_for(lambda: not alive(pid), "the command to end")
    finally:
        process.kill()
        if (tmp_path / "pid").exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        process.communicate()


def test_nagios_killing_the_process_group_leaves_nothing(tap: Tap, tmp_path: Path) -> None:
    # What a Nagios worker does at service_check_timeout: SIGKILL to the group of the job.
    process = subprocess.Popen(
        tap.argv(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600 & wait"]),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the command to start")
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=DEADLINE)  # ends only when no process holds the pipe
    assert output == b""
    assert list(tap.spool.iterdir()) == []


def test_a_child_left_behind_does_not_hold_the_check(tap: Tap) -> None:
    process = subprocess.Popen(
        tap.argv(["sh", "-c", "sleep 600 & echo $! >&2; echo 'OK | a=1'"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.wait(DEADLINE) == 0
    assert process.stdout is not None
    assert process.stderr is not None
    left_behind = int(process.stderr.readline())
    with contextlib.suppress(ProcessLookupError):
        os.kill(left_behind, signal.SIGKILL)
    assert process.stdout.read() == b"OK | a=1\n"
    process.stderr.close()
    process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--spool is missing"),
        (["--spool", "/x", "--host", "h", "--", "true"], "--service is missing"),
        (["--spool", "/x", "--host", "h", "--service", "s"], "COMMAND is missing; it stands behind --"),
        (["--spol", "/x", "--", "true"], "unknown option --spol"),
        (["--spool", "/x", "true"], "true is no option; COMMAND stands behind --"),
        (["--spool"], "--spool needs a value"),
        (["--spool", "/x", "--spool", "/y", "--", "true"], "--spool is given twice"),
        (["--spool", "/x", "--host", "a\tb", "--service", "s", "--", "true"], "--host holds a tab"),
        (["--spool", "/x", "--host", "h", "--service", "a\nb", "--", "true"], "--service holds a tab"),
        (
            ["--spool", "/x", "--host", "h", "--service", "s", "--max-output", "many", "--", "true"],
            "--max-output many is not a number",
        ),
        (
            ["--spool", "/x", "--host", "h", "--service", "s", "--max-output=1", "--", "true"],
            "--max-output 1 is not a number",
        ),
    ],
)
def test_a_mistake_is_one_line_on_standard_output_and_unknown(arguments: list[str], complaint: str) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 3
    assert done.stdout.startswith(f"UNKNOWN: graphios-tap: {complaint}")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("option", "text"),
    [("--help", "usage: graphios-tap"), ("-h", "usage: graphios-tap"), ("-V", f"graphios-tap {VERSION}\n")],
)
def test_help_and_version_are_on_standard_output_with_code_3(option: str, text: str) -> None:
    done = subprocess.run([SCRIPT, option], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 3
    assert done.stdout.startswith(text)


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_CTYPE": "C"}, {"LANG": "C.UTF-8"}])
def test_the_environment_of_the_command_is_what_the_tap_was_given(tap: Tap, locale: dict[str, str]) -> None:
    environment = {"PATH": "/usr/bin:/bin", "ODD": "\udcff", **locale}
    done = subprocess.run(tap.argv(["env"]), capture_output=True, env=environment, timeout=DEADLINE, check=False)
    bare = subprocess.run(["env"], capture_output=True, env=environment, timeout=DEADLINE, check=False)
    given = set(done.stdout.split(b"\n")) - {b"PWD=" + os.fsencode(Path.cwd())}  # the shell adds PWD
    assert {line for line in given if not line.startswith((b"PWD=", b"OLDPWD=", b"_="))} == set(
        bare.stdout.split(b"\n")
    )


def install(layout: str, root: Path) -> Path:
    """The script and its package as an installation of this kind places them; returns the script."""
    package = {
        "venv": f"lib/python3.{sys.version_info.minor}/site-packages",
        "debian": "lib/python3/dist-packages",
        "local": f"local/lib/python3.{sys.version_info.minor}/dist-packages",
    }[layout]
    (root / "bin").mkdir(parents=True)
    shutil.copytree(
        SCRIPT.parent, root / package / "graphios", ignore=shutil.ignore_patterns("graphios-tap", "__pycache__")
    )
    shutil.copy(SCRIPT, root / "bin")
    return root / "bin" / "graphios-tap"


@pytest.mark.parametrize("layout", ["venv", "debian", "local"])
@pytest.mark.parametrize("through_link", [False, True], ids=["direct", "link"])
def test_the_script_finds_its_package_in_every_kind_of_installation(
    tap: Tap, tmp_path: Path, layout: str, through_link: bool
) -> None:
    tap.script = install(layout, tmp_path / "with blank" / "prefix")
    if through_link:
        (tmp_path / "check-tap").symlink_to(tap.script)
        tap.script = tmp_path / "check-tap"
    assert tap.run(["echo", "OK | a=1"]).stdout == b"OK | a=1\n"
    assert tap.perfdata() == "a=1"


def test_a_script_without_its_package_is_one_line(tap: Tap, tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path / "graphios-tap")
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n', encoding="ascii")
    python.chmod(0o755)
    tap.script = tmp_path / "graphios-tap"
    done = tap.run(["echo", "OK | a=1"])
    assert done.returncode == 3
    assert done.stdout.startswith(b"UNKNOWN: graphios-tap: its Python package does not work: ")


@pytest.mark.slow
def test_many_taps_at_once_lose_and_overwrite_nothing(tap: Tap) -> None:
    total, at_once = count(40, 5000), 20
    for start in range(0, total, at_once):
        processes = [
            subprocess.Popen(tap.argv(["echo", f"OK | run={number} twice={number * 2}"]), stdout=subprocess.DEVNULL)
            for number in range(start, min(start + at_once, total))
        ]
        assert all(process.wait(DEADLINE) == 0 for process in processes)
    assert sorted(line.perfdata for line in tap.lines()) == sorted(
        f"run={number} twice={number * 2}" for number in range(total)
    )


def test_an_editable_installation_is_found_where_setuptools_noted_it(tap: Tap, tmp_path: Path) -> None:
    source, prefix = tmp_path / "clone", tmp_path / "venv"
    shutil.copytree(SCRIPT.parent, source / "graphios")
    packages = prefix / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    mapping = {"checks": str(source / "checks"), "graphios": str(source / "graphios")}
    (packages / "__editable___testbed_checks_1_0_0_finder.py").write_text(
        f"MAPPING: dict[str, str] = {mapping}\n", encoding="utf-8"
    )
    (prefix / "bin").mkdir()
    shutil.copy(SCRIPT, prefix / "bin")
    tap.script = prefix / "bin" / "graphios-tap"
    assert tap.run(["echo", "OK | a=1"]).stdout == b"OK | a=1\n"
