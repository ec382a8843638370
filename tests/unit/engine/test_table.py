"""The table of results: the worst first, no wider than the terminal, and nothing in it that a terminal obeys."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.results import STATES, Result
from checks.engine.run import table, terminal


def a_result(
    name: str = "check_x", code: int = 0, output: str = "X OK - fine | a=1\n", seconds: float = 0.25
) -> Result:
    return Result(name, code, output.encode("utf-8", "surrogateescape"), seconds=seconds)


def test_the_worst_comes_first_and_equals_go_by_name() -> None:
    results = [a_result(f"{STATES[code]}-{letter}", code) for code in range(4) for letter in "ab"]
    random.Random(1).shuffle(results)
    rows = [row.split()[1] for row in table.rows(results)]
    assert rows == [f"{state}-{letter}" for state in ("CRITICAL", "WARNING", "UNKNOWN", "OK") for letter in "ab"]


def test_a_row_says_state_name_seconds_and_text_without_perfdata() -> None:
    assert table.rows([a_result("check_disk", 2, "DISK CRITICAL - full | a=1\nmore\n", 3.456)]) == [
        "CRITICAL  check_disk    3.46 s  DISK CRITICAL - full"
    ]


def test_what_the_engine_says_does_not_repeat_state_and_name() -> None:
    hung = Result("check_x", 3, b"UNKNOWN: check_x: no end within 60 s\n", "deadline", seconds=60.0)
    assert table.rows([hung]) == ["UNKNOWN   check_x    60.0 s  no end within 60 s"]


def test_without_a_terminal_names_and_texts_are_whole() -> None:
    results = [a_result("n" * 200, 0, "t" * 300), a_result("short")]
    rows = table.rows(results)
    assert "n" * 200 in rows[0]
    assert "t" * 300 in rows[0]


@pytest.mark.parametrize("width", [1, 40, 80])
@given(name=st.text(min_size=1, max_size=60), text=st.text(max_size=300), code=st.integers(0, 3))
def test_no_row_is_wider_than_the_terminal_or_moves_its_cursor(width: int, name: str, text: str, code: int) -> None:
    for row in table.rows([a_result(name, code, text), a_result("other", 1)], width):
        assert terminal.columns(row) <= width
        assert row.isprintable()


def test_on_a_narrow_terminal_the_name_stays_readable() -> None:
    narrow = table.rows([a_result("check_seattle_node", 2, "SEATTLE NODE CRITICAL - no answer")], 40)[0]
    assert narrow.startswith("CRITICAL  check_seattle_node  SEA")
    assert narrow.endswith("...")


def test_what_a_terminal_would_obey_is_not_in_the_table() -> None:
    results = [a_result("check\x1b[2J\u202ex", 0, "a\x1b]0;title\x07b\x9b31m\u2066c\rd\te")]
    row = table.rows(results)[0]
    assert row.isprintable()
    assert "check?[2J?x" in row


def test_what_the_terminal_can_not_show_is_a_question_mark() -> None:
    assert table.rows([a_result(output="für 日本")], encoding="iso-8859-1")[0].endswith("für ??")
    assert table.rows([a_result(output="für")], encoding="ascii")[0].endswith("f?r")


def test_wide_characters_keep_the_columns_aligned() -> None:
    rows = table.rows([a_result("日本"), a_result("abcd"), a_result("a\u0301bcd")], 80)
    starts = {terminal.columns(row[: row.index("X OK")]) for row in rows}
    assert len(starts) == 1


def test_colours_change_nothing_but_the_state() -> None:
    results = [a_result(f"c{code}", code) for code in range(4)]
    coloured = table.rows(results, 80, colours=True)
    assert [re.sub(r"\x1b\[[\d;]*m", "", row) for row in coloured] == table.rows(results, 80)
    assert all(row.startswith("\x1b[") for row in coloured)
    assert len({row.partition("m")[0] for row in coloured}) == 4


def test_summary_counts_each_state() -> None:
    results = [a_result(code=code) for code in (0, 0, 2, 3)]
    assert table.summary(results, 75.0) == "4 checks: 1 CRITICAL, 1 UNKNOWN, 2 OK; 75.0 s"
    assert table.summary(results[:1], 0.1) == "1 check: 1 OK; 0.10 s"
    assert table.summary([], 0.0) == "0 checks; 0.00 s"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.00 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (99.96, "1 min 40 s"), (3600.4, "60 min 0 s")],
)
def test_durations(seconds: float, said: str) -> None:
    assert table.duration(seconds) == said
