"""check_seattle_processes on recorded trees of procfs, and on trees that change from one run to the next."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from checks import counters
from checks.check_seattle_processes import CHECK
from tests.seattle.lockserver import LockServer
from tests.unit.clock import Clock
from tests.unit.processes.tree import Tree

DATA = Path(__file__).parent / "data" / "check_seattle_processes"
CLEARINGHOUSE = ["--profile", "clearinghouse", "--proc", str(DATA / "clearinghouse")]
SERVER = ("python", "repy.py", "restrictions.advertiseserver", "advertiseserver.py")
NODE = (("python", "nmmain.py"), ("python", "softwareupdater.py"))


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "proc")


@pytest.fixture
def check(tree):
    """Runs the check on the tree, without patience."""

    def run(*argv, patience="0"):
        outcome = CHECK.run(["--proc", str(tree.root), "--patience", patience, *argv])
        assert "internal error" not in outcome.text
        return outcome.code, outcome.text

    return run


@pytest.fixture
def later(monkeypatch):
    """Lets time pass for what is kept between runs."""
    clock = Clock()
    monkeypatch.setattr(counters.time, "clock_gettime", clock)

    def later(seconds):
        clock.now += seconds

    return later


def recorded(*argv):
    outcome = CHECK.run([*argv, "--patience", "0"])
    return outcome.code, outcome.text


# What a profile finds


def test_ok_a_clearinghouse_with_all_its_daemons():
    code, text = recorded(*CLEARINGHOUSE)
    assert code == 0
    assert text.startswith("SEATTLE_PROCESSES OK - 9 of 9 processes run | ")
    counts = re.findall(r"(\w+)\.count=(\d+);;1:", text)
    assert len(counts) == 9
    assert {number for _, number in counts} == {"1"}
    assert " mysqld.age=345800s mysqld.rss=217088000B" in text
    assert " apache2.rss=208896000B" in text


def test_ok_v_lists_each_process_with_its_user_and_age():
    _, text = recorded(*CLEARINGHOUSE, "-v")
    assert "mariadbd pid 700 (parent 1): user " in text
    assert "apache2 pid 601 (parent 600, with pid 600): user " in text
    assert "lockserver_daemon.py pid 461 (parent 460): user " in text
    assert ", sleeps, for 4 d, 24 MiB\n" in text
    assert "sudo" not in text


def test_ok_the_advertise_server_in_repy_runs_once(tree, check):
    tree.pair(100, *SERVER, age=7200, rss=20480)
    code, text = check("--profile", "seattle")
    assert code == 0
    assert text == (
        "SEATTLE_PROCESSES OK - advertiseserver.py runs for 2 h, 40 MiB"
        " | advertiseserver.count=1;;1: advertiseserver.age=7200s advertiseserver.rss=41943040B\n"
    )


def test_crit_only_the_command_lines_that_hold_the_name(tree, check):
    tree.add(100, "sudo", "-u", "ch", "python", "/ch/backend_daemon.py", user=0)
    tree.add(101, "vi", "backend_daemon.py")
    tree.add(102, "python3", "check_seattle_processes", "--process", "backend_daemon.py")
    code, text = check("--process", "backend_daemon.py")
    assert code == 2
    assert (
        text == "SEATTLE_PROCESSES CRITICAL - backend_daemon.py does not run: start it | backend_daemon.count=0;;1:\n"
    )


def test_crit_a_node_without_its_updater(tree, check):
    tree.add(100, *NODE[0])
    tree.pair(200, "python", "repy.py", "--status", "v1.status", "resource.v1", "softwareupdater.py")
    code, text = check("--profile", "node")
    assert code == 2
    assert text.startswith(
        "SEATTLE_PROCESSES CRITICAL - softwareupdater.py does not run: start it as the user who installed Seattle"
        " (start_seattle.sh does); 1 of 2 processes run | "
    )


def test_crit_what_the_recorded_machine_in_trouble_has():
    code, text = recorded(
        *("--proc", str(DATA / "trouble"), "--profile", "clearinghouse,seattle", "--process", "nmmain.py=1:1"),
        *("--user", "backend_daemon.py=1001"),
    )
    assert code == 2
    first, *lines = text.splitlines()
    assert first.startswith(
        "SEATTLE_PROCESSES CRITICAL - advertiseserver.py is stopped, pid 401: kill -CONT 401, 10 more; "
    )
    for line in (
        "mysqld or mariadbd is a zombie, pid 301: it has ended and its parent supervise??b? (pid 300) did not notice;"
        " restart that, or start the database server as root",
        "apache2 has lost its master, pid 601, 602 are workers without it: end them and start the web server as root",
        "backend_daemon.py runs as root only, pid 410: end it and start it as 1001 (start_clearinghouse_components.sh does)",
        "nmmain.py runs 3 times (> 1), pid 700, 710, 720",
        "lockserver_daemon.py does not run (or it is a zombie of python, pid 730): start it as ch"
        " (start_clearinghouse_components.sh does)",
    ):
        assert f"CRITICAL: {line}" in lines


def test_unknown_where_other_users_processes_are_hidden(tree, check):
    tree.add(100, *NODE[0])
    tree.remove(1)
    code, text = check("--process", "advertiseserver.py", "--process", "nmmain.py")
    assert code == 3
    assert "advertiseserver.py is not to be seen, but " in text
    assert "hidepid" in text
    assert "1 of 2 processes run" in text


def test_unknown_without_procfs(tmp_path):
    for place, said in ((tmp_path / "nowhere", "No such file or directory"), (tmp_path, "lists no processes")):
        code, text = recorded("--process", "x", "--proc", str(place))
        assert code == 3
        assert said in text


def test_unknown_without_anything_to_look_for():
    code, text = recorded()
    assert code == 3
    assert "give --profile (seattle, clearinghouse, node, zenodotus) or --process NAME" in text


# Ranges, users, states


@pytest.mark.parametrize(
    ("number", "limit", "code"),
    [
        (0, "", 2),
        (1, "", 0),
        (3, "", 0),
        (0, "=0", 0),
        (1, "=0", 2),
        (2, "=1:1", 2),
        (1, "=2:", 2),
        (0, "=", 0),
        (2, "=@2:3", 2),
    ],
)
def test_the_range_says_how_many_are_right(tree, check, number, limit, code):
    for pid in range(100, 100 + number):
        tree.add(pid, *NODE[0])
    assert check("--process", f"nmmain.py{limit}")[0] == code


def test_ok_a_range_that_allows_none_says_so_when_there_is_none(check):
    code, text = check("--process", "nmmain.py=1")
    assert code == 0
    assert "nmmain.py does not run, and the range 1, which begins at 0, allows that" in text


def test_crit_fewer_than_wanted_says_how_many_there_are(tree, check):
    tree.add(100, *NODE[0])
    assert "nmmain.py runs once (< 2): start it" in check("--process", "nmmain.py=2:")[1]


def test_crit_it_runs_as_another_user(tree, check):
    tree.add(100, *NODE[0], user=0)
    code, text = check("--process", "nmmain.py", "--user", "12345")
    assert code == 2
    assert "nmmain.py runs as root only, pid 100: end it and start it as 12345" in text
    assert check("--process", "nmmain.py", "--user", "root")[0] == 0


def test_unknown_a_user_who_does_not_exist(check):
    code, text = check("--process", "nmmain.py", "--user", "nobody-of-this-name")
    assert code == 3
    assert "there is no user nobody-of-this-name on this machine" in text


def test_warn_a_stopped_one_beside_one_that_runs(tree, check):
    tree.add(100, *NODE[0])
    tree.add(200, *NODE[0], state="T")
    code, text = check("--process", "nmmain.py")
    assert code == 1
    assert "nmmain.py is stopped beside what runs, pid 200: kill -CONT 200" in text


def test_crit_one_that_a_debugger_holds(tree, check):
    tree.add(100, *NODE[0], state="t")
    assert "nmmain.py is stopped, pid 100: end the debugger that holds it" in check("--process", "nmmain.py")[1]


def test_patience_ends_in_time_however_long_it_is(check):
    started = time.monotonic()
    code, _ = check("--process", "nmmain.py", "-t", "0.5", patience="60")
    assert code == 2
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("text", ["soon", "-1", "61", "nan"])
def test_unknown_patience_is_a_number_of_seconds(check, text):
    assert check("--process", "x", patience=text)[0] == 3


# Age, memory, restarts


def test_warn_one_that_started_lately(tree, check):
    tree.add(100, *NODE[0], age=50)
    tree.add(200, *NODE[0], age=5000)
    code, text = check("--process", "nmmain.py", "--age-warning", "600:", "--age-critical", ".*updater.py=600:")
    assert code == 1
    assert "nmmain.py runs for 50 s (< 10 min)" in text
    assert " nmmain.age=50s;600: " in text


def test_crit_one_that_grew(tree, check):
    tree.pair(100, *SERVER, rss=60 * 1024)
    code, text = check("--profile", "seattle", "--rss-warning", "50M", "--rss-critical", "100M")
    assert code == 2
    assert "advertiseserver.py memory 120 MiB (> 100 MiB)" in text


def test_ok_no_clock_leaves_the_age_out(tree, check):
    tree.add(100, *NODE[0])
    (tree.root / "uptime").unlink()
    code, text = check("--process", "nmmain.py", "--age-critical", "600:")
    assert code == 0
    assert ".age=" not in text


def test_restarts_are_counted_from_the_second_run_on(tree, check, later):
    def run(*argv):
        later(60)
        return check("--process", "nmmain.py=", "--save-state", *argv)

    tree.add(100, *NODE[0], age=9000)
    assert ".restarts=" not in run()[1]
    assert " nmmain.restarts=0" in run()[1]
    tree.add(100, *NODE[0], age=50)
    code, text = run("--restarts-warning", "0")
    assert code == 1
    assert "nmmain.py restarts since the last run: 1 (> 0)" in text
    assert "restarted: nmmain.py" in text
    assert " nmmain.restarts=1;0" in text
    tree.remove(100)
    assert " nmmain.restarts=0" in run()[1]
    tree.add(300, *NODE[0])
    assert " nmmain.restarts=1" in run()[1]


def test_a_worker_that_is_replaced_is_no_restart(tree, check, later):
    tree.add(80, "/usr/sbin/apache2", user=0)
    tree.add(81, "/usr/sbin/apache2", parent=80)
    later(60)
    check("--process", "apache2", "--save-state")
    tree.remove(81)
    tree.add(99, "/usr/sbin/apache2", parent=80)
    later(60)
    assert " apache2.restarts=0" in check("--process", "apache2", "--save-state")[1]


def test_a_run_by_hand_does_not_shorten_the_interval(tree, check, later):
    tree.add(100, *NODE[0], age=9000)
    check("--process", "nmmain.py", "--save-state")
    tree.add(100, *NODE[0], age=50)
    for _ in range(2):
        later(60)
        assert " nmmain.restarts=1" in check("--process", "nmmain.py")[1]


def test_after_a_reboot_nothing_is_a_restart(tree, check, later, monkeypatch):
    tree.add(100, *NODE[0])
    check("--process", "nmmain.py", "--save-state")
    monkeypatch.setattr(counters, "_boot_id", lambda: "another")
    later(60)
    tree.add(200, *NODE[0])
    code, text = check("--process", "nmmain.py", "--restarts-critical", "0")
    assert code == 0
    assert ".restarts=" not in text
    assert "restarts are not known yet: first run since this machine booted" in text


def test_crit_a_zombie_is_recognised_by_the_run_before(tree, check, later):
    tree.add(100, *NODE[0], parent=50, age=500)
    tree.add(50, "supervisor")
    check("--process", "nmmain.py", "--save-state")
    tree.add(100, name="python", state="Z", parent=50, age=500)
    for _ in range(2):
        later(60)
        code, text = check("--process", "nmmain.py", "--save-state")
        assert code == 2
        assert "nmmain.py is a zombie, pid 100: it has ended and its parent supervisor (pid 50) did not notice" in text


def test_crit_the_user_is_the_one_it_ran_as(tree, check, later):
    tree.add(100, *NODE[0], user=0)
    check("--profile", "node", "--process", "softwareupdater.py=", "--save-state")
    tree.remove(100)
    for _ in range(3):
        later(60)
        assert (
            "nmmain.py does not run: start it as root ("
            in check("--profile", "node", "--process", "softwareupdater.py=", "--save-state")[1]
        )


def test_ok_state_that_can_not_be_written_is_named(tree, check, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/dev/null/x")
    tree.add(100, *NODE[0])
    code, text = check("--process", "nmmain.py", "--save-state")
    assert code == 0
    assert "restarts will not be known at the next run: " in text


# Many, and hostile


def test_ok_one_among_many(tree, check):
    for pid in range(1000, 1200):
        tree.add(pid, "python", "editor.py", "advertiseserver.py")
    tree.pair(100, *SERVER)
    assert check("--profile", "seattle")[1].startswith("SEATTLE_PROCESSES OK - advertiseserver.py runs for 24 h")


def test_nothing_from_a_process_reaches_the_output_uncleaned(tree, check):
    name = "x|<b>\x1b[2J\n.py"
    tree.add(50, name="|\x1b<b>", parent=1)
    tree.add(100, "python", f"/x/{name}")
    tree.add(101, name="nmmain", state="Z", parent=50)
    _, text = check("--process", "nmmain.py", "--process", "x", "-v")
    assert "\x1b" not in text
    assert "<b>" not in text
    assert text.count("|") == 1


# The lock server


@pytest.fixture
def lockserver():
    with LockServer() as server:
        yield server


@pytest.fixture
def ask(tree, check, lockserver):
    tree.add(100, "python", "lockserver_daemon.py")

    def ask(*argv):
        return check(
            "--process", "lockserver_daemon.py", "--lock-status", "--lock-port", str(lockserver.port), "-t", "1", *argv
        )

    return ask


def test_ok_the_lock_server_says_what_is_held(lockserver, ask):
    lockserver.hold("user", "bob", queue=("2", "3"))
    lockserver.hold("node", "n1", None)
    code, text = ask("-v")
    assert code == 0
    assert ", 1 lock held | " in text
    assert " locks.held=1 locks.waiting=2 locks.sessions=1 time.lock_status=0." in text
    assert "lock of user bob (session 1000001), since 2026-11-21 10:00:00 by its clock, 2 wait\n" in text


def test_crit_too_many_locks(lockserver, ask):
    for number in range(3):
        lockserver.hold("node", f"n{number}")
    code, text = ask("--locks-critical", "2")
    assert code == 2
    assert "locks held: 3 (> 2)" in text


def test_warn_a_lock_that_is_held_for_long(lockserver, ask, later):
    lockserver.hold("user", "bob")
    assert "locks.age" not in ask("--save-state")[1]
    later(200)
    code, text = ask("--save-state")
    assert (code, re.search(r"locks\.age=(\S+)", text)[1]) == (0, "200s;300")
    later(200)
    code, text = ask("--save-state")
    assert code == 1
    assert "lock of user bob (session 1000001) held for at least 6.7 min (> 5 min)" in text
    lockserver.hold("user", "bob", "1000002")
    later(200)
    assert " locks.age=0s;300" in ask("--save-state")[1]


def test_the_lock_server_may_be_all_that_is_asked_for(lockserver):
    code, text = recorded("--lock-status", "--lock-port", str(lockserver.port), "-t", "1")
    assert code == 0
    assert text.startswith("SEATTLE_PROCESSES OK - no locks held | locks.held=0 ")


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("silent", "takes the connection but does not answer: it hangs, restart it (lockserver_daemon.py, as ch)"),
        ("empty", "closes without an answer: it ends itself after an error, see its log and restart it"),
        ("cut", "breaks off its answer"),
        ("junk", "is no lock server (HTTP 400): see who listens there"),
    ],
)
def test_crit_a_lock_server_that_fails_is_named(lockserver, ask, manner, said):
    lockserver.manner = manner
    code, text = ask()
    assert code == 2
    assert f"127.0.0.1:{lockserver.port} {said}" in text
    assert "locks.held" not in text
    assert " lockserver_daemon.count=1;;1:" in text


def test_crit_a_lock_server_that_is_not_there(lockserver, ask):
    lockserver.stop()
    code, text = ask()
    assert code == 2
    assert "refuses connections: start it (lockserver_daemon.py, as ch)" in text


def test_ok_a_lock_server_is_asked_though_a_process_is_missing_for_all_its_patience(tree, lockserver, check):
    code, text = check(
        *("--process", "nmmain.py", "--lock-status", "--lock-port", str(lockserver.port), "-t", "1"), patience="60"
    )
    assert code == 2
    assert "lock server" not in text
    assert "locks.held=0" in text


def test_state_from_elsewhere_costs_no_run(tree, check, tmp_path):
    tree.add(100, *NODE[0])
    check("--process", "nmmain.py", "--save-state")
    (path,) = (tmp_path / "state").iterdir()
    document = json.loads(path.read_text())
    document["sources"]["nmmain.py"] = ["", {"user": "x", "instances": []}]
    document["clock"] -= min(60, document["clock"])
    path.write_text(json.dumps(document))
    os.utime(path)
    assert check("--process", "nmmain.py")[0] == 0
