"""Cleaning: names carbon can take whatever the text, never one name for two labels, and Graphios's own names where those are asked for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.naming.cleaning import (
    FIELDS,
    LONGEST_ELEMENT,
    Cleaner,
    Escape,
    Graphios,
    Unique,
    tag_label,
    tag_value,
    unescaped,
)

CLEAN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("load1", "load1"),
        ("'load1'", "load1"),
        ("web01.cpu.percent", "web01.cpu.percent"),
        ("rx-bytes_2", "rx-bytes_2"),
        ("/", "_"),
        ("/var/log", "_var_log"),
        ("time_offset-192.168.0.1", "time_offset-192.168.0.1"),
    ],
)
def test_labels_that_need_no_hash(label: str, name: str) -> None:
    assert Unique().label(label) == name


@pytest.mark.parametrize(
    "pair",
    [
        ("a b", "a_b"),
        ("c: free", "c: free %"),
        ("/var/log", "_var_log"),
        ("/a_b", "/a/b"),
        ("a..b", "a.b"),
        (".a", "a"),
        ("é", "ü"),
    ],
)
@pytest.mark.parametrize(
    "cleaner", [Unique(), Escape(), Unique("-"), Escape("-")], ids=["unique", "escape", "unique-dash", "escape-dash"]
)
def test_labels_that_look_alike_stay_apart(cleaner: Cleaner, pair: tuple[str, str]) -> None:
    assert cleaner.label(pair[0]) != cleaner.label(pair[1])


# Quotes around a label are not part of it.
LABELS = (st.text(min_size=1, max_size=12) | st.text("ab_/. -é%27f", min_size=1, max_size=8)).filter(
    lambda label: label[0] != "'"
)
CLEANERS = st.sampled_from([Unique(), Unique("_"), Unique(reserved=FIELDS), Escape(), Escape("_"), Escape(".", FIELDS)])


@given(CLEANERS, st.lists(LABELS, unique=True, max_size=60))
def test_no_two_labels_share_a_name(cleaner: Cleaner, labels: list[str]) -> None:
    assert len({cleaner.label(label) for label in labels}) == len(labels)


@given(CLEANERS, st.text(min_size=1, max_size=600) | LABELS)
def test_every_element_is_clean_whatever_the_text(cleaner: Cleaner, text: str) -> None:
    for name in (cleaner.label(text + "x"), cleaner.element(text), cleaner.service(text), cleaner.levels(text + "x")):
        assert CLEAN.fullmatch(name)
        assert all(len(element) <= LONGEST_ELEMENT for element in name.split("."))


@given(st.text(min_size=1, max_size=30).filter(lambda label: label[0] != "'") | LABELS)
def test_an_escaped_label_can_be_read_back(label: str) -> None:
    name = Escape().label(label)
    if len(name) <= LONGEST_ELEMENT:
        assert unescaped(name) == label


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("rx_bytes", "rx_bytes"),
        ("'C: used %'", "C_3a__20_used_20__25_"),
        ("/var/log", "_2f_var_2f_log"),
        ("a_20_b", "a_5f_20_b"),
        ("a_20 b", "a_5f_20_20_b"),
        ("_ _", "__20__"),
        ("a..b", "a._2e_b"),
        (".a.", "_2e_a_2e_"),
        ("tür", "t_fc_r"),
    ],
)
def test_escapes(label: str, name: str) -> None:
    assert Escape().label(label) == name


@pytest.mark.parametrize("cleaner", [Unique(reserved=FIELDS), Escape(".", FIELDS)], ids=["unique", "escape"])
def test_no_label_takes_the_name_of_a_threshold(cleaner: Cleaner) -> None:
    assert cleaner.label("load.warn") != "load.warn"
    assert cleaner.label("load.warning") == "load.warning"
    assert cleaner.label("warn") == "warn"


def test_a_label_has_the_same_name_in_every_process() -> None:
    # Written down, because a series must not change its name with a new version.
    assert Unique().label("'C: used %'") == "C__used__-10cb085c"
    assert Unique("_").label("a.b") == "a_b-2e7336dc"


# Names and lines as Graphios 2.0.3 itself gave them, run with Python 2.7 and replacement_character = _.
@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("load1", "load1"),
        ("'load1'", "'load1'"),
        ("'5 min avg Load'", "Load'"),
        ("/var/log", "_var_log"),
        ('a"b@c#d&e,f?g', 'a"b@c#d&e,f?g'),
        ("a~!$:;%^*()+{}[]|\\<>b", "a" + "_" * 19 + "b"),
        ("a.b", "a.b"),
        ("a..b.", "a.b"),
        ("größe", "größe"),
    ],
)
def test_the_names_of_graphios(label: str, name: str) -> None:
    assert Graphios().label(label) == name


@given(st.text(min_size=1, max_size=300), st.sampled_from(["_", "-", ".", ""]))
def test_even_graphios_names_hold_nothing_carbon_can_not_take(text: str, replacement: str) -> None:
    cleaner = Graphios(replacement)
    labels = (cleaner.label(text), cleaner.whole_label(text))
    assert all(labels)
    # Of what is no label nothing may be left, as with Graphios.
    for name in filter(None, (*labels, cleaner.element(text), cleaner.levels(text))):
        assert name.encode()
        assert len(name.split()) == 1
        assert name.isprintable()
        assert ";" not in name
        assert all(name.split("."))
        assert all(len(element.encode()) <= 250 for element in name.split("."))


@given(st.text(max_size=300))
def test_a_tag_value_is_one_graphite_accepts(text: str) -> None:
    assert re.fullmatch(r"(?!~)[!-:<-~]{0,200}", tag_value(text))
    assert re.fullmatch(r"(?!~)[!-:<-~]{1,200}", tag_label(text + "x"))


@given(st.lists(LABELS, unique=True, max_size=60))
def test_no_two_labels_share_a_tag(labels: list[str]) -> None:
    assert len({tag_label(label) for label in labels}) == len(labels)
