"""Strict options: every mistake is one line, nothing is guessed."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.options import Asked, Options, UsageError


@pytest.fixture
def options():
    declared = Options("check_thing", "What it looks at: 90% of things.")
    declared.rules("-w", "--warning", help="warn by percent", default="90")
    declared.range("-c", "--critical", help="critical %")
    declared.rules("--free-warning", help="free bytes", sizes=True)
    declared.regexes("--include-path", help="only these")
    declared.choices("--stats", help="families", words=("state", "cpu", "net"), default="state,cpu")
    declared.path("--proc", help="where procfs is", default="/proc")
    declared.flag("--remote", help="remote as well")
    declared.common("check_thing 1.0", rates=True)
    return declared


def test_defaults(options):
    opts = options.parse([])
    assert str(opts.warning.find("x")) == "90"
    assert (opts.critical, opts.timeout, opts.max_output, opts.verbose) == (None, 10.0, 4000, 0)
    assert opts.stats == ("state", "cpu")
    assert (opts.include_path, opts.remote, opts.save_state, opts.state_key) == ([], False, False, None)


@pytest.mark.parametrize(
    "argv",
    [
        ["-w", "-10:"],
        ["-w=-10:"],
        ["-w-10:"],
        ["--warning", "-10:"],
        ["--warning=-10:"],
        ["-v", "-w", "-10:"],
        ["-w", "-10:", "-v"],
    ],
)
def test_a_negative_threshold_may_stand_behind_a_blank(options, argv):
    assert str(options.parse(argv).warning.find("x")) == "-10:"


def test_other_negative_forms(options):
    assert str(options.parse(["-c", "-.5:"]).critical) == "-0.5:"
    assert str(options.parse(["-c", "-5:-1"]).critical) == "-5:-1"
    opts = options.parse(["-w", "-5:", "-c", "-7:"])
    assert (str(opts.warning.find("x")), str(opts.critical)) == ("-5:", "-7:")


@pytest.mark.parametrize(
    "argv",
    [
        ["--warnin", "5"], ["--verb"], ["--inclu", "x"], ["--nonsense"], ["-x"], ["5"], ["-w"], ["-w", "1e3"], ["-w", "db(=5"], ["-c", "20:10"],
        ["-t", "0"], ["-t", "-1"], ["-t", "nan"], ["-t", "inf"], ["-t", "soon"], ["-t", "1e9"], ["--max-output", "299"], ["--max-output", "4k"],
        ["--max-output", "-5"], ["--stats", "disk"], ["--stats", "state,"], ["--include-path", "("], ["--remote=yes"], ["--free-warning", "10X"],
        ["-w", "=5"], ["--", "x"], ["-\udcff"], ["--include-path", "a" * 5000],
    ],
)  # fmt: skip
def test_every_mistake_is_one_line_that_leads_to_the_help(options, argv):
    with pytest.raises(UsageError) as mistake:
        options.parse(argv)
    assert len(str(mistake.value).splitlines()) == 1
    assert str(mistake.value).endswith("(see check_thing --help)")


def test_rules_of_one_parse_do_not_reach_the_next(options):
    options.parse(["-w", "50", "-w", "db=10"])
    assert str(options.parse([]).warning.find("db")) == "90"
    assert str(options.parse(["-w", "db=10"]).warning.find("web")) == "90"


def test_sizes_are_read_where_they_are_declared(options):
    assert str(options.parse(["--free-warning", "/var=10G:"]).free_warning.find("/var")) == "10737418240:"
    with pytest.raises(UsageError):
        options.parse(["-w", "10G:"])


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_option_with_its_default(options, flag):
    with pytest.raises(Asked) as asked:
        options.parse([flag])
    text = str(asked.value)
    assert "What it looks at: 90% of things." in text
    for declared in options.declared:
        assert re.split("[, ]", declared.flags)[0] in text
        assert f"(default {declared.default})" in re.sub(r"\s+", " ", text) or not declared.default
    assert "critical %" in text


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(options, flag):
    with pytest.raises(Asked, match=r"^check_thing 1\.0$"):
        options.parse([flag])


def test_help_and_version_win_over_later_mistakes(options):
    with pytest.raises(Asked):
        options.parse(["-V", "--nonsense"])


@given(
    st.lists(
        st.text(max_size=12) | st.sampled_from(["-w", "-c", "-t", "-v", "--max-output", "--stats", "--include-path"]),
        max_size=5,
    )
)
def test_any_command_line_is_values_or_one_line(argv):
    declared = Options("check_thing", "")
    declared.rules("-w", "--warning", help="x")
    declared.regexes("--include-path", help="x")
    declared.common("1", rates=False)
    with suppress(UsageError, Asked):
        declared.parse(argv)
