"""Metric names: Graphios's where it had them, clean always, and never one name for two labels."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios import names


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("load1", "load1"),
        ("web01.cpu.percent", "web01.cpu.percent"),
        ("rx-bytes_2", "rx-bytes_2"),
        ("/", "_"),
        ("/var/log", "_var_log"),
        ("time_offset-192.168.0.1", "time_offset-192.168.0.1"),
    ],
)
def test_labels_that_need_no_hash_keep_the_name_graphios_gave(label: str, name: str) -> None:
    assert names.unique_label(label) == name
    assert names.graphios_label(label) == name


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
def test_labels_that_look_alike_stay_apart(pair: tuple[str, str]) -> None:
    assert names.unique_label(pair[0]) != names.unique_label(pair[1])


LABELS = st.text(min_size=1, max_size=12) | st.text("ab_/. -é%", min_size=1, max_size=6)


@given(st.lists(LABELS, unique=True, max_size=60))
def test_no_two_labels_share_a_name(labels: list[str]) -> None:
    assert len({names.unique_label(label) for label in labels}) == len(labels)


@given(st.text(min_size=1, max_size=600) | LABELS, st.booleans())
def test_every_name_is_clean_whatever_the_label(label: str, unique: bool) -> None:
    namer = names.Namer("base", unique)
    name = namer.path(label, label, label, label) + namer.label(label)
    assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name)
    assert all(len(element) <= names.LONGEST_ELEMENT for element in name.split("."))


def test_a_label_has_the_same_name_in_every_process() -> None:
    # Written down, because a series must not change its name with a new version.
    assert names.unique_label("C: used %") == "C__used__-10cb085c"


@pytest.mark.parametrize(
    ("prefix", "postfix", "name"),
    [
        ("mon.dc1", "load", "mon.dc1.web_example_org.load."),
        ("mon", "", "mon.web_example_org."),
        ("", "a.b", "web_example_org.a.b."),
        ("", "", "web_example_org.Disk_Space."),
        (".mon..dc1.", "", "mon.dc1.web_example_org."),
        ("mon dc", "", "mondc.web_example_org."),
    ],
)
def test_prefix_host_postfix_or_else_host_and_service(prefix: str, postfix: str, name: str) -> None:
    assert names.Namer().path("web.example.org", "Disk Space", prefix, postfix) == name


def test_host_perfdata_without_prefix_has_a_level_of_its_own() -> None:
    assert names.Namer("all").path("web01", None, "", "") == "all.web01._HOST_."


def test_two_services_that_meet_in_one_name_are_reported_once() -> None:
    told: list[str] = []
    namer = names.Namer(warn=told.append)
    for service in ("Disk Space", "Disk_Space", "Disk Space", "Disk_Space", "Disk/Space"):
        namer.path("web01", service, "", "")
    assert len(told) == 1
    assert "web01, Disk Space" in told[0]
    assert "web01, Disk_Space" in told[0]


def test_caches_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_CACHED", 10)
    namer = names.Namer()
    for number in range(100):
        assert namer.label(f"l{number}") == f"l{number}"
        assert namer.path(f"h{number}", "s", "", "") == f"h{number}.s."
    assert max(len(namer._labels), len(namer._paths), len(namer._raw)) <= 10
