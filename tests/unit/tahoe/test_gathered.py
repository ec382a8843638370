"""check_tahoe on the file of a stats gatherer: all nodes, the dead ones by their names only."""

import json
import re
import time

import pytest

from checks import counters
from checks.check_tahoe import CHECK
from checks.tahoe.naming import labels
from tests.tahoe.documents import TUBID, gathered
from tests.unit.clock import Clock


@pytest.fixture(autouse=True)
def clock(tmp_path, monkeypatch):
    """The time of the state file; pauses before a second look are short."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    clock = Clock()
    monkeypatch.setattr(counters.time, "clock_gettime", clock)
    return clock


@pytest.fixture
def check(tmp_path):
    """Runs the check on a document or on bytes."""
    path = tmp_path / "stats.json"

    def run(document, *argv):
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        outcome = CHECK.run(["--stats-json", str(path), "--max-output", "20000", *argv])
        assert "internal error" not in outcome.text
        return outcome.code, outcome.text

    return run


def items(text):
    """Perfdata by label."""
    return dict(item.split("=") for item in text.partition("\n")[0].partition(" | ")[2].split())


def nodes(number=3):
    """A gatherer's document, and its entries in their order."""
    document = gathered(number)
    return document, list(document.values())


def poll(entries, seconds=60):
    """The gatherer asks its nodes again."""
    for entry in entries:
        entry["timestamp"] += seconds
        entry["stats"]["stats"]["node.uptime"] += seconds


def test_ok_all_nodes_with_the_munin_plugins_names_and_values(check):
    document, entries = nodes()
    entries[1]["nickname"] = "store (b)"
    code, text = check(document, "-v")
    assert code == 0
    assert text.startswith("TAHOE OK - stats.json: 3 of 3 nodes current, 3 of 3 servers take shares | nodes.current=3 ")
    found = items(text)
    assert found[f"old1_{TUBID[:4]}.storage.bytes_added"] == "206246c"
    assert found["store__b__aab3.load.peak"] == "0.002951s"
    assert found["old3_aac3.disk.available_percent"] == "29.54%"
    assert found["servers.available"] == f"{3 * 79912740352}B"
    assert not [label for label in found if label.endswith(("consumed", "bytes_freed"))]
    assert "old3_aac3: not reported by this version: storage.consumed, storage.bytes_freed\n" in text


def test_warn_a_dead_node_is_named_and_its_numbers_are_not_reported(check):
    document, entries = nodes()
    entries[1]["timestamp"] -= 700
    code, text = check(document)
    assert code == 1
    said = "old2_aab3 not heard of for 11.8 min (> 5 min): is it down?"
    assert text.startswith(f"TAHOE WARNING - {said}")
    assert "stats.json: 2 of 3 nodes current, 2 of 3 servers take shares" in text
    found = items(text)
    assert [label for label in found if label.startswith("old2_aab3.")] == ["old2_aab3.age"]
    assert found["servers.available"] == f"{2 * 79912740352}B"
    assert check(document, "--ignore", "old2.*")[0] == 0
    assert check(document, "--node", "old1")[0] == 0
    assert check(document, "--stale-critical", "600")[0] == 2
    assert check(document, "--stale-warning", "900")[0] == 0


def test_crit_no_current_numbers_means_that_the_gatherer_may_be_down(check):
    document, entries = nodes()
    poll(entries, -400)
    code, text = check(document, "--node", "old1", "--shares-happy", "1", "--space-critical", "1P:")
    assert code == 2
    assert "stats.json has no current numbers, the newest are 6.8 min old: does the stats gatherer run?" in text
    assert "uploads fail" not in text, "nothing is known"
    assert set(items(text)) & {"servers.available", "old1_mjc3.disk.available"} == set()


def test_warn_numbers_from_the_future(check):
    document, entries = nodes(2)
    entries[1]["timestamp"] += 600
    code, text = check(document)
    assert code == 1
    assert "old2_aab3: its numbers are 9.9 min in the future: is a clock wrong?" in text
    assert "old2_aab3.load.peak" not in text


def test_nodes_are_chosen_by_nickname_tubid_or_label(check):
    document, _ = nodes()
    for name in ("old1", TUBID, "old1_mjc3"):
        code, text = check(document, "--node", name)
        assert (code, items(text)["nodes.known"]) == (0, "1")
    code, text = check(document, "--node", "old1", "--node", "go|ne\n")
    assert code == 2
    assert "has no node go?ne?: see --node and --ignore" in text


def test_thresholds_hold_for_the_nodes_they_name(check):
    document, entries = nodes()
    entries[2]["stats"]["stats"]["load_monitor.max_load"] = 3.0
    assert check(document, "--load-warning", "1")[1].startswith(
        "TAHOE WARNING - old3_aac3 load peak 3 s (> 1); stats.json"
    )
    assert check(document, "--load-warning", "old1.*=1")[0] == 0
    code, text = check(document, "--space-critical", "old2_aab3=1T:", "--latency-warning", r"write\.mean=0.00001")
    assert code == 2
    assert "CRITICAL: old2_aab3 space left: 74.4 GiB (< 1 TiB)" in text
    assert "WARNING: write.mean of old1_mjc3 takes 0.0000344 s (> 0.00001)" in text
    assert "old2_aab3.disk.available=79912740352B;;1099511627776:" in text


def test_unknown_an_expression_that_is_nobodys_label(check):
    code, text = check(gathered(2), "--space-warning", "old.=1T:")
    assert code == 3
    assert "nothing to judge by --space-warning: its expression is the label of none; " in text
    assert check(gathered(2), "--space-warning", "old._.*=1K:", "--space-warning", "gone=1T:")[0] == 0


def test_full_and_read_only_servers_and_happiness(check):
    document, entries = nodes()
    for entry, free in ((entries[0], 10**9), (entries[1], 10**12)):
        entry["stats"]["stats"] |= {
            "storage_server.accepting_immutable_shares": 0,
            "storage_server.disk_avail": 0,
            "storage_server.disk_free_for_nonroot": free,
        }
    code, text = check(document, "--shares-happy", "2", "--servers-critical", "4:")
    assert code == 2
    for line in (
        "CRITICAL: storage servers with current numbers: 3 (< 4)",
        "CRITICAL: uploads fail, 1 server takes shares and shares.happy is 2: add servers or bring some back",
        "WARNING: old1_mjc3 full: 953.7 MiB free, 953.7 MiB reserved",
        "WARNING: old2_aab3 read-only: 931.3 GiB free, 953.7 MiB reserved",
    ):
        assert f"{line}\n" in text


def test_rates_go_by_the_gatherers_time(check, clock):
    document, entries = nodes(2)
    check(document, "--save-state")
    clock.now += 10
    assert (
        "no rates of old1_mjc3, old2_aab3: not gathered again since the last run\n"
        in check(document, "--save-state")[1]
    )
    clock.now += 10
    poll(entries)
    entries[0]["stats"]["counters"]["uploader.bytes_uploaded"] += 6000
    entries[1]["stats"]["stats"]["node.uptime"] = 5.0
    _, text = check(document, "--save-state", "-v")
    assert items(text)["old1_mjc3.uploader.bytes_uploaded_per_second"] == "100B"
    assert "old2_aab3.uploader.bytes_uploaded_per_second" not in text
    assert "\nno rates of old2_aab3: restarted since the last run\n" in text
    assert "old1_mjc3: since the last run: uploader.bytes_uploaded 100 B/s\n" in text


def test_a_check_of_one_node_has_a_state_of_its_own(check, clock):
    document, entries = nodes(2)
    for argv in ([], ["--node", "old1"]):
        check(document, "--save-state", *argv)
    clock.now += 60
    poll(entries)
    for argv in ([], ["--node", "old1"]):
        assert "old1_mjc3.storage.bytes_added_per_second" in check(document, "--save-state", *argv)[1]


def test_warn_a_damaged_entry_costs_that_node(check):
    document, entries = nodes()
    entries[1]["stats"] = [1]
    code, text = check(document)
    assert code == 1
    assert "old2_aab3: " in text
    assert items(text)["nodes.current"] == "2"
    assert "old1_mjc3.load.peak" in text


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": ', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_unknown_a_file_that_is_none(check, data):
    code, text = check(data)
    assert code == 3
    assert text.startswith("TAHOE UNKNOWN - ")
    assert "stats.json" in text
    assert text.count("\n") == 1


def test_unknown_no_nodes_and_no_file(check, tmp_path):
    code, text = check({})
    assert (code, text.partition(" - ")[2]) == (
        3,
        f"{tmp_path}/stats.json has no nodes to look at: does any report to this gatherer?\n",
    )
    assert check(gathered(2), "--ignore", ".*")[0] == 3
    outcome = CHECK.run(["--stats-json", str(tmp_path / "none")])
    assert outcome.code == 3
    assert outcome.text.startswith(f"TAHOE UNKNOWN - there is no {tmp_path}/none: does the stats gatherer run")


def test_many_nodes_are_within_the_output_budget_totals_first(check):
    document, _ = nodes(200)
    code, text = check(document, "--max-output", "4000")
    assert code == 0
    assert len(text.encode()) <= 4000
    found = items(text)
    assert found["nodes.current"] == "200"
    assert re.search(r"\[1\d\d of 4806 metrics fit\]", text)
    assert {label.rpartition(".")[2] for label in found if "_" in label} == {"age"}, "one family after the other"


def test_labels_are_those_of_munin_and_never_two_alike():
    assert labels([("storage 1", "v0-lcqmlu2b"), ("", "mjc3ebk"), ("__x", "a"), ("\ud800é", "b" * 9)]) == [
        *("storage_1_lcqm", "node_mjc3", "x_a", "node_bbbb"),
    ]
    alike = labels([("a", "mjc3x"), ("a", "mjc3y"), ("a!", "mjc3"), ("b", "mjc3")])
    assert len(set(alike)) == 4
    assert [label[:7] for label in alike] == ["a_mjc3_", "a_mjc3_", "a__mjc3", "b_mjc3"]
