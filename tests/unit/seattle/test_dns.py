"""Queries and answers against what was captured from the real Zenodotus, the double against the same, and hostile answers."""

import socket
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.seattle import dns
from checks.seattle.dns import NameServer, Reply, is_name, parse, query
from checks.seattle.errors import Malformed, NoAnswer, Refused, Unresolvable
from tests.seattle.zenodotus import ZONE, Zenodotus
from tests.soak import count

ID = b"\xbe\xef"
HELLO = f"hello.{ZONE}"
QUERY_HELLO = bytes.fromhex("beef010000010000000000000568656c6c6f097a656e6f646f74757304706f6c79036564750000010001")
ANSWER_HELLO = bytes.fromhex(
    "beef858000010001000000000568656c6c6f097a656e6f646f74757304706f6c79036564750000010001c00c00010001000000000004c0000207"
)
# Name, query, answer, and what it says; from the real server.
CAPTURED = {
    "zone": (
        ZONE,
        "beef01000001000000000000097a656e6f646f74757304706f6c79036564750000010001",
        "beef85800001000100000000097a656e6f646f74757304706f6c79036564750000010001c00c000100010000000000047f000001",
        Reply(0, ("127.0.0.1",), 1),
    ),
    "hello": (HELLO, QUERY_HELLO.hex(), ANSWER_HELLO.hex(), Reply(0, ("192.0.2.7",), 1)),
    "multi": (
        f"multi.{ZONE}",
        "beef01000001000000000000056d756c7469097a656e6f646f74757304706f6c79036564750000010001",
        "beef85800001000200000000056d756c7469097a656e6f646f74757304706f6c79036564750000010001"
        "c00c00010001000000000004c0000208c00c00010001000000000004c0000209",
        Reply(0, ("192.0.2.8", "192.0.2.9"), 2),
    ),
    "nope": (
        f"nope.{ZONE}",
        "beef01000001000000000000046e6f7065097a656e6f646f74757304706f6c79036564750000010001",
        "beef85830001000000000000046e6f7065097a656e6f646f74757304706f6c79036564750000010001",
        Reply(3),
    ),
}
SERVFAIL = bytes.fromhex("beef858200010000000000000568656c6c6f097a656e6f646f74757304706f6c79036564750000010001")
EDNS = (
    "beef010000010000000000010568656c6c6f097a656e6f646f74757304706f6c790365647500000100010000291000000000000000",
    "beef858100010000000000010568656c6c6f097a656e6f646f74757304706f6c790365647500000100010000291000000000000000",
)
captured = pytest.mark.parametrize(("name", "asked", "answered", "reply"), CAPTURED.values(), ids=CAPTURED.keys())


@pytest.fixture
def quick(monkeypatch):
    """Pauses of hundredths instead of tenths."""
    monkeypatch.setattr(dns, "PAUSE", 0.02)
    monkeypatch.setattr(dns, "_LONGEST_PAUSE", 0.05)


def soon(seconds=5.0):
    return time.monotonic() + seconds


def exchange(port, data, patience=5.0):
    """What comes back for a datagram; None where nothing does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(patience)
        client.send(data)
        try:
            return client.recv(65535)
        except TimeoutError:
            return None


class Scripted(threading.Thread):
    """A server that answers each query with what `answers` makes of it: a list of datagrams."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers, self.times = answers, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            data, client = self.socket.recvfrom(65535)
            if not data:
                return
            self.times.append(time.monotonic())
            for datagram in self.answers(len(self.times), data):
                self.socket.sendto(datagram, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        exchange(self.port, b"", 0.001)
        self.join()
        self.socket.close()


def ask(port, name=HELLO, seconds=5.0):
    server = NameServer("127.0.0.1", port)
    try:
        return server.ask(name, soon(seconds)).reply
    finally:
        server.close()


def good(data, address="192.0.2.7"):
    """The whole answer to a query for one name."""
    return (
        data[:2] + b"\x85\x80\0\1\0\1\0\0\0\0" + data[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address)
    )


# What was captured


@captured
def test_queries_are_those_that_the_real_server_answers(name, asked, answered, reply):
    assert query(name, ID).hex() == asked


@captured
def test_answers_of_the_real_server_are_read(name, asked, answered, reply):
    assert parse(bytes.fromhex(answered), name) == reply


@captured
def test_the_double_answers_as_the_real_server_did(name, asked, answered, reply):
    with Zenodotus() as double:
        assert exchange(double.port, bytes.fromhex(asked)).hex() == answered


def test_a_failing_look_up_is_read_and_given_as_captured():
    assert parse(SERVFAIL, HELLO) == Reply(2)
    with Zenodotus(behind="down") as double:
        assert exchange(double.port, QUERY_HELLO) == SERVFAIL


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        EDNS,
        (QUERY_HELLO.hex().replace("beef0100", "beef0120"), QUERY_HELLO.hex().replace("beef0100", "beef85a1")),
        (QUERY_HELLO.hex()[:-8] + "001c0001", QUERY_HELLO.hex().replace("beef0100", "beef8581")[:-8] + "001c0001"),
        (QUERY_HELLO.hex()[:-8] + "00100001", QUERY_HELLO.hex().replace("beef0100", "beef8584")[:-8] + "00100001"),
        (QUERY_HELLO.hex()[:-8] + "00010003", QUERY_HELLO.hex().replace("beef0100", "beef8584")[:-8] + "00010003"),
        (
            QUERY_HELLO.hex().replace("68656c6c6f", "48454c4c4f"),
            QUERY_HELLO.hex().replace("0568656c6c6f", "0548454c4c4f").replace("beef0100", "beef8583"),
        ),
    ],
    ids=["edns", "ad-bit", "aaaa", "txt", "chaos", "capitals"],
)
def test_the_double_refuses_what_the_real_server_refuses(asked, answered):
    with Zenodotus() as double:
        assert exchange(double.port, bytes.fromhex(asked)).hex() == answered


@pytest.mark.parametrize("value", ["192.0.2.255", "255.0.0.1", "monkey", "10.0.0.1:1224", "1.2.3", ""])
def test_the_double_knows_no_name_with_another_value_than_an_address_below_255(value):
    with Zenodotus(names={HELLO: [value]}) as double:
        assert ask(double.port) == Reply(3)


def test_the_double_drops_a_query_while_it_works_on_another():
    with Zenodotus(work=0.1) as double:
        threading.Thread(target=exchange, args=(double.port, QUERY_HELLO), daemon=True).start()
        deadline = soon()
        while not double.requests and time.monotonic() < deadline:
            time.sleep(0.001)
        assert exchange(double.port, QUERY_HELLO, 0.2) is None
        assert double.dropped == 1


def test_more_addresses_than_fit_are_counted_and_left_out():
    values = [f"192.0.2.{number}" for number in range(40)]
    with Zenodotus(names={HELLO: values}) as double:
        answer = exchange(double.port, QUERY_HELLO)
        assert len(answer) == 378
        assert parse(answer, HELLO) == Reply(0, tuple(values[:21]), 40)


def test_a_name_that_the_real_server_takes_for_delegated_has_no_address():
    name = f"node1.groupname.{ZONE}"
    with Zenodotus(names={name: ["192.0.2.1"]}) as double:
        assert ask(double.port, name) == Reply(3)
        double.names[f"NS .{ZONE}"] = [f"ns.{ZONE}"]
        time.sleep(double.settling)
        assert ask(double.port, name) == Reply(0, (), 0)


# Asking


def test_tries_come_one_pause_apart_and_the_next_question_too(monkeypatch):
    sent = []
    send = NameServer._send
    monkeypatch.setattr(NameServer, "_send", lambda self, asked: sent.append(time.monotonic()) or send(self, asked))
    with Scripted(lambda number, data: [] if number == 1 else [good(data)]) as script:
        server = NameServer("127.0.0.1", script.port)
        answer = server.ask(HELLO, soon())
        answered = time.monotonic()
        server.ask(HELLO, soon())
        server.close()
        assert (server.sent, server.answered) == (3, 2)
        assert all(later - earlier >= 0.3 for earlier, later in pairwise(sent))
        assert answered - answer.seconds >= sent[1]  # the time is that of the try that was answered


def test_pauses_grow_but_not_for_ever():
    pauses = dns._pauses()
    first = [next(pauses) for _ in range(10)]
    assert first[0] >= 0.3
    assert first == sorted(first)
    assert first[-1] == 2.5


def test_a_late_answer_to_an_earlier_try_counts(quick):
    kept = []

    def late(number, data):
        kept.append(data)
        return [good(kept[0])] if number == 3 else []

    with Scripted(late) as script:
        server = NameServer("127.0.0.1", script.port)
        answer = server.ask(HELLO, soon())
        server.close()
        assert answer.reply == Reply(0, ("192.0.2.7",), 1)
        assert answer.seconds >= 0.04  # from the first try on


def test_a_late_answer_to_the_question_before_is_passed_over(quick):
    first = []

    def twice(number, data):
        first.append(data)
        return [good(first[0], "192.0.2.1")] * 9 + [good(data, f"192.0.2.{number}")]

    with Scripted(twice) as script:
        server = NameServer("127.0.0.1", script.port)
        found = [server.ask(HELLO, soon()).reply.addresses, server.ask(HELLO, soon()).reply.addresses]
        server.close()
        assert found == [("192.0.2.1",), ("192.0.2.2",)]


def test_junk_before_the_answer_does_not_hide_it(quick):
    with Scripted(lambda number, data: [b"", b"junk", data, b"\xff" * 50000, good(data)]) as script:
        assert ask(script.port) == Reply(0, ("192.0.2.7",), 1)


def test_a_flood_of_junk_ends_in_time(quick):
    with Scripted(lambda number, data: [b"x" * 1000] * 200) as script, pytest.raises(Malformed, match="'xxx"):
        ask(script.port)


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("cut", r"cut short, 55 bytes"),
        ("junk", "not sent: 'HTTP/1.0"),
        ("empty", "not sent: ''"),
        ("huge", r"(more than 4096 bytes|not sent): '.*\\xff\\xff"),
        ("wrong id", "a query that was not sent"),
        ("wrong question", "another question"),
        ("truncated", "calls itself truncated"),
        ("loop", "points at itself"),
        ("far loop", "points at itself or ahead"),
        ("query", "no answer to a query"),
    ],
)
def test_broken_answers_are_named_and_quoted_after_three_tries(quick, manner, said):
    with Zenodotus(manner=manner, settling=0.01) as double:
        with pytest.raises(Malformed, match=said):
            ask(double.port)
        assert len(double.requests) >= 3


def test_silence_is_told_with_the_number_of_queries(quick):
    with Zenodotus(manner="silent") as double, pytest.raises(NoAnswer, match=r"no answer to \d+ queries in \d\.\d s"):
        ask(double.port, seconds=0.2)


def test_no_listener_is_refused_after_three_tries(quick):
    double = Zenodotus()
    double.stop()
    server = NameServer("127.0.0.1", double.port)
    with pytest.raises(Refused):
        server.ask(HELLO, soon())
    assert (server.sent, server.answered) == (3, 0)
    server.close()


def test_a_server_that_starts_between_two_tries_answers(quick):
    first = Zenodotus()
    first.stop()
    server = NameServer("127.0.0.1", first.port)
    server._send(asked := dns._Asked(HELLO))
    assert server._listen(asked, True, soon(0.05)) is None
    assert isinstance(asked.failure, Refused)
    with Zenodotus(first.port):
        assert server.ask(HELLO, soon()).reply == Reply(0, ("192.0.2.7",), 1)
    server.close()


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "x" * 70])
def test_a_host_without_address_is_unresolvable(host):
    with pytest.raises(Unresolvable):
        NameServer(host)


def test_every_second_query_dropped_costs_a_try_only(quick):
    with Zenodotus(manner="second", settling=0) as double:
        server = NameServer("127.0.0.1", double.port)
        for _ in range(10):
            assert server.ask(HELLO, soon()).reply.addresses == ("192.0.2.7",)
        server.close()
        assert double.dropped >= 9


# Reading


@pytest.mark.parametrize("text", ["a", "a.b", "test-1.zenodotus.poly.edu", "_x.y", "a" * 63, ".".join(["a" * 49] * 5)])
def test_names(text):
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "A", "a b", "ä", "a" * 64, ".".join(["a" * 50] * 5), "a\n", "a|b"]
)
def test_no_names(text):
    assert not is_name(text)


@pytest.mark.parametrize(
    "changed",
    [
        ANSWER_HELLO[:11],
        ANSWER_HELLO[:-1],
        ANSWER_HELLO + b"\0",
        ANSWER_HELLO[:4] + b"\0\2" + ANSWER_HELLO[6:],
        ANSWER_HELLO[:4] + b"\0\0" + ANSWER_HELLO[6:],
        ANSWER_HELLO[:6] + b"\0\2" + ANSWER_HELLO[8:],
        ANSWER_HELLO[:6] + b"\xff\xff" + ANSWER_HELLO[8:],
        ANSWER_HELLO[:2] + b"\xad\x80" + ANSWER_HELLO[4:],
        ANSWER_HELLO[:-5] + b"\5" + ANSWER_HELLO[-4:] + b"\1",
        ANSWER_HELLO[:12] + b"\x50" + ANSWER_HELLO[13:],
        ANSWER_HELLO.replace(b"\0\1\0\1\xc0", b"\0\x1c\0\1\xc0"),
    ],
    ids=[
        "header-cut",
        "cut",
        "longer",
        "two-questions",
        "no-question",
        "record-missing",
        "65535-records",
        "opcode",
        "long-address",
        "label",
        "aaaa",
    ],
)
def test_answers_that_are_none(changed):
    with pytest.raises(Malformed):
        parse(changed, HELLO)


def test_records_of_other_names_and_types_are_no_addresses():
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x12"
    other = b"\xc0\x12\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
    data = ANSWER_HELLO[:6] + b"\0\3" + ANSWER_HELLO[8:] + alias + other
    assert parse(data, HELLO) == Reply(0, ("192.0.2.7",), 3)


def test_an_error_without_the_question_is_an_error():
    assert parse(ID + b"\x81\x85" + bytes(8), HELLO) == Reply(5)


def test_chains_of_pointers_end():
    chain = bytes(12) + b"".join((0xC000 + 12 + 2 * max(number - 1, 0)).to_bytes(2, "big") for number in range(2000))
    with pytest.raises(Malformed):
        dns._read_name(chain, len(chain) - 2)


def read(data):
    """The reply, or what is told of a malformed one."""
    try:
        return parse(data, HELLO)
    except Malformed as error:
        return str(error)


@settings(max_examples=count(60, 5000))
@given(st.binary(max_size=600) | st.builds(lambda body: b"\xbe\xef\x85\x80" + body, st.binary(max_size=600)))
def test_any_bytes_are_an_answer_or_malformed(data):
    found = read(data)
    assert isinstance(found, Reply) or len(found) < 300


@settings(max_examples=count(60, 5000))
@given(
    st.sampled_from([bytes.fromhex(one[2]) for one in CAPTURED.values()]),
    st.lists(st.tuples(st.integers(2, 70), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_captured_answers_with_changed_bytes_are_answers_or_malformed(data, changes):
    changed = bytearray(data)
    for at, byte in changes:
        changed[at % len(data)] = byte
    found = read(bytes(changed))
    assert isinstance(found, Reply) or len(found) < 300
