"""Nagios ranges and the rules that choose one for an object."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nagiosplugin import Metric

from checks.plugin import Threshold
from checks.ranges import RangeRules, compile_regex, parse_range, specificity, violation

NUMBERS = st.one_of(
    st.integers(-(10**15), 10**15).map(str),
    st.decimals(-(10**6), 10**6, places=5).map(lambda number: f"{number:f}"),
)
PLAIN_RANGE = re.compile(r"@?(?:(?:~|-?\d+(?:\.\d+)?):)?(?:-?\d+(?:\.\d+)?)?")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("90", (0, 90, 0.5), (-0.001, 90.001, float("inf"))),
        ("0", (0,), (-1, 0.001, 5)),
        ("10:", (10, 1e30), (9.999, -1)),
        ("~:5", (5, -1e30), (5.001,)),
        ("-10:", (-10, 0), (-10.1,)),
        ("10:20", (10, 20), (9, 21)),
        ("@10:20", (9, 21), (10, 20, 15)),
        ("@0", (-1, 0.1), (0,)),
        ("-20:-10", (-15,), (0, -9)),
        (".5", (0.5,), (0.51,)),
        ("+5", (5,), (6,)),
        (" 90 ", (90,), (91,)),
        ("~:", (-1e30, 1e30), ()),
        ("00012", (12,), (13,)),
    ],
)
def test_a_range_means_what_the_plugin_guidelines_say(text, inside, outside):
    limit = parse_range(text)
    assert [value for value in inside if not limit.match(value)] == []
    assert [value for value in outside if limit.match(value)] == []


@pytest.mark.parametrize("text", ["", "  "])
def test_no_threshold_never_alerts_not_even_on_negative_values(text):
    assert parse_range(text) is None
    rules = RangeRules(text)
    assert not rules
    assert rules.find("anything") is None
    assert Threshold("x", rules, rules).evaluate(Metric("x", -3, context="x"), None).state.code == 0


@pytest.mark.parametrize(
    "text",
    [
        "1e3",
        "10%",
        "5G",
        "inf",
        "nan",
        "1:2:3",
        "20:10",
        "@",
        "@@5",
        "a",
        "--5",
        "5-",
        "1_000",
        "٣",
        "10 :20",
        "5:~",
        "~",
        "9" * 31,
        *("1e3:", "0x10", "10;20", "10|20", "10\n20", ":::", "-", "."),
    ],
)
def test_what_is_no_range_is_refused_in_one_line_for_the_operator(text):
    with pytest.raises(ValueError, match="range") as refused:
        parse_range(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_unknown_and_not_ok(value):
    rules = RangeRules("10")
    assert Threshold("x", rules, rules).evaluate(Metric("web01", value, context="x"), None).state.code == 3


@given(start=NUMBERS, end=NUMBERS, form=st.sampled_from(["{e}", "{s}:", "~:{e}", "{s}:{e}", "@{s}:{e}", ":{e}"]))
def test_the_text_of_a_range_is_a_plain_decimal_that_reads_back_as_the_same_range(start, end, form):
    try:
        limit = parse_range(form.format(s=start, e=end))
    except ValueError:
        assert float(start) > float(end) or (float(end) < 0 and "{s}" not in form)
        return
    assert PLAIN_RANGE.fullmatch(str(limit))
    assert parse_range(str(limit)) == limit


@pytest.mark.parametrize("text", ["0.00001", "0.0000001:", "@0.000025:0.00005", "~:-0.00003", "12345678901234567890.5"])
def test_a_range_never_writes_an_exponent_into_perfdata(text):
    assert "e" not in str(parse_range(text))
    assert parse_range(str(parse_range(text))) == parse_range(text)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("10G:", (10 << 30, float("inf"))),
        ("1.5K", (0, 1536)),
        ("1m:2T", (1 << 20, 2 << 40)),
        ("500MB", (0, 500 << 20)),
        ("1GiB:", (1 << 30, float("inf"))),
        ("77", (0, 77)),
        ("-1K:1K", (-1024, 1024)),
    ],
)
def test_sizes_take_units_of_1024(text, bounds):
    limit = parse_range(text, sizes=True)
    assert (limit.start, limit.end) == bounds


@pytest.mark.parametrize("text", ["1e3", "10X", "G", "1KG", "10Gi", "10%", "1E3:"])
def test_what_is_no_size_is_refused_as_it_was_written(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_range(text, sizes=True)


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("90", 91, "> 90"),
        ("10:", 3, "< 10"),
        ("10:20", 21, "> 20"),
        ("@10:20", 15, "inside 10..20"),
        ("90", -1, "< 0"),
        ("0.5", 1, "> 0.5"),
    ],
)
def test_a_violation_names_the_limit_that_was_broken(text, value, said):
    assert violation(parse_range(text), value) == said


@pytest.mark.parametrize("rules", list(itertools.permutations(["90", "db.*=80", "db1=70", ".*9=60", "web|db2=50"])))
def test_the_most_specific_rule_holds_in_whatever_order_they_are_given(rules):
    found = RangeRules()
    for rule in rules:
        found.add(rule)
    limits = {name: str(found.find(name)) for name in ("db1", "db2", "dbx", "web", "web9", "other", "db")}
    assert limits == {"db1": "70", "db2": "50", "dbx": "80", "web": "50", "web9": "60", "other": "90", "db": "80"}


@pytest.mark.parametrize(
    ("specific", "general"),
    [
        ("db", "db.*"), ("db.*", ".*"), ("/var", "/.*"), ("/", "/.*"), ("/var/log", "/var(/.*)?"), (r"a\.b", "a.b"), ("abc", "ab?c?"),
        ("web[0-9]", "web.*"), (r"web\d", "web.*"), ("web1", r"web\d"), ("db|web", "d.|web"), ("(?:db|web)1", "(?:db|web).*"), ("a", "(?i).*"),
        ("ab", "a{0,5}b"), ("db1", "(?:db|web)1"), ("db", "(db)"), (r"\[a\]", "[a]"),
    ],
)  # fmt: skip
def test_a_plain_name_beats_its_pattern_and_a_longer_pattern_a_shorter(specific, general):
    assert specificity(specific) > specificity(general)


def test_rules_match_the_whole_name_only():
    rules = RangeRules("90")
    rules.add("/var=80")
    assert (str(rules.find("/var")), str(rules.find("/var/log")), str(rules.find("/srv/var"))) == ("80", "90", "90")


def test_an_expression_may_hold_equals_signs_and_an_empty_range_switches_the_alert_off():
    rules = RangeRules("90")
    rules.add("a=b=80")
    rules.add("quiet=")
    assert str(rules.find("a=b")) == "80"
    assert rules.find("quiet") is None
    assert rules.find("loud") is not None


@pytest.mark.parametrize("rule", ["=80", "web(=80", "web=80x", "*=5", "web=1e3", "x{5,2}=5", "a" * 1001 + "=5"])
def test_a_rule_that_can_not_be_read_is_refused_in_one_line(rule):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        RangeRules().add(rule)
    assert len(str(refused.value).splitlines()) == 1


def test_an_odd_expression_says_nothing_on_standard_error(recwarn):
    compile_regex("[[a]")
    assert len(recwarn) == 0


@given(st.text(alphabet=r"ab\.*+?()[]{}|^$-,1:<=P", max_size=30))
def test_every_expression_that_compiles_has_a_rank(expression):
    try:
        compile_regex(expression)
    except ValueError:
        return
    assert 0 <= specificity(expression)[0] <= len(expression)
