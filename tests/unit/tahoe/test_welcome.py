"""What a node says of its grid, and an introducer of its nodes."""

import json

import pytest

from checks.deadline import BadInput
from checks.tahoe import welcome
from checks.tahoe.records import Introducer, Introductions, Server
from tests.tahoe.documents import RECORDED, recorded

# All forms there are: util/connection_status.py and storage_client.py of Tahoe-LAFS.
CONNECTED = (
    "connected",
    "Connected",
    "Connected to tcp:127.0.0.1:34560 via tcp",
    "Connected via listener (<InboundConnectionNegotiation>)",
)
NOT_CONNECTED = (
    "unstarted",
    "Trying to connect",
    "Reconnecting in 12 seconds (last attempt 4s ago)",
    "failure: [Failure instance: Traceback: <class 'twisted.internet.error.ConnectionRefusedError'>: refused: 111",
    "disconnected",
    "not connected to anything",
    "connectedness",
    "",
)


@pytest.mark.parametrize("status", CONNECTED)
def test_connected(status):
    assert welcome.is_connected(status)


@pytest.mark.parametrize("status", NOT_CONNECTED, ids=[status[:12] or "nothing" for status in NOT_CONNECTED])
def test_not_connected(status):
    assert not welcome.is_connected(status)


def test_a_real_client_and_its_grid():
    found = welcome.read((RECORDED / "client/welcome.json").read_bytes(), "/")
    assert [introducer.connected for introducer in found.introducers] == [True]
    assert [(server.nickname, server.connected, server.version) for server in found.servers] == [
        ("storage1", True, "tahoe-lafs/1.20.0"),
        ("storage2", True, "tahoe-lafs/1.20.0"),
    ]
    assert all(server.available > 1 << 30 and server.heard > 1.7e9 for server in found.servers)
    assert found.servers[0].nodeid.startswith("v0-")


def test_a_real_introducer():
    found = welcome.read((RECORDED / "introducer/welcome.json").read_bytes(), "/")
    assert found == Introductions({"storage": 2}, {"storage": 3})


def test_an_introducer_nobody_came_to_yet():
    found = welcome.read(b'{"subscription_summary": {}, "announcement_summary": {}}', "/")
    assert found == Introductions({}, {})


def test_a_server_never_reached_has_null_everywhere():
    one = {"nodeid": "v0-a", "connection_status": "unstarted", "nickname": "n", "version": None}
    document = {
        "introducers": {"statuses": []},
        "servers": [{**one, "available_space": None, "last_received_data": None}],
    }
    assert welcome.parse(document, "/").servers == (Server("v0-a", "n", False, "unstarted", None, "", None),)


def test_a_failure_is_cut_to_its_first_line():
    failure = "failure: [Failure instance: Traceback: <class 'ConnectionRefusedError'>: refused\n  /usr/lib/x.py:1:f\n|"
    document = {"introducers": {"statuses": [failure, "\r\n"]}, "servers": []}
    first, empty = welcome.parse(document, "/").introducers
    assert first == Introducer(
        False, "failure: [Failure instance: Traceback: <class 'ConnectionRefusedError'>: refused"
    )
    assert empty == Introducer(False, "")


def test_a_real_client_that_lost_a_server_and_its_introducer():
    found = welcome.read((RECORDED / "client/lost.json").read_bytes(), "/")
    assert [introducer.status for introducer in found.introducers] == [
        "Reconnecting in 1 seconds (last attempt 7s ago)"
    ]
    well, dead = found.servers
    assert (well.connected, dead.connected, found.introducers[0].connected) == (True, False, False)
    # The old numbers of a dead server stay: who reads them must look at `connected`.
    assert dead.available > 0
    assert dead.status.startswith("failure: ")
    assert dead.status.endswith("Connection refused.")


def test_a_damaged_server_is_one_that_is_not_connected():
    document = recorded("client/welcome")
    document["servers"] += [None, [], "connected", {"connection_status": ["connected"], "available_space": -1}]
    document["servers"][1]["last_received_data"] = 0
    found = welcome.parse(document, "/").servers
    assert [server.connected for server in found] == [True, True, False, False, False, False]
    assert found[2].status == "its entry is damaged"
    assert found[5].available is None
    assert found[1].heard is None


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], "x", {}, {"servers": [], "introducers": []}, {"servers": {}, "introducers": {"statuses": []}}),
        *({"servers": []}, {"announcement_summary": {}}, {"announcement_summary": [], "subscription_summary": {}}),
    ],
    ids=json.dumps,
)
def test_what_no_node_tells_is_refused(document):
    with pytest.raises(BadInput, match=r"^/ is not what"):
        welcome.parse(document, "/")


def test_ten_thousand_servers():
    document = recorded("client/welcome")
    document["servers"] *= 5000
    assert len(welcome.read(json.dumps(document).encode(), "/").servers) == 10000
