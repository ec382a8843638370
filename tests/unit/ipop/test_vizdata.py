"""VizData of IPOP 18, 20 and master and of EdgeVPN's evio: every layout, and what is stale, missing or damaged in it."""

import json

import pytest

from checks.ipop.records import Link, Pair
from tests.ipop import overlay
from tests.unit.ipop.recorded import OTHER, OVERLAY, T1, T2, T3, T4, A, B, C, E, links, load, read

STUN = Pair("192.0.2.10:42100/local 198.51.100.7:50001/stun", 10000, 5000, True, 0.023, "stun")


def test_a_link_of_ipop_20_is_what_link_manager_and_topology_tell_of_it_together():
    found = read("ipop-20")
    assert (found.source, found.node, found.bits, found.age_wraps) == ("IPOP 20.2.20 controller", "node-a", 64, False)
    online = found.links[0]
    assert online == Link(
        key=f"{OVERLAY}/{A}/{B}",
        peer=B,
        active=True,
        state="TNL_ONLINE",
        overlay=OVERLAY,
        age=100.0,
        pairs=online.pairs,
        connection="stun",
        tap="tnl-b200feb",
        incarnation=T1,
        sampled=found.changed,
        node_id=A,
    )
    assert online.pairs[0] == STUN
    assert [(pair.best, pair.rtt, pair.connection) for pair in online.pairs[1:]] == [(False, 3.0, "stun")]


def test_statistics_and_age_of_an_offline_tunnel_are_old_and_left_out():
    offline = links("ipop-20")[T2]
    assert (offline.active, offline.state, offline.peer) == (False, "TNL_OFFLINE", C)
    assert (offline.pairs, offline.age, offline.connection, offline.trouble) == ((), None, "", "")
    assert offline.tap == "tnl-c300feb"


def test_a_tunnel_being_made_is_listed_and_no_trouble():
    creating = links("ipop-20")[T3]
    assert (creating.active, creating.state, creating.age, creating.pairs) == (False, "TNL_CREATING", None, ())
    assert creating.trouble == ""


def test_a_tunnel_that_tincan_called_down_is_not_active_while_it_is_asked_again():
    content = load("ipop-20")
    content["VizData"][OVERLAY]["LinkManager"][A][T1]["TunnelState"] = "TNL_QUERYING"
    assert not links(content)[T1].active


def test_a_tunnel_just_online_has_no_statistics_yet():
    content = load("ipop-20")
    content["VizData"][OVERLAY]["LinkManager"][A][T1]["Stats"] = {}
    link = links(content)[T1]
    assert (link.active, link.pairs, link.connection, link.trouble) == (True, (), "", "")


def test_without_topology_the_age_is_not_known():
    found = links("ipop-20-without-topology")
    assert [(link.active, link.age, len(link.pairs)) for link in found.values()] == [(True, None, 2), (False, None, 0)]


def test_ipop_18_keys_the_topology_by_link_and_has_no_tunnel_state():
    found = links("ipop-18")
    assert [(link.active, link.state, link.age) for link in found.values()] == [
        (True, "CEStateConnected", 100.0),
        (False, "CEStateCreated", None),
        (True, "CEStateConnected", 50.0),
    ]
    assert [found[T1].connection, found[T4].connection] == ["relay", "local"]
    assert (found[T1].tap, found[T1].trouble, found[T2].trouble) == ("ipop1f00d1f", "", "")


@pytest.mark.parametrize(("status", "active"), [("ONLINE", True), ("OFFLINE", False), ("UNKNOWN", False)])
def test_without_topology_ipop_18_tells_tincans_own_status(status, active):
    content = load("ipop-18")
    del content["VizData"][OVERLAY]["Topology"]
    content["VizData"][OVERLAY]["LinkManager"][A][T1]["Status"] = status
    link = links(content)[T1]
    assert (link.active, link.state, link.age, link.trouble) == (active, status, None, "")


def test_links_to_one_peer_in_two_overlays_are_two():
    found = links("ipop-18")
    assert (found[T1].overlay, found[T4].overlay) == (OVERLAY, OTHER)
    assert (found[T1].peer, found[T1].key, found[T4].key) == (B, f"{OVERLAY}/{A}/{B}", f"{OTHER}/{A}/{B}")


def test_ipop_18_lists_the_edges_of_all_overlays_under_each():
    content = load("ipop-18")
    parts = content["VizData"]
    alone = {"PeerId": E, "LinkId": T3, "State": "CEStateCreated", "CreatedTime": 1795209060.0, "ConnectedTime": None}
    everything = {**parts[OVERLAY]["Topology"], **parts[OTHER]["Topology"], T3: alone}
    parts[OVERLAY]["Topology"] = parts[OTHER]["Topology"] = everything
    found = links(content)
    assert {link_id: found[link_id] for link_id in (T1, T2, T4)} == links("ipop-18")
    assert (len(found), found[T3].peer, found[T3].state) == (4, E, "CEStateCreated")


@pytest.mark.parametrize("layout", ["by node", "edges by node", "list"])
def test_a_topology_by_node_has_the_same_edges_and_numbers_are_none(layout):
    content = load("ipop-20")
    topology = content["VizData"][OVERLAY]["Topology"]
    content["VizData"][OVERLAY]["Topology"] = {
        "by node": {A: topology["ConnectionEdges"], "NumEdges": 3},
        "edges by node": {A: topology},
        "list": [B, C],
    }[layout]
    assert [link.age for link in links(content).values()] == [None if layout == "list" else 100.0, None, None]


def test_master_lists_edges_without_a_tunnel_and_overlays_without_links():
    found = read("ipop-master")
    assert [(link.incarnation, link.active, link.state, link.peer) for link in found.links] == [
        (T1, True, "TNL_ONLINE", B),
        (T3, False, "CEStatePreAuth", E),
    ]
    assert (found.source, found.node, found.troubles) == ("IPOP 20.7.1 controller", "node-a", ())


def test_evio_has_states_ages_and_endpoints_but_no_bytes():
    found = read("evio")
    assert (found.source, found.node) == ("EdgeVPN 24.1.2.1061 controller", "node-a")
    assert [(link.active, link.state, link.age, link.connection, link.tap, link.pairs) for link in found.links] == [
        (True, "CEStateConnected", 29.5, "stun", "tnl-b200feb", ()),
        (False, "CEStateDisconnected", None, "", "tnl-c300feb", ()),
        (False, "CEStateAuthorized", None, "", "", ()),
    ]
    assert not any(link.trouble for link in found.links)


@pytest.mark.parametrize(
    ("local", "remote", "connection"),
    [
        ("local", "local", "local"),
        ("local", "prflx", "stun"),
        ("stun", "local", "stun"),
        ("local", "relay", "relay"),
        ("relay", "db8", "relay"),  # evio splits its candidates at colons: of an IPv6 address this is what remains
        ("local", "db8", ""),
        (None, 7, ""),
    ],
)
def test_evio_runs_as_the_less_direct_of_its_endpoints(local, remote, connection):
    content = load("evio")
    content["VizData"][OVERLAY]["Tunnels"][T1]["LocalEndpoint"]["Proto"] = local
    content["VizData"][OVERLAY]["Tunnels"][T1]["RemoteEndpoint"]["Proto"] = remote
    assert links(content)[T1].connection == connection


@pytest.mark.parametrize(
    ("lost", "source"), [("BootTime", "EdgeVPN 24.1.2.1061 controller"), ("Version", "EdgeVPN controller")]
)
def test_evio_is_known_by_what_it_alone_tells(lost, source):
    content = load("evio")
    del content[lost]
    assert read(content).source == source


def test_evio_begins_with_no_tunnels():
    found = read("evio-first")
    assert (found.links, found.troubles, found.node, found.overlays) == ((), (), "node-a", (OVERLAY,))


def test_a_tunnel_that_evios_topology_has_not_told_of_yet_is_listed_and_no_trouble():
    content = load("evio")
    for name in ("PeerId", "State", "CreatedTime", "ConnectedTime", "Type"):
        del content["VizData"][OVERLAY]["Tunnels"][T1][name]
    link = links(content)[T1]
    assert (link.peer, link.active, link.state, link.trouble) == (T1, False, "", "")


@pytest.mark.parametrize("lost", ["PeerId", "State"])
def test_a_record_without_peer_or_state_is_named(lost):
    content = load("evio")
    del content["VizData"][OVERLAY]["Tunnels"][T1][lost]
    link = links(content)[T1]
    assert (link.active, link.peer) == ((True, T1) if lost == "PeerId" else (False, B))
    assert link.trouble == f"its record tells no {'peer' if lost == 'PeerId' else 'state'}"


@pytest.mark.parametrize("connected", [None, 0.0, 0, -5.0, 61.5, "1795209000", True, [], 1e300, 1795309064.0])
def test_what_is_no_moment_of_connection_gives_no_age(connected):
    content = load("evio")
    content["VizData"][OVERLAY]["Tunnels"][T1]["ConnectedTime"] = connected
    link = links(content)[T1]
    assert (link.active, link.age) == (True, None)


@pytest.mark.parametrize(("ahead", "age"), [(20, 0.0), (299, 0.0), (301, None)])
def test_an_age_is_not_negative_where_clocks_differ(ahead, age):
    content = load("evio")
    content["VizData"][OVERLAY]["Tunnels"][T1]["ConnectedTime"] = 1795209064.0 + ahead
    assert links(content)[T1].age == age


def test_a_link_made_anew_keeps_its_key_and_has_another_incarnation():
    content = load("ipop-20")
    tunnels, edges = (content["VizData"][OVERLAY][part] for part in ("LinkManager", "Topology"))
    before = links(content)[T1]
    tunnels[A][T4], edges["ConnectionEdges"][T4] = tunnels[A].pop(T1), edges["ConnectionEdges"].pop(T1)
    after = links(content)[T4]
    assert after == before._replace(incarnation=T4)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_links_to_one_peer_the_one_that_works_has_the_key_of_the_peer(order):
    content = load("evio")
    tunnels = content["VizData"][OVERLAY]["Tunnels"]
    tunnels[T4] = {**tunnels[T1], "CreatedTime": 1795209060.0}
    tunnels[T1]["State"] = "CEStateDeleting"
    content["VizData"][OVERLAY]["Tunnels"] = dict(list(tunnels.items())[::order])
    found = links(content)
    assert (found[T4].key, found[T1].key) == (f"{OVERLAY}/{A}/{B}", f"{OVERLAY}/{A}/{B}/{T1}")
    tunnels[T1]["State"] = "CEStateConnected"
    for made, elder in ((1795209060.0, T1), (1795200000.0, T4), (None, T1)):
        tunnels[T4]["CreatedTime"] = made
        content["VizData"][OVERLAY]["Tunnels"] = dict(list(tunnels.items())[::order])
        assert links(content)[elder].key == f"{OVERLAY}/{A}/{B}", "of two that work, the older"


@pytest.mark.parametrize("damage", [None, 5, "TNL_ONLINE", [], {}, {"PeerId": 7}, {"TunnelState": ["TNL_ONLINE"]}])
@pytest.mark.parametrize("name", ["ipop-18", "ipop-20-without-topology", "evio"])
def test_a_damaged_tunnel_costs_only_itself(name, damage):
    content = load(name)
    parts = content["VizData"][OVERLAY]
    tunnels = parts["LinkManager"][A] if "LinkManager" in parts else parts["Tunnels"]
    parts.pop("Topology", {}).pop(T2, None)
    before = links(content)
    tunnels[T2] = damage
    after = links(content)
    assert (after[T2].active, after[T2].peer) == (False, T2)
    assert after[T2].trouble
    assert {**after, T2: None} == {**before, T2: None}


@pytest.mark.parametrize("damage", [None, 5, "x", []])
def test_a_damaged_edge_costs_no_more_than_its_age(damage):
    content = load("ipop-20")
    content["VizData"][OVERLAY]["Topology"]["ConnectionEdges"][T1] = damage
    assert links(content)[T1] == links("ipop-20")[T1]._replace(age=None)


@pytest.mark.parametrize("part", ["LinkManager", "Topology", "ConnectionEdges", "BridgeController"])
@pytest.mark.parametrize("damage", [None, 5, "x", [], [1]])
def test_a_damaged_part_leaves_the_others(part, damage):
    content = load("ipop-20")
    overlay_parts = content["VizData"][OVERLAY]
    (overlay_parts["Topology"] if part == "ConnectionEdges" else overlay_parts)[part] = damage
    found = links(content)
    assert set(found) == {T1, T2, T3}
    assert found[T1].active


def test_a_damaged_overlay_is_named_and_leaves_the_others():
    content = load("ipop-18")
    content["VizData"][OVERLAY] = ["\x1b[2J"]
    found = read(content)
    assert [link.overlay for link in found.links] == [OTHER]
    assert found.troubles == (f"overlay {OVERLAY} is no JSON object",)


def test_where_several_nodes_report_each_link_names_its_own_and_no_tap_is_taken_for_one_of_this_host():
    content = load("ipop-20-without-topology")
    manager = content["VizData"][OVERLAY]["LinkManager"]
    manager[B] = {T3: {**manager[A][T1], "NodeId": B, "PeerId": A}}
    found = read(content)
    assert [(link.node, link.peer, link.tap) for link in found.links] == [(A, B, ""), (A, C, ""), (B, A, "")]
    assert found.node == ""


def test_evio_20_told_link_managers_tunnels_without_nodes():
    content = load("evio")
    parts = content["VizData"][OVERLAY]
    parts["LinkManager"], parts["Topology"] = parts.pop("Tunnels"), {}
    assert links(content) == links("evio")


def test_in_a_hostile_document_each_entry_stands_for_itself():
    found = links("ipop-hostile")
    assert (len(found), sum(link.active for link in found.values())) == (10, 6)
    first = found[T1]
    assert [(pair.received, pair.sent, pair.rtt) for pair in first.pairs] == [
        ((1 << 64) - 1, None, None),  # its round trip is NaN, its sent bytes are negative
        (None, None, None),
        (1, 2, 0.023),
    ]
    assert (first.age, first.trouble) == (None, "1 of its 4 candidate pairs can't be used")
    assert read("ipop-hostile").troubles == (f"overlay {OTHER} is no JSON object",)


def test_names_of_any_length_stay_short_and_different():
    content = load("evio")
    tunnels = content["VizData"][OVERLAY]["Tunnels"]
    content["VizData"]["\ud800" * 5000] = {
        "Tunnels": {f"{'t' * 5000}{end}": {**tunnels[T1], "PeerId": ""} for end in "ab"}
    }
    found = links(content)
    assert len(found) == 5
    assert max(len(part) for link in found.values() for part in link[:2]) < 500


def test_slashes_in_ids_do_not_make_two_links_one():
    tunnel = load("evio")["VizData"][OVERLAY]["Tunnels"][T1]
    parts = {("a/", "c"): T1, ("a", "/c"): T2, ("a%2F", "c"): T3}
    content = {
        "VizData": {overlay: {"Tunnels": {link: {**tunnel, "PeerId": peer}}} for (overlay, peer), link in parts.items()}
    }
    assert len({link.key for link in read(content).links}) == 3
    assert not any(link.key.endswith(link.incarnation) for link in read(content).links)


@pytest.mark.slow
def test_ten_thousand_tunnels_are_all_read():
    found = read(json.loads(json.dumps(overlay.controller(10_000, offline=7))))
    assert (len(found.links), sum(link.active for link in found.links)) == (10_000, 9_993)
    assert len({link.key for link in found.links}) == 10_000
