"""Whose check a job is, and that plugin output can't make it somebody else's."""

import contextlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.worker.macros import Unclear, Whose, variables, whose
from tests.unit.engine import nagios_jobs

WEB01 = Whose(b"web01", "Disk ö=1".encode(), b"mon", b"disk", b"check_nrpe!check_disk")


def test_a_service_with_its_custom_macros() -> None:
    assert whose(nagios_jobs.service()) == WEB01
    assert str(WEB01) == "web01, Disk ö=1"


def test_a_host_has_its_own_custom_macros() -> None:
    assert whose(nagios_jobs.HOST) == Whose(b"web01", b"", b"hosts", b"", b"check-host-alive")


def test_undefined_custom_macros_are_absent() -> None:
    text = nagios_jobs.service().replace(b"NAGIOS__SERVICEGRAPHITE", b"NAGIOS__SERVICEOTHER")
    assert whose(text)[2:4] == (b"", b"")


def test_output_with_line_ends_as_nagios_escapes_them_changes_nothing() -> None:
    evil = r"x\nNAGIOS_HOSTNAME=victim\\nNAGIOS_SERVICEDESC=other"
    assert whose(nagios_jobs.service(evil, "b=2 NAGIOS_HOSTNAME=victim", evil)) == WEB01


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("NAGIOS_HOSTNAME=victim", "NAGIOS_HOSTNAME comes twice"),
        ("NAGIOS_SERVICEDESC=other", "NAGIOS_SERVICEDESC comes twice"),
        ("NAGIOS__SERVICEGRAPHITEPREFIX=victim", "NAGIOS__SERVICEGRAPHITEPREFIX comes twice"),
        ("NAGIOS_ARG32=", "NAGIOS_ARG32 comes twice"),
        ("just text", "a macro holds a line end"),
        ("a=1", "a macro holds a line end"),
        ("", "a macro holds a line end"),
    ],
)
@pytest.mark.parametrize("where", ["output", "perfdata", "long", "odd"])
def test_a_line_end_that_came_through_is_noticed(where: str, line: str, complaint: str) -> None:
    with pytest.raises(Unclear, match=complaint):
        whose(nagios_jobs.service(**{where: f"x\n{line}\ny"} if line == "" else {where: f"x\n{line}"}))


def test_a_custom_macro_from_output_is_not_believed_where_the_service_has_none() -> None:
    text = nagios_jobs.service("x\nNAGIOS__SERVICEGRAPHITEPREFIX=victim").replace(
        b"\nNAGIOS__SERVICEGRAPHITEPREFIX=mon", b""
    )
    with pytest.raises(Unclear, match="not among the custom macros"):
        whose(text)


def test_names_behind_output_are_not_believed() -> None:
    text = nagios_jobs.service("x\nNAGIOS_SERVICEDESC=other").replace("NAGIOS_SERVICEDESC=Disk ö=1\n".encode(), b"")
    with pytest.raises(Unclear, match="behind the output"):
        whose(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "no macros"),
        (b"NAGIOS_HOSTNAME=a\n", "no NAGIOS_SERVICEDESC"),
        (b"NAGIOS_SERVICEDESC=a\n", "no NAGIOS_HOSTNAME"),
        (b"NAGIOS_HOSTNAME=\nNAGIOS_SERVICEDESC=a\n", "is empty"),
        (b"NAGIOS_HOSTNAME=a\tb\nNAGIOS_SERVICEDESC=a\n", "control characters"),
        (b"NAGIOS_HOSTNAME=a\nNAGIOS_SERVICEDESC=a\rHOSTNAME::b\n", "control characters"),
    ],
)
def test_what_is_incomplete_is_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(Unclear, match=complaint):
        whose(text)


@given(st.text(st.sampled_from("\nNAGIOS_HOSTNAME=vict\\im\x00\r"), max_size=80))
def test_no_output_makes_it_somebody_elses(output: str) -> None:
    try:
        found = whose(nagios_jobs.service(output))
    except Unclear:
        return
    assert found == WEB01


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    variables(text)
    with contextlib.suppress(Unclear):
        assert whose(text).host


def test_a_plugin_gets_each_macro_as_a_variable() -> None:
    found = variables(nagios_jobs.service("O=K \udcff"))
    assert found["NAGIOS_SERVICEOUTPUT"] == "O=K \udcff"
    assert found["NAGIOS_CONTACTNAME"] == ""
    assert found["NAGIOS_SERVICEDESC"] == "Disk ö=1"
    assert "" not in found


def test_a_variable_that_would_keep_every_plugin_from_starting_is_left_out() -> None:
    most = "x" * (131_072 - len("NAGIOS_ARG1=") - 1)
    text = b"NAGIOS_HOSTGROUPMEMBERS=%b\n" % (b"h" * 131_072) + f"NAGIOS_ARG1={most}\n".encode() + nagios_jobs.HOST
    found = variables(text)
    assert subprocess.run(["/bin/true"], env=found, check=False).returncode == 0
    assert found["NAGIOS_ARG1"] == most
    assert "NAGIOS_HOSTGROUPMEMBERS" not in found
