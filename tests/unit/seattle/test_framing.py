"""Session framing: whatever a peer sends, the answer or one of our own errors, in bounded time and memory."""

import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused, SeattleError, Unreachable, Unresolvable
from checks.seattle.framing import ask, frame
from tests.seattle.serving import Serving
from tests.soak import count


class Says(Serving):
    """Answers every connection with the same bytes, and then hangs up or not."""

    reply = b""
    stays = False

    def converse(self, connection):
        connection.recv(65536)
        connection.sendall(self.reply)
        if self.stays:
            self._ended.wait()


@pytest.fixture(scope="module")
def peer():
    with Says() as peer:
        yield peer


def asked(peer, reply, *, stays=False, seconds=5.0, largest=1000):
    peer.reply, peer.stays = reply, stays
    return ask("127.0.0.1", peer.port, b"hello", time.monotonic() + seconds, largest)


def test_frames():
    assert frame(b"") == b"0\n"
    assert frame(b"T4:SGET10:Snosuchkey3:I100:") == b"27\nT4:SGET10:Snosuchkey3:I100:"


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("body", [b"", b"SOK", b"\n" * 900, bytes(range(256))])
def test_an_answer_is_its_body_whether_the_server_hangs_up_or_not(peer, body, stays):
    answer = asked(peer, frame(body), stays=stays)
    assert answer.body == body
    assert answer.connect >= 0
    assert answer.seconds >= 0


WRONG = [
    (b"", EmptyAnswer, "closed without an answer"),
    (b"-1\n", EmptyAnswer, "closed the session"),
    (b"abc\n", Malformed, "begins with no length: 'abc"),
    (b"\n", Malformed, "begins with no length"),
    (b"+3\nSOK", Malformed, "begins with no length"),
    (b" 3\nSOK", Malformed, "begins with no length"),
    (b"-2\n", Malformed, "begins with no length"),
    (b"1" * 21, Malformed, "begins with no length"),
    (b"0" * 20 + b"1\nx", Malformed, "begins with no length"),
    (b"x" * 10**6, Malformed, "begins with no length"),
    (b"3\nSO", Malformed, "closed after 4 bytes of 5 bytes"),
    (b"3", Malformed, "closed after 1 bytes of its length"),
    (b"3\nSOKSOK", Malformed, "3 bytes too many"),
    (b"1001\n", Malformed, "1001 bytes announced, 1000 at most"),
    (b"9" * 20 + b"\n", Malformed, "announced, 1000 at most"),
]


@pytest.mark.parametrize(("reply", "error", "said"), WRONG)
def test_each_wrong_answer_has_its_name(peer, reply, error, said):
    with pytest.raises(error, match=said):
        asked(peer, reply)


@pytest.mark.parametrize(("reply", "error"), [(b"", NoAnswer), (b"3", Malformed), (b"3\nSO", Malformed)])
def test_a_peer_that_stops_talking_is_left_in_time(peer, reply, error):
    with pytest.raises(error, match="in time"):
        asked(peer, reply, stays=True, seconds=0.05)


@settings(max_examples=count(30, 3000))
@given(st.binary(max_size=60) | st.text("0123456789-\n", max_size=30).map(str.encode))
def test_no_bytes_raise_anything_but_our_own_errors(peer, reply):
    try:
        body = asked(peer, reply).body
    except SeattleError:
        return
    assert reply == frame(body) or int(reply.partition(b"\n")[0]) == len(body)


def test_a_flood_is_not_kept():
    """A peer that sends for ever: no more than one chunk over what was announced is taken."""

    class Floods(Serving):
        def converse(self, connection):
            connection.sendall(b"10\n")
            while True:
                connection.sendall(b"x" * 65536)

    with Floods() as peer, pytest.raises(Malformed, match="too many"):
        ask("127.0.0.1", peer.port, b"hello", time.monotonic() + 5)


def test_a_peer_that_never_reads_does_not_hold_a_large_request():
    with socket.create_server(("127.0.0.1", 0)) as peer, pytest.raises(NoAnswer, match="not even taken"):
        ask("127.0.0.1", peer.getsockname()[1], b"x" * 20_000_000, time.monotonic() + 0.2)


def addresses(monkeypatch, *found):
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 0, 0, "", address) for address in found]
    )


def test_the_next_address_is_asked_where_one_refuses(peer, monkeypatch):
    addresses(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", peer.port))
    assert asked(peer, b"3\nSOK").body == b"SOK"
    addresses(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", 1))
    with pytest.raises(Refused):
        asked(peer, b"3\nSOK")


def test_a_full_backlog_is_no_connection_in_time(peer, monkeypatch):
    """A stopped server whose queue is full takes no connection; the next address still gets its share of the time."""
    with socket.socket() as stopped, socket.socket() as first, socket.socket() as second:
        stopped.bind(("127.0.0.1", 0))
        stopped.listen(0)
        full = stopped.getsockname()
        first.connect(full)
        second.setblocking(False)
        second.connect_ex(full)
        with pytest.raises(Unreachable, match="no connection in time"):
            ask(*full, b"hello", time.monotonic() + 0.1)
        addresses(monkeypatch, full, ("127.0.0.1", peer.port))
        assert asked(peer, b"3\nSOK", seconds=1.0).body == b"SOK"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ""])
def test_a_name_that_is_none_is_unresolvable(host, monkeypatch):
    if not host:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "none")))
    with pytest.raises(Unresolvable, match="no address"):
        ask(host, 1, b"", time.monotonic() + 1)


def test_connections_are_closed():
    closed = threading.Event()

    class Watches(Serving):
        def converse(self, connection):
            connection.sendall(b"junk\n")
            while connection.recv(1000):
                pass
            closed.set()

    with Watches() as peer:
        with pytest.raises(Malformed):
            ask("127.0.0.1", peer.port, b"hello", time.monotonic() + 5)
        assert closed.wait(5)
