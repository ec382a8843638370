"""Candidate pairs of IPOP 18 to 20: what tells them apart, how they run, and what is no measurement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.ipop import candidates
from checks.ipop.records import CONNECTIONS
from tests.ipop.overlay import candidate, pair


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("Cand[:1:1:udp:2122260223:192.0.2.10:42100:local::0:ufrag:pwd:1:0:0]", "192.0.2.10:42100/local", "local"),
        ("Cand[audio:38:2:tcp:1:[2001:db8::1]:9:stun:[fe80::1]:9:u:p:0:50:0]", "[2001:db8::1]:9/stun", "stun"),
        ("Cand[:38:1:udp:1:2001:db8::1:9:relay::0:u:p:0:50:0]", "2001:db8::1:9/relay", "relay"),
        (candidate("198.51.100.7", 38261, "prflx"), "198.51.100.7:38261/prflx", "stun"),
    ],
)
def test_a_candidate_is_known_by_its_socket_and_kind(text, name, kind):
    assert candidates.candidate(text) == (name, kind)


@pytest.mark.parametrize("text", ["", "Cand[]", "Cand[:1:1:udp:1:192.0.2.10:42100:stun", "Cand[" + ":" * 300, "relay"])
def test_what_is_no_candidate_has_no_kind(text):
    assert candidates.candidate(text) == (text, "")


@pytest.mark.parametrize(
    ("one", "other", "connection"),
    [
        ("local", "local", "local"),
        ("local", "stun", "stun"),
        ("prflx", "local", "stun"),
        ("stun", "prflx", "stun"),
        ("relay", "local", "relay"),
        ("local", "relay", "relay"),
        ("relay", "", "relay"),
        ("host", "local", "local"),
        ("host", "srflx", "stun"),
        ("local", "", ""),
        ("", "", ""),
    ],
)
def test_a_pair_runs_as_the_less_direct_of_its_ends(one, other, connection):
    assert candidates.joined(one, other) == connection


@pytest.mark.parametrize("stats", [None, {}, [], ""])
def test_no_statistics_are_no_trouble(stats):
    assert candidates.pairs(stats) == ((), "")


@pytest.mark.parametrize("stats", [5, "x", {"best_conn": True}])
def test_what_is_no_list_is_named(stats):
    assert candidates.pairs(stats) == ((), "its Stats are no list")


def test_a_damaged_pair_is_counted_and_leaves_the_others():
    found, trouble = candidates.pairs([pair(1, 2), 5, None, pair(3, 4, best=False, port=7)])
    assert [(one.received, one.sent) for one in found] == [(1, 2), (3, 4)]
    assert trouble == "2 of its 4 candidate pairs can't be used"


def test_bytes_of_two_pairs_that_can_not_be_told_apart_are_not_known():
    found, trouble = candidates.pairs([pair(1, 2), pair(3, 4)])
    assert [(one.received, one.sent, one.best) for one in found] == [(None, None, True)]
    assert trouble == "1 of its 2 candidate pairs can't be used"


@pytest.mark.parametrize("value", [None, -1, 1.5, "10", True, 1 << 64, [], 1e300])
def test_what_is_no_number_of_bytes_is_not_known(value):
    found, _ = candidates.pairs([{**pair(1, 2), "recv_total_bytes": value}])
    assert [(one.received, one.sent) for one in found] == [(None, 2)]


def test_counters_have_64_bits():
    found, _ = candidates.pairs([pair((1 << 64) - 1, 1 << 32)])
    assert (found[0].received, found[0].sent) == ((1 << 64) - 1, 1 << 32)


@pytest.mark.parametrize(("rtt", "seconds"), [(0, 0.0), (3082, 3.082), (-1, None), ("23", None), (None, None)])
def test_round_trips_are_milliseconds(rtt, seconds):
    found, _ = candidates.pairs([{**pair(1, 2), "rtt": rtt}])
    assert found[0].rtt == seconds


def test_far_more_pairs_than_a_link_has_are_cut_and_said():
    found, trouble = candidates.pairs([pair(1, 2, port=port) for port in range(1, 1001)])
    assert len(found) == 200
    assert trouble == "800 of its 1000 candidate pairs can't be used"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(pair(1, 2))) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(json_values)
def test_whatever_stands_in_statistics_pairs_are_told_apart(stats):
    found, _ = candidates.pairs(stats)
    assert len({one.key for one in found}) == len(found)
    assert all(one.connection in ("", *CONNECTIONS) for one in found)
