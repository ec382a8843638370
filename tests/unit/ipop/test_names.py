"""Labels of links: unique, safe, and not dependent on what else is there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.ipop.names import Prefixes, label, labels, shown
from checks.ipop.records import Link

NONE, NODE, BOTH = Prefixes(), Prefixes(node=True), Prefixes(overlay=True, node=True)


def link(peer, key="", active=True, **fields):
    return Link(key or peer, peer, active, "online", **fields)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("172.31.0.102", "172_31_0_102"),
        ("fd50:0dbc:41f2:4a3c:aaaa:aaaa:aaaa:aaaa", "fd50_0dbc_41f2_4a3c_aaaa_aaaa_aaaa_aaaa"),
        ("fd50::1", "fd50__1"),
        ("::1", "0__1"),
        ("node-a", "node-a"),
        ("a_b", "a_b"),
        ("b200feb1c0ffee00b200feb1c0ffee00", "b200feb1c0ffee00b200feb1c0ffee00"),
    ],
)
def test_addresses_and_plain_names_keep_all_they_say(raw, text):
    assert label(raw) == text


@pytest.mark.parametrize(
    "raw",
    ["172_31_0_102", "fd50__1", "10.0.0.1.2", "node.example", "na|me", "", "1.2.3", "a:b", "fe80::1%eth0", "\ud800"],
)
def test_what_could_meet_an_address_or_was_changed_gets_a_hash(raw):
    assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", label(raw))
    assert re.search("[0-9a-f]{8}$", label(raw))


def test_links_of_several_nodes_and_overlays_say_whose_they_are():
    one = link("10.0.0.1", overlay="101000F", node="a")
    assert labels([one], NODE) == ["a-10_0_0_1"]
    assert labels([one], BOTH) == ["101000F-a-10_0_0_1"]
    assert shown(one, NONE) == "10.0.0.1"
    assert shown(one, BOTH) == "101000F-a-10.0.0.1"


def test_of_two_links_to_one_peer_the_active_one_keeps_the_label_in_any_order():
    old, new = link("b", "o/a/b/1", active=False), link("b", "o/a/b/2")
    first, second = labels([old, new], NONE)
    assert second == "b"
    assert re.fullmatch("b_[0-9a-f]{8}", first)
    assert labels([new, old], NONE) == [second, first]


def test_prefixes_do_not_make_two_names_one():
    found = labels([link("c", "1", node="a-b"), link("b-c", "2", node="a")], NODE)
    assert len(set(found)) == 2


@pytest.mark.parametrize("peer", ["links", "source"])
def test_a_peer_cannot_take_the_names_of_the_whole(peer):
    assert labels([link(peer)], NONE) != [peer]


def test_a_label_fits_into_a_file_name():
    found = labels([link("a" * 300), link("a" * 299 + "b")], NONE)
    assert max(map(len, found)) <= 140
    assert len(set(found)) == 2


PEERS = st.sampled_from(["b", "10.0.0.1", "10_0_0_1", "links", "fd50::1", "fd50__1", "", "a-b", "\ud800"]) | st.text(
    max_size=5
)


@given(st.lists(st.builds(link, PEERS, st.text(max_size=3), st.booleans(), node=PEERS, overlay=PEERS), max_size=8))
def test_all_labels_are_safe_and_different(found):
    for prefixes in (NONE, NODE, BOTH):
        names = labels(found, prefixes)
        assert len(set(names)) == len(found)
        for name in names:
            assert re.fullmatch("[A-Za-z0-9-][A-Za-z0-9_-]*", name)


@given(
    st.lists(st.builds(link, PEERS, st.uuids().map(str), st.booleans()), max_size=8, unique_by=lambda one: one.key),
    st.randoms(),
)
def test_labels_do_not_depend_on_the_order(found, random):
    told = dict(zip((one.key for one in found), labels(found, NONE), strict=True))
    random.shuffle(found)
    assert dict(zip((one.key for one in found), labels(found, NONE), strict=True)) == told
