"""Command lines: into the words that Nagios's own workers make of them, or to the shell."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.worker.command_line import CommandLine, parse

# What the arguments were, printed by a plugin under the real Nagios 4.4.6.
MEASURED = [
    ("p a{1,2}", ["a{1,2}"]),
    ("p [a] x=y", ["[a]", "x=y"]),
    ("p '' \"\" b", ["", "", "b"]),
    ("p a #b c", ["a", "#b", "c"]),
    ("p ~ b", ["~", "b"]),
    ("p '$x' ", ["$x"]),
    ("p \\`a", ["`a"]),
    ("p a!b", ["a!b"]),
]


@pytest.mark.parametrize(("line", "arguments"), MEASURED)
def test_words_are_those_of_nagios(line: str, arguments: list[str]) -> None:
    assert parse(line) == CommandLine(("p", *arguments), {})


@pytest.mark.parametrize(
    "line",
    [
        "p a*",
        "p a?",
        "p a >&2",
        "p <b",
        "p a | b",
        "p a; b",
        "p a && b",
        "p $x",
        'p "$x"',
        "p `x`",
        "p (a)",
        "p 'a",
        'p "a',
        "p a\\",
        'p "a\\"b"',
    ],
)
def test_the_shell_gets_what_only_it_understands(line: str) -> None:
    assert parse(line) == CommandLine(("/bin/sh", "-c", line), {})


def test_words_in_front_are_variables() -> None:
    assert parse("A=1 'B=x y' /p C=2") == CommandLine(("/p", "C=2"), {"A": "1", "B": "x y"})


@pytest.mark.parametrize("line", ["", "  ", "A=1"])
def test_a_line_without_a_program_has_no_words(line: str) -> None:
    assert parse(line).argv == ()


@pytest.mark.slow
@given(st.lists(st.text(st.sampled_from("ab= '\"\\$`|&;<>()*?~#ö\t"), max_size=6), min_size=1, max_size=5))
def test_quoted_words_come_out_as_they_went_in(words: list[str]) -> None:
    words = ["p", *words]
    found = parse(shlex.join(words))
    assert found.argv in (tuple(words), ("/bin/sh", "-c", shlex.join(words)))
