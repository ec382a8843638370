"""What every check keeps, whatever it looks at: run over all scripts of setup.cfg whose names begin with check_.

A new check contributes its recorded inputs to RECORDED; a check without them fails here.
"""

import ast
import configparser
import importlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.output import Output
from checks.plugin import COUNTER, GAUGE, Check
from checks.version import VERSION
from tests.ipop import tincan
from tests.seattle import advertise, builder, lockserver, nodemanager, updatesite, zenodotus
from tests.seattle.serving import Serving
from tests.tahoe import node as tahoe

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
DISK = ["--proc", f"{DATA}/check_disk/server", "--fstab", f"{DATA}/check_disk/server/fstab"]


def status(name: str) -> list[str]:
    """Options for a recorded status document of graphios, whatever its age."""
    return ["--age-critical=", "--status", f"{DATA}/check_graphios/{name}.json"]


def processes(name: str) -> list[str]:
    """Options for a recorded /proc."""
    return ["--proc", f"{DATA}/check_seattle_processes/{name}"]


# What listens where a word of a command line below holds the name in braces.
DOUBLES: dict[str, Callable[[], Serving]] = {
    "advertise": advertise.AdvertiseServer,
    "advertise_nodes": advertise.populated,
    "advertise_udp": advertise.UdpAdvertiseServer,
    "builder": builder.InstallerBuilder,
    "lockserver": lockserver.LockServer,
    "tahoe": tahoe.TahoeNode,
    "tahoe_client": lambda: tahoe.TahoeNode("client"),
    "tahoe_hostile": tahoe.hostile,
    "tahoe_introducer": lambda: tahoe.TahoeNode("introducer"),
    "tahoe_large": tahoe.large,
    "tahoe_lost": tahoe.lost,
    "tincan": tincan.Tincan,
    "tincan_hostile": lambda: tincan.Tincan(peers=tincan.hostile()),
    "node": nodemanager.NodeManager,
    "node_hostile": nodemanager.hostile,
    "updatesite": updatesite.UpdateSite,
    "updatesite_hostile": updatesite.hostile,
    "zenodotus": lambda: zenodotus.Zenodotus(settling=0),
}
BUILDER = ["--url", "http://127.0.0.1:{builder}/custom_install/"]
IPOP = f"{DATA}/check_ipop_links"
STATES = ["--state-directory", f"{DATA}/check_advertise_server"]
# Command lines on recorded inputs: the calm ones first, where nothing is long; then what hurts.
RECORDED: dict[str, list[list[str]]] = {
    "check_advertise_server": [
        ["-p", "{advertise}"],
        ["-p", "{advertise_udp}", "--transport", "udp"],
        [
            *("-p", "{advertise_nodes}", "-w", "0.00001", *STATES, "--state", "twopercent=300:"),
            *("--state", "acceptdonation=:0", "--state", "canonical", "--state", "gone"),
        ],
        [
            "-p",
            "{advertise_nodes}",
            "--get-only",
            f"{DATA}/check_advertise_server/twopercent.publickey",
            "--nodes-warning",
            "~:-1",
        ],
        ["-p", "1", "-t", "1", "--sibling-port", "1"],
        ["-p", "{advertise}", "--state-key", "/nonexistent/twopercent.publickey"],
    ],
    "check_disk": [
        ["--proc", f"{DATA}/check_disk/calm", "--fstab", "/dev/null"],
        DISK,
        [*DISK, "--remote", "-w", "0.00001", "-c", "/var=~:", "--free-warning", "1E:", "--inode-critical", "0.1:"],
        ["--proc", "/nonexistent"],
    ],
    "check_graphios": [
        status("calm"),
        status("trouble"),
        [*status("backends"), "-w", "0.00001", "-c", "lab-1.*=~:-1", "--bytes-warning", "1E"],
        status("future"),
    ],
    "check_installer_builder": [
        BUILDER,
        [
            *BUILDER,
            "--build-id",
            builder.BUILD,
            "--platform",
            "all",
            "-w",
            "0.00001",
            "-c",
            "1000",
            "--bytes-warning",
            "1G:",
        ],
        [*BUILDER, "--build-id", "a" * 40, "--expect-api", "3.0"],
        ["--url", "http://127.0.0.1:1/", "-t", "5"],
        [*BUILDER, "--owner", "/nonexistent"],
    ],
    "check_ipop_links": [
        ["--controller-json", f"{IPOP}/ipop-20.json", "--stale-critical", ""],
        [
            *("--controller-json", f"{IPOP}/visualizer.json", "--stale-critical=", "-w", "0.00001"),
            *("--require", "node-z", "--direct", ".*", "--age-warning", "node=~:-1", "--age-critical", "0.00001"),
            *("--offline-warning", "1"),
        ],
        ["--tincan", "127.0.0.1:{tincan}"],
        [
            *("--controller-json", f"{IPOP}/ipop-hostile.json", "--stale-critical="),
            *("--no-data-severity", "critical"),
        ],
        [
            *("--controller-json", f"{IPOP}/evio.deflated", "--stale-critical", "0.00001"),
            *("--sysfs", "/nonexistent"),
        ],
        ["--tincan", "127.0.0.1:{tincan_hostile}", "--xmpp-warning", "0.00001"],
        ["--tincan", "127.0.0.1:1", "-t", "1"],
        ["--controller-json", "http://127.0.0.1:1/", "-t", "1"],
        ["--stats-dir", "/nonexistent"],
    ],
    "check_seattle_node": [
        ["-p", "{node}"],
        [
            *("-p", "{node}", "--resources", "-w", "0.00001", "--vessels-critical", "20:", "--status-warning", "0"),
            *("--expect-version", "0.3", "--advertise-host", "127.0.0.1:1"),
        ],
        ["-p", "{node_hostile}", "--resources"],
        ["-p", "1"],
        ["-p", "{node}", "--owner", "/nonexistent"],
    ],
    "check_seattle_processes": [
        [
            "--profile",
            "clearinghouse",
            *processes("clearinghouse"),
            "--lock-status",
            "--lock-port",
            "{lockserver}",
            "--patience",
            "0",
        ],
        [
            *("--profile", "clearinghouse,seattle,node", "--process", "nmmain.py=1:1", "--patience", "0"),
            *(*processes("trouble"), "--age-warning", "0.00001", "--rss-critical", "1E:"),
        ],
        [
            *("--process", "na|me <b>$(x)", "--process", "ö.py=", "--process", "a.b", "--patience", "0"),
            *(*processes("trouble"), "--user", "0"),
        ],
        [
            "--profile",
            "clearinghouse",
            *processes("clearinghouse"),
            "--lock-status",
            "--lock-port",
            "1",
            "--patience",
            "0",
        ],
        ["--process", "x", "--proc", "/nonexistent"],
    ],
    "check_software_update": [
        ["--url", "http://127.0.0.1:{updatesite}/updatesite/"],
        [
            "--url",
            "http://127.0.0.1:{updatesite}/updatesite/",
            "--install-dir",
            f"{DATA}/check_software_update/node",
            "--lock-dir",
            f"{DATA}",
            "--proc",
            f"{DATA}/check_software_update/proc",
            "-w",
            "40:",
            "--extra-critical",
            "0",
            "--time-warning",
            "0.000001",
        ],
        ["--url", "http://127.0.0.1:{updatesite_hostile}/updatesite/"],
        ["--url", "http://127.0.0.1:1/updatesite/"],
        ["--key", "/nonexistent"],
    ],
    "check_tahoe": [
        ["--url", "http://127.0.0.1:{tahoe_client}"],
        [
            *("--url", "http://127.0.0.1:{tahoe}", "-w", "0.00001", "--space-critical", "1E:"),
            *("--latency-warning", r".*\.mean=0.00001", "--uptime-critical", "1000000:", "--load-warning", "0.1"),
        ],
        ["--url", "http://127.0.0.1:{tahoe_lost}", "--grid", "--shares-happy", "2"],
        ["--url", "http://127.0.0.1:{tahoe_large}", "--grid", "--space-warning", "1E:"],
        ["--url", "http://127.0.0.1:{tahoe_hostile}"],
        ["--url", "http://127.0.0.1:{tahoe_hostile}", "--grid"],
        ["--url", "http://127.0.0.1:{tahoe_introducer}", "--servers-warning", "5:", "--shares-happy", "2"],
        ["--stats-json", f"{DATA}/check_tahoe/gatherer.json", "--stale-warning", "10000000000"],
        ["--stats-json", f"{DATA}/check_tahoe/gatherer.json", "--node", "a|b"],
        ["--url", "http://127.0.0.1:1", "-t", "1"],
        ["--stats-json", "/nonexistent"],
    ],
    "check_virt_stats": [
        ["--replay", f"{DATA}/contract/guests.raw"],
        ["--replay", f"{DATA}/contract/guests.json"],
        [
            "--replay",
            f"{DATA}/contract/guests.json",
            "--label",
            "uuid",
            "--memory-warning",
            "0.00001",
            "--disk-allocation-critical",
            "~:-1",
        ],
        ["--replay", f"{DATA}/contract/guests.json", "--list"],
        ["--replay", "/nonexistent"],
    ],
    "check_zenodotus": [
        ["-p", "{zenodotus}"],
        [
            *("-p", "{zenodotus}", "-v", "--name", "hello", "--name", "GONE", "--name", "multi=192.0.2.9,192.0.2.1"),
            *("--expect-address", "192.0.2.7", "-w", "0.00001"),
        ],
        ["-p", "{zenodotus}", "--name", "_a.b-c.example.org.", "--advertise-host", "127.0.0.1:{advertise}"],
        ["-H", "127.0.0.1", "-p", "1", "-t", "1"],
        ["-H", "nowhere.invalid", "-t", "1"],
    ],
}
MEANT_EVERYWHERE = {"-H", "-p", "-t", "-w", "-c", "-v", "-V", "-h"}
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
DECIMAL = r"-?\d+(?:\.\d+)?"
RANGE = rf"(?:@?(?:(?:~|{DECIMAL}):)?(?:{DECIMAL})?)"
# Plugin guidelines, "Performance data", as strict as every consumer needs it: no quotes, no exponent, no U, base units.
ITEM = re.compile(
    rf"([A-Za-z0-9_.-]+)=({DECIMAL})(s|%|B|c|)(?:;({RANGE})(?:;({RANGE})(?:;({DECIMAL})?(?:;({DECIMAL})?)?)?)?)?"
)


def _scripts() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    paths = [Path(line) for line in setup["options"]["scripts"].split()]
    return {path.name: f"checks.{path.name}:main" for path in paths if path.name.startswith("check_")}


SCRIPTS = _scripts()


def the_check(name: str) -> Check:
    """The check behind a console script."""
    module, _, function = SCRIPTS[name].partition(":")
    main = getattr(importlib.import_module(module), function)
    assert isinstance(main.__self__, Check), f"{name}: its entry point is not Check.main"
    return main.__self__


every_check = pytest.mark.parametrize("name", sorted(SCRIPTS))
# The first two lines of each check are among the unit tests of a minute, the others among the slow ones.
CASES = [
    pytest.param(name, argv, id=f"{name}-{number}", marks=[pytest.mark.slow] if number > 1 else [])
    for name in sorted(SCRIPTS)
    for number, argv in enumerate(RECORDED.get(name, []))
]
every_case = pytest.mark.parametrize(("name", "argv"), CASES, indirect=["argv"])


class Ports(dict[str, str]):
    """The port of each double, which serves from the first time it is asked for."""

    def __missing__(self, name: str) -> str:
        double = DOUBLES[name]()
        double.start()
        self[name] = str(double.port)
        return self[name]


@pytest.fixture(scope="session")
def fill():
    """Puts the ports of doubles into command lines of RECORDED."""
    ports = Ports()
    return lambda argv: [re.sub(r"\{(\w+)\}", lambda match: ports[match[1]], word) for word in argv]


@pytest.fixture
def argv(request, fill):
    """A command line of RECORDED."""
    return fill(request.param)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """State that a check reads is a test's own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    """Pauses before a second try are short: the doubles need none."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.005)))


def console(name, *argv, env=None, **keywords):
    """Run the installed console script as Nagios or NRPE would: a real process, an empty environment, another directory."""
    script = Path(sys.executable).with_name(name)
    assert script.exists(), f"{name} is not installed beside {sys.executable}: pip install -e ."
    return subprocess.run(
        [script, *argv],
        env=env or {},
        cwd="/",
        timeout=60,
        check=False,
        **{"stdin": subprocess.DEVNULL, "capture_output": True, **keywords},
    )


def forked(name, *argv, env=None, stdin=True, stdout=None):
    """Run the check's entry point in a child forked from here, with a console script's surroundings, but without the time
    that the start of Python takes.

    Returns exit code, standard output and standard error; `stdin=False`: it is closed.
    """
    main = the_check(name).main
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child needs none of the threads there may be
            child = os.fork()
        if not child:
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno() if stdout is None else stdout, 1)
                os.dup2(err.fileno(), 2)
                if not stdin:
                    os.close(0)
                os.chdir("/")
                os.environ.clear()
                os.environ.update(env or {})
                sys.argv = [name, *argv]
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                main()
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(99)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


def shape(outcome):
    """Exit code and text without its numbers, which change from one moment to the next, and without perfdata that was cut at one of them."""
    text = outcome[1].partition(" | ")[0] if "metrics fit]" in outcome[1] else outcome[1]
    return outcome[0], re.sub(r"\d+(\.\d+)?", "0", text)


def items(text):
    """The perfdata items of an output, each matched by the strict grammar."""
    first = text.split("\n", 1)[0]
    found = []
    for item in first.partition(" | ")[2].split():
        match = ITEM.fullmatch(item)
        assert match, f"{item!r} is no perfdata that every consumer can read"
        found.append(match)
    return found


def test_there_are_checks():
    assert {"check_disk", "check_virt_stats"} <= set(SCRIPTS)


@every_check
def test_every_check_contributes_recorded_inputs(name):
    assert RECORDED.get(name), (
        f"{name} has no entry in RECORDED of {Path(__file__).name}: add command lines on its recorded inputs"
    )


@every_check
def test_name_module_and_script_are_one_word(name):
    assert the_check(name).name == name
    assert (ROOT / "checks" / "launchers" / name).readlink() == Path("launcher")


# Declarations


@every_check
def test_every_metric_is_declared_with_unit_kind_and_meaning(name):
    measures = the_check(name).measures
    assert len({measure.label for measure in measures}) == len(measures)
    for measure in measures:
        assert re.fullmatch(r"(?:[A-Za-z0-9_-]|<[a-z]+>)+(?:\.(?:[A-Za-z0-9_-]|<[a-z]+>)+)*", measure.label)
        assert measure.unit in ("s", "%", "B", "c", "")
        assert measure.kind == (COUNTER if measure.unit == "c" else GAUGE)
        assert measure.meaning
        assert "|" not in measure.meaning


@every_check
def test_commands_have_fixed_arguments_that_parse(name):
    check = the_check(name)
    assert [command.name for command in check.commands]
    for command in check.commands:
        assert command.name.startswith(name)
        assert command.description
        check.parse(shlex.split(command.arguments))


@every_check
def test_short_options_mean_what_they_mean_everywhere(name):
    flags = re.findall(r"(?<!\S)-\w", " ".join(declared.flags for declared in the_check(name).options().declared))
    assert set(flags) <= MEANT_EVERYWHERE
    assert {"-t", "-v", "-V", "-h"} <= set(flags)


@every_check
def test_the_description_says_what_it_needs_in_short_lines(name):
    lines = the_check(name).description.splitlines()
    assert 20 < len(lines[0]) < 120
    assert len(lines) > 1


# Help, version, mistakes


@every_check
def test_help_is_exit_3_on_standard_output(name):
    done = console(name, "--help")
    assert (done.returncode, done.stderr) == (3, b"")
    assert forked(name, "-h") == (3, done.stdout, b"")
    text = done.stdout.decode()
    assert the_check(name).description.splitlines()[0] in text
    for declared in the_check(name).options().declared:
        assert re.split("[, ]", declared.flags)[0] in text


@every_check
def test_version_is_exit_3_on_standard_output(name):
    said = f"{name} {VERSION} (testbed-checks)\n"
    assert forked(name, "--version") == (3, said.encode(), b"")
    assert the_check(name).run(["-V"]) == (3, said)


@every_check
def test_a_mistake_is_one_line_and_exit_3_on_standard_output(name):
    check = the_check(name)
    mistakes = [["--nonsense"], ["-x"], ["-w"], ["extra"], ["-t", "soon"], ["--max-output", "-1"], ["-t"], ["\udcff"]]
    outcomes = [check.run(argv) for argv in mistakes]
    for code, text in outcomes:
        assert code == 3
        assert text.startswith(f"{check.title} UNKNOWN - ")
        assert text.count("\n") == 1
        assert text.endswith("\n")
    assert forked(name, *mistakes[-1]) == (3, outcomes[-1].text.encode("utf-8", "replace"), b"")


@every_check
def test_option_names_are_not_abbreviated(name):
    check = the_check(name)
    names = [flag for declared in check.options().declared for flag in re.findall(r"--[\w-]+", declared.flags)]
    assert len(names) > 4
    for flag in names:
        if flag[:-1] not in names:
            outcome = check.run([f"{flag[:-1]}=1"])
            assert outcome.code == 3
            assert "unrecognized arguments" in outcome.text


@every_case
def test_a_negative_threshold_may_stand_behind_a_blank(name, argv):
    check = the_check(name)
    for flag in ("-w", "-c"):
        if any(declared.flags.startswith(f"{flag},") for declared in check.options().declared):
            outcomes = {
                shape(check.run([*argv, *form])) for form in ([flag, "-10:"], [f"{flag}=-10:"], [f"{flag}-10:"])
            }
            assert len(outcomes) == 1
            assert "(see " not in outcomes.pop()[1]


# Output


def clean(name, outcome):
    """Whether the text is what every road carries, and begins with the state that the exit code says."""
    state = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[outcome.code]
    assert outcome.text.startswith(f"{the_check(name).title} {state} - ")
    assert outcome.text.endswith("\n")
    assert not CONTROL.search(outcome.text.replace("\n", ""))
    assert "internal error" not in outcome.text
    assert "Traceback" not in outcome.text
    assert "|" not in outcome.text.partition(" | ")[2]
    assert "\n\n" not in outcome.text


def declared(check, text):
    """Whether every perfdata item is one of the check's MEASURES, and there once."""
    found = items(text)
    labels = [match[1] for match in found]
    assert len(set(labels)) == len(labels)
    patterns = []
    for measure in check.measures:
        parts = re.split("(<[a-z]+>)", measure.label)
        label = "".join("[A-Za-z0-9_-]+" if part.startswith("<") else re.escape(part) for part in parts)
        patterns.append((re.compile(label), measure.unit))
    for match in found:
        units = {unit for pattern, unit in patterns if pattern.fullmatch(match[1])}
        assert match[3] in units, f"{match[0]} is not declared in MEASURES (its label is in units {units or 'none'})"


@every_case
def test_the_output_is_clean_text_with_declared_perfdata_and_the_exit_code_its_state(name, argv):
    check = the_check(name)
    plain = check.run(argv)
    clean(name, plain)
    declared(check, plain.text)
    assert len(plain.text.encode()) <= 4000, "without an option it fits through Nagios"
    everything = check.run([*argv, "-vvv", "--max-output", str(10**7)])
    clean(name, everything)
    declared(check, everything.text)


@every_check
def test_the_recorded_inputs_show_something(name, fill):
    outcomes = [the_check(name).run(fill(argv)) for argv in RECORDED[name]]
    assert any(items(outcome.text) for outcome in outcomes)
    assert {outcome.code for outcome in outcomes} > {3}


@every_check
def test_the_first_line_is_short_where_it_can_be(name, fill):
    first = the_check(name).run(fill(RECORDED[name][0])).text.split("\n", 1)[0].partition(" | ")[0]
    assert len(first) < 80


@every_case
@pytest.mark.parametrize("more", [[], ["-v"]], ids=lambda more: "".join(more) or "plain")
def test_the_output_keeps_its_budget_and_tells_what_was_dropped(name, argv, more, monkeypatch):
    render, rendered = Output.render, []

    def keep(output, *budget):
        rendered.append(output)
        return render(output, *budget)

    monkeypatch.setattr(Output, "render", keep)
    check = the_check(name)
    whole = check.run([*argv, *more, "--max-output", "10000000"])
    number = len(items(whole.text))

    def keeps(text, budget):
        assert len(text.encode()) <= budget
        if "COMPRESSED deflate" not in text:
            shown = len(items(text))
            assert (f"[{shown} of {number} metrics fit]" in text) == (shown < number)

    for budget in (300, 400, 1000, 4000, 20000):
        for compress in (False, True):
            keeps(render(rendered[0], budget, compress), budget)
    for budget in (300, 4000):  # what the check itself makes of the option
        cut = check.run([*argv, *more, "--max-output", str(budget)])
        assert cut.code == whole.code
        keeps(cut.text, budget)


# The callable form


JUNK = [
    "",
    "x",
    "-1",
    "0",
    "1e999",
    "nan",
    "\udcff",
    "é漢",
    "a" * 3000,
    "%s%n",
    "(",
    "../../x",
    "=",
    "\x00",
    "99999999999999999999",
]


@pytest.mark.slow
@every_check
def test_the_callable_form_never_raises_whatever_the_options(name, fill):
    check = the_check(name)
    flags = [re.findall(r"--[\w-]+", declared.flags)[0] for declared in check.options().declared]
    for flag in flags:
        for junk in JUNK:
            outcome = check.run([*fill(RECORDED[name][0]), f"{flag}={junk}"])
            assert outcome.code in (0, 1, 2, 3)
            assert outcome.text.endswith("\n")
            if flag not in ("--help", "--version"):
                assert not CONTROL.search(outcome.text.replace("\n", "")), (flag, junk)
            assert "internal error" not in outcome.text, (flag, junk, outcome.text)


# The console script


@every_check
def test_the_console_script_says_what_the_callable_form_says(name, fill, tmp_path):
    argv = fill(RECORDED[name][0])
    done = console(name, *argv, env={"STATE_DIRECTORY": str(tmp_path / "state")})
    assert shape((done.returncode, done.stdout.decode())) == shape(the_check(name).run(argv))
    assert done.stderr == b""


@every_check
def test_it_says_the_same_with_an_empty_environment_and_closed_standard_input(name, fill):
    argv = fill(RECORDED[name][0])
    code, out, err = forked(name, *argv, stdin=False)
    assert shape((code, out.decode())) == shape(the_check(name).run(argv))
    assert err == b""


@every_check
def test_a_reader_that_left_is_exit_3_without_a_word_on_standard_error(name, fill):
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = forked(name, *fill(RECORDED[name][0]), stdout=writing)
    os.close(writing)
    assert (code, err) == (3, b"")


@every_case
def test_as_a_command_it_says_the_same_and_writes_nothing_but_state_and_that_only_when_told(name, argv, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "STATE_DIRECTORY": str(home / "state"), "TMPDIR": str(home)}
    code, out, err = forked(name, *argv, env=env)
    check = the_check(name)
    # And a second run in one process the same as the first.
    assert shape((code, out.decode())) == shape(check.run(argv)) == shape(check.run(argv))
    assert err == b""
    assert list(home.iterdir()) == []
    if any(declared.flags.startswith("--save-state") for declared in check.options().declared):
        forked(name, *argv, "--save-state", env=env)
        assert {path.name for path in home.iterdir()} <= {"state"}


# The deadline, through a script as pip writes it


HANGS = {
    "C": """
        import ctypes
        libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(lock)
        libc.pthread_mutex_lock(lock)
    """,
    "expression": """
        import re
        re.compile("(a|a)*b").fullmatch("a" * 300)
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS.keys())
def test_the_deadline_holds_in_a_c_call_and_in_a_backtracking_expression(tmp_path, hang):
    (tmp_path / "check_hang.py").write_text(
        "from checks.plugin import Check, Resource, stage\n\n\nclass Hang(Resource):\n    def probe(self):\n"
        f"        with stage('asking what never answers'):\n{hang.replace('        ', '            ')}\n        return ()\n\n\n"
        "main = Check(Hang, []).main\n"
    )
    script = tmp_path / "check_hang"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\nfrom check_hang import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    done = subprocess.run([script, "-t", "0.5"], capture_output=True, timeout=30, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout == b"HANG UNKNOWN - no answer within 0.5 s while asking what never answers\n"


# What ties the rooms


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("room", "other"), [("checks", "graphios"), ("graphios", "checks")])
def test_checks_and_shipper_share_only_text(room, other):
    files = [path for path in (ROOT / room).rglob("*.py") if "engine" not in path.parts]
    assert files
    assert [path for path in files if other in _imports(path)] == []
