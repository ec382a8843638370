"""What goes to carbon: clean lines only, whatever the spool holds, and the numbers the plugin wrote."""

import re
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios import perfdata
from graphios.backends.base import LINES, POINTS
from graphios.configuration.settings import Names
from graphios.convert import Converter, Reject
from graphios.naming.rules import LONGEST_NAME
from graphios.points import Point
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
RAW_LINES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(FIELDS, st.text(max_size=20).map(lambda text: "SERVICEPERFDATA::" + text)), max_size=8).map(
        lambda fields: "\t".join(fields).encode("utf-8", "surrogatepass")
    ),
    st.text(max_size=100).map(lambda text: service_line(text).encode("utf-8", "surrogatepass")),
)


@given(RAW_LINES)
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


def convert(names: Names, perf: str, takes: str = LINES, **line: str) -> tuple[list[Any], list[Reject], Converter]:
    """The items of one service line, converted twice (the second time, everything is remembered), and the converter."""
    converter = Converter(names, takes)
    raw = service_line(perf, **line).rstrip("\n").encode()
    results = []
    for _ in range(2):
        pieces = list(converter.convert(raw, NOW))
        results.append(([item for some, _ in pieces for item in some], [bad for _, some in pieces for bad in some]))
    assert results[0] == results[1]
    return *results[0], converter


def names_of(names: Names, perf: str, **line: str) -> list[str]:
    """Names and values of one service line."""
    return [item.rpartition(" ")[0] for item in convert(names, perf, **line)[0]]


def test_thresholds_are_series_of_their_own() -> None:
    names = Names(thresholds=("warn", "crit", "min", "max"))
    assert names_of(names, "load1=0.5;4:5;10;0 'c: free'=5GB") == [
        "web01.load.load1 0.5",
        "web01.load.load1.warn_low 4",
        "web01.load.load1.warn 5",
        "web01.load.load1.crit 10",
        "web01.load.load1.min 0",
        "web01.load.c__free-edfeb691 5",
    ]
    assert names_of(names._replace(scheme="tags"), "a=1;2") == [
        "a;host=web01;service=load 1",
        "a.warn;host=web01;service=load 2",
    ]
    _, rejects, _ = convert(names, "a=1;x;2")
    assert [(reject.kind, reject.reason) for reject in rejects] == [
        ("perfdata", "perfdata of web01, load: warn of a is no number or range")
    ]


def test_values_and_thresholds_in_base_units() -> None:
    names = Names(normalize=True, thresholds=("warn", "max"))
    assert names_of(names, "t=1500ms;2000;;; d=2KB;;;;4 p=45%;80 c=7c u=5xy;6") == [
        "web01.load.t 1.5",
        "web01.load.t.warn 2",
        "web01.load.d 2048",
        "web01.load.d.max 4096",
        "web01.load.p 45",
        "web01.load.p.warn 80",
        "web01.load.c 7",
        "web01.load.u 5",
        "web01.load.u.warn 6",
    ]


def test_points_say_what_they_belong_to() -> None:
    items, _, _ = convert(Names(), "'C: %'=45% in=7c u=U t=5ms;6", POINTS)
    assert items == [
        Point("web01.load.C___-160dc92b", "45", NOW, "web01", "load", "C: %", "value", "%"),
        Point("web01.load.in", "7", NOW, "web01", "load", "in", "value", "c"),
        Point("web01.load.t", "5", NOW, "web01", "load", "t", "value", "ms"),
    ]
    items, _, _ = convert(Names(normalize=True, thresholds=("warn",)), "t=5ms;6", POINTS)
    assert [item[1:] for item in items] == [
        ("0.005", NOW, "web01", "load", "t", "value", "s"),
        ("0.006", NOW, "web01", "load", "t", "warn", "s"),
    ]


def test_rewrite_rules_in_order_then_include_and_exclude() -> None:
    names = Names(
        rewrite=((re.compile(r"^web01\."), "web.1."), (re.compile(r"\.1\.load"), ".one")),
        include=(re.compile(r"^web\.one"),),
        exclude=(re.compile("5$"), re.compile("15")),
    )
    items, rejects, converter = convert(names, "load1=1 load5=2 load15=3")
    assert [item.split()[0] for item in items] == ["web.one.load1"]
    assert (rejects, converter.skipped) == ([], {"filtered": 4})


@pytest.mark.parametrize("replacement", ["a b", "a;b=c", "", "é", "\n", "x" * 1001])
def test_a_rewritten_name_carbon_would_not_take_is_rejected(replacement: str) -> None:
    names = Names(rewrite=((re.compile(r"^.*load1$"), replacement),))
    items, rejects, _ = convert(names, "load1=1 b=2")
    assert [item.split()[0] for item in items] == ["web01.load.b"]
    assert [reject.kind for reject in rejects] == ["name"]


def test_empty_elements_a_rewrite_rule_leaves_are_closed_up() -> None:
    assert names_of(Names(rewrite=((re.compile("load"), ""),)), "load=1") == ["web01 1"]


def test_lines_left_out_for_want_of_a_prefix_are_counted() -> None:
    items, rejects, converter = convert(Names(unprefixed=False), "a=1")
    assert (items, rejects, converter.skipped) == ([], [], {"unprefixed": 2})


def test_values_that_could_not_be_determined_are_counted() -> None:
    items, rejects, converter = convert(Names(), "a=U b=U;1;2 c=1")
    assert (len(items), rejects, converter.skipped) == (1, [], {"U": 4})


def test_graphios_names_where_words_of_labels_meet() -> None:
    names = Names(cleaning="graphios")
    assert names_of(names, "'C: used'=1 'C: free'=2 x=3") == [
        "web01.load.used' 1",
        "web01.load.free' 2",
        "web01.load.x 3",
    ]
    assert names_of(names, "'5 min avg'=1 '10 min avg'=2", service="CPU x/y") == [
        "web01.CPUx_y.5_min_avg 1",
        "web01.CPUx_y.10_min_avg 2",
    ]
    assert names_of(names, "c: free=1 c: free=2") == ["web01.load.free 1", "web01.load.free 2"]


@pytest.mark.parametrize("length", [4050, 8191, 8000])
@pytest.mark.parametrize(
    ("end", "cut"), [("size=12", True), ("size=12MB", True), ("size=128766B;", False), ("'a b'=1;2", False)]
)
def test_the_last_value_of_perfdata_nagios_may_have_cut_is_not_trusted(length: int, end: str, cut: bool) -> None:
    start = " ".join(f"m{number}=1;2" for number in range(1500))
    perf = start[: length - len(end) - 10].rpartition(" ")[0]
    perf += f" {'x' * (length - len(perf) - len(end) - 4)}=1 {end}"
    items, rejects, _ = convert(Names(), perf)
    assert [reject.kind for reject in rejects] == (["cut"] if cut else [])
    assert len(items) == perf.count("=") - cut
    if cut:
        assert rejects[0].raw == end.encode()


@pytest.mark.parametrize("length", [1000, 3999, 5000, 8300, 20_000])
def test_perfdata_of_other_lengths_is_trusted(length: int) -> None:
    perf = " ".join(f"m{number}=1;2" for number in range(3000))[: length - 8].rpartition(" ")[0]
    items, rejects, _ = convert(Names(), f"{perf} size=12")
    assert rejects == []
    assert items[-1].split()[:2] == ["web01.load.size", "12"]


def test_what_a_tab_may_have_cut_off_is_named() -> None:
    raw = f"DATATYPE::HOSTPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tHOSTPERFDATA::a=1\tFOO::x=1 b=2\tHOSTCHECKCOMMAND::c".encode()
    lines, rejects = converted(raw)
    assert [line.split()[0] for line in lines] == ["h._HOST_.a"]
    assert [(reject.kind, reject.raw) for reject in rejects] == [("perfdata", b"FOO::x=1 b=2")]


SETTINGS = st.fixed_dictionaries(
    {
        "scheme": st.sampled_from(["graphios", "service", "template", "tags"]),
        "cleaning": st.sampled_from(["unique", "escape", "graphios"]),
        "thresholds": st.sampled_from([(), ("warn", "crit", "min", "max")]),
        "normalize": st.booleans(),
        "replace_hostname": st.booleans(),
        "reverse_hostname": st.booleans(),
        "dot": st.sampled_from([".", "_"]),
    }
).map(lambda chosen: Names()._replace(**chosen))
PERFDATA = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")),
    st.lists(st.sampled_from(["'C: %'=5%;1;2", "a.b=1e3ms;@1:2", "x=U", "'", "=", "é ü=3KB", "'q'=1", "a\x00b=1"])).map(
        " ".join
    ),
)


@given(
    SETTINGS,
    PERFDATA,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\t"), min_size=1, max_size=20),
)
def test_every_line_is_one_carbon_takes_whatever_the_settings(names: Names, perf: str, host: str) -> None:
    converter = Converter(names)
    raw = service_line(perf, host=host, service=host).rstrip("\n").encode()
    for lines, rejects in converter.convert(raw, NOW):
        for line in lines:
            name, value, timestamp = str(line).split()
            path, *tags = name.split(";")
            assert all(path.split("."))
            assert name.isprintable()
            assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
            assert int(timestamp) == NOW
            assert bool(tags) == (names.scheme == "tags")
            assert all(re.fullmatch(r"[^;!^=]+=[^;~][^;]*", tag) for tag in tags)
        assert all(reject.reason and reject.kind for reject in rejects)


@given(SETTINGS, PERFDATA)
def test_points_and_lines_say_the_same(names: Names, perf: str) -> None:
    lines, rejects, _ = convert(names, perf)
    points, others, _ = convert(names, perf, POINTS)
    assert lines == [f"{point.name} {point.value} {point.timestamp}\n" for point in points]
    assert rejects == others


def test_a_trace_says_what_became_of_every_value_and_why() -> None:
    names = Names(
        thresholds=("warn",),
        normalize=True,
        exclude=(re.compile("free"),),
        rewrite=((re.compile("^web01"), "w"), (re.compile("nothing"), "x")),
    )
    raw = service_line("a=5ms;6;7 free=1 u=U bad=x t=1;y").rstrip("\n").encode()
    traced = Converter(names).trace(raw, NOW)
    assert [(t.label, t.field, t.value, t.unit, t.name, t.outcome) for t in traced] == [
        ("u", "value", "U", "", None, "U"),
        ("a", "value", "0.005", "s", "w.load.a", "shipped"),
        ("a", "warn", "0.006", "s", "w.load.a.warn", "shipped"),
        ("free", "value", "1", "", None, "filtered"),
        ("t", "value", "1", "", "w.load.t", "shipped"),
        ("t", "warn", "", "", None, "rejected"),
        ("", "", "bad=x", "", None, "rejected"),
    ]
    assert traced[1].rewritten == ("^web01 -> w",)
    assert traced[3].why == "w.load.free: excluded by free"
    [whole] = Converter(Names(unprefixed=False)).trace(raw, NOW)
    assert (whole.label, whole.outcome) == ("", "unprefixed")
    [line] = Converter(Names()).trace(b"rubbish", NOW)
    assert (line.outcome, line.why, line.value) == ("rejected", "no DATATYPE", "rubbish")


@given(SETTINGS, PERFDATA)
def test_the_trace_ships_what_is_shipped(names: Names, perf: str) -> None:
    points, _, converter = convert(names, perf, POINTS)
    traced = converter.trace(service_line(perf).rstrip("\n").encode(), NOW)
    assert [(t.name, t.value) for t in traced if t.outcome == "shipped"] == [(p.name, p.value) for p in points]


@pytest.mark.slow
def test_memory_stays_bounded_with_ever_new_names() -> None:
    converter = Converter(Names(rewrite=((re.compile("z"), "y"),)))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(8000):
            text = service_line(f"{number}{'l' * 150}=1", host=f"h{number}{'x' * 300}", service=f"s{number}").rstrip(
                "\n"
            )
            for _ in converter.convert(text.encode(), NOW):
                pass
        assert tracemalloc.get_traced_memory()[0] - before < 15_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_line_of_megabytes_is_converted_in_little_memory() -> None:
    raw = service_line("x" * 40 + "=1;2;3 " + "some.metric.value=123.45ms;;; " * 70_000).rstrip("\n").encode()
    assert len(raw) > 2_000_000
    converter = Converter(Names())
    tracemalloc.start()
    try:
        count = sum(len(lines) for lines, _ in converter.convert(raw, NOW))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert count == 70_001
