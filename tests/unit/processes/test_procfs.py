"""What is read of a process, and what happens where that fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checks.deadline import CheckError
from checks.processes.commandline import Runs
from checks.processes.procfs import Procfs, seconds
from checks.processes.report import age
from tests.unit.processes.tree import UPTIME, Tree

NOTHING = Runs(())


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "proc")


@pytest.fixture
def procfs(tree):
    return Procfs(tree.root)


def test_everything_about_a_process(tree, procfs):
    tree.add(100, "python", "x.py", parent=7, state="D", user=33, age=600, rss=2048, group=9, cpu=12)
    process = procfs.process(100, NOTHING)
    assert (process.name, process.state, process.parent, process.group) == ("python", "D", 7, 9)
    assert (process.user, process.rss, process.cpu) == (33, 2048 * 1024, 12)
    assert age(process, procfs.clock()) == pytest.approx(600, abs=0.02)


def test_this_process_is_read_as_the_kernel_writes_it():
    procfs = Procfs(Path("/proc"))
    process = procfs.process(os.getpid(), NOTHING)
    assert (process.parent, process.user) == (os.getppid(), os.geteuid())
    assert process.rss > 1 << 20
    assert 0 <= age(process, procfs.clock()) < seconds(process.start) + 86400
    assert os.getpid() not in procfs.pids()


@pytest.mark.parametrize("name", [")", "a) S 1 1", "((", "tmux: server", "x\ny"])
def test_a_name_may_hold_anything(tree, procfs, name):
    tree.add(100, name=name, state="Z")
    process = procfs.process(100, NOTHING)
    assert (process.name, process.state) == (name, "Z")


@pytest.mark.parametrize("text", ["", "junk", "1 (x", "1 (x) S 1", "1 (x) S a b c", "1 (x) " + "9" * 9])
def test_a_process_with_odd_files_costs_itself(tree, procfs, text):
    tree.add(100, "python", "x.py")
    (tree.root / "100" / "stat").write_text(text)
    assert procfs.process(100, NOTHING) is None


def test_a_process_that_vanished_is_none(tree, procfs):
    tree.add(100, "python", "x.py")
    (tree.root / "100" / "status").unlink()
    assert procfs.process(100, NOTHING) is None
    tree.remove(100)
    assert procfs.command_line(100) is None
    assert not procfs.unreadable


def test_a_process_that_ends_between_open_and_read_is_none():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Procfs(Path("/proc")).command_line(child.pid) is None


def test_processes_that_are_not_listed_are_hidden(tree, procfs):
    procfs.pids()
    assert not procfs.hidden
    tree.add(100, "python")
    tree.remove(1)
    procfs.pids()
    assert procfs.hidden


def test_processes_that_are_listed_but_not_readable_are_hidden(tree, procfs, monkeypatch):
    procfs.pids()

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("checks.processes.procfs.os.open", refuse)
    assert procfs.command_line(1) is None
    assert procfs.hidden


def test_no_procfs_is_told(tmp_path):
    with pytest.raises(CheckError, match="No such file"):
        Procfs(tmp_path / "nowhere").pids()
    with pytest.raises(CheckError, match="procfs is not mounted"):
        Procfs(tmp_path).pids()


def test_no_clock_leaves_ages_out(tree, procfs):
    assert procfs.clock() == UPTIME
    (tree.root / "uptime").write_text("")
    assert procfs.clock() is None
    assert age(procfs.process(1, NOTHING), None) is None
