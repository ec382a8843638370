"""The client of the node manager on captured exchanges, on hostile ones, and on ports where others listen."""

import contextlib
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.seattle import nodemanager
from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused, Unreachable, Unresolvable
from checks.seattle.keys import parse_key
from checks.seattle.nodemanager import NotFound, Told
from checks.seattle.peers import own_address
from tests.seattle.nodemanager import CAPTURED, KEYS, OFFCUT, VESSEL, Described, NodeManager, described, many
from tests.seattle.serving import JUNK, Serving

TEXT = CAPTURED.removesuffix(b"\nSuccess")


def soon(seconds=5.0):
    return time.monotonic() + seconds


class Stranger(Serving):
    """Somebody else's server: says what it says without being asked, or nothing."""

    says = b""

    def converse(self, connection):
        connection.sendall(self.says)
        if not self.says:
            self._ended.wait()


@pytest.fixture
def free_port():
    """A port that refuses connections while the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


# The double speaks as the real server did


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"22\nGetVesselResources|v99", b"20\nNo such vessel\nError"),
        (b"18\nGetVesselResources", b"20\nInternal Error\nError"),
        (b"6\nFooBar", b"18\nUnknown Call\nError"),
        (b"0\n", b"18\nUnknown Call\nError"),
        (b"16\nReadVesselLog|v1", b"20\nInternal Error\nError"),
        (b"abc\n", b""),
        (b"10\nGetVessels", b"2345\n" + CAPTURED),
    ],
)
def test_the_double_answers_what_was_captured(request_, answer):
    with NodeManager() as node, socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(request_)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                said += chunk
    assert said == answer


def test_the_double_lets_four_wait_and_hangs_up_on_the_next():
    with NodeManager() as node, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port))) for _ in range(9)]
        for connection in idle:
            connection.settimeout(0.05)
        deadline, closed = soon(), 0
        while closed < 4 and time.monotonic() < deadline:
            for connection in idle[:]:
                with contextlib.suppress(TimeoutError):
                    assert connection.recv(1) == b""
                    idle.remove(connection)
                    closed += 1
        assert closed == 4


# GetVessels


def test_the_captured_answer_is_read_whole():
    node = nodemanager.parse_vessels(TEXT)
    assert (node.version, node.name) == ("0.2-alpha-20140714-1434", "127.0.0.1")
    assert node.key == parse_key(b"65537 840301610928756114796324397867")
    statuses = {vessel.name: vessel.status for vessel in node.vessels}
    assert statuses == {"v2": "Fresh", "v3": "Started", "v4": "Stopped", "v5": "Terminated", "v6": "Fresh"}
    by_name = {vessel.name: vessel for vessel in node.vessels}
    assert by_name["v3"].info == "experiment: ping mesh"
    assert by_name["v4"].users == (parse_key(KEYS[2].encode()),)
    assert [name for name, vessel in by_name.items() if not vessel.advertise] == ["v6"]
    assert by_name["v3"].owner == by_name["v4"].owner == parse_key(KEYS[1].encode())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"Status: Fresh\n", b"", "no Status"),
        (b"Status: Fresh", b"Status: Fresh\nStatus: Stale", "does not belong"),
        (b"Advertise: False", b"Advertise: maybe", "neither True nor False"),
        (b"OwnerKey: 65537 ", b"OwnerKey: 65537 x", "no public key"),
        (b"Nodekey: 65537 840301610928756114796324397867\n", b"", "no Nodekey"),
        (b"Name: v3", b"Name: v2", "two vessels of one name"),
        (b"Name: v2", b"Colour: red\nName: v2", "'Colour: red'"),
        (b"Version: ", b"UserKey: 3 5\nVersion: ", "does not belong"),
        (b"Name: v2\n", b"Name: v2\nVersion: 2\n", "does not belong"),
        (b"OwnerInfo: experiment", b"experiment", "does not belong"),
        (TEXT, b"", "no Version"),
    ],
)
def test_what_seattles_own_client_would_not_read_is_malformed(old, new, says):
    assert old in TEXT
    with pytest.raises(Malformed, match=says):
        nodemanager.parse_vessels(TEXT.replace(old, new, 1))


def test_a_thousand_vessels_come_over_the_wire():
    with NodeManager(vessels=many(1000)) as server:
        node, reply = nodemanager.vessels("127.0.0.1", server.port, soon())
    assert len({vessel.name for vessel in node.vessels}) == 1000
    assert reply.tries == 1
    assert server.requests == [b"GetVessels"]


lines = st.sampled_from(TEXT.split(b"\n")) | st.binary(max_size=20)


@given(
    st.lists(lines | st.tuples(lines, st.binary(max_size=4)).map(b"".join), max_size=30)
    | st.permutations(TEXT.split(b"\n"))
)
@settings(max_examples=60, deadline=None)
def test_no_answer_makes_the_parser_raise_anything_but_its_own_error(parts):
    with contextlib.suppress(Malformed):
        node = nodemanager.parse_vessels(b"\n".join(parts))
        assert all(vessel.owner.n > 1 for vessel in node.vessels)


words = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)
a_vessel = st.builds(
    Described,
    words,
    words,
    st.lists(st.sampled_from(KEYS), max_size=3),
    st.sampled_from(KEYS),
    words,
    st.sampled_from(["True", "False"]),
)


@given(st.lists(a_vessel, max_size=6, unique_by=lambda vessel: vessel.name), words, words)
@settings(max_examples=30, deadline=None)
def test_whatever_the_names_vessels_are_read_as_they_were_described(vessels, version, name):
    node = nodemanager.parse_vessels(described(vessels, version, name).removesuffix(b"\nSuccess"))
    read = [
        Described(one.name, one.status, [str(user) for user in one.users], str(one.owner), one.info, str(one.advertise))
        for one in node.vessels
    ]
    assert (read, node.version, node.name) == (vessels, version, name)


# Trailers, retries, and what goes wrong on the way


@pytest.mark.parametrize("status", ["Error", "Warning"])
def test_error_and_warning_are_told_with_their_text(status):
    with NodeManager(vessels=b"Internal\nError|\x1b\n" + status.encode()) as server:
        with pytest.raises(Told, match=r"'Internal\\nError|\\x1b'") as caught:
            nodemanager.vessels("127.0.0.1", server.port, soon())
        assert caught.value.status == status


@pytest.mark.parametrize("body", [b"", b"Success!", b"x\nSucces", b"x\nsuccess", TEXT])
def test_an_answer_without_one_of_the_three_last_lines_is_malformed(body):
    with NodeManager(vessels=body) as server, pytest.raises(Malformed, match="does not end in"):
        nodemanager.vessels("127.0.0.1", server.port, soon())


def test_a_connection_closed_unanswered_is_tried_once_more():
    with NodeManager() as server:
        server.surplus = 1
        _, reply = nodemanager.vessels("127.0.0.1", server.port, soon(1))
        assert reply.tries == 2
        server.surplus = 2
        with pytest.raises(EmptyAnswer):
            nodemanager.vessels("127.0.0.1", server.port, soon(0.4))
        assert server.surplus == 0


@pytest.mark.parametrize(
    ("manner", "error"), [("silent", NoAnswer), ("empty", EmptyAnswer), ("cut", Malformed), ("junk", Malformed)]
)
def test_each_way_to_fail_has_its_name(manner, error):
    with NodeManager(manner=manner) as server, pytest.raises(error):
        nodemanager.vessels("127.0.0.1", server.port, soon(0.3))


def test_an_answer_of_single_bytes_is_put_together():
    with NodeManager(manner="drip", vessels=described([])) as server:
        assert nodemanager.vessels("127.0.0.1", server.port, soon(20))[0].vessels == ()


# Which port


def test_refused_ports_cost_nothing_and_the_first_node_manager_is_found(free_port):
    with NodeManager() as server:
        targets = [("127.0.0.1", free_port), ("127.0.0.1", server.port)]
        found = nodemanager.find(targets, soon())
    assert (found.port, len(found.node.vessels)) == (server.port, 5)
    assert isinstance(found.others["127.0.0.1", free_port], Refused)


@pytest.mark.parametrize("says", [b"", JUNK, b"5\nhello", b"220 smtp ready\r\n"])
def test_a_stranger_does_not_use_up_the_time_of_the_node_manager_behind_it(says, free_port):
    with Stranger() as stranger, NodeManager() as server:
        stranger.says = says
        # With more places each has a smaller share.
        others = [(f"127.0.0.{number}", free_port) for number in range(2, 30)]
        found = nodemanager.find([("127.0.0.1", stranger.port), ("127.0.0.1", server.port), *others], soon(10))
        assert found.port == server.port
        error = found.others["127.0.0.1", stranger.port]
        assert isinstance(error, Malformed) if says else error is None


def test_a_busy_node_manager_before_refused_ports_is_waited_for(free_port):
    with NodeManager(patience=0.5) as server, socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"1")
        found = nodemanager.find([("127.0.0.1", server.port), ("127.0.0.1", free_port)], soon(10))
    assert found.port == server.port


def test_where_nobody_is_a_node_manager_each_place_has_its_reason(free_port):
    with Stranger() as silent, Stranger() as mail:
        mail.says = b"220 smtp ready\r\n"
        with pytest.raises(NotFound) as caught:
            nodemanager.find([("127.0.0.1", port) for port in (silent.port, free_port, mail.port)], soon(0.4))
    assert [type(error) for error in caught.value.failures.values()] == [NoAnswer, Refused, Malformed]


def test_a_look_up_that_hangs_is_no_failure_of_the_node(monkeypatch):
    ended = threading.Event()

    def hang(*_, **__):
        ended.wait(20)
        raise socket.gaierror("ended")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with pytest.raises(NotFound) as caught:
            nodemanager.find([("node.example", 1224)], soon(0.1))
    finally:
        ended.set()
    assert isinstance(caught.value.failures["node.example", 1224], Unresolvable)


def test_our_own_faults_are_not_taken_for_the_nodes(monkeypatch):
    monkeypatch.setattr(nodemanager, "parse_vessels", lambda _: {}["ours"])
    with NodeManager() as server, pytest.raises(KeyError):
        nodemanager.find([("127.0.0.1", server.port)], soon())


def test_the_own_address_is_one_that_reaches_this_host():
    address = own_address()
    if address is not None:  # without any network there is none
        with socket.socket() as bound:
            bound.bind((address, 0))


def test_no_route_is_unreachable():
    # Nobody connects to the broadcast address.
    with pytest.raises(Unreachable):
        nodemanager.vessels("255.255.255.255", 1224, soon(0.2))


# Resources


def test_resources_of_a_vessel_and_what_is_left_over():
    with NodeManager() as server:
        place = ("127.0.0.1", server.port)
        offcut = nodemanager.resources(*place, None, soon())
        vessel = nodemanager.resources(*place, "v2", soon())
        with pytest.raises(Told, match="No such vessel"):
            nodemanager.resources(*place, "v99", soon())
    assert offcut["cpu"] == 0.002
    assert offcut["memory"] == 1000000
    assert vessel == {
        "cpu": 0.02,
        "memory": 30000000,
        "diskused": 20000000,
        "events": 15,
        "messports": 2,
        "connports": 3,
    }
    assert server.requests == [b"GetOffcutResources", b"GetVesselResources|v2", b"GetVesselResources|v99"]


@pytest.mark.parametrize(
    "line",
    [
        b"resource cpu",
        b"resource cpu x",
        b"resource cpu nan",
        b"resource cpu -1",
        b"resource cpu 1e999",
        b"resource cpu 1_0",
        b"resource cpu 1 2",
        b"resource c|u 1",
        b"resource cpu 1\nresource cpu 1",
        b"resource messports 1\nresource messport 1\nresource messports 1",
        b"<html>",
        b"\n".join(b"resource r%d 1" % number for number in range(101)),
    ],
)
def test_what_is_no_resource_file_is_malformed(line):
    with pytest.raises(Malformed):
        nodemanager.parse_resources(line)


@given(st.lists(st.sampled_from([*OFFCUT.split(b"\n"), *VESSEL.split(b"\n")]) | st.binary(max_size=30), max_size=12))
@settings(max_examples=50, deadline=None)
def test_no_resource_file_makes_the_parser_raise_anything_but_its_own_error(parts):
    with contextlib.suppress(Malformed):
        limits = nodemanager.parse_resources(b"\n".join(parts))
        assert all(limit >= 0 for limit in limits.values())
