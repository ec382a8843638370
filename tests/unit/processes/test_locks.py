"""The lock server's status, from the answer of Python 2.7's XML-RPC server, and from answers that are none."""

import time

import pytest

from checks import web
from checks.processes import locks
from checks.processes.locks import Lock, parse
from tests.seattle.lockserver import LockServer

# Captured: one held lock with one session waiting, one that nobody holds any more.
CAPTURED = (
    b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\nDate: Sat, 21 Nov 2026 15:39:31 GMT\r\nContent-type: text/xml\r\n"
    b"Content-length: 1920\r\n\r\n<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><struct>\n<member>\n<name>locktimelist</name>\n"
    b"<value><array><data>\n<value><array><data>\n<value><struct>\n<member>\n<name>user</name>\n<value><string>bob</string></value>\n</member>\n"
    b"</struct></value>\n<value><dateTime.iso8601>20261121T10:00:00</dateTime.iso8601></value>\n</data></array></value>\n</data></array></value>\n"
    b"</member>\n<member>\n<name>heldlockdict</name>\n<value><struct>\n<member>\n<name>node</name>\n<value><struct>\n<member>\n<name>n1</name>\n"
    b"<value><struct>\n<member>\n<name>queue</name>\n<value><array><data>\n</data></array></value>\n</member>\n<member>\n"
    b"<name>locked_by_session</name>\n<value><nil/></value></member>\n</struct></value>\n</member>\n</struct></value>\n</member>\n<member>\n"
    b"<name>user</name>\n<value><struct>\n<member>\n<name>bob</name>\n<value><struct>\n<member>\n<name>queue</name>\n<value><array><data>\n"
    b"<value><string>222</string></value>\n</data></array></value>\n</member>\n<member>\n<name>locked_by_session</name>\n"
    b"<value><string>111</string></value>\n</member>\n</struct></value>\n</member>\n</struct></value>\n</member>\n</struct></value>\n</member>\n"
    b"<member>\n<name>sessiondict</name>\n<value><struct>\n<member>\n<name>111</name>\n<value><struct>\n<member>\n<name>heldlocks</name>\n"
    b"<value><struct>\n<member>\n<name>node</name>\n<value><array><data>\n</data></array></value>\n</member>\n<member>\n<name>user</name>\n"
    b"<value><array><data>\n<value><string>bob</string></value>\n</data></array></value>\n</member>\n</struct></value>\n</member>\n<member>\n"
    b"<name>neededlocks</name>\n<value><struct>\n<member>\n<name>node</name>\n<value><array><data>\n</data></array></value>\n</member>\n<member>\n"
    b"<name>user</name>\n<value><array><data>\n</data></array></value>\n</member>\n</struct></value>\n</member>\n<member>\n"
    b"<name>acquirelocksproceedeventset</name>\n<value><boolean>1</boolean></value>\n</member>\n</struct></value>\n</member>\n</struct></value>\n"
    b"</member>\n</struct></value>\n</param>\n</params>\n</methodResponse>\n"
)
EMPTY = {"locktimelist": [], "heldlockdict": {"node": {}, "user": {}}, "sessiondict": {}}
BOB = Lock("user", "bob", "111", 1, "2026-11-21 10:00:00")


def ask(server):
    return locks.ask(server.port, time.monotonic() + 5)


def test_the_double_answers_byte_for_byte():
    with LockServer() as server:
        server.hold("node", "n1", None)
        server.hold("user", "bob", "111", queue=("222",))
        status = ask(server)
        assert server.respond(server_asked(server)) == CAPTURED
    assert (status.locks, status.waiting, status.sessions) == ([BOB], 1, 1)
    assert 0 < status.seconds < 5


def server_asked(server):
    """The request that the server got last."""
    from tests.seattle.web import Asked

    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    return Asked(*head.decode().split(" ")[:2], {}, body)


def test_only_the_harmless_question_is_asked():
    with LockServer() as server:
        ask(server)
        ask(server)
    assert len(server.requests) == 2
    for request in server.requests:
        assert b"<methodName>GetStatus</methodName>" in request


def test_a_fault_is_asked_again_once():
    with LockServer() as server:
        server.faults = 1
        assert not ask(server).locks
        server.faults = 2
        with pytest.raises(web.Fault, match="dictionary changed size"):
            ask(server)


def test_anything_else_ends_the_double():
    with LockServer() as server:
        with pytest.raises(web.Fault):
            web.call(f"http://127.0.0.1:{server.port}/", "EndSession", ("1",), time.monotonic() + 5)
        assert server.stopped.wait(30)
        with pytest.raises(web.Refused):
            ask(server)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "OK",
        [],
        {},
        EMPTY | {"sessiondict": []},
        EMPTY | {"heldlockdict": {"node": {}}},
        EMPTY | {"heldlockdict": {"node": [], "user": {}}},
        EMPTY | {"heldlockdict": {"node": {"x": None}, "user": {}}},
        EMPTY | {"heldlockdict": {"node": {"x": {"queue": 7, "locked_by_session": "1"}}, "user": {}}},
        EMPTY | {"heldlockdict": {"node": {"x": {"queue": []}}, "user": {}}},
        EMPTY | {"locktimelist": [1]},
        EMPTY | {"locktimelist": [["x", 1]]},
        EMPTY | {"locktimelist": [[{}, 1, 2]]},
    ],
)
def test_what_is_no_status_is_malformed(answer):
    with pytest.raises(web.Malformed):
        parse(answer)


def test_a_lock_without_a_time_is_a_lock():
    held = {"node": {"n": {"queue": [], "locked_by_session": "5"}}, "user": {}}
    assert parse(EMPTY | {"heldlockdict": held}).locks == [Lock("node", "n", "5", 0, "")]
