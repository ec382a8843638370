"""What leaves a check: clean text, labels, plain numbers, and never more bytes than the budget."""

import base64
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.output import COMPRESSED_NOTE, Output, clean_name, clean_text, decimal, label_part, perfdata
from graphios.naming.cleaning import Unique

LABELS = st.integers(0, 10**6).map(lambda number: f"guest{number}.cpu.percent={number % 100}%;90;95")
METRICS = st.lists(LABELS, max_size=400)
TEXTS = st.text(max_size=200)
LINES = st.lists(TEXTS, max_size=60)
BUDGETS = st.integers(300, 9000)
FIT = re.compile(r" \[(\d+) of (\d+) (metrics|lines) fit\]")


def expand(text):
    """What graphios-tap makes of the compressed form."""
    first, mark, rest = text.split("\n", 2)
    word, how, code, size = mark.split(" ")
    assert (word, how, code) == ("COMPRESSED", "deflate", "base64")
    assert first.endswith(COMPRESSED_NOTE)
    raw = zlib.decompress(base64.b64decode(rest))
    assert len(raw) == int(size)
    return raw.decode()


def told(text):
    """The counts that the first line gives for what was dropped."""
    first = text.split("\n", 1)[0].partition(" | ")[0]
    return {what: (int(shown), int(of)) for shown, of, what in FIT.findall(first)}


@given(TEXTS, METRICS, LINES, BUDGETS, st.booleans())
def test_output_is_never_above_the_budget(first, metrics, lines, budget, compress):
    assert len(Output(first, metrics, lines).render(budget, compress).encode()) <= budget


@given(st.text(alphabet="aé漢😀", max_size=900), METRICS, LINES, st.integers(300, 600), st.booleans())
def test_output_is_never_above_the_budget_when_the_first_line_alone_is(first, metrics, lines, budget, compress):
    assert len(Output(first, metrics, lines).render(budget, compress).encode()) <= budget


@given(METRICS, LINES, BUDGETS)
def test_the_counts_of_what_was_dropped_are_true_and_only_whole_items_are_dropped(metrics, lines, budget):
    text = Output("OK - all well", metrics, lines).render(budget)
    head, *below = text.removesuffix("\n").split("\n")
    shown = head.partition(" | ")[2].split()
    assert shown == metrics[: len(shown)]
    assert below == [clean_text(line) for line in lines][: len(below)]
    expected = {}
    if len(shown) < len(metrics):
        expected["metrics"] = (len(shown), len(metrics))
    if len(below) < len(lines):
        expected["lines"] = (len(below), len(lines))
    assert told(text) == expected


def test_a_problem_is_named_even_where_metrics_would_fill_the_budget():
    text = Output("CRITICAL - x", [f"m{number}=1" for number in range(5000)], ["web01 is down"]).render(1000)
    assert "web01 is down" in text
    assert told(text)["metrics"][0] > 20


@given(TEXTS, METRICS, LINES, BUDGETS)
def test_the_compressed_form_expands_to_what_would_have_been_printed(first, metrics, lines, budget):
    whole = Output(first, metrics, lines).render(10**9)
    text = Output(first, metrics, lines).render(budget, compress=True)
    if "\nCOMPRESSED " not in text:
        assert text == whole or told(text)
        return
    expanded = expand(text)
    if not told(text):
        assert expanded == whole
        return
    shown = expanded.split("\n", 1)[0].partition(" | ")[2].split()
    assert shown == metrics[: len(shown)]
    assert told(expanded) == told(text)
    assert told(text).get("metrics", (len(metrics), 0))[0] == len(shown)


def test_compressing_carries_more_than_cutting():
    metrics = [f"guest{number}.cpu.percent={number % 100}%" for number in range(1000)]
    assert expand(Output("OK - x", metrics).render(8000, compress=True)).count("guest") == 1000


@given(st.text())
def test_text_is_one_line_without_control_characters_and_without_a_perfdata_mark(text):
    cleaned = clean_text(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029|]", cleaned)
    assert cleaned.encode("utf-8").decode() == cleaned


def test_a_name_can_not_forge_text_with_markup_or_direction_marks():
    assert clean_name("a<b>\u202ec|d\x1b[31m\ue000") == "a?b??c?d?[31m\ue000"


@given(st.lists(st.text(max_size=80), unique=True, max_size=30))
def test_label_parts_are_clean_and_different_names_have_different_parts(names):
    parts = [label_part(name) for name in names]
    assert all(re.fullmatch("[A-Za-z0-9_-]+", part) for part in parts)
    assert len(set(parts)) == len(names)


def test_half_a_character_of_json_is_a_label_as_well():
    assert re.fullmatch("web__[0-9a-f]{8}", label_part("web\ud800"))
    assert label_part("web\ud800") != label_part("web\udbff")


@given(st.text(max_size=80) | st.from_regex("_[a-z_ ]*", fullmatch=True))
def test_graphios_ships_a_label_part_under_the_very_name_the_check_gave_it(name):
    assert Unique().label(label_part(name)) == label_part(name)


def test_a_clean_name_is_its_own_label():
    assert label_part("web-01_a") == "web-01_a"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans())
def test_numbers_are_plain_decimals(value):
    assert re.fullmatch(r"-?\d+(\.\d{1,6})?", decimal(value))
    assert decimal(value) != "-0"


@given(st.floats(-(10**9), 10**9))
def test_numbers_keep_six_places(value):
    assert float(decimal(value)) == pytest.approx(value, abs=5.1e-7)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_perfdata_is_made_of_what_is_no_number(value):
    with pytest.raises(ValueError, match="no value"):
        perfdata("a", value)


@pytest.mark.parametrize(
    ("arguments", "item"),
    [
        (("a", 1), "a=1"),
        (("a", 0.1 + 0.2, "s"), "a=0.3s"),
        (("a", 1e-05, "s"), "a=0.00001s"),
        (("a", 1, "%", 90, 95), "a=1%;90;95"),
        (("a", 1, "%", None, 95), "a=1%;;95"),
        (("a", 1, "%", 90), "a=1%;90"),
        (("a", True), "a=1"),
    ],
)
def test_a_perfdata_item_is_written_by_the_guidelines(arguments, item):
    assert perfdata(*arguments) == item
