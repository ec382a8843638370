"""What goes to carbon: clean lines only, whatever the spool holds, and the numbers the plugin wrote."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios import perfdata
from graphios.configuration.settings import Names
from graphios.convert import Converter, Reject
from graphios.naming.rules import LONGEST_NAME
from tests.unit.graphios.spool_lines import NOW, service_line

CLEAN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)* -?[0-9]+(\.[0-9]+)? [0-9]+\n")


def converted(raw: bytes) -> tuple[list[str], list[Reject]]:
    lines: list[str] = []
    rejects: list[Reject] = []
    for some, bad in Converter(Names()).convert(raw, NOW):
        lines += some
        rejects += bad
    return lines, rejects


FIELDS = st.sampled_from(
    [
        "DATATYPE::SERVICEPERFDATA",
        "DATATYPE::HOSTPERFDATA",
        f"TIMET::{NOW}",
        "HOSTNAME::h.é",
        "SERVICEDESC::a b",
        "X::y",
    ]
)
LINES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(FIELDS, st.text(max_size=20).map(lambda text: "SERVICEPERFDATA::" + text)), max_size=8).map(
        lambda fields: "\t".join(fields).encode("utf-8", "surrogatepass")
    ),
    st.text(max_size=100).map(lambda text: service_line(text).encode("utf-8", "surrogatepass")),
)


@given(LINES)
def test_only_clean_lines_are_ever_sent(raw: bytes) -> None:
    lines, rejects = converted(raw.replace(b"\n", b" "))
    for line in lines:
        assert CLEAN.fullmatch(line)
        assert line.isascii()
        assert len(line) < 2000
    for reject in rejects:
        assert reject.reason


ITEMS = st.lists(
    st.tuples(
        st.text(
            st.characters(exclude_characters="'=\t\n\r\v\f", exclude_categories=["Cs"]), min_size=1, max_size=12
        ).filter(str.strip),
        st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr)),
    ),
    max_size=10,
    unique_by=lambda item: item[0],
)


@given(ITEMS)
def test_the_line_sent_is_numerically_equal_to_the_item_spooled(items: list[tuple[str, str]]) -> None:
    raw = service_line(" ".join(f"'{label}'={value};1;2" for label, value in items)).rstrip("\n").encode()
    lines, rejects = converted(raw)
    assert rejects == []
    assert len({line.split(" ")[0] for line in lines}) == len(items)
    for line, (_, value) in zip(lines, items, strict=True):
        sent = line.split(" ")[1]
        assert float(sent) == float(value)
        if "e" not in value:
            assert Decimal(sent) == Decimal(value)


def test_a_name_that_is_too_long_is_rejected_and_the_others_are_sent() -> None:
    long = ".".join(["é" * 10] * 90)
    lines, rejects = converted(service_line(f"a=1 {long}=2 b=3").rstrip("\n").encode())
    assert [line.split()[0] for line in lines] == ["web01.load.a", "web01.load.b"]
    assert [reject.reason for reject in rejects] == [
        f"perfdata of web01, load: metric name longer than {LONGEST_NAME} characters"
    ]


@pytest.mark.parametrize("raw", [b"", b"   ", b"\t\t", b"\r"])
def test_a_blank_line_is_nothing(raw: bytes) -> None:
    assert converted(raw) == ([], [])


def test_every_reject_of_an_item_says_whose_it_is() -> None:
    _, rejects = converted(service_line("a=x", host="node7", service="Disk").rstrip("\n").encode())
    assert rejects == [Reject("perfdata", "perfdata of node7, Disk: not a number with a unit", b"a=x")]
    assert perfdata.items("a=x")[1][0].text == "a=x"
