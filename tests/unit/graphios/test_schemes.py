"""Schemes: what a metric name is made of, and what settings are refused."""

import re

import pytest

from graphios.configuration.settings import Names
from graphios.inputs.line import Source
from graphios.naming import schemes
from graphios.naming.schemes import Namer


def name(names: Names, source: Source, label: str = "L") -> str:
    namer = Namer(names)
    head = namer.head(source)
    assert head is not None
    return f"{head.before}{namer.labels[label]}{head.behind}"


@pytest.mark.parametrize(
    ("prefix", "postfix", "expected"),
    [
        ("mon.dc1", "load", "mon.dc1.web_example_org.load.L"),
        ("mon", "", "mon.web_example_org.L"),
        ("", "a.b", "web_example_org.a.b.L"),
        ("", "", "web_example_org.Disk_Space.L"),
        (".mon..dc1.", "", "mon.dc1.web_example_org.L"),
        ("mon dc", "", "mondc.web_example_org.L"),
    ],
)
def test_prefix_host_postfix_or_else_host_and_service(prefix: str, postfix: str, expected: str) -> None:
    assert name(Names(), Source("web.example.org", "Disk Space", prefix, postfix)) == expected


def test_host_perfdata_without_prefix_has_a_level_of_its_own() -> None:
    assert name(Names(base="all"), Source("web01", None)) == "all.web01._HOST_.L"


def test_by_service_description() -> None:
    names = Names(scheme="service")
    assert name(names, Source("web01", "Disk Space", "mon", "x")) == "mon.web01.Disk_Space.x.L"
    assert name(names, Source("web01", None, "mon", "")) == "mon.web01._HOST_.L"


def test_lines_without_prefix_can_be_left_out() -> None:
    namer = Namer(Names(unprefixed=False))
    assert namer.head(Source("web01", "load")) is None
    assert namer.head(Source("web01", "load", "mon")) is not None
    assert Namer(Names(unprefixed=False, scheme="service")).head(Source("web01", "load")) is not None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (Names(reverse_hostname=True), "org_example_web.s.L"),
        (Names(reverse_hostname=True, replace_hostname=False), "org.example.web.s.L"),
        (Names(replace_hostname=False), "web.example.org.s.L"),
        (Names(cleaning="escape"), "web_2e_example_2e_org.s.L"),
        (Names(cleaning="graphios", replacement="-"), "web-example-org.s.L"),
    ],
)
def test_host_names(names: Names, expected: str) -> None:
    assert name(names, Source("web.example.org", "s")) == expected


def test_templates() -> None:
    source = Source("web01", "Disk Space", "", "post", (("HOSTGROUP", "linux"),))
    names = Names(scheme="template", template="nagios.{HOSTGROUP}.{prefix}.{service}-x.{label}.{host}", base="b")
    assert name(names, source) == "b.nagios.linux.Disk_Space-x.L.web01"
    assert name(names, source, "a.b") == "b.nagios.linux.Disk_Space-x.a.b.web01"
    assert schemes.fields_used(names) == ("HOSTGROUP",)
    assert schemes.fields_used(Names(template="{HOSTGROUP}.{label}")) == ()


def test_tags() -> None:
    names = Names(scheme="tags")
    assert name(names, Source("web.example.org", "Disk Space: /")) == "L;host=web.example.org;service=Disk_Space:_/"
    assert name(names, Source("web01", None)) == "L;host=web01;service=_HOST_"
    names = Names(
        scheme="tags",
        metric="nagios.perfdata",
        base="b",
        tags=(("service", "{service}"), ("host", "{host}"), ("label", "{label}"), ("prefix", "{prefix}")),
    )
    assert name(names, Source("~w;x=é", "s"), "'C: %'").startswith("b.nagios.perfdata;host=_w_x__;label=C:_%-")
    assert name(names, Source("w\0x", "s"), "a=").startswith("b.nagios.perfdata;host=w_x;label=a_-")


@pytest.mark.parametrize(
    "names",
    [
        Names(scheme="template", template="{host}.{service}"),
        Names(scheme="template", template="{label}.{label}"),
        Names(scheme="template", template="{hots}.{label}"),
        Names(scheme="template", template="{host.{label}"),
        Names(scheme="template", template="a b.{label}"),
        Names(scheme="template", template="a;b=c.{label}"),
        Names(scheme="tags", metric="x"),
        Names(scheme="tags", tags=(("a;b", "{host}"),)),
        Names(scheme="tags", tags=(("", "{host}"),)),
        Names(scheme="tags", tags=(("name", "{host}"),)),
        Names(scheme="tags", tags=(("a", "{host}"), ("a", "{service}"))),
        Names(dot="é"),
        Names(replacement=";"),
        Names(replacement=" "),
    ],
)
def test_settings_no_name_can_be_made_of_are_refused(names: Names) -> None:
    with pytest.raises(ValueError, match=r".{10}"):
        schemes.check(names)


def test_a_dot_in_a_label_can_become_something_else() -> None:
    source = Source("web01", "s")
    assert re.fullmatch(r"web01\.s\.a-b-[0-9a-f]{8}", name(Names(dot="-"), source, "a.b"))
    assert name(Names(dot="_", cleaning="graphios"), source, "a.b") == "web01.s.a_b"
    assert name(Names(dot="_", cleaning="escape"), source, "a.b") == "web01.s.a_2e_b"


def test_two_services_that_meet_in_one_name_are_reported_once() -> None:
    told: list[str] = []
    namer = Namer(Names(), told.append)
    for service in ("Disk Space", "Disk_Space", "Disk Space", "Disk_Space", "Disk/Space"):
        namer.head(Source("web01", service))
    assert len(told) == 1
    assert "web01, Disk Space" in told[0]
    assert "web01, Disk_Space" in told[0]


@pytest.mark.slow
def test_what_is_remembered_is_bounded() -> None:
    namer = Namer(Names())
    for number in range(40_000):
        label = f"{number}-{'x' * 200}"
        assert namer.labels[label]
        namer.head(Source(label, "s"))
    assert sum(map(len, namer.labels)) < 4_000_000
    assert sum(map(len, namer._raw)) < 4_000_000
