"""Lines of the spool: what is used, what is refused and why, and that no plugin output can write to another host's series."""

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.inputs.line import Line, LineReader, Rejected
from graphios.perfdata import CHUNK
from tests.unit.graphios.spool_lines import NOW, host_line, service_line


def parse_line(text: str, now: float = NOW) -> Line:
    """Read the careful way, and quickly: with the template known, then with the source known too."""
    reader, raw = LineReader(), text.encode("utf-8", "surrogatepass")
    assert reader.quick(raw, now) is None
    line = reader.read(raw, now)
    for _ in range(2):
        assert reader.quick(raw, now) in (None, line[:3])
    return line


def test_a_service_line() -> None:
    line = parse_line(service_line("a=1 b=2", prefix="mon", postfix="load").rstrip("\n"), NOW)
    assert line == (("web01", "load", "mon", "load", ()), NOW, "a=1 b=2", "")


def test_a_host_line_has_no_service() -> None:
    line = parse_line(host_line("rta=1ms").rstrip("\n"), NOW)
    assert line == (("web01", None, "", "", ()), NOW, "rta=1ms", "")


def test_undefined_macros_count_as_absent() -> None:
    line = parse_line(service_line("$SERVICEPERFDATA$").rstrip("\n"), NOW)
    assert (line.source.prefix, line.source.postfix, line.perfdata) == ("", "", "")


def test_the_classic_template_with_fields_behind_the_perfdata() -> None:
    text = (
        f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::a::b::c=1\tSERVICECHECKCOMMAND::c!x::y\t"
        "UNKNOWNKEY::z\t__class__::x\tGRAPHITEPREFIX::p\tGRAPHITEPOSTFIX::q"
    )
    line = parse_line(text, NOW)
    assert (line.source.prefix, line.source.postfix, line.perfdata) == ("p", "q", "a::b::c=1")


def test_a_tab_between_items_is_a_blank() -> None:
    assert parse_line(service_line("a=1\tb=2").rstrip("\n"), NOW).perfdata == "a=1\tb=2"


@pytest.mark.parametrize(
    "key", ["HOSTNAME", "TIMET", "SERVICEDESC", "GRAPHITEPREFIX", "GRAPHITEPOSTFIX", "SERVICEPERFDATA", "DATATYPE"]
)
def test_a_forged_field_rejects_the_line_by_name(key: str) -> None:
    with pytest.raises(Rejected, match=rf"^{key} occurs twice$"):
        parse_line(service_line(f"x=1\t{key}::victim").rstrip("\n"), NOW)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "no DATATYPE"),
        ("garbage", "no DATATYPE"),
        ("DATATYPE::OTHER", "DATATYPE is 'OTHER', not SERVICEPERFDATA or HOSTPERFDATA"),
        (f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s", "no SERVICEPERFDATA"),
        (f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tSERVICEDESC::s\tSERVICEPERFDATA::a=1", "no HOSTNAME"),
        (
            f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::$HOSTNAME$\tSERVICEDESC::s\tSERVICEPERFDATA::a=1",
            "no HOSTNAME",
        ),
        (
            f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEPERFDATA::a=1",
            "no SERVICEDESC, GRAPHITEPREFIX or GRAPHITEPOSTFIX",
        ),
        ("DATATYPE::SERVICEPERFDATA\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::a=1", "no TIMET"),
    ],
)
def test_an_unusable_line_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse_line(line, NOW)
    assert str(refusal.value) == reason


@pytest.mark.parametrize(
    "timet",
    ["abc", "-1", "1.5", "1e9", "0", "١٧٩٥٢٥٣٤٨٠", NOW * 1000, NOW + 90_000, 999_999_999, "1_795_253_480"],
    ids=[
        "word",
        "negative",
        "fraction",
        "exponent",
        "0",
        "arabic",
        "milliseconds",
        "tomorrow",
        "before-2001",
        "python",
    ],
)
def test_a_time_that_is_none_is_refused(timet: object) -> None:
    with pytest.raises(Rejected, match=r"^TIMET "):
        parse_line(service_line("a=1", timet=timet).rstrip("\n"), NOW)


def test_a_clock_that_is_a_little_ahead_is_fine() -> None:
    assert parse_line(service_line("a=1", timet=NOW + 3600).rstrip("\n"), NOW).timestamp == NOW + 3600


PNP = (
    f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::{{}}\tSERVICECHECKCOMMAND::check!a=5\t"
    "HOSTSTATE::UP\tHOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD"
)
ICINGA_HOST = (
    f"DATATYPE::HOSTPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tHOSTPERFDATA::{{}}\tHOSTCHECKCOMMAND::hostalive\t"
    "HOSTSTATE::UP\tHOSTSTATETYPE::HARD"
)
OMD = (
    f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::{{}}\tSERVICECHECKCOMMAND::c\tSERVICESTATE::0\t"
    "SERVICESTATETYPE::1\tNAGFLUX:TAG::$_SERVICENAGFLUX_TAG$\tNAGFLUX:FIELD::x=5"
)
GRAPHIOS = (
    f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::{{}}\tSERVICECHECKCOMMAND::c\tHOSTSTATE::UP\t"
    "HOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::$_SERVICEGRAPHITEPREFIX$\t"
    "GRAPHITEPOSTFIX::$_SERVICEGRAPHITEPOSTFIX$\tMETRICTYPE::$_SERVICEMETRICTYPE$"
)
MIDDLE = {"pnp4nagios": PNP, "icinga-host": ICINGA_HOST, "omd": OMD, "graphios": GRAPHIOS}


@pytest.mark.parametrize("template", MIDDLE.values(), ids=MIDDLE)
def test_templates_with_the_perfdata_in_the_middle(template: str) -> None:
    line = parse_line(template.format("test::check_x::a=1 b=2"))
    assert (line.source.host, line.source.prefix, line.perfdata) == ("h", "", "test::check_x::a=1 b=2")
    assert line.suspect == ""


@pytest.mark.parametrize("template", MIDDLE.values(), ids=MIDDLE)
@pytest.mark.parametrize("key", ["HOSTNAME", "TIMET", "DATATYPE", "GRAPHITEPREFIX", "GRAPHITEPOSTFIX", "METRICTYPE"])
def test_plugin_output_with_a_tab_forges_no_field_there(template: str, key: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse_line(template.format(f"a=1\t{key}::victim"))
    assert key in str(refusal.value)
    assert refusal.value.kind in ("field-twice", "forged")


@pytest.mark.parametrize("template", MIDDLE.values(), ids=MIDDLE)
def test_a_tab_in_plugin_output_cuts_nothing_off(template: str) -> None:
    assert parse_line(template.format("a=1\tb::c=2\t\td=3")).perfdata == "a=1\tb::c=2\t\td=3"


@pytest.mark.parametrize("template", MIDDLE.values(), ids=MIDDLE)
def test_what_may_be_items_or_a_field_is_named(template: str) -> None:
    line = parse_line(template.format("a=1\tFOO::x=1 b=2"))
    assert (line.perfdata, line.suspect) == ("a=1", "FOO::x=1 b=2")


def test_a_custom_field_between_known_ones_is_ignored_without_a_word() -> None:
    line = parse_line(
        f"DATATYPE::HOSTPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tNOTE::x=5\tHOSTPERFDATA::a=1\tHOSTGROUP::linux"
    )
    assert (line.perfdata, line.suspect) == ("a=1", "")


def test_fields_asked_for_by_name() -> None:
    raw = f"DATATYPE::HOSTPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tHOSTGROUP::linux\tHOSTPERFDATA::a=1".encode()
    reader = LineReader(("HOSTGROUP", "SITE"))
    line = reader.read(raw, NOW)
    assert line.source.more == (("HOSTGROUP", "linux"), ("SITE", ""))
    assert reader.quick(raw, NOW) == line[:3]
    with pytest.raises(Rejected, match="HOSTGROUP occurs twice"):
        reader.read(raw + b"\tHOSTGROUP::windows", NOW)
    assert reader.quick(raw + b"\tHOSTGROUP::windows", NOW) is None


@pytest.mark.parametrize(
    "wanted", ["TIMET", "DATATYPE", "SERVICEPERFDATA", "SERVICESTATE", "HOSTSTATE", "SERVICECHECKCOMMAND"]
)
@pytest.mark.parametrize("template", MIDDLE.values(), ids=MIDDLE)
def test_any_field_may_be_asked_for(template: str, wanted: str) -> None:
    reader, raw = LineReader((wanted,)), template.format("a=1 b=2").encode()
    line = reader.read(raw, NOW)
    assert reader.quick(raw, NOW) in (None, line[:3])
    assert f"{wanted}::{line.source.more[0][1]}" in raw.decode() or wanted + "::" not in raw.decode()


@pytest.mark.parametrize("template", [PNP, GRAPHIOS, ICINGA_HOST], ids=["pnp4nagios", "graphios", "icinga-host"])
def test_the_usual_templates_are_read_quickly(template: str) -> None:
    reader = LineReader()
    line = reader.read(template.format("a=1").encode(), NOW)
    again = template.format("b=2").replace("HOSTNAME::h", "HOSTNAME::other").encode()
    assert reader.quick(again, NOW) == (line.source._replace(host="other"), NOW, "b=2")


def test_templates_do_not_mix_their_sources_up() -> None:
    reader = LineReader()
    first = f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::hGRAPHITEPREFIX::p\tSERVICEPERFDATA::a=1\tSERVICEDESC::s".encode()
    second = f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEPERFDATA::a=1\tGRAPHITEPREFIX::p\tSERVICEDESC::s".encode()
    host = f"DATATYPE::HOSTPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tHOSTPERFDATA::a=1\tGRAPHITEPREFIX::p\tSERVICEDESC::s".encode()
    for raw in (first, second, host):
        line = reader.read(raw, NOW)
        assert reader.quick(raw, NOW) == line[:3]
    for raw in (first, second, host):
        assert reader.quick(raw, NOW) == reader.read(raw, NOW)[:3]


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 700, "é" * 3000])
def test_a_field_of_any_length_is_the_same_both_ways(text: str) -> None:
    parse_line(service_line("a=1", host=text).rstrip("\n"))
    parse_line(service_line("a=1", prefix=text).rstrip("\n"))


@pytest.mark.parametrize("ending", ["\r", " ", "\t"])
def test_line_ends_of_other_systems(ending: str) -> None:
    line = parse_line(f"HOSTNAME::h\tDATATYPE::HOSTPERFDATA\tHOSTPERFDATA::a=1\tTIMET::{NOW}{ending}")
    assert (line.timestamp, line.perfdata) == (NOW, "a=1")


@pytest.mark.parametrize(
    ("prefix", "meant"),
    [
        ("$_HOSTGRAPHITEPREFIX$", ""),
        ("$_HOSTGRAPHITEPREFIX$.x", ""),
        ("mon.$_HOSTSITE$", "mon."),
        ("$host.vars.graphite_prefix$", ""),
        ("a$b", "a$b"),
        ("", ""),
    ],
)
def test_undefined_macros_in_a_prefix(prefix: str, meant: str) -> None:
    text = host_line("a=1").rstrip("\n").replace("$_HOSTGRAPHITEPREFIX$", prefix)
    assert parse_line(text).source.prefix == meant


def test_the_perfdata_of_a_very_long_line_is_not_copied() -> None:
    raw = PNP.format("a=1 " * CHUNK).encode()
    perfdata = LineReader().read(raw, NOW).perfdata
    assert isinstance(perfdata, memoryview)
    assert bytes(perfdata) == b"a=1 " * CHUNK
    assert perfdata.obj is raw


@pytest.mark.slow
def test_what_is_remembered_is_bounded() -> None:
    reader = LineReader()
    for number in range(12_000):
        raw = service_line("a=1", host=f"{number}-{'x' * 900}").rstrip("\n").encode()
        assert reader.quick(raw, NOW) or reader.read(raw, NOW)
    assert 0 < sum(100 + sys.getsizeof(key) for key in reader._services) < 10_000_000


@given(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.sampled_from(sorted(MIDDLE.values()))
)
def test_no_perfdata_in_the_middle_changes_host_service_or_time_of_its_line(perfdata: str, template: str) -> None:
    reader = LineReader()
    reader.read(template.format("a=1").encode(), NOW)
    raw = template.replace("{}", perfdata).encode()
    quick = reader.quick(raw, NOW)
    try:
        line = reader.read(raw, NOW)
    except Rejected as refusal:
        assert refusal.kind in ("field-twice", "forged")  # noqa: PT017
        assert quick is None
        return
    assert quick in (None, line[:3])
    assert (line.timestamp, line.source.host, line.source.prefix, line.source.postfix) == (NOW, "h", "", "")


@given(st.text(st.characters(exclude_characters="\n")))
def test_no_perfdata_changes_host_service_or_time_of_its_line(perfdata: str) -> None:
    try:
        line = parse_line(service_line(perfdata).rstrip("\n"), time.time())
    except Rejected as refusal:
        assert "occurs twice" in str(refusal)  # noqa: PT017
        return
    assert (line.timestamp, line.source) == (NOW, ("web01", "load", "", "", ()))
