"""The clients of the advertise service against the doubles, and the doubles against what was captured from the real servers."""

import socket
import time

import pytest

from checks.seattle.advertise import TcpAdvertise, UdpAdvertise
from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused, SeattleError
from tests.seattle import serving
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer

KEY, VALUE = b"monkey", b"10.0.0.1:1224"
# Requests and replies of both TCP servers, in the order in which they were captured.
CAPTURED = [
    (b"27\nT4:SGET10:Snosuchkey3:I100:", b"13\nT3:SOK3:L0:0:"),
    (b"39\nT4:SPUT7:Smonkey14:S10.0.0.1:12242:I30:", b"3\nSOK"),
    (b"40\nT4:SPUT7:Smonkey14:S10.0.0.2:12243:I600:", b"3\nSOK"),
    (b"40\nT4:SPUT7:Smonkey14:S10.0.0.3:12243:I600:", b"3\nSOK"),
    (
        b"24\nT4:SGET7:Smonkey4:I1000:",
        b"65\nT3:SOK54:L14:S10.0.0.1:122414:S10.0.0.2:122414:S10.0.0.3:12240:0:",
    ),
    (
        b"22\nT4:SGET5:S%all4:I1000:",
        b"65\nT3:SOK54:L14:S10.0.0.1:122414:S10.0.0.2:122414:S10.0.0.3:12240:0:",
    ),
    (b"25\nT4:SPUT6:Sempty1:S3:I600:", b"3\nSOK"),
    (b"22\nT4:SGET6:Sempty3:I100:", b"16\nT3:SOK6:L1:S0:0:"),
    (b"30\nT4:SPUT5:Sk:1\n7:Sv:0:\nx3:I600:", b"3\nSOK"),
    (b"21\nT4:SGET5:Sk:1\n3:I100:", b"23\nT3:SOK12:L7:Sv:0:\nx0:0:"),
]
CAPTURED_UDP = [
    (b"T4:SGET6:Snokey3:I105:Sreq10:", b"T3:SOK3:L0:5:Sreq10:"),
    (b"T4:SPUT7:Smonkey14:S10.0.0.1:12243:I605:Sreq20:", b"T3:SOK5:Sreq20:"),
    (b"T4:SPUT7:Smonkey14:S10.0.0.2:12243:I605:Sreq30:", b"T3:SOK5:Sreq30:"),
    (b"T4:SGET7:Smonkey3:I105:Sreq40:", b"T3:SOK37:L14:S10.0.0.1:122414:S10.0.0.2:12240:5:Sreq40:"),
    (b"T4:SGET7:Smonkey2:I12:I70:", b"T3:SOK20:L14:S10.0.0.1:12240:2:I70:"),
]
BAD = [
    b"T4:SPUT2:Sk2:Sv2:I0:0:",
    b"T4:SPUT2:Sk2:Sv3:I-1:0:",
    b"T4:SGET2:Sk2:I0:0:",
    b"T4:SGET2:Sk0:",
    b"T4:SGET2:I12:I10:",
    b"T5:SJUMP2:Sk0:",
    b"garbage",
    b"",
]


def soon(seconds=5.0):
    return time.monotonic() + seconds


def converse(port, data, seconds=5.0):
    """Send raw bytes and return all that comes back; None where nothing does."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(data)
        found = b""
        try:
            while chunk := connection.recv(65536):
                found += chunk
        except TimeoutError:
            return None
        return found


def framed(body):
    return b"%d\n%s" % (len(body), body)


# The doubles


@pytest.mark.parametrize("generation", [1, 2])
def test_the_double_answers_what_was_captured(generation):
    with AdvertiseServer(generation) as server:
        for request, reply in CAPTURED:
            assert converse(server.port, request) == reply


def test_the_udp_double_answers_what_was_captured():
    with UdpAdvertiseServer() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.port))
        client.settimeout(5)
        for request, reply in CAPTURED_UDP:
            client.send(request)
            assert client.recv(65536) == reply


def test_the_experimental_udp_port_takes_the_requests_of_tcp():
    with AdvertiseServer(1) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        TcpAdvertise("127.0.0.1", server.port).put(b"udpk", b"v1", 60, soon())
        client.connect(("127.0.0.1", server.sibling.port))
        client.settimeout(5)
        client.send(b"T4:SGET5:Sudpk3:I100:")
        assert client.recv(65536) == b"T3:SOK8:L3:Sv10:0:"


@pytest.mark.parametrize("body", BAD)
def test_what_is_bad_is_never_answered_or_hung_up_on(body):
    with AdvertiseServer(1) as first, AdvertiseServer(2) as second:
        assert converse(first.port, framed(body), 0.03) is None
        assert converse(second.port, framed(body)) == b""


def test_a_header_that_is_no_number_and_a_list_instead_of_a_tuple():
    request = framed(b"L4:SGET2:Sk2:I10:")
    with AdvertiseServer(1) as first, AdvertiseServer(2) as second:
        assert converse(first.port, b"abc\n", 0.03) is None
        assert converse(second.port, b"abc\n") == b""
        assert converse(first.port, request) == b"13\nT3:SOK3:L0:0:"
        assert converse(second.port, request) == b""


def test_generation_1_overwrites_the_last_value_where_another_is_put_again():
    for generation, reply in ((1, b"22\nT3:SOK11:L2:Sa2:Sa0:0:"), (2, b"22\nT3:SOK11:L2:Sa2:Sb0:0:")):
        with AdvertiseServer(generation) as server:
            client = TcpAdvertise("127.0.0.1", server.port)
            for value in (b"a", b"b", b"a"):
                client.put(b"k", value, 60, soon())
            assert converse(server.port, framed(b"T4:SGET2:Sk4:I1000:")) == reply


def test_generation_1_forgets_late_and_generation_2_early():
    with AdvertiseServer(1) as first, AdvertiseServer(2) as second:
        clients = [TcpAdvertise("127.0.0.1", server.port) for server in (first, second)]
        second.table.skip(30)
        for client in clients:
            client.put(KEY, VALUE, 20, soon())
            assert client.get(KEY, 10, soon()).values == [VALUE]
        second.table.skip(2.2)
        assert clients[1].get(KEY, 10, soon()).values == []
        clients[1].put(KEY, VALUE, 20, soon())
        second.table.skip(17)
        assert clients[1].get(KEY, 10, soon()).values == [VALUE]
        second.table.skip(5)
        assert clients[1].get(KEY, 10, soon()).values == []
        first.table.skip(19)
        assert clients[0].get(KEY, 10, soon()).values == [VALUE]
        first.table.skip(12)
        assert clients[0].get(KEY, 10, soon()).values == []


def test_generation_2_ends_when_a_value_expires_that_is_not_the_last_of_its_key():
    with AdvertiseServer(2) as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        client.put(b"k1", b"v1", 3, soon())
        server.table.skip(5)
        client.put(b"k2", b"v2", 3, soon())
        client.put(b"k3", b"v3", 60, soon())
        assert client.get(b"k2", 10, soon()).values == [b"v2"]
        server.table.skip(5)
        with pytest.raises(EmptyAnswer):
            client.get(b"k3", 10, soon())
        with pytest.raises(Refused):
            client.get(b"k3", 10, soon())


# The clients


@pytest.fixture(params=["TCP 1", "TCP 2", "UDP"])
def both(request):
    """A double and its client."""
    kind, _, generation = request.param.partition(" ")
    server = AdvertiseServer(int(generation)) if kind == "TCP" else UdpAdvertiseServer()
    with server:
        yield server, (TcpAdvertise if kind == "TCP" else UdpAdvertise)("127.0.0.1", server.port)


def test_what_was_put_is_got(both):
    _, client = both
    assert client.get(KEY, 10, soon()).values == []
    stored = client.put(KEY, VALUE, 60, soon())
    assert 0 <= stored.connect < 5
    assert 0 < stored.seconds < 5
    client.put(KEY, b"\x00:\n|1", 60, soon())
    found = client.get(KEY, 10, soon())
    assert found.values == [VALUE, b"\x00:\n|1"]
    assert 0 < found.seconds < 5


def test_tcp_sends_the_captured_bytes():
    with AdvertiseServer() as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        client.get(b"nosuchkey", 10, soon())
        client.put(KEY, VALUE, 3, soon())
        assert server.requests == [b"T4:SGET10:Snosuchkey3:I100:", b"T4:SPUT7:Smonkey14:S10.0.0.1:12242:I30:"]


@pytest.mark.parametrize(
    ("manner", "error"),
    [
        ("silent", NoAnswer),
        ("empty", EmptyAnswer),
        ("reset", EmptyAnswer),
        ("cut", Malformed),
        ("junk", Malformed),
    ],
)
@pytest.mark.parametrize("do", ["put", "get"])
def test_each_way_to_fail_over_tcp_has_its_name(manner, error, do):
    with AdvertiseServer(manner=manner) as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        with pytest.raises(error):
            client.put(KEY, VALUE, 60, soon(0.05)) if do == "put" else client.get(KEY, 10, soon(0.05))


@pytest.mark.parametrize("manner", ["drip", "pieces"])
def test_an_answer_in_pieces_is_an_answer(manner):
    with AdvertiseServer() as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        value = b"x" * (100_000 if manner == "pieces" else 20)
        client.put(KEY, value, 60, soon())
        server.manner = manner
        assert client.get(KEY, 10, soon()).values == [value]


def test_an_answer_that_drips_too_slowly_ends_in_time():
    with AdvertiseServer() as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        client.put(KEY, b"x" * 50_000, 60, soon())
        server.manner = "drip"
        with pytest.raises(Malformed, match="no more came in time after"):
            client.get(KEY, 10, soon(0.05))


def test_nothing_listens():
    with AdvertiseServer() as server, UdpAdvertiseServer() as udp:
        pass
    for client in (TcpAdvertise("127.0.0.1", server.port), UdpAdvertise("127.0.0.1", udp.port)):
        with pytest.raises(Refused):
            client.put(KEY, VALUE, 60, soon())
        with pytest.raises(Refused):
            client.get(KEY, 10, soon())


@pytest.mark.parametrize(
    ("manner", "error"), [("silent", NoAnswer), ("empty", EmptyAnswer), ("cut", Malformed), ("junk", Malformed)]
)
def test_each_way_to_fail_over_udp_has_its_name(manner, error):
    with UdpAdvertiseServer(manner=manner) as server, pytest.raises(error):
        UdpAdvertise("127.0.0.1", server.port).get(KEY, 10, soon(0.05))


def test_udp_is_asked_again_while_no_answer_comes(monkeypatch):
    monkeypatch.setattr("checks.seattle.advertise._PATIENCE", (0.01, 0.02, 5.0))
    with UdpAdvertiseServer() as server:
        server.drops = 2
        client = UdpAdvertise("127.0.0.1", server.port)
        client.put(KEY, VALUE, 60, soon())
        assert len(server.requests) == 3
        assert client.get(KEY, 10, soon()).values == [VALUE]


def test_an_answer_to_another_request_is_none():
    with UdpAdvertiseServer() as server:
        server.strange_id = True
        with pytest.raises(Malformed, match="other requests"):
            UdpAdvertise("127.0.0.1", server.port).put(KEY, VALUE, 60, soon(0.05))


REPLIES = [
    b"",
    b"SOK",
    b"SNO",
    b"N",
    b"T0:",
    b"T3:SOK0:",
    b"T3:SNO3:L0:0:",
    b"T3:SOK3:T0:0:",
    b"T3:SOK4:I1230:",
    b"T3:SOK9:L4:I1230:0:",
    b"T3:SOK3:L0:3:L0:0:",
    b"L3:SOK3:L0:0:",
]


class Fixed(serving.Serving):
    """Answers the same to whatever is asked."""

    reply = b""

    def converse(self, connection):
        connection.recv(65536)
        connection.sendall(framed(self.reply))


def test_a_reply_that_is_none_is_malformed():
    with Fixed() as server:
        client = TcpAdvertise("127.0.0.1", server.port)
        for server.reply in REPLIES:
            with pytest.raises(Malformed):
                client.get(KEY, 10, soon())
            if server.reply != b"SOK":
                with pytest.raises(Malformed):
                    client.put(KEY, VALUE, 60, soon())


def test_every_error_is_one_a_caller_expects():
    assert all(issubclass(error, SeattleError) for error in (NoAnswer, EmptyAnswer, Malformed, Refused))
