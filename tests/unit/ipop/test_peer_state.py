"""The state of a peer as a link: values and units of the format, and what is left of states that have none of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.ipop import peer_state
from checks.ipop.records import Pair
from tests.ipop.tincan import as_first, pair, peer


def test_an_online_peer() -> None:
    state = peer(2, [pair(2000, 1000), pair(7, 8, best=False, port=50000)])
    link = peer_state.link(state, "172.31.0.102", sampled=5.0)
    assert (link.key, link.peer, link.active, link.state) == ("172.31.0.102", "172.31.0.102", True, "online")
    assert (link.age, link.xmpp_age, link.sampled, link.trouble) == (120, 30, 5.0, "")
    assert link.aliases == (state["ip6"], state["uid"])
    assert link.connection == "stun"
    assert link.pairs == (
        Pair("192.0.2.10:42100 198.51.100.7:42101", 2000, 1000, True, 0.023, "stun"),
        Pair("192.0.2.10:50000 198.51.100.7:50001", 7, 8, False, 0.023, "stun"),
    )


def test_an_offline_peer_has_no_age_and_no_traffic() -> None:
    link = peer_state.link(peer(3, online=False) | {"stats": [pair()]}, "172.31.0.103")
    assert (link.active, link.state, link.age, link.xmpp_age, link.pairs) == (False, "offline", None, 30, ())
    assert (link.connection, link.trouble) == ("", "")


def test_a_peer_of_a_tincan_without_stats_is_online() -> None:
    state = peer(1)
    del state["stats"]
    link = peer_state.link(state, "p", key="k")
    assert (link.key, link.peer, link.active, link.pairs, link.trouble) == ("k", "p", True, (), "")


@pytest.mark.parametrize(
    ("local", "remote", "connection"),
    [
        ("local", "local", "local"),
        ("local", "stun", "stun"),
        ("prflx", "local", "stun"),
        ("stun", "relay", "relay"),
        ("relay", "local", "relay"),
        ("local", "pigeon", ""),
        (None, "local", ""),
    ],
)
def test_the_less_direct_end_says_how_a_link_runs(local: Any, remote: Any, connection: str) -> None:
    state = peer(1, [pair(best=False, port=1), pair(local_type=local, rem_type=remote)])
    link = peer_state.link(state, "p")
    assert (link.connection, link.pairs[1].connection) == (connection, connection)


def test_without_a_best_pair_nothing_says_how_a_link_runs() -> None:
    assert peer_state.link(peer(1, [pair(best=False)]), "p").connection == ""


@pytest.mark.parametrize("rtt", [4294967295, -1, "23", None, True, 2.5])
def test_a_round_trip_that_is_none(rtt: Any) -> None:
    assert peer_state.link(peer(1, [pair(rtt=rtt)]), "p").pairs[0].rtt is None


@pytest.mark.parametrize("value", [-1, 1 << 32, 1.5, "5", None, True, [], {}])
def test_numbers_that_are_none(value: Any) -> None:
    state = peer(1, [pair(value, value)], last_time=value, xmpp_time=value)
    link = peer_state.link(state, "p")
    assert (link.age, link.xmpp_age, link.pairs[0].received, link.pairs[0].sent) == (None,) * 4
    assert link.active


@pytest.mark.parametrize("status", [None, 1, "", ["online"], {}])
def test_a_state_without_status_is_no_link_that_is_up(status: Any) -> None:
    link = peer_state.link(peer(1, status=status), "p")
    assert (link.active, link.state, link.trouble) == (False, "", "its state has no status")


def test_pairs_with_the_same_addresses_have_no_counters() -> None:
    link = peer_state.link(peer(1, [pair(5, 6), pair(7, 8, best=False), pair(9, 10, port=9)]), "p")
    assert [(one.received, one.sent) for one in link.pairs] == [(None, None), (9, 10)]
    assert "same addresses" in link.trouble
    assert link.pairs[0].best


@pytest.mark.parametrize("stats", [5, {"best_conn": True}, None, [pair()] * 1001])
def test_stats_that_are_no_list_of_pairs(stats: Any) -> None:
    link = peer_state.link(peer(1) | {"stats": stats}, "p")
    assert (link.active, link.pairs, link.trouble) == (True, (), "its stats are no list of candidate pairs")


@pytest.mark.parametrize("entry", [5, None, [], {}, {"local_addr": "a"}, {"local_addr": "a", "rem_addr": 7}])
def test_a_damaged_pair_costs_that_pair(entry: Any) -> None:
    link = peer_state.link(peer(1, [entry, pair()]), "p")
    assert [one.received for one in link.pairs] == [2000]
    assert link.trouble == "a candidate pair without addresses is left out"


def test_in_switch_mode_a_peer_goes_by_its_uid() -> None:
    """Every peer is told to be at 127.0.0.1 there."""
    assert peer_state.names(peer(1, ip4="127.0.0.1", ip6="", uid="ab")) == ("ab",)
    assert peer_state.names({"ip4": 5, "ip6": None, "uid": "c" * 200}) == ("c" * 100,)


def test_the_first_release_tells_pairs_in_two_texts() -> None:
    state = peer(1, [pair(2000, 1000), pair(7, 8, best=False, port=50000)])
    link = peer_state.link(as_first(state), "p")
    told = peer_state.link(state, "p")
    assert link.pairs == tuple(one._replace(connection="") for one in told.pairs)
    assert (link.active, link.trouble, link.xmpp_age, link.age) == (True, "", None, 120)


@pytest.mark.parametrize("stats", ["1:1:1:0:0:23:1000:5:2000", "1:1:1:0:0:23:1000:5:2000:10:11", "x", ": " * 5000])
def test_the_first_release_cut(stats: str) -> None:
    link = peer_state.link(as_first(peer(1)) | {"stats": stats}, "p")
    assert (link.active, link.pairs) == (True, ())
    assert link.trouble == "a candidate pair without addresses is left out"


@pytest.mark.parametrize("addresses", ["", "192.0.2.10:42100", None, 7])
def test_a_pair_of_the_first_release_without_addresses(addresses: Any) -> None:
    link = peer_state.link(as_first(peer(1)) | {"stats_cons": addresses}, "p")
    assert (link.active, link.pairs) == (True, ())
    assert link.trouble == "a candidate pair without addresses is left out"


def test_numbers_of_the_first_release_that_are_none() -> None:
    told = {"stats": "1:1:1:0:0::-5:5:99999999999999999999:10", "stats_cons": "a b"}
    (only,) = peer_state.link(as_first(peer(1)) | told, "p").pairs
    assert only == Pair("a b", None, None, True, None, "")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
_FIELDS = ("status", "uid", "ip4", "ip6", "last_time", "xmpp_time", "stats", "stats_cons")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _JSON | st.just("online"))))
def test_any_state_makes_a_link_of_numbers_in_range(state: dict[str, Any]) -> None:
    link = peer_state.link(state, "p")
    assert link.active == (state.get("status") == "online")
    numbers = [link.age, link.xmpp_age, *(value for one in link.pairs for value in (one.received, one.sent))]
    assert all(value is None or 0 <= value < 1 << 32 for value in numbers)
