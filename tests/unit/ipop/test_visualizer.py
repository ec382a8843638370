"""The visualizer's link records: the collector's document, what its web service answers, names of nodes, and when it was written."""

import time

import pytest

from checks.deadline import BadInput
from checks.ipop import visualizer
from tests.ipop import overlay
from tests.unit.ipop.recorded import OTHER, OVERLAY, T1, T2, T3, T4, WRITTEN, A, B, C, X, load, read


def ends(content):
    return {(link.overlay, link.incarnation, link.key.split("/")[1]): link for link in read(content).links}


def test_every_record_of_both_ends_and_all_overlays_is_a_link():
    found = ends("visualizer")
    assert set(found) == {(OVERLAY, T1, A), (OVERLAY, T2, A), (OVERLAY, T3, A), (OVERLAY, T1, B), (OTHER, T4, A)}
    assert [link.active for link in found.values()] == [True, True, False, True, True]
    assert (read("visualizer").source, read("visualizer").bits) == ("IPOP visualizer", 64)


def test_overlays_without_links_and_ids_of_named_nodes_are_told():
    content = load("visualizer")
    content["Overlays"]["121030F"] = {"NumNodes": 1, "NumLinks": 0, "Name": ""}
    found = read(content)
    assert set(found.overlays) == {OVERLAY, OTHER, "121030F"}
    assert [link.node_id for link in found.links] == [A, A, A, B, A]
    assert read("visualizer-links").overlays == (OVERLAY,)


def test_topology_lists_links_of_other_overlays_and_adds_none():
    content = load("visualizer")
    assert T4 in content["Topology"][OVERLAY][A]
    del content["Topology"]
    assert read(content) == read("visualizer")


def test_peers_have_the_name_of_their_node_else_its_address_else_its_id():
    found = ends("visualizer")
    assert (found[OVERLAY, T1, A].node, found[OVERLAY, T1, A].peer) == ("node-a", "node-b")
    assert found[OVERLAY, T1, A].aliases == ("10.10.100.2", B)
    assert found[OTHER, T4, A].aliases == ("192.168.1.2", B)
    assert (found[OVERLAY, T3, A].peer, found[OVERLAY, T3, A].aliases) == ("10.10.100.3", (C,))
    assert (found[OVERLAY, T2, A].peer, found[OVERLAY, T2, A].aliases) == (X, ())


def test_a_link_that_topology_had_not_told_of_has_its_peer_all_the_same():
    content = load("visualizer")
    record = content["Links"][OVERLAY][A][T1]
    for name in ("PeerId", "State", "CreatedTime", "ConnectedTime"):
        del record[name]
    link = ends(content)[OVERLAY, T1, A]
    assert (link.peer, link.active, link.trouble) == ("node-b", False, "its record tells no state")


def test_age_bytes_and_connection_are_those_of_the_document():
    link = ends("visualizer")[OVERLAY, T1, A]
    assert (link.age, link.connection, link.sampled, link.tap) == (100.0, "stun", WRITTEN, "")
    assert [(pair.received, pair.sent, pair.best) for pair in link.pairs] == [
        (576312973, 896516, True),
        (1074, 4486752, False),
    ]
    assert ends("visualizer")[OVERLAY, T2, A].connection == "relay"
    assert ends("visualizer")[OTHER, T4, A].connection == "local"


def test_a_link_not_connected_yet_has_neither():
    link = ends("visualizer")[OVERLAY, T3, A]
    assert (link.state, link.age, link.pairs, link.trouble) == ("CEStateCreated", None, (), "")


@pytest.mark.parametrize("name", ["visualizer-links", "visualizer-links-of-a-node"])
def test_an_answer_of_the_web_service_tells_the_same_links_without_names(name):
    found, document = ends(name), ends("visualizer")
    assert set(found) == {key for key in document if key[0] == OVERLAY and (name == "visualizer-links" or key[2] == A)}
    for key, link in found.items():
        assert link == document[key]._replace(node=key[2], peer=link.key.split("/")[2], aliases=())


@pytest.mark.parametrize(
    "answer",
    [
        {"current_state": {OVERLAY: {"NumNodes": 3, "NumLinks": 3, "Name": ""}}},
        {"current_state": {}},
        {OVERLAY: {"current_state": {A: {"NodeName": "node-a"}}}},
        {OVERLAY: {"current_state": {A: {"IP4": "10.10.100.1"}}}},
        {OVERLAY: {A: {"NodeName": "node-a", "IP4": "10.10.100.1"}}},
        {OVERLAY: {"added": {}, "removed": {}, "modified": {A: {}}}, "updateOffset": 10},
        {OVERLAY: {A: {"added": {}, "removed": {}, "modified": {}}}, "updateOffset": 10},
    ],
    ids=["overlays", "no overlays", "names of nodes", "addresses of nodes", "node", "changes", "changes of a node"],
)
def test_an_answer_that_does_not_list_all_links_is_refused_with_the_question_to_ask(answer):
    with pytest.raises(BadInput, match="current_state=True"):
        read({**answer, "intervalNo": "2026-11-20 21:11:04"})


@pytest.mark.parametrize("state", [{}, None, [], 5])
def test_an_overlay_without_links_has_none(state):
    assert read({OVERLAY: {"current_state": state}, "intervalNo": ""}).links == ()


@pytest.mark.parametrize("damage", [None, 5, "x", []])
def test_what_is_damaged_costs_only_itself(damage):
    content = load("visualizer")
    before = ends("visualizer")
    content["Links"][OVERLAY][A][T2] = damage
    content["Links"][OVERLAY][B] = damage
    content["Nodes"][OVERLAY][C] = damage
    found = read(content)
    assert found.troubles == (f"node {B} of overlay {OVERLAY} is no JSON object",)
    after = ends(content)
    assert [(link.active, bool(link.trouble)) for link in (after[OVERLAY, T2, A], after[OVERLAY, T1, A])] == [
        (False, True),
        (True, False),
    ]
    assert after[OVERLAY, T3, A].peer == C
    assert after[OVERLAY, T1, A] == before[OVERLAY, T1, A]
    for name in ("Nodes", "Overlays"):
        assert len(read({**load("visualizer"), name: damage}).links) == 5


@pytest.mark.parametrize(
    "stamp",
    [
        {"$date": "2026-11-20T21:11:04.000Z"},
        {"$date": {"$numberLong": "1795209064000"}},
        {"$date": 1795209064000},
        "2026-11-20T22:11:04+01:00",
    ],
)
def test_the_moment_of_a_document_is_its_id(stamp):
    assert visualizer.written({"_id": stamp}) == WRITTEN


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        "",
        "yesterday",
        {"$oid": "5c0ef0"},
        {"$date": None},
        {"$date": {"$numberLong": "9" * 30}},
        -5,
        0,
        1e300,
        True,
        [],
        {"$date": -1e17},
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59",
        {"$date": {"$numberLong": "²"}},
    ],
)
def test_what_is_no_moment_is_not_known(stamp):
    found = visualizer.written({"_id": stamp})
    assert found is None or 0 < found < 2.6e11


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("clock", [time.gmtime, time.localtime])
def test_an_interval_without_a_zone_is_utc_or_local_time_whichever_is_lately(monkeypatch, zone, clock):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        now = time.time()
        told = visualizer.written({"intervalNo": time.strftime("%Y-%m-%d %H:%M:%S", clock(now - 20))})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told == pytest.approx(now - 20, abs=1)


def test_an_overlay_of_318_records():
    found = read(overlay.visualizer(318), None).links
    assert (len(found), sum(link.active for link in found), len({link.key for link in found})) == (318, 314, 318)
    assert {link.overlay for link in found} == set(overlay.OVERLAYS)
    assert {link.connection for link in found if link.active} == {"local", "stun", "relay"}
