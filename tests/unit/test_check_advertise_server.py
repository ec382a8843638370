"""check_advertise_server against the doubles: each way to fail by its name, second tries, nodes in each state."""

import socket
import time
from pathlib import Path

import pytest

from checks.advertise import round_trip
from checks.check_advertise_server import CHECK
from checks.seattle.advertise import PROBE_VALUE
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer, populated
from tests.soak import count

KEYS = Path(__file__).parent / "data" / "check_advertise_server"
TWOPERCENT = ["--state-key", str(KEYS / "twopercent.publickey")]
TRANSPORTS = {"tcp": AdvertiseServer, "udp": UdpAdvertiseServer}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(round_trip, "_PAUSE", 0.0)


def check(server, *argv, timeout=5.0):
    """Run the check on a double."""
    transport = ["--transport", "udp"] if isinstance(server, UdpAdvertiseServer) else []
    outcome = CHECK.run(["-p", str(server.port), "-t", str(timeout), *transport, *argv])
    assert "internal error" not in outcome.text
    return outcome.code, outcome.text


def perfdata(text):
    """Labels and values of the first line."""
    items = text.split("\n")[0].partition(" | ")[2].split()
    return {label: value.split(";")[0] for label, _, value in (item.partition("=") for item in items)}


@pytest.fixture(params=["TCP 1", "TCP 2", "UDP 0"])
def server(request):
    kind, _, generation = request.param.partition(" ")
    with AdvertiseServer(int(generation)) if kind == "TCP" else UdpAdvertiseServer() as server:
        yield server


@pytest.fixture
def nodes():
    with populated() as server:
        yield server


def test_ok_a_value_is_put_and_got_again(server):
    code, text = check(server)
    assert code == 0
    udp = isinstance(server, UdpAdvertiseServer)
    transport = "UDP" if udp else "TCP"
    assert text.startswith(f"ADVERTISE_SERVER OK - 127.0.0.1:{server.port} gave back what was put in ")
    assert f" ({transport}) | " in text
    found = perfdata(text)
    times = ["time.put", "time.get", "time.total"]
    assert list(found) == [*([] if udp else ["time.connect"]), *times, "values"]
    assert found["values"] == "1"
    assert "time.total=" in text
    assert "s;5;10 values" in text
    assert len(server.requests) == 2
    assert b"4:I900" in server.requests[0]


def test_ok_the_key_is_another_in_each_run_and_the_value_on_demand(server):
    for argv in ([], [], ["--fresh-value"], ["--fresh-value"]):
        assert check(server, *argv)[0] == 0
    puts = server.requests[::2]
    assert len({request.partition(b"Snagios-")[2][:32] for request in puts}) == 4
    assert [request.count(PROBE_VALUE) for request in puts] == [1, 1, 0, 0]
    assert len(set(puts)) == 4


def test_ok_a_server_that_ends_where_the_older_value_expires_first_lives_through_many_runs():
    with AdvertiseServer(2) as server:
        for _ in range(count(60, 200)):
            assert check(server)[0] == 0
            server.table.skip(1.3)
        server.table.skip(100)
        assert check(server)[0] == 0


def test_ok_a_time_to_live_longer_than_the_interval_protects_such_a_server_from_new_nodes():
    with AdvertiseServer(2) as server:
        for number in range(10):
            assert check(server)[0] == 0
            server.table.skip(10)
            server.table.put(b"key", b"new node %d" % number, 10**6)
            server.table.skip(290)
    with AdvertiseServer(2) as server:
        assert check(server, "--ttl", "60")[0] == 0
        server.table.put(b"key", b"new node", 10**6)
        server.table.skip(100)
        assert check(server)[0] == 2


def test_crit_too_many_nodes_for_a_datagram_may_be_silence():
    with UdpAdvertiseServer() as server:
        server.table.put(b"{'e': 65537L, 'n': 840301610928756114796324397867L}", b"x" * 65500, 100)
        code, text = check(server, *TWOPERCENT, timeout=0.5)
        assert code == 2
        assert "or the answer is too long for UDP: --transport tcp" in text


def test_ok_an_answer_that_comes_byte_by_byte():
    with AdvertiseServer(manner="drip") as server:
        assert check(server)[0] == 0


FAILURES = [
    ("silent", "no answer from 127.0.0.1:{} (TCP) to put though it takes connections: the server hangs, restart it"),
    ("empty", "empty answer from 127.0.0.1:{} (TCP) to put: connection closed without an answer; see the server's log"),
    ("reset", "empty answer from 127.0.0.1:{} (TCP) to put: connection broken without an answer; see the server's log"),
    ("cut", "malformed answer from 127.0.0.1:{} (TCP) to put: the server closed after 2 bytes of 5 bytes: '3\\n'"),
    ("junk", "malformed answer from 127.0.0.1:{} (TCP) to put: answer begins with no length: 'HTTP/1.0 400 Bad"),
]


@pytest.mark.parametrize(("manner", "said"), FAILURES, ids=[f"crit-{manner}" for manner, _ in FAILURES])
def test_crit_each_way_to_fail_has_its_name(manner, said):
    with AdvertiseServer(manner=manner) as server:
        code, text = check(server, timeout=0.5 if manner == "silent" else 5.0)
        assert code == 2
        assert text.startswith(f"ADVERTISE_SERVER CRITICAL - {said.format(server.port)}")
        assert "|" not in text
        assert len(server.requests) == 2, "a second try comes before CRITICAL"


@pytest.mark.parametrize(
    ("manner", "said"),
    [("silent", "no answer"), ("empty", "empty answer"), ("cut", "malformed"), ("junk", "malformed")],
)
def test_crit_each_way_to_fail_over_udp(manner, said):
    with UdpAdvertiseServer(manner=manner) as server:
        code, text = check(server, timeout=0.2 if manner == "silent" else 5.0)
        assert (code, text.count("\n")) == (2, 1)
        assert text.startswith(f"ADVERTISE_SERVER CRITICAL - {said}")
        assert f"127.0.0.1:{server.port} (UDP) to put" in text


@pytest.mark.parametrize("manner", ["silent", "empty", "junk", "cut", "reset"])
@pytest.mark.parametrize("during", ["put", "get"])
def test_ok_a_second_try_helps_and_is_told(manner, during, monkeypatch):
    monkeypatch.setattr(round_trip, "_FIRST_SHARE", 0.02)
    with AdvertiseServer() as server:
        server.manners = [manner] if during == "put" else ["whole", manner]
        code, text = check(server, "-w", "", "-c", "")
        assert code == 0
        assert f" (TCP) to {during}" in text.splitlines()[1]
        assert text.splitlines()[1].startswith("a second try helped; the first: ")


def test_ok_a_value_lost_once(server):
    server.loses = 1
    code, text = check(server)
    assert code == 0
    assert "a second try helped; the first: no value from" in text


@pytest.mark.parametrize(
    ("lie", "said"), [("forgets", "no value"), ("foreign", "wrong value"), ("refuses", "malformed")]
)
def test_crit_a_server_that_lies_twice(server, lie, said):
    server.lie = lie
    code, text = check(server, *TWOPERCENT)
    assert code == 2
    assert text.startswith(f"ADVERTISE_SERVER CRITICAL - {said}")
    assert text.splitlines()[1] == "nodes were not counted"
    found = perfdata(text)
    assert "time.total" not in found
    assert found.get("values") == {"forgets": "0", "foreign": "1", "refuses": None}[lie]
    if lie == "foreign":
        assert "a fresh key has not only what was just put but 'another'" in text


def test_crit_a_server_that_mixes_up_the_values_of_keys(server):
    server.lie = "adds"
    server.table.put(b"another key", b"another", 600)
    code, text = check(server)
    assert code == 2
    assert text.startswith("ADVERTISE_SERVER CRITICAL - wrong value from ")
    assert "but 'another'" in text


def test_crit_what_was_measured_before_the_failure_is_given():
    with AdvertiseServer() as server:
        server.manners = ["whole", "empty"] * 2
        code, text = check(server)
        assert code == 2
        assert " to get: " in text
        assert list(perfdata(text)) == ["time.connect", "time.put"]


def test_crit_put_is_answered_and_get_is_not():
    with AdvertiseServer() as server:
        server.manners = ["whole", "silent"] * 2
        code, text = check(server, timeout=0.5)
        assert code == 2
        assert "to get, after it answered put: it hangs or is far too slow, restart it" in text
        assert "time.put" in perfdata(text)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_crit_refused(transport):
    with TRANSPORTS[transport]() as server:
        pass
    code, text = check(server, "--sibling-port", "1")
    assert code == 2
    assert text.startswith(
        f"ADVERTISE_SERVER CRITICAL - refused by 127.0.0.1:{server.port} ({transport.upper()}): the server does"
    )
    assert text.count("\n") == 1


def test_ok_a_server_that_is_just_being_restarted(monkeypatch):
    with AdvertiseServer() as server:
        pass
    later = []
    monkeypatch.setattr(
        round_trip.time, "sleep", lambda _: later.append(AdvertiseServer(port=server.port)) or later[0].start()
    )
    code, text = check(server)
    later[0].stop()
    assert code == 0
    assert "a second try helped; the first: refused by" in text


def test_crit_half_dead_after_a_restart():
    with AdvertiseServer(half_dead=True) as server:
        code, text = check(server, "--sibling-port", str(server.sibling.port))
        assert code == 2
        assert text.startswith(
            f"ADVERTISE_SERVER CRITICAL - refused by 127.0.0.1:{server.port} (TCP), but UDP {server.sibling.port} answers: "
            "half-dead since a restart; stop advertiseserver.py"
        )
        server.sibling.manner = "junk"
        assert "does not run, start it" in check(server, "--sibling-port", str(server.sibling.port))[1]


def test_crit_a_silent_server_is_told_within_the_deadline():
    with AdvertiseServer(manner="silent") as server:
        started = time.monotonic()
        assert check(server, timeout=0.2)[0] == 2
        assert time.monotonic() - started < 5


def test_unknown_a_host_without_address(monkeypatch):
    def nobody(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    outcome = CHECK.run(["-H", "advertise.invalid"])
    assert outcome.code == 3
    assert outcome.text == (
        "ADVERTISE_SERVER UNKNOWN - advertise.invalid: no address: Name or service not known; see -H and the name service\n"
    )


@pytest.mark.parametrize(
    ("argv", "code"), [([], 0), (["-w", "0.000001"], 1), (["-c", "0.000001"], 2), (["-w", "", "-c", ""], 0)]
)
def test_thresholds_are_for_the_total_time(server, argv, code):
    found, text = check(server, *argv)
    assert found == code
    if code:
        assert "- total time " in text


def test_warn_the_time_of_a_first_try_counts(monkeypatch):
    monkeypatch.setattr(round_trip, "_FIRST_SHARE", 0.02)
    with AdvertiseServer() as server:
        server.manners = ["silent"]
        code, text = check(server, "-w", "0.05")
        assert code == 1
        assert text.startswith("ADVERTISE_SERVER WARNING - total time ")


# States


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--state", "twopercent"], 0, "twopercent 154"),
        (["--state", "twopercent=154"], 0, "twopercent 154"),
        (["--state", "twopercent=300:"], 2, "twopercent nodes 154 (< 300)"),
        (["--state", "twopercent=:50"], 2, "twopercent nodes 154 (> 50)"),
        (["--state", "twopercent", "--nodes-warning", "two.*=300:"], 1, "twopercent nodes 154 (< 300)"),
        (["--state", "twopercent", "--nodes-critical", "300:"], 2, "twopercent nodes 154 (< 300)"),
        (["--state", "twopercent=100:", "--nodes-critical", "300:"], 0, "twopercent 154"),
        (["--state", "acceptdonation=:50"], 0, "acceptdonation 1"),
        (["--state", "canonical=1:"], 2, "canonical nodes 0 (< 1)"),
    ],
)
def test_nodes_of_a_state_are_counted_and_judged(nodes, argv, code, said):
    found, text = check(nodes, "--state-directory", str(KEYS), *argv)
    assert found == code
    assert said in text.split(" | ")[0]


def test_states_are_perfdata_with_their_ranges(nodes):
    argv = [
        "--state-directory",
        str(KEYS),
        "--state",
        "twopercent=10:",
        "--state",
        "acceptdonation=:50",
        "--nodes-warning",
        "20",
    ]
    code, text = check(nodes, *argv)
    assert code == 1
    assert "state.twopercent.nodes=154;20;10: state.acceptdonation.nodes=1;20;50" in text
    found = perfdata(text)
    assert float(found["time.states"].rstrip("s")) <= float(found["time.total"].rstrip("s"))


def test_get_only_puts_nothing(nodes):
    code, text = check(nodes, "--get-only", str(KEYS / "twopercent.publickey"))
    assert code == 0
    assert f"OK - 127.0.0.1:{nodes.port} twopercent 154 | time.states=" in text
    assert list(perfdata(text)) == ["time.states", "time.total", "state.twopercent.nodes"]
    assert [request[:8] for request in nodes.requests] == [b"T4:SGET5"]
    assert b"S{'e': 65537L, 'n': 840301610928756114796324397867L}" in nodes.requests[0]


def test_get_only_with_states_and_a_range_for_a_key_file(nodes):
    argv = ["--get-only", "--state-directory", str(KEYS), "--state", "acceptdonation"]
    assert check(nodes, *argv)[0] == 0
    argv = ["--get-only", str(KEYS / "twopercent.publickey"), "--state", "twopercent=300:"]
    assert check(nodes, *argv)[0] == 2
    assert len(nodes.requests) == 2


def test_many_states_are_summed_up(nodes):
    argv = [word for name in "abcde" for word in ("--state", name)]
    code, text = check(nodes, "--state-directory", "/nonexistent", *argv, *TWOPERCENT)
    assert code == 3
    assert "key of a: /nonexistent/a.publickey: No such file or directory, 4 more" in text


def test_verbose_lists_addresses_and_follows_affix(nodes):
    code, text = check(nodes, *TWOPERCENT, "-v", "--max-output", "60000", "--follow", "10")
    assert code == 0
    lines = text.splitlines()
    assert lines[1] == "140 of 150 Affix names not looked up: --follow 10"
    assert lines[2] == "twopercent: 154 nodes, 155 values"
    for line in (
        "127.0.0.1:1224",
        "NAT$0123abcd:1224 (behind a NAT forwarder)",
        "'\\x1b[2J/<b>\\n:1' (no node's name)",
        f"10.0.0.1:1224, 10.0.0.2:1224 (Affix {'0' * 37}abc)",
        f"{'0' * 37}abd:1224 (Affix, no address is advertised under it)",
        f"{'0' * 37}b51:1224 (Affix, not looked up)",
    ):
        assert f"twopercent: {line}" in lines
    assert len(nodes.requests) == 2 + 1 + 10
    assert len(lines) == 3 + 154


def test_without_verbose_no_name_is_looked_up(nodes):
    check(nodes, *TWOPERCENT)
    assert len(nodes.requests) == 3


@pytest.mark.slow
def test_a_thousand_nodes_that_can_not_be_looked_up_cost_no_more_than_the_deadline(nodes):
    nodes.manners = ["whole"] * 3
    nodes.manner = "silent"
    started = time.monotonic()
    code, text = check(nodes, *TWOPERCENT, "-v", "--follow", "1000", timeout=1.0)
    assert time.monotonic() - started < 5
    assert code == 0
    assert "Affix names not looked up: time is over, or the server fails" in text


def test_crit_a_state_that_is_not_answered(nodes):
    nodes.manners = ["whole"] * 2
    nodes.manner = "empty"
    code, text = check(nodes, *TWOPERCENT)
    assert code == 2
    assert "empty answer from" in text
    assert "to get of twopercent: " in text
    assert "time.get" in perfdata(text)


@pytest.mark.parametrize("content", [None, b"", b"65537", b"a b", b"1 2 3", b"-1 5", b"0 0", b"9" * 20000])
def test_unknown_a_key_that_can_not_be_read(nodes, tmp_path, content):
    path = tmp_path / "x.publickey"
    if content is not None:
        path.write_bytes(content)
    code, text = check(nodes, "--state-key", str(path))
    assert code == 3
    assert text.startswith("ADVERTISE_SERVER UNKNOWN - key of x: ")
    assert "gave back what was put" in text


def test_crit_outranks_a_key_that_can_not_be_read():
    with AdvertiseServer(manner="empty") as server:
        code, text = check(server, "--state-key", "/dev/null")
        assert code == 2
        assert "not a regular file" in text


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--get-only"], "--get-only puts nothing, so it needs a key to count"),
        (["--state", "twopercent"], "--state twopercent needs --state-directory"),
        (["--state", "../x", "--state-directory", "/"], "is not NAME or NAME=RANGE"),
        (["--state", "x=y"], "is not a Nagios range"),
        (["--state-key", "/a/x.publickey", "--state-key", "/b/x"], "two key files of the name 'x'"),
        (["--state-key", ""], "is not a file's path"),
        (["--get-only", "x" * 3000], "is not a file's path"),
        (["--transport", "tls"], "invalid choice"),
        (["--ttl", "0"], "is not a whole number from 1 to 86400"),
        (["--follow", "-1"], "is not a whole number from 0"),
        (["-p", "0"], "is not a whole number from 1 to 65535"),
    ],
)
def test_unknown_options_that_do_not_go_together(argv, said):
    outcome = CHECK.run(argv)
    assert outcome.code == 3
    assert said in outcome.text
    assert "internal error" not in outcome.text
    assert outcome.text.count("\n") == 1


def test_ipv6(monkeypatch):
    monkeypatch.setattr(
        "checks.seattle.peers.socket.getaddrinfo",
        lambda *_, **__: [(socket.AF_INET6, 0, 0, "", ("::1", 1)), (socket.AF_INET, 0, 0, "", ("127.0.0.1", 1))],
    )
    outcome = CHECK.run(["-H", "::1", "-t", "0.2", "--sibling-port", "1"])
    assert outcome.code == 2
    assert "refused by [::1]:10102 (TCP)" in outcome.text


def test_ok_without_a_host_this_machines_own_address_is_asked_where_nothing_listens_on_the_first(monkeypatch):
    monkeypatch.setattr("checks.seattle.peers.own_address", lambda: "127.0.0.1")
    monkeypatch.setattr("checks.seattle.peers._LOOPBACK", "127.0.0.2")
    for kind, transport in ((AdvertiseServer, "tcp"), (UdpAdvertiseServer, "udp")):
        with kind() as server:
            outcome = CHECK.run(["-p", str(server.port), "--transport", transport])
            assert outcome.code == 0, outcome.text
            assert outcome.text.startswith(f"ADVERTISE_SERVER OK - 127.0.0.1:{server.port} gave back")
