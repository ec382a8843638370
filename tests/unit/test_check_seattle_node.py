"""check_seattle_node against the double of the node manager, and that of the advertise server."""

import contextlib
import re
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.check_seattle_node import CHECK
from checks.seattle import nodemanager
from tests.seattle.advertise import AdvertiseServer
from tests.seattle.nodemanager import CAPTURED, KEYS, Described, NodeManager, described, hostile, many
from tests.seattle.serving import JUNK

NODE = nodemanager.parse_vessels(CAPTURED.removesuffix(b"\nSuccess"))
KEY, NAME = NODE.key.advertised(), NODE.key.node_name()
STATUSES = (*nodemanager.STATUSES, "Paused")


@pytest.fixture
def node():
    with NodeManager() as double:
        yield double


@pytest.fixture
def advertise():
    with AdvertiseServer() as double:
        yield double


@pytest.fixture
def keys(tmp_path):
    for name, key in zip(("canonical", "onepercent", "twopercent"), KEYS, strict=True):
        (tmp_path / f"{name}.publickey").write_text(key)
    return tmp_path


def ask(node, *argv):
    """Exit code and text of the check of a double."""
    outcome = CHECK.run(["-H", "127.0.0.1", "-p", str(node.port), *argv])
    assert "internal error" not in outcome.text
    return outcome.code, outcome.text


def items(text):
    return text.split("\n")[0].partition(" | ")[2].split()


def test_ok_the_captured_node(node):
    code, text = ask(node)
    assert code == 0
    said = f"SEATTLE_NODE OK - port {node.port}: 5 vessels, 4 unassigned, 0.2-alpha-20140714-1434 | time.total="
    assert text.startswith(said)
    counts = [
        *("vessels.total=5;;1:", "vessels.assigned=1", "vessels.unassigned=4", "vessels.advertised=4"),
        *("status.Fresh=2", "status.Started=1", "status.Stopped=1", "status.Terminated=1", "status.Stale=0"),
        *("status.ThreadErr=0;0", "status.other=0"),
    ]
    assert items(text)[3:] == counts
    assert text.count("\n") == 1


def test_ok_verbose_lists_the_node_and_each_vessel_trouble_first(node):
    node.vessels = described(
        [
            Described("v1", "Fresh"),
            Described("v10", "Stale", [KEYS[2], KEYS[0]], info="ping|mesh"),
            Described("v9", "Stale", advertise="False"),
        ]
    )
    code, text = ask(node, "-v")
    assert code == 0
    assert text.split("\n")[1:] == [
        "node 127.0.0.1, key 84030161...7867, version 0.2-alpha-20140714-1434",
        "1 assigned, 2 unassigned, 2 advertised, 1 Fresh, 2 Stale",
        "v9: Stale, owner 11423318...8179, unassigned, not advertised",
        "v10: Stale, owner 11423318...8179, 2 users: 91200181...3153, 12800637...7071, advertised, 'ping?mesh'",
        "v1: Fresh, owner 11423318...8179, unassigned, advertised",
        "",
    ]


def test_ok_a_status_nobody_knows_is_named_and_counted_apart(node):
    node.vessels = described([Described("v1", "Paused"), Described("v2", "Started")])
    code, text = ask(node)
    assert code == 0
    assert "1 of unknown status (Paused)" in text
    assert {"status.other=1", "status.Started=1"} <= set(items(text))
    code, text = ask(node, "--status-warning", "other=0")
    assert (code, text.partition(";")[0]) == (1, "SEATTLE_NODE WARNING - other vessels (v1): 1 (> 0)")


# Thresholds


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 1, "ThreadErr vessels (v6): 1 (> 0)"),
        (["--status-warning", "ThreadErr="], 0, ""),
        (["--status-warning", "Stale=5", "--status-warning", "Started=0"], 1, "1 more"),
        (["--status-warning", "Stale|ThreadErr=5"], 0, ""),
        (["--status-warning", "1"], 0, ""),
        (["--status-critical", "Stale=0"], 2, "Stale vessels (v5): 1 (> 0)"),
        (["--status-critical", "Sta.*=0"], 2, "Stale vessels (v5): 1 (> 0), 2 more"),
        (["--status-critical", "0"], 2, "other vessels (v7): 1 (> 0), 6 more"),
        (["--status-critical", "ThreadErr=0"], 2, "ThreadErr vessels (v6)"),
        (["--status-warning", "ThreadErr=", "--status-critical", "Started=2:"], 2, "Started vessels (v2): 1 (< 2)"),
    ],
)
def test_each_status_has_its_thresholds(node, argv, code, says):
    node.vessels = described(Described(f"v{number}", status) for number, status in enumerate(STATUSES, 1))
    found, text = ask(node, *argv)
    assert found == code
    assert says in text.split(" | ")[0]


def test_unknown_a_misspelled_status_is_a_mistake(node):
    code, text = ask(node, "--status-critical", "Stael=0")
    assert (code, "'Stael' is none of Fresh, Started" in text) == (3, True)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--vessels-warning", "6:"], 1, "vessels: 5 (< 6)"),
        (["--vessels-critical", "6:"], 2, "vessels: 5 (< 6)"),
        (["--unassigned-warning", "5:"], 1, "unassigned vessels: 4 (< 5)"),
        (["--unassigned-critical", "3"], 2, "unassigned vessels: 4 (> 3)"),
        (["--expect-version", "0.2-alpha-20140714-1434"], 0, ""),
        (["--expect-version", "0.3", "--expect-version", "0.2-alpha-20140714-1434"], 0, ""),
        (["--expect-version", "0.2"], 1, "version 0.2-alpha-20140714-1434, not 0.2: does the software updater run?"),
        (["-w", "0.0000001"], 1, "answered in N s (> 0.0000001)"),
        (["-c", "0.0000001"], 2, "answered in N s (> 0.0000001)"),
    ],
)
def test_other_thresholds(node, argv, code, says):
    found, text = ask(node, *argv)
    assert found == code
    assert says in re.sub(r"in [\d.]+ s", "in N s", text.split(" | ")[0])


def test_crit_a_node_without_vessels_is_of_no_use(node):
    node.vessels = described([])
    code, text = ask(node)
    assert (code, text.partition(";")[0]) == (2, "SEATTLE_NODE CRITICAL - vessels: 0 (< 1)")
    assert "vessels.total=0;;1:" in items(text)


def test_owner_counts_what_belongs_to_a_key(node, keys):
    code, text = ask(node, "--owner", str(keys / "twopercent.publickey"), "-v")
    assert code == 0
    assert ", 2 owned, " in text
    assert "vessels.owned=2;;1:" in items(text)
    assert text.count("owner 91200181...3153 (--owner)") == 2
    stranger = keys / "other.publickey"
    stranger.write_text("65537 99")
    code, text = ask(node, "--owner", str(stranger))
    assert (code, text.partition(";")[0]) == (2, "SEATTLE_NODE CRITICAL - vessels of other.publickey's owner: 0 (< 1)")
    assert ask(node, "--owner", str(stranger), "--owned-critical", "", "--owned-warning", "0")[0] == 0


def test_the_state_is_the_key_that_uses_the_extra_vessel(node, keys):
    code, text = ask(node, "--state-keys", str(keys), "-v")
    assert code == 0
    assert "\nstate twopercent\n" in text
    assert ask(node, "--state-keys", str(keys), "--expect-state", "twopercent")[0] == 0
    code, text = ask(node, "--state-keys", str(keys), "--expect-state", "canonical")
    assert code == 1
    assert "state twopercent, not canonical" in text
    node.vessels = described([Described("v1", users=KEYS)])
    code, text = ask(node, "--state-keys", str(keys), "--expect-state", "canonical")
    assert (code, "in no state of --state-keys" in text) == (1, True)


@pytest.mark.parametrize(
    "argv",
    [
        ["--owner", "{}/none.publickey"],
        ["--owner", "{}/junk"],
        ["--state-keys", "{}/none"],
        ["--state-keys", "{}/empty"],
        ["--expect-state", "x"],
        ["--owned-warning", "1:"],
        ["--resources=,"],
        ["--advertise-host", "a:b:c"],
        ["--advertise-host", "host:0"],
    ],
)
def test_unknown_what_is_wrong_on_our_side_is_told_before_the_node_is_asked(node, argv, tmp_path):
    (tmp_path / "junk").write_bytes(b"\xff\0")
    (tmp_path / "empty").mkdir()
    code, text = ask(node, *(word.format(tmp_path) for word in argv))
    assert code == 3
    assert text.startswith("SEATTLE_NODE UNKNOWN - ")
    assert node.requests == []


# A node manager that does not answer, or not as it should


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("silent", "takes connections but never answers: the node manager hangs, restart it"),
        ("empty", "closes connections unanswered, twice: too many from this address, or see its log"),
        ("reset", "closes connections unanswered, twice"),
        ("cut", "gives no readable answer: the server closed after"),
        ("junk", "gives no readable answer: answer begins with no length: 'HTTP/1.0 400 Bad Request"),
    ],
)
def test_crit_each_failure_by_its_name(node, manner, says):
    node.manner = manner
    code, text = ask(node, "-t", "0.5")
    assert code == 2
    assert text.startswith(f"SEATTLE_NODE CRITICAL - 127.0.0.1:{node.port} {says}")
    assert "|" not in text


def test_crit_a_port_that_refuses(node):
    node.stop()
    code, text = ask(node)
    place = f"127.0.0.1:{node.port}"
    said = f"{place} refuses connections: no node manager runs there, start it (start_seattle.sh)"
    assert code == 2
    assert text.split("\n")[0] == f"SEATTLE_NODE CRITICAL - {said}"
    assert "leave -H out" in text, "a real node manager listens elsewhere than at 127.0.0.1"


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (b"Internal Error\nError", 2, "answers GetVessels with Error: 'Internal Error'"),
        (b"Unknown Call\nError", 2, "answers GetVessels with Error: 'Unknown Call'"),
        (b"out of breath\nWarning", 1, "answers GetVessels with Warning: 'out of breath'"),
        (b"Version: 1\nWhat: ever\nSuccess", 2, "a line that does not belong there: 'What: ever'"),
        (b"|\x1b[2J\nSuccess", 2, r"a line that does not belong there: '/\x1b[2J'"),
        (b"hello", 2, "does not end in Success, Error or Warning: 'hello'"),
    ],
)
def test_other_answers_than_vessels(node, reply, code, says):
    node.vessels = reply
    found, text = ask(node)
    assert found == code
    assert says in text.split("\n")[0]


def test_ok_a_connection_over_the_limit_is_tried_again_and_told(node):
    node.surplus = 1
    code, text = ask(node, "-t", "2")
    assert code == 0
    assert "the first connection was closed unanswered" in text


def test_warn_an_idle_client_holds_the_worker():
    with NodeManager(patience=0.3) as node, socket.create_connection(("127.0.0.1", node.port)) as idle:
        idle.sendall(b"1")
        code, text = ask(node, "-w", "0.2")
        assert code == 1
        assert re.search(rf"127\.0\.0\.1:{node.port} answered in [\d.]+ s \(> 0\.2", text)


def test_unknown_a_host_nobody_knows():
    outcome = CHECK.run(["-H", "300.300.300.300", "-t", "5"])
    assert (outcome.code, outcome.text.startswith("SEATTLE_NODE UNKNOWN - 300.300.300.300: no address")) == (3, True)


# The list of known ports


def test_without_a_port_the_known_ones_are_tried_in_order(node, monkeypatch):
    with NodeManager(manner="junk") as stranger, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        monkeypatch.setattr("checks.check_seattle_node.PORTS", (refusing.getsockname()[1], stranger.port, node.port))
        outcome = CHECK.run(["-H", "127.0.0.1", "-t", "60"])
        assert outcome.code == 0
        assert f"OK - port {node.port}: 5 vessels" in outcome.text
        assert f"127.0.0.1:{stranger.port}: answer begins with no length" in outcome.text
        assert str(refusing.getsockname()[1]) not in outcome.text


def test_crit_all_known_ports_refuse(monkeypatch):
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        monkeypatch.setattr("checks.check_seattle_node.PORTS", tuple(one.getsockname()[1] for one in bound))
        code, text, *_ = CHECK.run(["-H", "127.0.0.1"])
    assert code == 2
    assert "no node manager at 127.0.0.1, all 3 known ports refuse: start it (start_seattle.sh)" in text


def test_crit_what_tells_most_comes_first_and_the_rest_is_noted(node, monkeypatch):
    node.manner = "silent"
    with NodeManager(manner="junk") as stranger:
        monkeypatch.setattr("checks.check_seattle_node.PORTS", (stranger.port, node.port))
        code, text, *_ = CHECK.run(["-H", "127.0.0.1", "-t", "0.6"])
    assert code == 2
    assert text.startswith(f"SEATTLE_NODE CRITICAL - 127.0.0.1:{node.port} takes connections but never answers")
    assert f"\n127.0.0.1:{stranger.port}: answer begins with no length: '{ascii(JUNK[:4])[2:-1]}" in text


def test_ok_without_a_host_this_machines_own_address_is_tried_too(monkeypatch):
    # Where node managers really listen; here an address of the loopback stands for it.
    class Elsewhere(NodeManager):
        def __init__(self):
            super().__init__()
            self._socket.close()
            self._socket = socket.create_server(("127.0.0.9", 0))
            self.port = self._socket.getsockname()[1]

    monkeypatch.setattr("checks.check_seattle_node.own_address", lambda: "127.0.0.9")
    with Elsewhere() as node:
        outcome = CHECK.run(["-p", str(node.port)])
        assert outcome.code == 0
    outcome = CHECK.run(["-p", str(node.port)])
    assert outcome.code == 2
    assert f"no node manager at 127.0.0.1 and 127.0.0.9, port {node.port} refuses" in outcome.text


# Resources


def test_resources_of_the_chosen_vessels(node):
    code, text = ask(node, "--resources=v3,offcut", "-v")
    assert code == 0
    assert {"vessel.v3.cpu=0.02", "vessel.v3.memory=30000000B", "vessel.v3.connports=3", "offcut.cpu=0.002"} <= set(
        items(text)
    )
    assert "vessel.v2.cpu" not in text
    assert "\nv3 may use: cpu 0.02, memory 30000000, diskused 20000000, events 15, messports 2, connports 3\n" in text
    assert node.requests == [b"GetVessels", b"GetVesselResources|v3", b"GetOffcutResources"]


def test_resources_without_names_are_bounded(node):
    node.vessels = many(1000)
    node.resources = {b"v%d" % number: b"resource cpu 1\n" for number in range(1, 1001)}
    code, text = ask(node, "--resources")
    assert code == 0
    assert len(node.requests) == 12
    assert node.requests[2:4] == [b"GetVesselResources|v1", b"GetVesselResources|v2"]
    assert "resources of 990 vessels not known; --resources=NAME,NAME chooses" in text


def test_one_sick_vessel_costs_its_resources_only(node):
    node.resources[b"v3"] = b"<html>"
    code, text = ask(node, "--resources=v99,v3,v4")
    assert code == 1
    assert "WARNING: resources of v99: Error: 'No such vessel'" in text
    assert "WARNING: resources of v3: no line of a resource file: '<html>'" in text
    assert "vessel.v4.cpu=0.02" in items(text)


@pytest.mark.slow
def test_resources_end_in_time():
    with NodeManager(poll=0.25) as node:
        code, text = ask(node, "--resources=v2,v3,v4,v5,v6,offcut", "-t", "1.2")
        assert code == 3
        assert "vessels not known: no time left, raise -t" in text
        assert "vessels.total=5;;1:" in items(text)


# The advertise service


def look_up(node, advertise, *argv):
    return ask(node, "--advertise-host", f"127.0.0.1:{advertise.port}", *argv)


def test_ok_advertised_by_address(node, advertise):
    advertise.table.put(KEY, b"127.0.0.1:%d" % node.port, 60)
    advertise.table.put(KEY, b"", 60)
    code, text = look_up(node, advertise, "-v")
    assert code == 0
    assert "advertise.addresses=1" in items(text)
    assert f"\nadvertised as 127.0.0.1:{node.port}\n" in text


def test_ok_advertised_by_its_affix_name_which_is_not_its_nodename(node, advertise):
    advertise.table.put(KEY, b"%s:%d" % (NAME, node.port), 60)
    advertise.table.put(NAME, b"127.0.0.1", 60)
    code, text = look_up(node, advertise, "-v")
    assert code == 0
    assert f"\nadvertised as {NAME.decode()}:{node.port}, an Affix name that leads to 127.0.0.1\n" in text


def test_warn_an_affix_name_that_leads_nowhere(node, advertise):
    advertise.table.put(KEY, b"%s:%d" % (NAME, node.port), 60)
    code, text = look_up(node, advertise)
    assert code == 1
    assert "which leads nowhere: no address is advertised under it" in text


@pytest.mark.parametrize("value", [b"10.0.0.9:%d", b"127.0.0.1:1", b"0123456789abcdef0123456789abcdef01234567:%d"])
def test_warn_advertised_elsewhere(node, advertise, value):
    value = value.replace(b"%d", b"%d" % node.port)
    advertise.table.put(KEY, value, 60)
    code, text = look_up(node, advertise)
    assert code == 1
    assert f"advertised as {value.decode()}, but it answers at 127.0.0.1:{node.port}" in text


def test_ok_one_of_many_names_is_the_right_one(node, advertise):
    for number in range(300):
        advertise.table.put(KEY, b"%040x:%d" % (number, node.port), 60)
    advertise.table.put(KEY, b"%s:%d" % (NAME, node.port), 60)
    advertise.table.put(NAME, b"127.0.0.1", 60)
    code, text = look_up(node, advertise, "-v")
    assert code == 0
    assert "advertise.addresses=301" in items(text)
    assert len(advertise.requests) <= 10, "anybody could make the check look up as much as he likes"


def test_ok_behind_a_forwarder_of_old(node, advertise):
    advertise.table.put(KEY, b"NAT$0a1b:%d" % node.port, 60)
    assert look_up(node, advertise)[0] == 0


def test_crit_not_advertised_and_its_severity_is_a_choice(node, advertise):
    code, text = look_up(node, advertise)
    assert code == 2
    said = f"not advertised: 127.0.0.1:{advertise.port} knows no address under the key of 127.0.0.1:{node.port}"
    assert text.startswith(f"SEATTLE_NODE CRITICAL - {said}")
    assert look_up(node, advertise, "--not-advertised-severity", "ok")[0] == 0


@pytest.mark.parametrize(
    ("manner", "says"),
    [("silent", "no answer in time"), ("empty", "closed without"), ("junk", "begins with no length")],
)
def test_unknown_a_failure_of_the_service_is_not_one_of_the_node(node, advertise, manner, says):
    advertise.manner = manner
    code, text = look_up(node, advertise, "-t", "1")
    assert code == 3
    server = f"advertise server 127.0.0.1:{advertise.port}"
    assert text.startswith(f"SEATTLE_NODE UNKNOWN - not known whether the node is advertised: {server}: ")
    assert says in text
    assert "vessels.total=5;;1:" in items(text)


def test_unknown_a_service_that_is_down_hides_no_trouble_of_the_node(node):
    code, text = ask(node, "--advertise-host", "127.0.0.1:1", "--vessels-critical", "6:")
    assert code == 2
    assert "UNKNOWN: not known whether the node is advertised: advertise server 127.0.0.1:1: connection refused" in text


# Hostile answers, and many vessels


@given(st.lists(st.sampled_from(CAPTURED.split(b"\n")) | st.binary(max_size=20), max_size=12))
@settings(max_examples=25, deadline=None)
def test_no_answer_is_an_internal_error(parts):
    with NodeManager(vessels=b"\n".join([*CAPTURED.split(b"\n")[:8], *parts, b"Success"])) as node:
        code, text = ask(node, "-v")
    assert code in (0, 1, 2)
    assert text.replace("\n", "").isprintable()


def test_hostile_names_reach_the_output_clean():
    with hostile() as node:
        code, text = ask(node, "-v", "--resources", "--max-output", "100000")
    assert code == 1
    assert text.count("|") == 1
    assert text.replace("\n", "").isprintable()
    assert "<" not in text
    assert "v1?x=1;2?[2J??b?: Sta?le?" in text
    labels = [item.partition("=")[0] for item in items(text)]
    assert {"offcut.cpu", "vessel.offcut.cpu"} <= set(labels)
    assert len(set(labels)) == len(labels)


def test_ok_a_thousand_vessels_fit_and_what_is_left_out_is_told():
    with NodeManager(vessels=many(1000)) as node:
        code, text = ask(node, "-v")
    assert code == 0
    assert len(text.encode()) <= 4000
    assert "1000 vessels, 333 unassigned" in text
    assert "of 1002 lines fit]" in text
    assert {"vessels.total=1000;;1:", "status.Started=400", "status.Terminated=200"} <= set(items(text))
