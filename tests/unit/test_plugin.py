"""How every check runs: the worst result first, one line for every mistake, and an exit code that Nagios knows."""

import os
import subprocess
import sys
import textwrap

import nagiosplugin
import pytest

from checks.plugin import (
    GAUGE,
    BadInput,
    Check,
    CheckError,
    Finding,
    Measure,
    Metric,
    Outcome,
    Resource,
    Threshold,
    stage,
)
from checks.ranges import RangeRules


class Things(Resource):
    """Yields what a test puts into `found`, or raises it."""

    found: tuple = ()
    headline = "3 things"

    def probe(self):
        for item in self.found:
            if isinstance(item, BaseException):
                raise item
            yield item

    def contexts(self):
        return [Threshold("level", self.opts.warning, self.opts.critical, word="level", unit="%")]

    def perfdata(self):
        return ["a.level=1%"]

    def lines(self):
        return ["a is 1%"]

    def notes(self):
        return ["b was not asked"]


def options(parser):
    parser.rules("-w", "--warning", help="warn")
    parser.rules("-c", "--critical", help="critical")


CHECK = Check(Things, [Measure("<thing>.level", "%", GAUGE, "level")], options)


@pytest.fixture
def found(monkeypatch):
    def put(*items):
        monkeypatch.setattr(Things, "found", items)

    put()
    return put


def finding(severity, text=""):
    return Metric(text or f"it is {severity}", severity, context="finding")


def level(name, value):
    return Metric(name, value, context="level")


def test_all_well(found):
    assert CHECK.run([]) == Outcome(0, "TEST_PLUGIN OK - 3 things | a.level=1%\nb was not asked\n")


def test_the_lines_come_with_v(found):
    assert CHECK.run(["-v"]).text.splitlines()[1:] == ["b was not asked", "a is 1%"]


@pytest.mark.parametrize(
    ("severities", "code", "first"),
    [
        (["ok"], 0, "OK - 3 things"),
        (["ok", "unknown"], 3, "UNKNOWN - it is unknown; 3 things"),
        (["unknown", "warning"], 1, "WARNING - it is warning, 1 more; 3 things"),
        (["warning", "critical", "unknown", "ok"], 2, "CRITICAL - it is critical, 2 more; 3 things"),
        (["critical", "unknown"], 2, "CRITICAL - it is critical, 1 more; 3 things"),
    ],
)
def test_the_worst_result_leads_and_a_known_problem_outranks_what_is_not_known(found, severities, code, first):
    found(*map(finding, severities))
    outcome = CHECK.run([])
    assert outcome.code == code
    assert outcome.text.startswith(f"TEST_PLUGIN {first} |")


def test_several_problems_are_all_named_below(found):
    found(level("x", 80), level("y", 95), finding("unknown", "z hides"))
    text = CHECK.run(["-w", "70", "-c", "90"]).text
    assert text.splitlines()[1:4] == ["CRITICAL: y level 95% (> 90)", "WARNING: x level 80% (> 70)", "UNKNOWN: z hides"]


def test_a_threshold_names_object_word_value_and_limit(found):
    found(level("db1", 12.345678), level("db1\0disk 7", 3))
    outcome = CHECK.run(["-w", "10", "-c", "db1=~:4"])
    assert outcome.text.startswith("TEST_PLUGIN CRITICAL - db1 level 12.35% (> 4)")


def test_text_from_outside_can_not_forge_perfdata_or_lines(found):
    found(finding("critical", "disk 'a|b=1\n\x1b[31mred\u2028OK'"))
    first, *rest = CHECK.run([]).text.splitlines()
    assert first == "TEST_PLUGIN CRITICAL - disk 'a/b=1;  [31mred OK'; 3 things | a.level=1%"
    assert rest == ["b was not asked"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CheckError("the source is closed"), "TEST_PLUGIN UNKNOWN - the source is closed\n"),
        (BadInput("half a line\nand more"), "TEST_PLUGIN UNKNOWN - half a line; and more\n"),
        (MemoryError(), "TEST_PLUGIN UNKNOWN - out of memory\n"),
    ],
)
def test_an_error_is_one_unknown_line(found, error, said):
    found(error)
    assert CHECK.run([]) == Outcome(3, said)


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError(), nagiosplugin.CheckError("x"), UnicodeError("bad"), ZeroDivisionError()]
)
def test_what_nobody_foresaw_is_one_unknown_line_with_its_place(found, error):
    found(error)
    outcome = CHECK.run([])
    assert outcome.code == 3
    assert outcome.text.startswith("TEST_PLUGIN UNKNOWN - internal error, please report it: ")
    assert "test_plugin.py:" in outcome.text
    assert outcome.text.count("\n") == 1


def test_an_error_before_the_probe_is_one_unknown_line_too(monkeypatch):
    def fail(self, opts):
        raise ValueError("broken")

    monkeypatch.setattr(Things, "__init__", fail)
    assert CHECK.run([]).text.startswith("TEST_PLUGIN UNKNOWN - internal error")


def test_an_undeclared_context_is_an_internal_error(found):
    found(Metric("x", 1, context="nowhere"))
    assert CHECK.run([]).code == 3


@pytest.mark.parametrize("word", ["ok", "warning", "critical", "unknown"])
def test_findings_take_severity_words(word):
    result = Finding().evaluate(finding(word, "said"), None)
    assert (str(result.state), result.hint) == (word, "said")


def test_a_single_range_serves_as_threshold():
    limit = RangeRules("5").default
    assert Threshold("x", limit, None).evaluate(Metric("", 6, context="x"), None).state.code == 1


PROGRAM = """
from checks.plugin import *
from checks.plugin import Finding
class Thing(Resource):
    headline = "all well"
    def probe(self):
        {body}
        return ()
main = Check(Thing, []).main
"""


def command(tmp_path, body, *argv, **keywords):
    """Run a check of these lines as a console script does."""
    lines = textwrap.indent(textwrap.dedent(body), " " * 8).lstrip()
    (tmp_path / "check_tiny.py").write_text(PROGRAM.format(body=lines))
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from check_tiny import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *argv],
        stderr=subprocess.PIPE,
        timeout=30,
        **{"stdout": subprocess.PIPE, **keywords},
    )


def test_the_command_prints_and_exits(tmp_path):
    done = command(tmp_path, "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"TINY OK - all well\n", b"")


def test_an_interrupt_is_one_unknown_line(tmp_path):
    done = command(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(20)")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"TINY UNKNOWN - interrupted\n", b"")


def test_what_the_check_opens_never_becomes_standard_output(tmp_path):
    """Started without descriptors 0 to 2, the first file a check opens would otherwise be written to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    body = f"import os; self.kept = [os.open({str(victim)!r}, os.O_RDWR) for _ in range(5)]"
    done = command(tmp_path, body, stdout=None, stdin=None, preexec_fn=lambda: [os.close(number) for number in (0, 1)])
    assert victim.read_text() == "precious"
    assert (done.returncode, done.stderr) == (3, b"")


def test_the_deadline_counts_from_the_options(tmp_path):
    done = command(tmp_path, "import os\nwith stage('asking the moon'): os.read(os.pipe()[0], 1)", "-t", "0.4")
    assert (done.returncode, done.stdout) == (3, b"TINY UNKNOWN - no answer within 0.4 s while asking the moon\n")


def test_stage_is_offered_to_checks():
    with pytest.raises(CheckError, match="reading x: gone"), stage("reading x"):
        raise FileNotFoundError(2, "gone")
