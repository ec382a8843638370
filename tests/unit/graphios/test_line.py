"""Lines of the spool: what is used, what is refused and why, and that no plugin output can write to another host's series."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios.inputs.line import Rejected, parse_line
from tests.unit.graphios.spool_lines import NOW, host_line, service_line


def test_a_service_line() -> None:
    line = parse_line(service_line("a=1 b=2", prefix="mon", postfix="load").rstrip("\n"), NOW)
    assert line == (NOW, "web01", "load", "mon", "load", "a=1 b=2")


def test_a_host_line_has_no_service() -> None:
    line = parse_line(host_line("rta=1ms").rstrip("\n"), NOW)
    assert line == (NOW, "web01", None, "", "", "rta=1ms")


def test_undefined_macros_count_as_absent() -> None:
    line = parse_line(service_line("$SERVICEPERFDATA$").rstrip("\n"), NOW)
    assert (line.prefix, line.postfix, line.perfdata) == ("", "", "")


def test_the_classic_template_with_fields_behind_the_perfdata() -> None:
    text = (
        f"DATATYPE::SERVICEPERFDATA\tTIMET::{NOW}\tHOSTNAME::h\tSERVICEDESC::s\tSERVICEPERFDATA::a::b::c=1\tSERVICECHECKCOMMAND::c!x::y\t"
        "UNKNOWNKEY::z\t__class__::x\tGRAPHITEPREFIX::p\tGRAPHITEPOSTFIX::q"
    )
    line = parse_line(text, NOW)
    assert (line.prefix, line.postfix, line.perfdata) == ("p", "q", "a::b::c=1")


def test_a_tab_between_items_is_a_blank() -> None:
    assert parse_line(service_line("a=1\tb=2").rstrip("\n"), NOW).perfdata == "a=1 b=2"


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
    "timet", ["abc", "-1", "1.5", "1e9", "0", "١٧٩٥٢٥٣٤٨٠", NOW * 1000, NOW + 90_000, 999_999_999, "1_795_253_480"]
)
def test_a_time_that_is_none_is_refused(timet: object) -> None:
    with pytest.raises(Rejected, match=r"^TIMET "):
        parse_line(service_line("a=1", timet=timet).rstrip("\n"), NOW)


def test_a_clock_that_is_a_little_ahead_is_fine() -> None:
    assert parse_line(service_line("a=1", timet=NOW + 3600).rstrip("\n"), NOW).timestamp == NOW + 3600


@given(st.text(st.characters(exclude_characters="\n")))
def test_no_perfdata_changes_host_service_or_time_of_its_line(perfdata: str) -> None:
    try:
        line = parse_line(service_line(perfdata).rstrip("\n"), time.time())
    except Rejected as refusal:
        assert "occurs twice" in str(refusal)  # noqa: PT017
        return
    assert (line.timestamp, line.host, line.service, line.prefix, line.postfix) == (NOW, "web01", "load", "", "")
