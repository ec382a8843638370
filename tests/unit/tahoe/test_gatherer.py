"""The stats gatherer's file: a real one, one that is gone for an instant, and entries that cost only themselves."""

import json

import pytest

from checks.deadline import BadInput, CheckError
from checks.tahoe import gatherer
from tests.tahoe.documents import RECORDED, TUBID, gathered


@pytest.fixture(autouse=True)
def instants(monkeypatch):
    """What happens while the reader waits; nothing waits in a test."""
    waits = []

    class Time:
        def sleep(self, _):
            waits.append(1)
            if self.happening:
                self.happening()

        happening = None

    clock = Time()
    clock.waits = waits
    monkeypatch.setattr(gatherer, "time", clock)
    return clock


def written(tmp_path, document):
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(document) if not isinstance(document, str) else document)
    return path


def test_a_real_file(instants):
    (node,) = gatherer.read(RECORDED / "gatherer.json")
    assert (node.tubid, node.nickname, node.trouble) == (TUBID, "old1", "")
    assert node.gathered == pytest.approx(1795209185.025677)
    assert node.statistics.counters["storage_server.bytes_added"] == 206246
    assert node.statistics.stats["load_monitor.max_load"] == pytest.approx(0.0029511451721191406)
    assert not instants.waits


def test_nodes_come_in_the_order_of_the_file(tmp_path):
    path = written(tmp_path, gathered(3))
    assert [node.nickname for node in gatherer.read(path)] == ["old1", "old2", "old3"]


def test_the_instant_without_a_file(tmp_path, instants):
    path = tmp_path / "stats.json"
    instants.happening = lambda: written(tmp_path, gathered())
    assert len(gatherer.read(path)) == 1


def test_a_file_that_is_being_copied(tmp_path, instants):
    whole = json.dumps(gathered())
    path = written(tmp_path, whole[:300])
    instants.happening = lambda: path.write_text(whole)
    assert len(gatherer.read(path)) == 1


def test_no_file_at_all(tmp_path, instants):
    with pytest.raises(BadInput, match=r"there is no /.*stats\.json: does the stats gatherer run"):
        gatherer.read(tmp_path / "stats.json")
    assert len(instants.waits) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged or cut"),
        ("[1]", "no file of a stats gatherer"),
        ("null", "no file of"),
        ('{"a": {', "damaged or cut"),
    ],
    ids=["empty", "list", "null", "cut"],
)
def test_what_is_no_gatherers_file(tmp_path, text, said):
    with pytest.raises(BadInput, match=f"stats.json is {said}"):
        gatherer.read(written(tmp_path, text))


def test_what_is_no_file(tmp_path):
    with pytest.raises(CheckError, match="is not a regular file"):
        gatherer.read(tmp_path)


def test_a_gatherer_nobody_reported_to_yet(tmp_path):
    assert gatherer.read(written(tmp_path, {})) == ()


DAMAGED = {
    "no-object": (None, "its entry is damaged"),
    "list": ([], "its entry is damaged"),
    "empty": ({}, "its entry does not say when it was got"),
    "no-time": ({"timestamp": None, "nickname": "x", "stats": {"counters": {}, "stats": {}}}, "does not say when"),
    "text-time": ({"timestamp": "1", "stats": {"counters": {}, "stats": {}}}, "does not say when"),
    "endless-time": ({"timestamp": float("inf"), "stats": {"counters": {}, "stats": {}}}, "does not say when"),
    "no-stats": ({"timestamp": 1}, "its entry is no statistics"),
    "odd-stats": ({"timestamp": 1, "stats": {"counters": 1, "stats": []}}, "its entry is no statistics"),
}


@pytest.mark.parametrize(("entry", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_entry_costs_that_node(tmp_path, entry, said):
    sick, healthy = gatherer.read(written(tmp_path, {"sick": entry, **gathered()}))
    assert sick.tubid == "sick"
    assert said in sick.trouble
    assert not sick.statistics.stats
    assert healthy.nickname == "old1"
    assert not healthy.trouble


def test_names_are_bounded(tmp_path):
    (node,) = gatherer.read(written(tmp_path, {"t" * 5000: {**gathered()[TUBID], "nickname": "n" * 5000}}))
    assert len(node.tubid) + len(node.nickname) < 200
    assert node.trouble


def test_nan_costs_the_value(tmp_path):
    document = gathered()
    document[TUBID]["stats"]["stats"]["storage_server.disk_avail"] = float("nan")
    (node,) = gatherer.read(written(tmp_path, document))
    assert "storage_server.disk_avail" not in node.statistics.stats
    assert "storage_server.disk_total" in node.statistics.stats


def test_a_key_that_occurs_twice_costs_its_value_or_its_node(tmp_path):
    one = json.dumps(gathered()[TUBID])
    twice = one.replace('"node.uptime"', '"node.uptime": 7, "node.uptime"')
    path = written(tmp_path, f'{{"a": {one}, "b": {twice}, "a": {one}, "c": {one}}}')
    a, b, c = gatherer.read(path)
    assert (a.trouble, b.trouble, c.trouble) == ("its entry is damaged", "", "")
    assert b.statistics.uptime is None
    assert c.statistics.uptime == pytest.approx(115.19655013084412)
