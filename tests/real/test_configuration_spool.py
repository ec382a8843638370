"""spool-perfdata, which Nagios runs every few seconds: whatever happens to it or to the spool, no line of perfdata is lost or seen half."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import soak
from tests.stack.daemon import wait_until

SCRIPT = Path(__file__).resolve().parents[2] / "nagios-config" / "spool-perfdata"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def run(file: Path, spool: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, file, spool], capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def spooled(spool: Path, kind: str = "service") -> list[str]:
    """All lines in files of the spool that graphios would read."""
    return sorted(line for path in spool.glob(f"{kind}-perfdata.*") for line in path.read_text().splitlines())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def in_private_mounts(script: str, *arguments: Path) -> str:
    """Standard output of a shell script that may mount: in namespaces of its own, as any user."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["service", "host"])
def test_the_file_goes_into_the_spool_whole_and_its_folder_is_left_clean(
    tmp_path: Path, spool: Path, kind: str
) -> None:
    file = tmp_path / f"{kind}-perfdata"
    file.write_text("one\ntwo\n")
    assert run(file, spool).returncode == 0
    assert spooled(spool, kind) == ["one", "two"]
    assert names(tmp_path) == []


def test_without_a_file_or_with_an_empty_one_nothing_happens(tmp_path: Path, spool: Path) -> None:
    file = tmp_path / "service-perfdata"
    assert run(file, spool).returncode == 0
    file.touch()
    assert run(file, spool).returncode == 0
    assert names(spool) == []


def test_hundreds_of_runs_within_a_second_overwrite_and_lose_nothing(tmp_path: Path, spool: Path) -> None:
    number = soak.count(150, 2000)
    folders = [tmp_path / f"nagios{index}" for index in range(number)]
    for index, folder in enumerate(folders):
        folder.mkdir()
        (folder / "service-perfdata").write_text(f"line {index}\n")
    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda folder: run(folder / "service-perfdata", spool), folders))
    assert {one.returncode for one in done} == {0}
    assert spooled(spool) == sorted(f"line {index}" for index in range(number))
    assert len(names(spool)) == number


def test_two_runs_over_the_same_file_deliver_each_line_once(tmp_path: Path, spool: Path) -> None:
    file = tmp_path / "service-perfdata"
    rounds = soak.count(30, 500)
    for index in range(rounds):
        with file.open("a") as perfdata:
            perfdata.write(f"line {index}\n")
        racing = [subprocess.Popen([SCRIPT, file, spool]) for _ in range(3)]
        assert [process.wait(30) for process in racing] == [0, 0, 0]
    assert spooled(spool) == sorted(f"line {index}" for index in range(rounds))
    assert names(tmp_path) == []


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_while_there_is_no_spool_the_file_stays_and_is_appended_to(tmp_path: Path, what: str) -> None:
    spool, file = tmp_path / "spool", tmp_path / "service-perfdata"
    if what == "a file":
        spool.touch()
    for line in ("one\n", "two\n"):
        with file.open("a") as perfdata:
            perfdata.write(line)
        done = run(file, spool)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"spool-perfdata: {spool} is not a directory; the perfdata stays in {tmp_path}\n"
    assert file.read_text() == "one\ntwo\n"
    spool.unlink(missing_ok=True)
    spool.mkdir()
    assert run(file, spool).returncode == 0
    assert spooled(spool) == ["one", "two"]


def test_on_another_file_system_the_copy_gets_its_name_when_it_is_whole(tmp_path: Path, spool: Path) -> None:
    (tmp_path / "service-perfdata").write_text("one\ntwo\n")
    said = in_private_mounts(
        'mount -t tmpfs tmpfs "$3"; "$1" "$2" "$3"; ls -A "$3"; cat "$3"/service-perfdata.*',
        SCRIPT, tmp_path / "service-perfdata", spool,
    )  # fmt: skip
    name, *lines = said.splitlines()
    assert name.startswith("service-perfdata.")
    assert lines == ["one", "two"]
    assert names(tmp_path) == []


FULL = """\
script=$1 file=$2 spool=$3
mount -t tmpfs -o size=4m tmpfs "$spool"
head -c 4030k /dev/zero > "$spool/ballast"
"$script" "$file" "$spool" && echo "the full spool took it"
ls -A "$spool"
seq 50001 50010 >> "$file"
"$script" "$file" "$spool" && echo "the full spool took it"
ls -A "$spool"
cat "$file"
rm "$spool/ballast"
"$script" "$file" "$spool"
ls -A "$spool" | grep -c '^service-perfdata[.]'
cat "$spool"/service-perfdata.* | sort -n | cksum
"""


def test_a_full_spool_gets_no_half_file_and_what_waited_arrives_when_there_is_room(tmp_path: Path, spool: Path) -> None:
    file = tmp_path / "service-perfdata"
    file.write_text("".join(f"{index}\n" for index in range(1, 50001)))
    said = in_private_mounts(FULL, SCRIPT, file, spool).splitlines()
    everything = "".join(f"{index}\n" for index in range(1, 50011))
    cksum = subprocess.run(["cksum"], input=everything, capture_output=True, text=True, check=True).stdout.strip()
    assert said == ["ballast", "ballast", *map(str, range(50001, 50011)), "2", cksum]
    assert names(tmp_path) == []


KILLED = """\
script=$1 file=$2 spool=$3 bin=$4
mount -t tmpfs tmpfs "$spool"
touch "$bin/hold"
PATH=$bin:$PATH "$script" "$file" "$spool" &
pid=$!
tries=0
until ls -A "$spool" | grep -q '^[.]copy'; do tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1; sleep 0.05; done
kill -KILL $pid
wait $pid || :
echo three > "$file"
"$script" "$file" "$spool"
rm "$bin/hold"
ls -A "$spool" | grep -c '^[.]copy' || :
cat "$spool"/service-perfdata.* | sort
"""


def test_a_run_that_was_killed_while_it_copied_is_finished_by_the_next(tmp_path: Path, spool: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    # Stands for a slow disk: the copy hangs in its sync.
    (slow / "sync").write_text(
        '#!/bin/sh\ncase $2 in */.copy.*) while [ -e "${0%/*}/hold" ]; do sleep 0.05; done ;; esac\n'
    )
    (slow / "sync").chmod(0o755)
    file = tmp_path / "service-perfdata"
    file.write_text("one\ntwo\n")
    said = in_private_mounts(KILLED, SCRIPT, file, spool, slow)
    assert said.split() == ["0", "one", "three", "two"]
    assert names(tmp_path) == []


def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path, spool: Path) -> None:
    file = tmp_path / "service-perfdata"
    rounds = soak.count(40, 1000)
    for index in range(rounds):
        with file.open("a") as perfdata:
            perfdata.write(f"line {index}\n")
        process = subprocess.Popen([SCRIPT, file, spool], start_new_session=True, stderr=subprocess.DEVNULL)
        try:
            process.wait(0.0004 * (index % 40))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
    assert run(file, spool).returncode == 0
    # A kill between the link and the removal of the old name sends a file twice: the same points.
    assert sorted(set(spooled(spool))) == sorted(f"line {index}" for index in range(rounds))
    assert names(tmp_path) == []


def test_what_another_run_is_working_on_is_left_to_it(tmp_path: Path, spool: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sync").write_text('#!/bin/sh\nwhile [ -e "${0%/*}/hold" ]; do sleep 0.05; done\n')
    (slow / "sync").chmod(0o755)
    (slow / "hold").touch()
    file = tmp_path / "service-perfdata"
    file.write_text("one\n")
    first = subprocess.Popen([SCRIPT, file, spool], env=os.environ | {"PATH": f"{slow}:{os.environ['PATH']}"})
    wait_until(lambda: bool(list(tmp_path.glob(".claimed.*"))), 10, "the first run claims the file")
    file.write_text("two\n")
    assert run(file, spool).returncode == 0
    assert spooled(spool) == ["two"]
    (slow / "hold").unlink()
    assert first.wait(10) == 0
    assert spooled(spool) == ["one", "two"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("/var/lib/service-perfdata",),
        ("service-perfdata", "/tmp"),
        ("/a/service-perfdata", "spool"),
        ("/a/perfdata", "/tmp"),
        ("/a/service-perfdata", "/tmp", "x"),
    ],
)
def test_called_wrongly_it_says_so_in_one_line(arguments: Sequence[str]) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("spool-perfdata: ")


def test_a_file_that_is_a_link_is_not_followed(tmp_path: Path, spool: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "service-perfdata").symlink_to(tmp_path / "secret")
    done = run(tmp_path / "service-perfdata", spool)
    assert (done.returncode, names(spool)) == (1, [])
    assert (tmp_path / "secret").read_text() == "secret\n"
