"""The short form Nagios gets, and the perfdata taken out of any plugin's output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.plugin_output import PluginOutput, cut_by_nrpe, leading_items


@pytest.mark.parametrize(
    ("output", "first", "perfdata", "more"),
    [
        (b"OK", b"OK", b"", []),
        (b"", b"", b"", []),
        (b"OK | a=1\n", b"OK", b"a=1", []),
        (b"OK|a=1\r\nmore text\r\n", b"OK", b"a=1", [b"more text"]),
        (b"OK | a=1\nlong 1\nlong 2 | b=2\nc=3\nd=4\n", b"OK", b"a=1 b=2\nc=3\nd=4", [b"long 1", b"long 2"]),
        (b"OK\nlong | b=2\n", b"OK", b"b=2", [b"long"]),
        (b"OK | 'a|b'=1", b"OK", b"'a|b'=1", []),
        (b"|a=1", b"", b"a=1", []),
    ],
)
def test_text_and_perfdata_are_separated_as_nagios_does(
    output: bytes, first: bytes, perfdata: bytes, more: list[bytes]
) -> None:
    found = PluginOutput(output)
    assert (found.first, found.perfdata, found.more) == (first, perfdata, more)


def test_the_short_form_keeps_leading_items_then_lines() -> None:
    output = PluginOutput(b"OK | a=1;2;3 'b c'=2 d e=3 f=4\nsecond line\nthird line\n")
    assert output.short(4000) == b"OK | a=1;2;3 'b c'=2 d e=3 f=4\nsecond line\nthird line\n"
    assert output.short(30) == b"OK | a=1;2;3 'b c'=2 d e=3\n"
    assert output.short(26) == b"OK | a=1;2;3 'b c'=2\n"
    assert PluginOutput(b"OK\nsecond line\nthird line\n").short(25) == b"OK\nsecond line\n"


@given(st.binary(max_size=400), st.integers(200, 300))
def test_the_short_form_never_exceeds_its_limit_and_has_no_nul(output: bytes, limit: int) -> None:
    short = PluginOutput(output).short(limit)
    assert len(short) <= limit
    assert b"\0" not in short
    assert short.endswith(b"\n")


@given(st.lists(st.sampled_from([b"a=1", b"'b c'=2;3", b"d e=5%", b"'f=g'=7"]), max_size=20), st.integers(0, 150))
def test_leading_items_are_whole(items: list[bytes], room: int) -> None:
    kept = leading_items(b" ".join(items), room)
    whole = [b" ".join(items[:number]) for number in range(len(items) + 1)]
    assert kept == max((text for text in whole if len(text) <= room), key=len)


def test_a_first_line_over_the_limit_is_cut_between_characters() -> None:
    short = PluginOutput(("é" * 3000).encode()).short(4000)
    assert len(short) <= 4000
    assert short.decode().endswith("é...\n")


@pytest.mark.parametrize(
    ("length", "suspected"), [(1022, False), (1023, True), (1024, False), (4096, False), (65503, False), (65504, True)]
)
def test_output_of_exactly_nrpes_limits_may_be_cut(length: int, suspected: bool) -> None:
    assert cut_by_nrpe(b"x" * length + b"\n") is suspected
    assert cut_by_nrpe(b"x" * length) is suspected


@pytest.mark.parametrize(
    ("perfdata", "rest"),
    [
        (b"a=1 b=2", b"a=1"),
        (b"a=1 'b c'=1", b"a=1"),
        (b"a=1 'b c", b"a=1"),
        (b"a=1 b", b"a=1"),
        (b"a=12", b""),
        (b"", b""),
    ],
)
def test_the_last_item_goes_whatever_is_left_of_it(perfdata: bytes, rest: bytes) -> None:
    output = PluginOutput(b"OK | " + perfdata)
    output.drop_last_item()
    assert output.perfdata == rest
