"""What a storage node tells of its crawlers."""

import json

import pytest

from checks.deadline import BadInput
from checks.tahoe import storage
from checks.tahoe.storage import Storage
from tests.tahoe.documents import RECORDED, recorded


def read(document):
    return storage.read(json.dumps(document).encode(), "/storage")


def test_a_real_node_with_a_damaged_share():
    found = storage.read((RECORDED / "storage/storage.json").read_bytes(), "/storage")
    assert found == Storage(27, 26, 1134592, 1, pytest.approx(1795286070.3775485))


def test_a_node_that_has_counted_nothing_yet():
    document = recorded("storage/storage")
    document["lease-checker"]["history"] = {}
    del document["bucket-counter"]["last-complete-bucket-count"]
    assert read(document) == Storage(None, None, None, None, None)


def test_the_last_cycle_is_the_one_with_the_highest_number():
    document = recorded("storage/storage")
    (last,) = document["lease-checker"]["history"].values()
    older = {**last, "corrupt-shares": [["a", 1], ["b", 2]]}
    document["lease-checker"]["history"] = {"10": last, "9": older, "2": older}
    assert read(document).corrupt == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"history": []},
        {"history": {"1": None}},
        {"history": {"x": {}, "-1": {}, "\u00b2": {}, "9" * 5000: {}}},
        {"history": {"1": {"space-recovered": [], "corrupt-shares": 7, "cycle-start-finish-times": [1]}}},
        {"history": {"1": {"space-recovered": {"examined-shares": -1}, "cycle-start-finish-times": [None, None]}}},
        None,
    ],
    ids=["list", "null", "numbers", "parts", "values", "nothing"],
)
def test_damage_costs_what_is_damaged(damage):
    document = {**recorded("storage/storage"), "lease-checker": damage}
    assert read(document) == Storage(27, None, None, None, None)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"stats": []}', b'{"stats": {}, "stats": {}}'],
    ids=["empty", "list", "nothing", "wrong-part", "twice"],
)
def test_what_is_no_storage_page(text):
    with pytest.raises(BadInput, match="/storage is"):
        storage.read(text, "/storage")
