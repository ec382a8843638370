"""How processes are counted, on trees in procfs's format that change between two looks."""

import time

import pytest

from checks.processes.census import Asked, Census
from checks.processes.procfs import Procfs
from checks.processes.wanted import Wanted
from checks.ranges import parse_range
from tests.unit.processes.tree import Tree

SERVER = ("python", "repy.py", "restrictions.advertiseserver", "advertiseserver.py")
PLAIN = ("/usr/bin/python3", "/srv/advertiseserver.py")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "proc")


@pytest.fixture
def take(tree):
    """Takes a census of one name; what `meanwhile` yields is done between two looks, after which time is up."""

    def take(*names, meanwhile=(), limit="1:", **asked):
        steps = iter(meanwhile)

        def sleep(_):
            if next(steps, None) is None:
                raise Over

        class Over(Exception):
            pass

        one = Asked(Wanted(names, parse_range(limit)), **asked)
        census = Census(Procfs(tree.root), [one])
        try:
            return census.take(time.monotonic() + (3600 if meanwhile else -1), sleep)[0]
        except Over:
            return census.take(0)[0]

    return take


def pids(instances):
    return [[process.pid for process in instance] for instance in instances]


def test_a_repy_program_and_its_monitor_count_once(tree, take):
    tree.pair(100, *SERVER)
    assert pids(take("advertiseserver.py").running) == [[100, 101]]


def test_a_monitor_with_a_higher_number_than_its_program_is_still_the_first(tree, take):
    tree.add(100, *SERVER, parent=200)
    tree.add(200, *SERVER)
    assert pids(take("advertiseserver.py").running) == [[200, 100]]


def test_two_servers_count_twice(tree, take):
    tree.pair(100, *SERVER)
    tree.pair(200, *SERVER)
    tree.add(300, *PLAIN)
    assert len(take("advertiseserver.py").running) == 3


def test_two_servers_of_one_parent_count_twice(tree, take):
    tree.add(50, "sh", "-c", "run all")
    tree.add(100, *PLAIN, parent=50)
    tree.add(101, *PLAIN, parent=50)
    assert len(take("advertiseserver.py").running) == 2


def test_a_web_server_with_many_workers_counts_once(tree, take):
    tree.add(80, "/usr/sbin/apache2", "-k", "start", user=0)
    for pid in range(81, 121):
        tree.add(pid, "/usr/sbin/apache2", "-k", "start", parent=80, group=80, user=33)
    count = take("apache2", "httpd")
    assert len(count.running) == 1
    assert len(count.processes) == 41


def test_workers_that_lost_their_master_do_not_count(tree, take):
    for pid in (81, 82):
        tree.add(pid, "/usr/sbin/apache2", "-k", "start", group=80, user=33)
    count = take("apache2")
    assert not count.running
    assert len(count.orphans) == 2


def test_a_web_server_started_by_hand_counts(tree, take):
    tree.add(70, "bash")
    tree.add(80, "/usr/sbin/apache2", "-X", parent=70, group=70)
    assert len(take("apache2").running) == 1


def test_a_server_whose_start_script_has_ended_counts(tree, take):
    tree.add(80, *PLAIN, group=79)
    assert len(take("advertiseserver.py").running) == 1


def test_parents_in_a_circle_end(tree, take):
    tree.add(80, *PLAIN, parent=81)
    tree.add(81, *PLAIN, parent=80)
    assert take("advertiseserver.py").running


def test_only_the_asked_user_counts(tree, take):
    tree.add(100, *PLAIN, user=0)
    tree.add(101, *PLAIN, user=1000)
    count = take("advertiseserver.py", user=1000)
    assert pids(count.running) == [[101]]
    assert pids(count.foreign) == [[100]]


def test_a_program_inside_repy_does_not_count_for_a_node(tree):
    tree.pair(100, "python", "repy.py", "resource.v1", "nmmain.py")
    count = Census(Procfs(tree.root), [Asked(Wanted(("nmmain.py",), None, direct_only=True))]).take(0)[0]
    assert not count.running


def test_what_stays_stopped_does_not_run(tree, take):
    tree.add(100, *PLAIN, state="T")
    count = take("advertiseserver.py", meanwhile=[True, True])
    assert not count.running
    assert pids(count.stopped) == [[100]]


def test_half_a_stopped_repy_pair_is_a_stopped_program(tree, take):
    tree.add(100, *SERVER)
    tree.add(101, *SERVER, parent=100, state="T")
    assert pids(take("advertiseserver.py").stopped) == [[100, 101]]


def test_a_stopped_worker_does_not_stop_its_web_server(tree, take):
    tree.add(80, "/usr/sbin/apache2")
    tree.add(81, "/usr/sbin/apache2", parent=80, state="T")
    count = take("apache2")
    assert len(count.running) == 1
    assert [process.pid for process in count.halted] == [81]


def test_a_program_that_repy_slows_down_runs(tree, take):
    """Its monitor stops it for most of the time: it is stopped at both looks, but used CPU between them."""
    tree.add(100, *SERVER)
    tree.add(101, *SERVER, parent=100, state="T", cpu=50)

    def meanwhile():
        tree.add(101, *SERVER, parent=100, state="T", cpu=53)
        yield True

    assert pids(take("advertiseserver.py", meanwhile=meanwhile()).running) == [[100, 101]]


def test_a_program_that_is_continued_in_time_runs(tree, take):
    tree.add(100, *SERVER, state="T")

    def meanwhile():
        tree.add(100, *SERVER, state="S")
        yield True

    assert len(take("advertiseserver.py", meanwhile=meanwhile()).running) == 1


def test_a_server_that_is_being_restarted_runs(tree, take):
    def meanwhile():
        yield True
        tree.add(200, *PLAIN)
        yield True

    assert pids(take("advertiseserver.py", meanwhile=meanwhile()).running) == [[200]]


def test_too_many_are_looked_at_again(tree, take):
    tree.add(100, *PLAIN)
    tree.add(200, *PLAIN)

    def meanwhile():
        tree.remove(100)
        yield True

    assert len(take("advertiseserver.py", limit="1:1", meanwhile=meanwhile()).running) == 1


def test_a_zombie_is_known_by_its_program(tree, take):
    tree.add(80, name="mysqld", state="Z", parent=70)
    count = take("mysqld", "mariadbd")
    assert [zombie.pid for zombie in count.zombies] == [80]


def test_a_zombie_of_a_script_is_known_by_the_last_run_or_else_may_be_it(tree, take):
    tree.add(80, name="python2.7", state="Z", parent=70)
    key = Procfs(tree.root).process(80, None).key
    assert [zombie.pid for zombie in take("advertiseserver.py", before={key: 1}).zombies] == [80]
    count = take("advertiseserver.py")
    assert not count.zombies
    assert [zombie.pid for zombie in count.unknown_zombies] == [80]


def test_a_zombie_of_a_script_with_a_first_line_for_the_kernel_is_known_by_its_short_name(tree, take):
    tree.add(80, name="advertiseserver", state="Z")
    assert take("advertiseserver.py").zombies


def test_a_monitor_whose_program_is_a_zombie_does_not_run(tree, take):
    tree.add(100, *SERVER)
    tree.add(101, name="python", state="Z", parent=100)
    count = take("advertiseserver.py")
    assert not count.running
    assert [zombie.pid for zombie in count.zombies] == [101]


def test_a_zombie_with_a_command_line_is_one_too(tree, take):
    tree.add(80, *PLAIN, state="Z")
    count = take("advertiseserver.py")
    assert not count.running
    assert count.zombies


def test_kernel_threads_and_strangers_are_no_zombies_of_ours(tree, take):
    tree.add(2, name="kthreadd", parent=0)
    tree.add(80, name="cron", state="Z")
    count = take("advertiseserver.py")
    assert not count.zombies
    assert not count.unknown_zombies
