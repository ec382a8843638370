"""The grammar: the corpus of the field, the rules one by one, and properties over generated text."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphios import perfdata
from graphios.plugin_output import PluginOutput

CORPUS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "perfdata.json").read_text(encoding="utf-8")
)


def simple(metric: perfdata.Metric) -> dict[str, object]:
    def number(text: str | None) -> object:
        return None if text is None else Decimal(text)

    fields = metric._asdict()
    return fields | {name: number(fields[name]) for name in ("value", "min", "max")}


def expected(case: dict[str, Any]) -> list[dict[str, object]]:
    return [
        item | {name: None if item[name] is None else Decimal(str(item[name])) for name in ("value", "min", "max")}
        for item in case["expect"]
    ]


@pytest.mark.parametrize("case", CORPUS, ids=[f"{case['class']}-{case['note'][:50]}" for case in CORPUS])
def test_every_metric_of_the_corpus_is_right_and_none_is_invented(case: dict[str, Any]) -> None:
    text = case["input"]
    if case["level"] == "output":
        text = PluginOutput(text.encode()).perfdata.decode()
    metrics, _ = perfdata.parse(text)
    assert [simple(metric) for metric in metrics] == expected(case)


FIELD: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "field.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", FIELD, ids=[case["plugin"] for case in FIELD])
def test_what_plugins_of_the_field_write(case: dict[str, Any]) -> None:
    metrics, _ = perfdata.parse(case["perfdata"])
    assert [[metric.label, metric.value, metric.uom] for metric in metrics] == case["expect"]
    good, _, unknown = perfdata.items(case["perfdata"], whole=True)
    shipped = [item for item in case["expect"] if item[1] is not None]
    assert [[perfdata.unquoted(item[0]), *item[1:3]] for item in good] == shipped
    assert len(unknown) == len(case["expect"]) - len(shipped)


def labels_and_values(text: str) -> tuple[list[tuple[str, str]], list[perfdata.Bad]]:
    good, bad, _ = perfdata.items(text)
    return [(perfdata.unquoted(label), value) for label, value in good], bad


RULES = [
    ("'it's'=5", [("it's", "5")], []),
    ("'a''=b'=5", [("a'=b", "5")], []),
    ("'a=b c'=5", [("a=b c", "5")], []),
    ("'Bob's disk'=1 'z'=2", [("Bob's disk", "1"), ("z", "2")], []),
    ("'a' =5", [("a", "5")], []),
    ("a =5", [("a", "5")], []),
    ("[0] temp=35 [1] temp=36", [("[0] temp", "35"), ("[1] temp", "36")], []),
    ("a=1 [check_load!x=2] b=3", [("a", "1"), ("b", "3")], []),
    ("a=1;;;;'b c'=2", [("a", "1"), ("b c", "2")], []),
    ("a=1 | b=2", [("a", "1"), ("b", "2")], []),
    ("a=.5 b=5. c=+3 d=-.5", [("a", "0.5"), ("b", "5"), ("c", "3"), ("d", "-0.5")], []),
    ("a=1e3 b=-7.2e-05s c=1E2B d=1EB", [("a", "1000"), ("b", "-0.000072"), ("c", "100"), ("d", "1")], []),
    ("a=34µs b=5μs c=20°C", [("a", "34"), ("b", "5"), ("c", "20")], []),
    ("in=18446744073709551615c", [("in", "18446744073709551615")], []),
    ("a=1e-400", [("a", "0")], []),
    ("a=1,5 b=2,", [("a", "1.5"), ("b", "2")], []),
    ("a=U b=1", [("b", "1")], []),
    ("a=1 MB;10;20 b=2", [("a", "1"), ("b", "2")], ["no ="]),
    ("'foo bar=5 z=1", [("z", "1")], ["a quote is not closed by '="]),
    ("'foo bar=5 'z'=1", [("z", "1")], ["a quote is not closed by '="]),
    ("''=5 z=1", [("z", "1")], ["no label"]),
    ("a= 5 b=3", [("b", "3")], ["no value"]),
    ("a==5 z=1", [("z", "1")], ["not a number with a unit"]),
    ("a=5m3 z=1", [("z", "1")], ["not a number with a unit"]),
    ("a=0x10 b=1-05 c=1.2.3 d=1,234.5 z=1", [("z", "1")], ["not a number with a unit"] * 4),
    ("a=1|b=2 z=1", [("z", "1")], ["not a number with a unit"]),
    ("a=1e400 z=1", [("z", "1")], ["number too large for a 64-bit float"]),
    ("a=" + "9" * 310 + " z=1", [("z", "1")], ["number too large for a 64-bit float"]),
    ("a=" + "9" * 500 + " z=1", [("z", "1")], ["number longer than 400 characters"]),
    ("'" + "x" * 990 + "'=1 z=1", [("x" * 990, "1"), ("z", "1")], []),
]


@pytest.mark.parametrize(("text", "good", "reasons"), RULES, ids=[rule[0][:40] for rule in RULES])
def test_a_bad_item_is_named_and_the_good_ones_around_it_survive(
    text: str, good: list[tuple[str, str]], reasons: list[str]
) -> None:
    values, bad = labels_and_values(text)
    assert values == good
    assert [item.reason for item in bad] == reasons
    assert all(item.text and item.text.rstrip(".") in text for item in bad)


PIECES = st.sampled_from(
    [
        "a",
        "b c",
        "'",
        "''",
        "=",
        "'=",
        ";",
        "|",
        "[",
        "]",
        " ",
        "\t",
        "\n",
        "U",
        "nan",
        "inf",
        "1",
        "-",
        ".",
        ",",
        "1e5",
        "1e-400",
        "_",
        "%",
        "µs",
        "load1=0.5;1;2;0;",
        "'x y'=3ms",
        "[k=v]",
        "\x00",
        "\x1f",
        "�",
        "é",
        "１",
        "/",
        "=5 ",
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@given(TEXTS)
def test_fast_and_careful_parser_agree_on_any_text(text: str) -> None:
    metrics, bad = perfdata.parse(text)
    assert labels_and_values(text) == (
        [(metric.label, metric.value) for metric in metrics if metric.value is not None],
        bad,
    )


@given(TEXTS)
def test_whole_items_are_the_same_items(text: str) -> None:
    good, bad, unknown = perfdata.items(text)
    whole = perfdata.items(text, whole=True)
    assert ([item[:2] for item in whole[0]], *whole[1:]) == (good, bad, unknown)
    metrics, _ = perfdata.parse(text)
    assert [(perfdata.unquoted(item[0]), item[2], item[3], item[4]) for item in whole[0]] == [
        (metric.label, metric.uom, metric.warn or "", metric.crit or "")
        for metric in metrics
        if metric.value is not None
    ]


@given(TEXTS)
def test_any_value_that_comes_out_is_a_plain_decimal_that_float_can_hold(text: str) -> None:
    values, _ = labels_and_values(text)
    for label, value in values:
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
        assert abs(float(value)) < float("inf")
        assert label.strip(" \t")


LABELS = st.text(st.characters(exclude_characters="'=", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda label: label.strip() and label == label.strip()
)
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=5).map(str),
)
UNITS = st.sampled_from(["", "s", "%", "B", "KB", "c", "µs", "EB"])


@given(st.lists(st.tuples(LABELS, NUMBERS, UNITS), max_size=20))
def test_what_the_guidelines_allow_comes_back_exactly(items: list[tuple[str, str, str]]) -> None:
    text = " ".join(f"'{label}'={number}{unit};1:2;@~:5;0;10" for label, number, unit in items)
    values, bad = labels_and_values(text)
    assert bad == []
    assert [label for label, _ in values] == [label for label, _, _ in items]
    for (_, value), (_, number, _) in zip(values, items, strict=True):
        assert float(value) == float(number)
        if "e" not in number:
            assert Decimal(value) == Decimal(number)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=30).map("".join))
def test_a_long_text_is_parsed_in_pieces_with_the_same_result(text: str) -> None:
    # Beyond CHUNK bytes the text is cut between items; the result must not show where.
    long = " ".join(f"m{number}={number}.5s;1;2" for number in range(4000))
    around = f"{long} {text} {long} {text} {long}"
    good, bad, unknown = perfdata.items(around)
    assert len(around) > 3 * perfdata.CHUNK
    pieces = list(perfdata.stream(around.encode()))
    assert [item for some, _, _ in pieces for item in some] == good
    assert [item for _, some, _ in pieces for item in some] == bad
    assert [item for _, _, some in pieces for item in some] == unknown


def test_memory_is_bounded_whatever_the_size_of_the_text() -> None:
    text = b"x.y.z=1;2;3 " * 200_000
    counts = [len(good) for good, _, _ in perfdata.stream(text)]
    assert max(counts) <= perfdata.CHUNK
    assert sum(counts) == 200_000


HOSTILE = [
    "'" * 200_000,
    "'a " * 70_000,
    "a" * 200_000,
    "a " * 100_000,
    "[" * 100_000,
    "[a=" * 50_000,
    "=" * 200_000,
    "a=1;" * 50_000,
    "'a=1 '" * 40_000,
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=[text[:6] for text in HOSTILE])
def test_no_text_makes_the_work_grow_faster_than_its_length(text: str) -> None:
    pieces = list(perfdata.stream(text.encode()))
    assert sum(len(good) + len(bad) for good, bad, _ in pieces) <= len(text)
