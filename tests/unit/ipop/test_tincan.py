"""tincan over UDP: what is asked, what is taken for the answer, and how each failure is told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from checks.deadline import CheckError
from checks.ipop import tincan
from checks.ipop.generation import TincanTooNew
from checks.ipop.records import Reading
from tests.ipop.tincan import ERROR, HAS_IPV6, LOCAL, Tincan, hostile, many, peer, styled

ASKED = b'{"m":"get_state","stats":true}'


HOSTS = ("127.0.0.1", "::1", "localhost") if HAS_IPV6 else ("127.0.0.1", "localhost")


def ask(double: Tincan, host: str = "127.0.0.1") -> Reading:
    """Ask a double, and read nothing before it has sent everything: then no silence depends on how busy the machine is."""
    to, note, asked = tincan._Answer.to, tincan._Answer._note, double.told

    def asking(answer: tincan._Answer, header: bytes, patience: float) -> bool:
        nonlocal asked
        asked += 1
        return to(answer, header, patience)

    def held(answer: tincan._Answer, patience: float) -> bool:
        until = time.monotonic() + 30
        while double.told < asked and time.monotonic() < until and double.manner != "endless":
            time.sleep(0.001)
        return note(answer, patience)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tincan._Answer, "to", asking)
        patch.setattr(tincan._Answer, "_note", held)
        for name in ("_PATIENCE", "_SILENCE", "_LONGEST_SILENCE"):
            patch.setattr(tincan, name, 30.0 if double.manner == "endless" else 0.02)
        return tincan.ask(host, double.port, time.monotonic() + 60)


@pytest.fixture(scope="module")
def healthy() -> Iterator[Tincan]:
    with Tincan() as double:
        yield double


@pytest.mark.parametrize("host", HOSTS)
def test_every_peer_is_a_link(healthy: Tincan, host: str) -> None:
    healthy.requests.clear()
    reading = ask(healthy, host)
    where = f"[::1]:{healthy.port}" if host == "::1" else f"{host}:{healthy.port}"
    assert reading.source == f"tincan 14 to 16 at {where}"
    assert (reading.bits, reading.age_wraps, reading.changed, reading.troubles) == (32, True, None, ())
    assert reading.node == "172.31.0.100"
    first, second = reading.links
    assert (first.key, first.peer, first.active, first.age) == (f"{1:040x}", "172.31.0.101", True, 120)
    assert (first.pairs[0].received, first.pairs[0].sent, first.sampled) == (2000, 1000, None)
    assert (second.peer, second.active, second.xmpp_age) == ("172.31.0.102", False, 30)
    assert healthy.requests == [b"\x03\x01" + ASKED]


def test_an_older_version_takes_the_first_request_as_well() -> None:
    with Tincan(version="14.07") as double:
        assert len(ask(double).links) == 2
        assert double.requests == [b"\x03\x01" + ASKED]


def test_the_first_release_is_asked_without_a_header() -> None:
    with Tincan(version="14.01.1") as double:
        reading = ask(double)
        assert [(link.active, link.xmpp_age) for link in reading.links] == [(True, None), (False, None)]
        assert reading.links[0].pairs[0].received == 2000
        assert double.requests == [b"\x03\x01" + ASKED, b"\x02\x01" + ASKED, ASKED]


def test_a_request_that_got_lost_is_repeated() -> None:
    with Tincan(manner="deaf") as double:
        assert len(ask(double).links) == 2
        # With a header, and not without one: that a tincan with headers would take for something else.
        assert double.requests == [b"\x03\x01" + ASKED, b"\x02\x01" + ASKED]


def test_a_peer_that_is_told_twice_is_one_link() -> None:
    with Tincan(manner="late") as double:
        reading = ask(double)
    assert [link.peer for link in reading.links] == ["172.31.0.101", "172.31.0.102"]
    assert reading.troubles == ()


def test_only_the_asked_address_is_heard() -> None:
    with Tincan(manner="forged") as double:
        assert [link.peer for link in ask(double).links] == ["172.31.0.101", "172.31.0.102"]


def test_a_node_without_peers_is_healthy() -> None:
    with Tincan(peers=[]) as double:
        reading = ask(double)
    assert (reading.links, reading.troubles) == ((), ())


def test_a_damaged_datagram_costs_itself() -> None:
    with Tincan(peers=hostile()) as double:
        reading = ask(double)
    by_uid = {link.key.lstrip("0"): link for link in reading.links}
    assert by_uid["1"].active
    assert by_uid["2"].peer.startswith("172.31.0.9|x=1")
    assert (by_uid["4"].active, by_uid["4"].trouble) == (False, "its state has no status")
    assert (by_uid["5"].age, by_uid["5"].pairs[0].received) == (None, None)
    assert len(by_uid) == 7
    (said,) = reading.troubles
    assert said.startswith("1 datagram of its answer told no state, beginning '\\x03\\x01{")


@pytest.mark.parametrize(
    ("manner", "error", "said"),
    [
        ("empty", tincan.Malformed, "what came back is no state: ''"),
        ("junk", tincan.Malformed, r"what came back is no state: 'HTTP/1.0 400 Bad Request.*\\x1b\[2J'$"),
        ("cut", tincan.Malformed, r"what came back is no state: '\\x03\\x01{"),
        ("error", tincan.Malformed, "json parsing failed"),
        (
            "newer",
            TincanTooNew,
            r"the tincan at 127\.0\.0\.1:\d+ is newer than 16, it answers as IPOP 17 and later do: nothing more is sent",
        ),
    ],
)
def test_failures_by_name(manner: str, error: type[Exception], said: str) -> None:
    with Tincan(manner=manner) as double, pytest.raises(error, match=said):
        ask(double)
    assert len(double.requests) == 1, "after an answer nothing more is sent"


def test_an_answer_has_to_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tincan._Answer, "over", property(lambda answer: len(answer.datagrams) > 5))
    with Tincan(manner="endless") as double, pytest.raises(tincan.Malformed, match="its answer has no end in time"):
        ask(double)


def test_an_endless_answer_ends_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tincan, "_MOST_DATAGRAMS", 20)
    with Tincan(manner="endless") as double, pytest.raises(tincan.Malformed, match="no end: 21 datagrams"):
        ask(double)
    monkeypatch.setattr(tincan, "_MOST_DATAGRAMS", 1000)
    monkeypatch.setattr(tincan, "_MOST_BYTES", 5000)
    with Tincan(manner="endless") as double, pytest.raises(tincan.Malformed, match="no end"):
        ask(double)


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_listens(host: str) -> None:
    # A port that nobody gets by chance, as a double's would be when it has ended.
    with pytest.raises(tincan.Refused, match=r"^connection refused$"):
        tincan.ask(host, 1, time.monotonic() + 30)


def test_a_name_is_tried_at_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET6, 2, 17, "", ("::1", 0)), (socket.AF_INET, 2, 17, "", ("127.0.0.1", 0))]
    with Tincan(ipv6=False) as double:
        found = [(*one[:4], (one[4][0], double.port)) for one in both]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert tincan.ask("localhost", double.port, time.monotonic() + 30).node == "172.31.0.100"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "a..b"])
def test_a_host_without_an_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, *_: Any, **__: Any) -> Any:
        name.encode("idna")
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(tincan.Unresolvable, match="no address"):
        tincan.ask(host, 5800, time.monotonic() + 1)


class _Lossy:
    """A connection whose receive buffer was too small for some of its answers."""

    def __init__(self, answers: list[tuple[list[bytes], int]]) -> None:
        self._answers, self._waiting = answers, list[bytes]()
        self.lost, self.sent = 0, list[bytes]()

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self._waiting, lost = self._answers.pop(0)
        self.lost += lost

    def recv(self, _: int) -> bytes:
        if not self._waiting:
            raise TimeoutError
        return self._waiting.pop(0)

    def settimeout(self, _: float) -> None: ...
    def setsockopt(self, *_: Any) -> None: ...
    def connect(self, _: Any) -> None: ...
    def __enter__(self) -> _Lossy:
        return self

    def __exit__(self, *_: Any) -> None: ...


@pytest.mark.parametrize(
    ("answers", "peers", "said"),
    [
        ([([0, 1, 2], 0)], 2, ""),
        ([([0, 1], 1), ([0, 2], 1), ([0, 1, 2], 0)], 2, ""),
        ([([0, 1], 1), ([0, 2], 1), ([0, 2], 1)], 2, "1 datagram found the receive buffer full"),
        ([([0, 1], 5), ([], 5), ([], 7)], 1, "7 datagrams found the receive buffer full"),
    ],
    ids=["none lost", "third is whole", "each lost one", "no second answer"],
)
def test_where_datagrams_were_lost_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[list[int], int]], peers: int, said: str
) -> None:
    datagrams = [styled(LOCAL), styled(peer(1)), styled(peer(2))]
    connection = _Lossy([([datagrams[place] for place in places], lost) for places, lost in answers])
    monkeypatch.setattr(tincan.socket, "socket", lambda *_: connection)
    monkeypatch.setattr(tincan, "_lost", lambda one: one.lost)
    reading = tincan.ask("127.0.0.1", 5800, time.monotonic() + 5)
    assert len(reading.links) == peers
    assert (said in reading.troubles[0]) if said else reading.troubles == ()
    assert connection.sent == [b"\x03\x01" + ASKED] * len(answers)


def test_lost_datagrams_are_counted_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tincan, "_BUFFER", 1)
    with Tincan(peers=many(100)) as double:
        reading = ask(double)
    assert len(reading.links) < 100
    assert "datagrams found the receive buffer full" in reading.troubles[0]
    assert len(double.requests) == 3


def test_without_an_answer_each_header_gets_its_share_of_the_time() -> None:
    with Tincan(manner="silent") as double:
        with pytest.raises(tincan.NoAnswer, match="no answer in time"):
            tincan.ask("127.0.0.1", double.port, time.monotonic() + 0.1)
        until = time.monotonic() + 30
        while len(double.requests) < 3 and time.monotonic() < until:
            time.sleep(0.001)
    assert double.requests == [b"\x03\x01" + ASKED, b"\x02\x01" + ASKED, ASKED]


def test_an_error_alone_is_no_answer_of_a_node() -> None:
    with pytest.raises(tincan.Malformed, match="json parsing failed"):
        tincan._reading("x", [b"\x03\x01" + ERROR], 0)


def test_a_peer_without_uid_goes_by_its_address() -> None:
    state = {"ip4": "172.31.0.5", "status": "offline"}
    (link,) = tincan._reading("x", [styled(state)], 0).links
    assert (link.key, link.peer) == ("172.31.0.5", "172.31.0.5")


def test_a_peer_that_only_speaks_of_ipop_is_no_newer_tincan() -> None:
    with Tincan(peers=[peer(1, fpr="IPOP", stats=[{"IPOP": 1}])]) as double:
        assert [link.active for link in ask(double).links] == [True]


def test_what_is_quoted_is_short_and_plain() -> None:
    with pytest.raises(tincan.Malformed, match=r"no state: '<b>\\x1b\[2J\|{33}'\.\.\.$"):
        tincan._reading("x", [b"<b>\x1b[2J" + b"|" * 500, b"second"], 0)
    with pytest.raises(tincan.Malformed, match=r"no state: 'a{40}'$"):
        tincan._reading("x", [b"a" * 40], 0)


def test_a_value_that_is_told_twice_costs_itself() -> None:
    told = styled(peer(1)).replace(b'"last_time"', b'"last_time" : 7,\n   "last_time"').replace(b"23", b"NaN")
    (link,) = tincan._reading("x", [told], 0).links
    assert (link.peer, link.active, link.age, link.pairs[0].rtt, link.xmpp_age) == (
        "172.31.0.101",
        True,
        None,
        None,
        30,
    )


def test_a_hostile_host_is_told_clean() -> None:
    with pytest.raises((tincan.TincanError, CheckError)) as raised:
        tincan.ask("a\x1b[2J|b", 5800, time.monotonic() + 0.1)
    assert "\x1b" not in str(raised.value)
