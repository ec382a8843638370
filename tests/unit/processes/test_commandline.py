"""What a command line runs: every real one of a Seattle site, and the traps that hold a name only in an argument."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.processes.commandline import arguments, runs

CH = "/home/ch/clearinghouse"
REAL = [
    ("advertiseserver.py", "python repy.py restrictions.advertiseserver advertiseserver.py"),
    ("advertiseserver.py", "python advertiseserver.py"),
    ("advertiseserver.py", "python3 -u advertiseserver.py"),
    ("advertiseserver.py", "python2.7 -uO -W ignore -Qwarn /srv/advertiseserver.py 10102"),
    ("advertiseserver.py", "/usr/bin/python3 -X dev -- advertiseserver.py"),
    ("advertiseserver.py", "python3 --check-hash-based-pycs never advertiseserver.py"),
    ("advertiseserver.py", "python -m advertiseserver"),
    ("advertiseserver.py", "python3 -Wdefault -um seattle.advertiseserver --port 1"),
    ("advertiseserver.py", "python /opt/repy.py --logfile log --cwd . restrictions.advertiseserver advertiseserver.py"),
    ("advertiseserver_v2.r2py", "python repy.py restrictions.default dylink.r2py advertiseserver_v2.r2py"),
    (
        "advertiseserver_v2.r2py",
        "python repy.py restrictions encasementlib.r2py /x/dylink.r2py advertiseserver_v2.r2py",
    ),
    ("udpadvertiseserver.repy", "python repy.py restrictions.default udpadvertiseserver.repy"),
    ("zenodotus_built.repy", "python repy.py restrictions.test zenodotus_built.repy -p 53"),
    ("lockserver_daemon.py", f"/usr/bin/python2.7 {CH}/lockserver/lockserver_daemon.py"),
    ("transition_donation_to_canonical.py", f"python {CH}/node_state_transitions/transition_donation_to_canonical.py"),
    ("nmmain.py", "python nmmain.py"),
    ("softwareupdater.py", "python softwareupdater.py"),
    (
        "repy.py",
        "python repy.py --logfile v1/vessel --stop v1.stop --status v1.status --cwd v1 --servicelog resource.v1 a.py",
    ),
    ("a.py", "python repy.py --ip=1.2.3.4 --iface eth0 --nootherips --simple resource.v1 a.py"),
    ("mysqld", "/usr/sbin/mysqld"),
    ("/usr/sbin/mysqld", "/usr/sbin/mysqld"),
    ("mariadbd", "/usr/sbin/mariadbd --basedir=/usr"),
    ("apache2", "/usr/sbin/apache2 -k start"),
    ("nginx", "nginx: master"),
    ("python3", "/usr/bin/python3 x.py"),
    ("bash", "-bash"),
]
NAME = "advertiseserver.py"
TRAPS = [
    f"sudo -u ch PYTHONPATH=/x DJANGO_SETTINGS_MODULE=settings python /x/{NAME}",
    f"vi {NAME}",
    f"grep {NAME}",
    f"tail -f {NAME}",
    f"SCREEN -dmS advertise python {NAME}",
    f"screen -dmS advertise python {NAME}",
    f"authbind --deep python repy.py restrictions.test {NAME}",
    f"timeout 60 python {NAME}",
    f"python editor.py {NAME}",
    f"python /opt/{NAME}/other.py",
    f"python /opt/{NAME}.d/x",
    f"python old{NAME}",
    f"python {NAME}c",
    f"python {NAME}.bak",
    f"python -c pass {NAME}",
    f"python -uc pass {NAME}",
    f"python -m pdb {NAME}",
    f"python -mtrace {NAME}",
    f"python - {NAME}",
    f"python -W {NAME}",
    f"python -W {NAME} other.py",
    f"python repy.py {NAME} other.repy",
    f"python repy.py restrictions.test other.repy {NAME}",
    f"python repy.py --logfile {NAME} restrictions.test other.repy",
    f"python repy.py restrictions.test dylink.r2py other.r2py -x {NAME}",
    f"python notrepy.py restrictions.test {NAME}",
    f"python3 /usr/bin/check_seattle_processes --process {NAME}",
    f"python3 -m checks.check_seattle_processes --process {NAME}",
    f"/usr/bin/nrpe -c {NAME}",
    "python",
    "python -u",
    "python -m",
]


def line(text):
    return text.replace(" ", "\0").encode() + b"\0"


@pytest.mark.parametrize(("name", "text"), REAL, ids=[text for _, text in REAL])
def test_a_real_command_line_is_recognised(name, text):
    assert runs(arguments(line(text))).matches(name)


@pytest.mark.parametrize("text", TRAPS)
def test_a_name_that_only_stands_there_is_not_it(text):
    assert not runs(arguments(line(text))).matches(NAME)


def test_a_shell_that_was_given_the_whole_command_as_one_argument_is_not_it():
    assert not runs(arguments(b"sh\0-c\0python advertiseserver.py\0")).matches(NAME)


def test_a_path_is_compared_as_a_whole():
    found = runs(arguments(line("/opt/other/mysqld --x")))
    assert found.matches("mysqld")
    assert not found.matches("/usr/sbin/mysqld")


def test_a_title_that_the_process_wrote_itself_is_read_by_its_words():
    assert runs(arguments(b"python advertiseserver.py (3 keys)\0\0\0\0\0")).matches(NAME)
    assert runs(arguments(b"nginx: worker process")).matches("nginx")
    assert not runs(arguments(b"tail advertiseserver.py")).matches(NAME)


def test_nothing_is_run_where_there_is_no_command_line():
    assert runs(arguments(b"")).direct == ()
    assert runs(arguments(b"\0\0")).direct == ()


def test_a_program_inside_repy_can_be_told_from_one_that_python_runs():
    vessel = runs(arguments(line("python repy.py resource.v1 nmmain.py")))
    assert vessel.matches("nmmain.py")
    assert not vessel.matches("nmmain.py", direct_only=True)
    assert vessel.in_repy
    assert not runs(arguments(line("python nmmain.py repy.py"))).in_repy


words = st.sampled_from(
    [
        "python",
        "python3",
        "repy.py",
        "-m",
        "-c",
        "-uW",
        "--",
        "-",
        "--logfile",
        "dylink.r2py",
        "a.py",
        "b.r2py",
        "",
        "é\udcff",
    ]
)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(words) | st.lists(st.text(max_size=4)))
def test_any_arguments_are_taken_and_only_what_stands_there_is_run(found):
    what = runs(found)
    for name in what.direct + what.repy:
        assert any(name.removesuffix(".py").rstrip(":") in word for word in found)


@settings(max_examples=50)
@given(st.binary(max_size=40))
def test_any_bytes_are_taken(data):
    runs(arguments(data))
