"""Who is advertised under a public key, and where Affix names lead."""

import time

import pytest

from checks.seattle import nodes
from checks.seattle.advertise import TcpAdvertise
from checks.seattle.errors import NoAnswer
from checks.seattle.keys import parse_key
from checks.seattle.nodes import ADDRESS, AFFIX, NAT, OTHER, advertised, follow, parse_name
from tests.seattle.advertise import AdvertiseServer

KEY = parse_key(b"65537 840301610928756114796324397867")
AFFIXED = b"6c2f3f77f8f86bd9e242b07846aaa8bed3c7962d"


def soon(seconds=5.0):
    return time.monotonic() + seconds


@pytest.fixture
def server():
    with AdvertiseServer(2) as server:
        yield server


@pytest.fixture
def service(server):
    return TcpAdvertise("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("value", "kind", "host", "port"),
    [
        (b"127.0.0.1:1224", ADDRESS, "127.0.0.1", 1224),
        (AFFIXED + b":1224", AFFIX, AFFIXED.decode(), 1224),
        (b"NAT$1234abcd:1224", NAT, "NAT$1234abcd", 1224),
        (b"127.0.0.1", OTHER, "'127.0.0.1'", 0),
        (b"127.0.0.1:0", OTHER, "'127.0.0.1:0'", 0),
        (b"127.0.0.1:65536", OTHER, "'127.0.0.1:65536'", 0),
        (b"127.1:1224", OTHER, "'127.1:1224'", 0),
        (b"300.0.0.1:1224", OTHER, "'300.0.0.1:1224'", 0),
        (AFFIXED[1:] + b":1224", OTHER, f"'{AFFIXED[1:].decode()}:'...", 0),
        (b"NAT$\n:1224", OTHER, "'NAT$\\n:1224'", 0),
        (b"\x1b[2J|<b>:1", OTHER, "'\\x1b[2J|<b>:1'", 0),
        (b":", OTHER, "':'", 0),
        (b"\xd9\xa1.1.1.1:1224", OTHER, "'\\xd9\\xa1.1.1.1:1224'", 0),
    ],
)
def test_what_a_value_says_about_its_node(value, kind, host, port):
    assert parse_name(value) == (kind, host, port, value)


def test_distinct_values_that_are_not_empty_are_nodes(server, service):
    for value in (b"127.0.0.1:1224", b"", AFFIXED + b":1224"):
        service.put(KEY.advertised(), value, 750, soon())
    found = advertised(service, KEY, soon())
    assert [name.kind for name in found.names] == [ADDRESS, AFFIX]
    assert found.values == 3
    assert server.requests[-1] == b"T4:SGET52:S{'e': 65537L, 'n': 840301610928756114796324397867L}9:I104857600:"


def test_a_value_that_is_there_twice_is_one_node():
    with AdvertiseServer(1) as server:
        service = TcpAdvertise("127.0.0.1", server.port)
        for value in (b"10.0.0.1:1224", b"10.0.0.2:1224", b"10.0.0.1:1224"):
            service.put(KEY.advertised(), value, 750, soon())
        found = advertised(service, KEY, soon())
        assert (found.values, [name.host for name in found.names]) == (2, ["10.0.0.1"])


def test_affix_names_are_followed(server, service):
    others = [parse_name(b"%040x:1224" % number) for number in range(30)]
    service.put(AFFIXED, b"127.0.0.1", 240, soon())
    service.put(others[7].host.encode(), b"no address", 240, soon())
    found = follow(service, [parse_name(AFFIXED + b":1224"), parse_name(b"10.0.0.1:1224"), *others], soon())
    assert found[AFFIXED + b":1224"].addresses == ["127.0.0.1"]
    assert len(found) == 31
    assert found[others[7].value] == ([], "no address is advertised under it")
    assert len(server.requests) == 33


def test_a_service_that_no_longer_answers_is_not_asked_a_thousand_times(server, service):
    names = [parse_name(b"%040x:1224" % number) for number in range(1000)]
    server.manner = "empty"
    found = follow(service, names, soon())
    assert len(found) < 10
    assert all(followed == ([], "connection closed without an answer") for followed in found.values())
    assert len(server.requests) < 10


def test_following_ends_in_time(server, service):
    server.manner = "silent"
    started = time.monotonic()
    found = follow(service, [parse_name(b"%040x:1224" % number) for number in range(1000)], soon(0.1))
    assert time.monotonic() - started < 3
    assert len(found) <= nodes._AT_ONCE


def test_no_answer_is_told(server, service):
    server.manner = "silent"
    with pytest.raises(NoAnswer):
        advertised(service, KEY, soon(0.03))
