"""check_seattle_processes on real processes: stand-ins with the command lines of Seattle's own, in a process namespace that ends with the test.

Stopped, killed, left as zombies, slowed down by repy's monitor, and beside everything that only holds their names. Over NRPE on the machine's own
processes, where the stand-in has a name of its own.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.soak import count
from tests.stack import place

RUNS = count(10, 200)
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
# `check NAME ARGUMENTS` writes output and exit code to a file; `wait_for COMMAND` waits until it succeeds.
PRELUDE = """
set -eu
check() { name=$1; shift; rc=0; $CHECK "$@" >>$OUT/$name 2>&1 || rc=$?; echo "exit code $rc" >>$OUT/$name; }
wait_for() { for _ in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $*" >&2; exit 1; }
runs() { tr '\\0' ' ' </proc/$1/cmdline | grep -q "$2"; }
state() { [ "$(sed 's/.*) //; s/ .*//' /proc/$1/stat)" = "$2" ]; }
"""
SLEEPER = "import time\ntime.sleep(600)\n"
# Two processes with one command line: the monitor, and the program, which it stops for nine tenths of the time.
REPY = """
import os, signal, time
program = os.fork()
if not program:
    while True:
        pass
while True:
    time.sleep(0.1)
    os.kill(program, signal.SIGSTOP)
    time.sleep(0.9)
    os.kill(program, signal.SIGCONT)
"""
MASTER = "import os, time\nos.setsid() if os.getpid() != os.getpgrp() else 0\nfor _ in range(4):\n    if not os.fork(): break\ntime.sleep(600)\n"
CLEARINGHOUSE = (
    "transition_donation_to_canonical.py",
    "transition_onepercentmanyevents_to_canonical.py",
    "transition_canonical_to_twopercent.py",
    "transition_twopercent_to_twopercent.py",
    "check_active_db_nodes.py",
    "backend_daemon.py",
    "lockserver_daemon.py",
)


@pytest.fixture
def machine(tmp_path):
    """Runs a shell script in the namespace, where every script of Seattle stands in the folder it begins in; outputs by name, as a list of runs."""
    out, folder = tmp_path / "out", tmp_path / "seattle"
    out.mkdir()
    folder.mkdir()
    for name in (*CLEARINGHOUSE, "advertiseserver.py", "nmmain.py", "softwareupdater.py", "editor.py"):
        (folder / name).write_text(SLEEPER)
    (folder / "repy.py").write_text(REPY)
    (folder / "master.py").write_text(MASTER)

    def run(script, unshare=UNSHARE):
        env = {
            **os.environ,
            "OUT": str(out),
            "CHECK": str(place.command("check_seattle_processes")),
            "PYTHON": sys.executable,
        }
        env["STATE_DIRECTORY"] = str(tmp_path / "state")
        done = subprocess.run(
            [*unshare, "bash", "-c", PRELUDE + script],
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
        found = {}
        for file in out.iterdir():
            *outputs, rest = file.read_text().split("exit code ")
            codes = [*(text.partition("\n")[0] for text in outputs[1:]), rest.strip()]
            texts = [outputs[0], *(text.partition("\n")[2] for text in outputs[1:])]
            found[file.name] = [(int(code), text) for code, text in zip(codes, texts, strict=True)]
        return found

    return run


def test_a_clearinghouse_with_everything_that_only_holds_the_names(machine):
    scripts = " ".join(CLEARINGHOUSE)
    found = machine(f"""
        for name in {scripts}; do
            (exec -a sudo $PYTHON -c 'import time; time.sleep(600)' -u ch python $PWD/$name) &
            (exec -a vi $PYTHON editor.py $name) & (exec -a tail $PYTHON editor.py -f $name) & $PYTHON editor.py $name &
            mkdir -p dir/$name; cp editor.py dir/$name/other.py; $PYTHON dir/$name/other.py & sh -c "sleep 600; : python $name" &
        done
        (exec -a vi $PYTHON editor.py apache2 mysqld) &
        check traps --profile clearinghouse --patience 0.5
        for name in {scripts}; do (exec -a python2.7 $PYTHON -u $PWD/$name) & done
        (exec -a /usr/sbin/apache2 $PYTHON master.py -k start) & (exec -a /usr/sbin/mariadbd $PYTHON editor.py) &
        check all --profile clearinghouse
    """)
    ((code, text),) = found["traps"]
    assert code == 2
    assert text.count(".count=0;;1:") == 9
    ((code, text),) = found["all"]
    assert code == 0
    assert text.startswith("SEATTLE_PROCESSES OK - 9 of 9 processes run | ")
    assert text.count(".count=1;;1:") == 9


def test_a_program_that_repy_slows_down_is_no_false_alarm(machine):
    found = machine(f"""
        (exec -a python $PYTHON repy.py restrictions.advertiseserver advertiseserver.py) &
        wait_for pgrep -P $!
        for _ in $(seq {RUNS}); do check runs --profile seattle; done
    """)
    assert len(found["runs"]) == RUNS
    for code, text in found["runs"]:
        assert code == 0, text
        assert "advertiseserver.count=1;;1:" in text


def test_two_servers_are_two(machine):
    found = machine("""
        for _ in 1 2; do $PYTHON repy.py restrictions.advertiseserver advertiseserver.py & wait_for pgrep -P $!; done
        check two --process advertiseserver.py=2:2
        check one --process advertiseserver.py=1:1
    """)
    assert found["two"][0][0] == 0
    assert found["one"][0][0] == 2
    assert "advertiseserver.py runs 2 times (> 1)" in found["one"][0][1]


def test_a_stopped_continued_and_killed_server(machine):
    found = machine("""
        $PYTHON advertiseserver.py & pid=$!
        wait_for runs $pid advertiseserver.py
        check healthy --profile seattle; kill -STOP $pid; wait_for state $pid T
        check stopped --profile seattle --patience 0.5; kill -CONT $pid
        check back --profile seattle; kill -9 $pid; wait $pid || :
        check gone --profile seattle --patience 0.5
    """)
    assert [found[name][0][0] for name in ("healthy", "stopped", "back", "gone")] == [0, 2, 0, 2]
    assert "advertiseserver.py is stopped, pid " in found["stopped"][0][1]
    assert ": kill -CONT " in found["stopped"][0][1]
    assert "does not run: start it | " in found["gone"][0][1]


def test_a_zombie_is_told_from_a_process_that_is_gone(machine):
    """Its parent is busy and never asks; the run before knew its number."""
    found = machine("""
        cat >parent.py <<'END'
import subprocess, sys, time
print(subprocess.Popen([sys.executable, 'nmmain.py']).pid, flush=True)
time.sleep(600)
END
        $PYTHON parent.py >pid & parent=$!
        wait_for test -s pid; pid=$(cat pid); wait_for runs $pid nmmain.py
        check healthy --process nmmain.py --save-state
        kill -9 $pid; wait_for state $pid Z; sleep 0.6  # as below
        check zombie --process nmmain.py --patience 0
    """)
    assert found["healthy"][0][0] == 0
    code, text = found["zombie"][0]
    assert code == 2
    assert "nmmain.py is a zombie, pid " in text
    assert "its parent python" in text


def test_a_restart_is_no_alarm_and_is_counted(machine):
    found = machine("""
        $PYTHON softwareupdater.py & pid=$!
        wait_for runs $pid softwareupdater.py
        check first --process softwareupdater.py --save-state
        sleep 0.6  # what is closer to the run before is not compared with it
        kill $pid; wait $pid || :
        (sleep 1; exec $PYTHON softwareupdater.py) &
        check second --process softwareupdater.py --save-state --restarts-warning 0
    """)
    assert found["first"][0][0] == 0
    code, text = found["second"][0]
    assert code == 1
    assert "softwareupdater.py restarts since the last run: 1 (> 0)" in text
    assert "softwareupdater.count=1" in text


def test_a_web_server_whose_master_was_killed(machine):
    found = machine("""
        (exec -a /usr/sbin/apache2 $PYTHON master.py) & pid=$!
        wait_for pgrep -P $pid
        check healthy --process 'apache2|httpd'; kill -9 $pid; wait $pid || :
        check orphans --process 'apache2|httpd' --patience 0.5
    """)
    assert found["healthy"][0][0] == 0
    code, text = found["orphans"][0]
    assert code == 2
    assert "apache2 has lost its master, pid " in text


def test_a_thousand_processes_and_many_that_vanish_while_they_are_read(machine):
    found = machine(f"""
        for _ in $(seq 1000); do sleep 600 & done
        (while :; do (:); (:); (:); done) &
        $PYTHON advertiseserver.py &
        for _ in $(seq {RUNS}); do check runs --profile seattle -v; done
    """)
    assert len(found["runs"]) == RUNS
    for code, text in found["runs"]:
        assert code == 0, text
        assert text.startswith("SEATTLE_PROCESSES OK - advertiseserver.py runs for ")


def test_other_users_processes_that_are_hidden_are_unknown_and_not_missing(machine, needs_root):
    if os.geteuid():
        needs_root("processes that procfs hides from another user (hidepid)")
        return
    found = machine(
        """
        $PYTHON advertiseserver.py & wait_for runs $! advertiseserver.py
        chmod 777 $OUT
        CHECKED=$CHECK
        for hide in 0 1 2; do
            mount -o remount,hidepid=$hide /proc
            CHECK="setpriv --reuid 65534 --regid 65534 --clear-groups $CHECKED"
            check $hide --profile seattle --patience 0.2
        done
        """,
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
    )
    assert [found[hide][0][0] for hide in "012"] == [0, 3, 3]
    assert "/proc hides other users' processes (hidepid)" in found["2"][0][1]


@pytest.fixture
def stand_in(tmp_path):
    """A running script with a name of its own on the machine itself."""
    script = tmp_path / f"t{uuid.uuid4().hex[:12]}.py"
    script.write_text(f"print(flush=True)\n{SLEEPER}")
    with subprocess.Popen([sys.executable, "-u", script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        yield script, process
        process.kill()


def test_over_nrpe_as_another_user(make_nrpe, stand_in):
    script, process = stand_in
    check = f"{place.command('check_seattle_processes')} --process {script.name}"
    server = make_nrpe({"runs": check, "patient": f"{check} --patience 0.2"})

    def ask(command):
        done = subprocess.run(server.check_argv(command), capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    code, text = ask("runs")
    assert code == 0
    assert f"{Path(script).stem}.count=1;;1:" in text
    process.kill()
    process.wait()
    code, text = ask("patient")
    assert code == 2
    assert f"{script.name} does not run: start it" in text
