"""check_disk on real mounts, made in a user, mount and process namespace of their own, which end with the test."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECK = Path(sys.executable).with_name("check_disk")
UNSHARE = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
]
# `check NAME ARGUMENTS`: output through a pipe, so that it ends only when nobody holds the other end, as NRPE waits for it.
PRELUDE = f"""
set -eu
check() {{ name=$1; shift; {{ rc=0; timeout 60 $CHECK "$@" 2>&1 || rc=$?; echo "exit code $rc"; }} | cat >$OUT/$name; }}
tmpfs() {{ mkdir -p "$1"; mount -t tmpfs -o size=16m,"${{2:-mode=755}}" tmpfs "$1"; }}
mount -t tmpfs none $ROOT
CHECK={shlex.quote(str(CHECK))}
"""
# Stands in where /dev/fuse may not be opened: the child is stuck in Python, and a kill ends it.
STAND_IN = f"""#!{sys.executable}
import sys, threading
from checks.check_disk import main
from checks.disk import usage
measure, hung = usage.measure, sys.argv.pop(1)
usage.measure = lambda path: threading.Event().wait() if path == hung else measure(path)
main()
"""


@pytest.fixture
def namespace(tmp_path):
    """Runs a shell script in the namespace; its checks' outputs by name."""
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    out.mkdir()

    def run(script):
        env = {**os.environ, "ROOT": str(root), "OUT": str(out), "PYTHON": sys.executable}
        done = subprocess.run(
            [*UNSHARE, "bash", "-c", PRELUDE + script],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
        found = {}
        for file in out.iterdir():
            text, _, code = file.read_text().rpartition("exit code ")
            found[file.name] = (int(code), text)
        return found

    run.root = root
    return run


def value(text, label):
    return float(re.search(rf"(?:^|\s){re.escape(label)}=([0-9.]+)", text)[1])


def label_of(path):
    from checks.check_disk import mount_label

    return mount_label(str(path))


def test_used_percent_and_bytes_are_those_of_df(namespace):
    found = namespace("""
        tmpfs $ROOT/data; head -c 10000000 /dev/zero >$ROOT/data/file
        check ours --include-path $ROOT/data -c 50
        df --output=used,avail,size,pcent -B1 $ROOT/data >$OUT/df; echo "exit code 0" >>$OUT/df
    """)
    code, text = found["ours"]
    used, free, size, percent = found["df"][1].splitlines()[1].split()
    label = label_of(namespace.root / "data")
    assert code == 2
    assert [value(text, f"{label}.{name}") for name in ("used", "free", "size")] == [
        float(used),
        float(free),
        float(size),
    ]
    assert 0 <= int(percent.rstrip("%")) - value(text, f"{label}.used_percent") < 1


def test_a_file_system_without_inodes_left_is_critical(namespace):
    found = namespace(
        "tmpfs $ROOT/data nr_inodes=20; for n in $(seq 19); do : >$ROOT/data/$n; done; check it --include-path $ROOT/data"
    )
    assert found["it"][0] == 2
    assert "inodes used 100% (> 95)" in found["it"][1]


def test_bind_and_duplicate_mounts_count_once(namespace):
    found = namespace("""
        tmpfs $ROOT/data; mkdir $ROOT/data/sub $ROOT/b $ROOT/longer-name
        mount --bind $ROOT/data/sub $ROOT/b; mount --bind $ROOT/data $ROOT/longer-name
        check all -v --include-path "$ROOT/.*"; check one --include-path $ROOT/longer-name
    """)
    assert found["all"][1].count("used_percent=") - found["all"][1].count("inodes_used_percent=") == 1
    assert f"{label_of(namespace.root / 'b')}.used_percent=" in found["all"][1]
    assert f"{label_of(namespace.root / 'longer-name')}.used_percent=" in found["one"][1]


def test_a_file_system_that_the_kernel_made_read_only_is_told_from_deliberate_ones(namespace):
    """What errors=remount-ro leaves: the file system is read-only, its mount still says rw."""
    found = namespace("""
        for name in broken fstab deliberate bind; do tmpfs $ROOT/$name; done
        for name in broken fstab deliberate; do mount -o remount,ro tmpfs $ROOT/$name; done
        mount -o remount,bind,rw $ROOT/broken
        mount -o remount,bind,ro $ROOT/bind
        echo "tmpfs $ROOT/fstab tmpfs defaults 0 0" >$ROOT/table
        check it --include-path "$ROOT/.*" --fstab $ROOT/table
    """)
    code, text = found["it"]
    assert code == 1
    told = {Path(line.split()[1]).name for line in text.splitlines() if line.endswith("turned read-only")}
    assert told == {"broken", "fstab"}


def test_a_thousand_mounts(namespace):
    found = namespace("""
        mkdir $ROOT/m; for n in $(seq 1000); do mkdir $ROOT/m/$n; mount -t tmpfs -o size=1m x $ROOT/m/$n; done
        check it --include-path "$ROOT/m/.*" --max-output 1000000
        check plain --include-path "$ROOT/m/.*"
    """)
    assert found["it"][0] == 0
    assert found["it"][1].startswith("DISK OK - 1000 file systems")
    assert found["it"][1].count(".inodes_used_percent=") == 1000
    assert len(found["plain"][1].encode()) <= 4000


def test_names_with_blanks_and_bars_are_named_cleanly(namespace):
    found = namespace("""tmpfs "$ROOT/a b|c'd"; check it -v --include-path "$ROOT/a.*" -c 0 """)
    first, perfdata = found["it"][1].splitlines()[0].split(" | ")
    assert "a b?c'd used" in first or "a b?c'd" in first
    assert re.fullmatch(r"([A-Za-z0-9_.-]+=[0-9.]+[B%]?(;[0-9.:]*){0,2} ?)+", perfdata)


def test_a_mount_behind_a_closed_directory_costs_itself_only(namespace):
    found = namespace("""
        tmpfs $ROOT/open; mkdir $ROOT/closed; tmpfs $ROOT/closed/data; chmod 0 $ROOT/closed
        CHECK="setpriv --bounding-set=-all --inh-caps=-all $CHECK"
        check it --include-path "$ROOT/.+"
        chmod 755 $ROOT/closed
    """)
    code, text = found["it"]
    assert code == 3
    assert "closed/data: Permission denied" in text.splitlines()[0]
    assert f"{label_of(namespace.root / 'open')}.used_percent=" in text


def test_a_hung_mount_costs_itself_only_and_leaves_one_process_however_many_runs(namespace, needs_root):
    """A FUSE server takes the request and never answers: the kernel waits beyond kill -9."""
    fuse = os.access("/dev/fuse", os.R_OK | os.W_OK)
    start = f"exec 3< <(exec $PYTHON {HERE}/hung_fuse.py $ROOT/hung); read -r line <&3; server=$!"
    if not fuse:
        needs_root("a mount that hangs beyond kill -9 (/dev/fuse); a process that hangs in Python stands in")
        stand_in = namespace.root.parent / "check_disk"
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        start = f"tmpfs $ROOT/hung; sleep 1000 & server=$!; CHECK='{stand_in} {namespace.root}/hung'"
    found = namespace(f"""
        tmpfs $ROOT/a; tmpfs $ROOT/z; mkdir $ROOT/hung
        {start}
        stuck() {{ cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^check_disk$' || true; }}
        check run1 -t 2 --include-path "$ROOT/.+" --remote
        for n in 2 3 4 5; do check run$n --mount-timeout 1 --include-path "$ROOT/.+" --remote; done
        {{ stuck; echo "exit code 0"; }} >$OUT/stuck
        kill $server
        for n in $(seq 200); do [ "$(stuck)" = 0 ] && break; sleep 0.1; done
        {{ stuck; echo "exit code 0"; }} >$OUT/later
        check gone --mount-timeout 1 --include-path "$ROOT/.+" --remote
    """)
    for number in range(1, 6):
        code, text = found[f"run{number}"]
        assert code == 2
        assert text.startswith(f"DISK CRITICAL - {namespace.root}/hung does not answer")
        assert [f"{label_of(namespace.root / name)}.used_percent=" in text for name in ("a", "z", "hung")] == [
            True,
            True,
            False,
        ]
    assert int(found["stuck"][1]) == (1 if fuse else 0)
    assert int(found["later"][1]) == 0
    if fuse:
        assert "since an earlier run" not in found["run1"][1]
        assert all("since an earlier run" in found[f"run{number}"][1] for number in range(2, 6))
        assert "hung: Transport endpoint is not connected" in found["gone"][1].splitlines()[0]
