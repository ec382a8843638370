"""Statistics of a node, as it serves them: of real nodes, and of those that lie."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.deadline import BadInput
from checks.tahoe import statistics
from tests.tahoe.documents import RECORDED


def test_a_storage_node_of_today():
    found = statistics.read((RECORDED / "storage/statistics.json").read_bytes(), "/statistics")
    assert found.stores
    assert found.uptime > 0
    assert found.counters["storage_server.bytes_added"] > 1000000
    assert found.stats["storage_server.accepting_immutable_shares"] == 1
    # Nothing is known of a percentile of too few: null is not 0.
    assert "storage_server.latencies.allocate.99_9_percentile" not in found.stats


def test_a_client_has_no_storage():
    found = statistics.read((RECORDED / "client/statistics.json").read_bytes(), "/statistics")
    assert not found.stores
    assert found.counters["uploader.files_uploaded"] == 29


def test_a_node_that_has_done_nothing_yet():
    found = statistics.read(b'{"counters": {}, "stats": {"storage_server.allocated": 0}}', "/statistics")
    assert found.counters == {}
    assert found.stats == {"storage_server.allocated": 0}
    assert found.uptime is None


def test_a_value_of_the_wrong_kind_costs_that_value():
    text = (
        '{"counters": {"a": -1, "b": 1.5, "c": "3", "d": null, "e": [1], "f": true, "g": 4.0, "h": 99999999999999999999999, "i": 7},'
        ' "stats": {"a": NaN, "b": Infinity, "c": -1, "d": {}, "e": "1", "f": false, "g": 1e999, "h": -Infinity, "i": 0.5}}'
    )
    found = statistics.read(text.encode(), "/statistics")
    assert found.counters == {"g": 4, "i": 7}
    assert found.stats == {"i": 0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "damaged or cut"),
        (b'{"counters": {"a": 1}, "st', "damaged or cut"),
        (b"<html></html>", "damaged or cut"),
        (b'{"counters": {}, "stats": {"\xff": 1}}', "not UTF-8"),
        (b"[" * 100000, "nested too deeply"),
        (b"[]", "no statistics of Tahoe-LAFS"),
        (b"null", "no statistics of Tahoe-LAFS"),
        (b'{"counters": [], "stats": {}}', "no statistics of Tahoe-LAFS"),
        (b'{"stats": {}}', "no statistics of Tahoe-LAFS"),
        (b'{"counters": {"a": ' + b"1" * 5000 + b'}, "stats": {}}', "damaged or cut"),
    ],
    ids=["empty", "cut", "page", "latin", "deep", "list", "null", "wrong-part", "no-part", "endless-number"],
)
def test_what_is_no_statistics_is_refused_by_name(text, said):
    with pytest.raises(BadInput, match=f"^/statistics is .*{said}"):
        statistics.read(text, "/statistics")


values = st.sampled_from([None, True, "1", [], {}, 1.5, -0.5, 1e300]) | st.integers() | st.floats()


@given(st.dictionaries(st.sampled_from("abc"), values), st.dictionaries(st.sampled_from("abc"), values))
def test_whatever_is_served_only_numbers_come_through(counters, stats):
    found = statistics.read(json.dumps({"counters": counters, "stats": stats}).encode(), "it")
    assert all(type(value) is int and 0 <= value < 1 << 64 for value in found.counters.values())
    assert all(0 <= value < 1e18 and not isinstance(value, bool) for value in found.stats.values())
    # And no number that is one is lost.
    assert all(key in found.counters for key, value in counters.items() if type(value) is int and 0 <= value < 1 << 64)


def test_a_key_that_occurs_twice_costs_its_value():
    found = statistics.read(b'{"counters": {"a": 1, "a": 2, "b": 3}, "stats": {}}', "/statistics")
    assert found.counters == {"b": 3}
