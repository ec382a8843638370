"""Asking a node or an introducer: healthy ones of each kind, old ones, and every way to be sick."""

import json
import time

import pytest

from checks import web
from checks.tahoe import ask
from checks.tahoe.ask import NodeError
from tests.tahoe import node as double
from tests.tahoe.node import STATISTICS, STORAGE, WELCOME, TahoeNode

SOON = 0.15


def asked(node, seconds=20.0):
    return ask.node(node.url, time.monotonic() + seconds)


@pytest.fixture
def hurried(monkeypatch):
    """hurried(question): for this question there is little time left."""

    def hurry(question):
        get = web.get
        monkeypatch.setattr(
            ask.web,
            "get",
            lambda url, until, largest: get(url, time.monotonic() + SOON if question in url else until, largest),
        )

    return hurry


@pytest.fixture
def storage():
    with TahoeNode() as node:
        yield node


@pytest.fixture
def client():
    with TahoeNode("client") as node:
        yield node


@pytest.fixture
def introducer():
    with TahoeNode("introducer") as node:
        yield node


def test_a_storage_node_tells_everything(storage):
    answer = asked(storage)
    assert answer.kind == "storage node"
    assert len(answer.welcome.servers) == 2
    assert answer.statistics.counters == storage.counters
    assert answer.storage.buckets == 27
    assert answer.storage.shares == 26
    assert answer.storage.corrupt == 1
    assert answer.storage.shares_size > 1 << 20
    assert answer.storage.checked > 1.7e9
    assert not answer.troubles
    assert not answer.untold
    assert 0 < answer.seconds < 20


def test_a_client_is_not_asked_for_what_would_fill_its_log(client):
    answer = asked(client)
    assert answer.kind == "client"
    assert answer.storage is None
    assert not answer.troubles
    assert client.paths == [WELCOME, STATISTICS]


def test_an_introducer_is_known_by_its_answer(introducer):
    answer = asked(introducer)
    assert answer.kind == "introducer"
    assert answer.introductions.announcements == {"storage": 2}
    assert introducer.paths == [WELCOME]


def test_a_grid_is_one_question(client):
    answer = ask.grid(client.url, time.monotonic() + 20)
    assert [server.nickname for server in answer.welcome.servers] == ["storage1", "storage2"]
    assert client.paths == [WELCOME]


def test_a_url_without_its_last_slash(client):
    assert ask.node(client.url.rstrip("/"), time.monotonic() + 20).kind == "client"


@pytest.mark.parametrize("status", [404, 500])
def test_no_storage_page_is_no_trouble(storage, status):
    storage.statuses[STORAGE] = status
    answer = asked(storage)
    assert answer.untold == (f"/storage?t=json: HTTP {status}",)
    assert not answer.troubles
    assert answer.kind == "storage node"


def test_an_old_node_has_only_a_web_page_there(storage):
    storage.bodies[WELCOME] = double.WEB_PAGE
    answer = asked(storage)
    assert answer.welcome is None
    assert answer.statistics.stores
    assert not answer.troubles
    assert answer.untold == ("/?t=json is a web page, no JSON",)


def test_statistics_every_version_has(client):
    client.statuses[STATISTICS] = 404
    answer = asked(client)
    assert answer.troubles == ("/statistics?t=json: HTTP 404",)
    assert not answer.untold


def test_what_fails_later_is_named_beside_what_came(storage):
    storage.statuses[WELCOME] = 500
    storage.bodies[STORAGE] = b'{"stats": {'
    answer = asked(storage)
    assert answer.statistics.stores
    first, second = answer.troubles
    assert first == "/?t=json: HTTP 500"
    assert second.startswith("/storage?t=json is damaged or cut")


@pytest.mark.parametrize("manner", ["silent", "drip", "cut", "junk", "empty", "reset"])
def test_sick_statistics_are_named_beside_the_grid(client, manner, hurried):
    client.stats.update({f"x{number}": 0 for number in range(2000)})
    client.manners[STATISTICS] = manner
    if manner in ("silent", "drip"):
        hurried(STATISTICS)
    answer = asked(client)
    (trouble,) = answer.troubles
    assert trouble.startswith("/statistics?t=json: ")
    assert answer.kind == "node"
    assert answer.welcome.servers


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("silent", "takes connections but never answers"),
        ("cut", "does not answer to the end"),
        ("junk", "answers HTTP 400"),
        ("empty", "closes connections without an answer"),
        ("reset", "closes connections without an answer"),
    ],
    ids=["silent", "cut", "junk", "empty", "reset"],
)
def test_a_sick_node_is_named_with_what_to_do(client, manner, said):
    client.manner = manner
    with pytest.raises(NodeError, match=f"^127.0.0.1:{client.port} {said}") as caught:
        asked(client, SOON if manner == "silent" else 20)
    assert caught.value.known


def test_nothing_listens():
    with TahoeNode() as node:
        pass
    with pytest.raises(NodeError, match=r"refuses connections: start the node"):
        asked(node)


def test_a_name_nobody_knows_says_nothing_about_the_node():
    with pytest.raises(NodeError) as caught:
        ask.node("http://nowhere.invalid/", time.monotonic() + 20)
    assert not caught.value.known


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_only_errors(client, status):
    client.statuses = {WELCOME: status, STATISTICS: status}
    with pytest.raises(NodeError, match=f"answers HTTP {status}"):
        asked(client)


@pytest.mark.parametrize(
    "body",
    [b"", b"hello\n", double.WEB_PAGE, b"[1, 2]", b'{"servers": 1}', b"[" * 200000, b"\xff\xfe", b'{"a": 1, "a": 2}'],
    ids=["empty", "text", "page", "list", "object", "deep", "binary", "twice"],
)
def test_what_is_not_tahoe_is_named(client, body):
    client.bodies = {WELCOME: body, STATISTICS: body}
    with pytest.raises(NodeError, match=r"answers, but not as Tahoe-LAFS .*: is --url the web port"):
        asked(client)


def test_a_redirect_is_not_followed(client):
    client.statuses = {WELCOME: 302, STATISTICS: 302}
    with pytest.raises(NodeError, match="not as Tahoe-LAFS"):
        asked(client)


def test_more_than_any_node_tells(client, monkeypatch):
    monkeypatch.setattr(ask, "LARGEST", 500)
    with pytest.raises(NodeError, match="more than 500"):
        asked(client)


def test_a_hostile_node_costs_the_values_that_are_none():
    with double.hostile() as node:
        answer = asked(node)
    assert not answer.troubles
    assert "storage_server.disk_free_for_nonroot" in answer.statistics.stats
    assert not {"storage_server.disk_total", "storage_server.reserved_space", "node.uptime"} & set(
        answer.statistics.stats
    )
    assert "storage_server.get" not in answer.statistics.counters
    assert [server.connected for server in answer.welcome.servers if server.nickname == "storage1"] == [True]
    assert not any(introducer.connected for introducer in answer.welcome.introducers[:2])
    assert answer.storage.corrupt is None
    json.dumps([server.nickname for server in answer.welcome.servers])


def test_a_thousand_servers():
    with double.large() as node:
        found = asked(node).welcome.servers
    assert len(found) == 1000
    assert sum(server.connected for server in found) == 900
