"""Documents from files and web servers: recognised by content, plain or deflated, bounded, and named when they are none."""

import gzip
import json
import os
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import web
from checks.deadline import BadInput, CheckError
from checks.ipop import document
from tests.seattle.web import WebServing, answer
from tests.unit.ipop.recorded import FOLDER, T1, T2, T3, WRITTEN, load, read


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """A file that can't be read is tried again without waiting."""
    monkeypatch.setattr(document, "_RETRY", 0.0)


class Controller(WebServing):
    """A web server with one page."""

    def __init__(self, body, status="200 OK", headers=()):
        super().__init__()
        self.page = answer(body, status, "text/plain", *headers)

    def respond(self, asked):
        return self.page

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/viz.json?current_state=True"


def ask(server):
    return document.read(server.url, time.monotonic() + 5)


def written(tmp_path, data, moment=WRITTEN):
    path = tmp_path / "viz"
    path.write_bytes(data)
    os.utime(path, (moment, moment))
    return path


@pytest.mark.parametrize("name", ["ipop-18", "ipop-20", "ipop-master", "evio", "visualizer", "visualizer-links"])
@pytest.mark.parametrize("packed", [bytes, zlib.compress, gzip.compress])
def test_a_file_is_recognised_by_what_it_holds(tmp_path, name, packed):
    path = written(tmp_path, packed((FOLDER / f"{name}.json").read_bytes()))
    found = document.read(str(path), 0)
    assert found == read(name)
    assert found.links
    assert (found.changed, found.troubles) == (WRITTEN, ())


def test_evios_own_body_is_read_as_it_is_sent():
    assert document.parse((FOLDER / "evio.deflated").read_bytes(), "it", WRITTEN) == read("evio")


def test_counters_and_ages_of_a_file_are_as_old_as_the_file(tmp_path):
    path = written(tmp_path, json.dumps(load("ipop-20")).encode(), WRITTEN + 1000)
    link = document.read(str(path), 0).links[0]
    assert (link.age, link.sampled) == (1100.0, WRITTEN + 1000)


def test_the_ages_of_a_copied_document_are_its_own(tmp_path):
    path = written(tmp_path, json.dumps(load("visualizer")).encode(), WRITTEN + 86400)
    found = document.read(str(path), 0)
    assert (found.changed, found.collected, found.troubles) == (WRITTEN + 86400, WRITTEN, ())
    assert (found.links[0].age, found.links[0].sampled) == (100.0, WRITTEN)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckError, match=r"none\.json is not there"):
        document.read(str(tmp_path / "none.json"), 0)


def test_a_file_in_the_middle_of_being_written_is_read_again(tmp_path, monkeypatch):
    whole = json.dumps(load("evio")).encode()
    path = written(tmp_path, whole[:300])
    monkeypatch.setattr(document.time, "sleep", lambda _: written(tmp_path, whole))
    assert len(document.read(str(path), 0).links) == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "damaged or cut"),
        (b"\x00\xff", "not UTF-8"),
        (b'{"VizData": {"101000F"', "damaged or cut"),
        (b'{"VizData": {}, "VizData": {}}', "no document of an IPOP or EdgeVPN controller"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "no document of an IPOP or EdgeVPN controller"),
        (b"{}", "no document of an IPOP or EdgeVPN controller"),
        (b'{"VizData": []}', "no document of an IPOP or EdgeVPN controller"),
        (b'{"Links": null}', "no document of an IPOP or EdgeVPN controller"),
        (b"<html>", "damaged or cut"),
        (zlib.compress(b"{}" * 1000)[:15], "is cut"),
        (b"\x78\x9c" + b"\xff" * 50, "can't be inflated"),
        (gzip.compress(b"[]"), "no document"),
    ],
    ids=[
        "empty",
        "latin",
        "cut",
        "doubled",
        "deep",
        "list",
        "nothing",
        "wrong",
        "null",
        "page",
        "deflate-cut",
        "deflate-wrong",
        "gzip",
    ],
)
def test_what_is_no_document_is_said(data, said):
    with pytest.raises(BadInput, match=f"^viz.json .*{said}"):
        document.parse(data, "viz.json")


def test_a_bomb_is_not_expanded(monkeypatch):
    monkeypatch.setattr(document, "LARGEST", 100_000)
    bomb = zlib.compress(b" " * 10_000_000)
    with pytest.raises(BadInput, match="larger than 100000 bytes when inflated"):
        document.parse(bomb, "viz.json")


@pytest.mark.parametrize("value", [b"{},", b"[],", b"1,"])
def test_far_more_values_than_any_overlay_has_are_not_made(value):
    with pytest.raises(BadInput, match="more than 2000000 values"):
        document.parse(b'{"VizData": [' + value * 2_000_001 + b"0]}", "viz.json")


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "LARGEST", 1000)
    with pytest.raises(BadInput, match="larger than 1000 bytes"):
        document.read(str(written(tmp_path, b" " * 1001)), 0)


def test_nan_is_a_value_that_is_not_known():
    content = load("evio")
    tunnels = content["VizData"]["101000F"]["Tunnels"]
    for tunnel, value in zip(tunnels.values(), (float("nan"), float("inf"), float("-inf")), strict=True):
        tunnel["State"], tunnel["ConnectedTime"] = "CEStateConnected", value
    assert [(link.active, link.age) for link in read(content).links] == [(True, None)] * 3


def test_a_record_that_occurs_twice_costs_only_itself():
    data = (FOLDER / "evio.json").read_bytes().replace(T2.encode(), T1.encode())
    found = {link.incarnation: link for link in document.parse(data, "it", WRITTEN).links}
    assert [found[tunnel].trouble for tunnel in (T1, T3)] == ["its record is no JSON object", ""]


def test_a_server_is_asked_and_its_answer_is_of_now():
    with Controller(json.dumps(load("ipop-20")).encode()) as server:
        found = ask(server)
    assert (found.changed, found.links[0].sampled) == (None, None)
    assert found.links[0].age == pytest.approx(time.time() - WRITTEN + 100, abs=60)
    assert server.requests[0].startswith(b"GET /viz.json?current_state=True HTTP")


def test_a_file_that_a_server_hands_out_is_as_old_as_the_server_says():
    body = (FOLDER / "ipop-20.json").read_bytes()
    with Controller(body, headers=("Last-Modified: Fri, 20 Nov 2026 21:12:44 GMT",)) as server:
        found = ask(server)
    assert (found.changed, found.links[0].sampled, found.links[0].age) == (WRITTEN + 100, WRITTEN + 100, 200.0)


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: deflate",)])
def test_a_server_may_hand_on_evios_deflated_body(headers):
    with Controller((FOLDER / "evio.deflated").read_bytes(), headers=headers) as server:
        assert len(ask(server).links) == 3


def test_an_answer_of_the_visualizer_is_as_old_as_its_document():
    with Controller((FOLDER / "visualizer-links.json").read_bytes()) as server:
        found = ask(server)
    assert (found.changed, found.links[0].sampled, found.links[0].age) == (WRITTEN, WRITTEN, 100.0)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"VizData"', b"[]", zlib.compress(b"{}")[:-3]])
def test_rubbish_is_the_servers_fault(body):
    with Controller(body) as server, pytest.raises(web.Malformed) as caught:
        ask(server)
    assert caught.value.url == server.url
    assert "the answer" in str(caught.value)


def test_another_status_is_the_servers_answer():
    with Controller(b"{}", "404 Not Found") as server, pytest.raises(web.WrongStatus, match="HTTP 404"):
        ask(server)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_listening_is_refused(scheme):
    with Controller(b"") as server:
        pass
    with pytest.raises(web.Refused):
        document.read(server.url.replace("http", scheme), time.monotonic() + 5)


WORDS = """
VizData Links intervalNo current_state LinkManager Topology ConnectionEdges Tunnels Nodes PeerId State TunnelState Stats TapName NodeId NodeName
_id ConnectedTime CreatedTime 101000F a \ud800 |<b>
"""
words = st.sampled_from(WORDS.split())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.just("CEStateConnected"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["VizData", "Links", "intervalNo"]), values, st.dictionaries(words, values, max_size=5))
def test_whatever_stands_in_a_document_it_is_read_or_refused(kind, value, rest):
    try:
        found = read({**rest, kind: value})
    except BadInput:
        return
    assert len({link.key for link in found.links}) == len(found.links)
    assert all(link.age is None or link.age >= 0 for link in found.links)
    assert all(link.active or not link.pairs for link in found.links)


recorded = st.sampled_from(["ipop-18", "ipop-20", "ipop-master", "evio", "visualizer", "visualizer-links"])


@given(recorded, st.data())
def test_a_recorded_document_damaged_anywhere_is_read_or_refused(name, data):
    content = load(name)
    part = content
    while isinstance(part, dict) and part:
        key = data.draw(st.sampled_from(sorted(part)))
        if not isinstance(part[key], dict) or data.draw(st.booleans()):
            part[key] = data.draw(values)
            break
        part = part[key]
    try:
        found = read(content)
    except BadInput:
        return
    assert len({link.key for link in found.links}) == len(found.links)
