"""check_tahoe on one node or introducer as its web port tells of it, from one run to the next, and on mistakes."""

import re

import pytest

from checks import counters
from checks.check_tahoe import CHECK
from tests.tahoe import node as nodes
from tests.tahoe.checking import Doubles, check, items
from tests.tahoe.node import STATISTICS, STORAGE, WELCOME
from tests.unit.clock import Clock


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def doubles():
    """One double of each kind for all tests, because each has a port of its own."""
    with Doubles() as doubles:
        yield doubles


@pytest.fixture
def double(doubles):
    """Returns the double of a kind, as it was recorded or as it is made."""
    return doubles.fresh


@pytest.fixture
def wait(monkeypatch):
    """Lets seconds go by between two runs."""
    clock = Clock()
    monkeypatch.setattr(counters.time, "clock_gettime", clock)

    def later(seconds, *running):
        clock.now += seconds
        for node in running:
            node.stats["node.uptime"] += seconds

    return later


# One node


def test_ok_a_storage_node_with_all_it_reports(double):
    node = double("storage")
    code, text = check(node, "--max-output", "20000")
    assert code == 0
    first, note = text.splitlines()
    said = "up 6.8 min, 76.5 GiB left, introducer up | time.answer="
    assert first.startswith(f"TAHOE OK - storage node 127.0.0.1:{node.port}, {said}")
    assert note == "no rates: first run; --save-state keeps counters for the next"
    found = items(text)
    assert found["storage.bytes_added"] == "1094722c"
    assert found["storage.operations.allocate"] == "29c"
    assert found["disk.available"] == "82155804160B"
    assert found["disk.available_percent"] == "30.37%"
    assert found["latency.allocate.p95"] == "0.011892s"
    assert found["servers.accepting"] == "2"
    assert found["introducers.connected"] == "1"


def test_what_is_not_reported_is_not_0(double):
    node = double("storage")
    code, text = check(node, "-v")
    assert code == 0
    assert "not reported by this version: load.average, load.peak, storage.consumed, storage.bytes_freed" in text
    found = items(text)
    assert not [label for label in found if re.match(r"load|storage\.(consumed|bytes_freed)|uploader|helper", label)]
    node.documents[STATISTICS] = {"counters": {}, "stats": {"node.uptime": None}}
    code, text = check(node)
    assert code == 0
    assert set(items(text)) == {
        *("time.answer", "servers.connected", "servers.known", "servers.accepting", "servers.available"),
        *("introducers.connected", "introducers.known"),
    }


def test_ok_a_client_has_no_storage_service_and_is_not_asked_for_one(double):
    node = double("client")
    code, text = check(node, "--servers-critical", "2:")
    assert code == 0
    assert text.startswith(f"TAHOE OK - client 127.0.0.1:{node.port}, up 6.8 min, 2 of 2 servers")
    assert "servers.connected=2;;2:" in text
    assert items(text)["uploader.bytes_uploaded"] == "1316000c"
    assert STORAGE not in node.paths


def test_ok_an_introducer(double):
    node = double("introducer")
    code, text = check(node, "--servers-warning", "2:")
    assert code == 0
    assert "2 announce storage, 3 subscribe | " in text
    assert "announced.storage=2;2: subscribed.storage=3\n" in text
    assert check(node, "--servers-warning", "3:")[1].startswith(
        "TAHOE WARNING - storage servers announced: 2 (< 3); introducer"
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (nodes.full, "full: 77.4 GiB free, 77.4 GiB reserved"),
        (nodes.read_only, "read-only: 77.4 GiB free, 953.7 MiB reserved"),
    ],
)
def test_warn_full_and_read_only_are_told_apart(double, made, said):
    node = double("storage", made())
    code, text = check(node)
    assert code == 1
    assert text.startswith(f"TAHOE WARNING - {said}; storage node ")
    assert items(text)["accepting_shares"] == "0"
    assert check(node, "--not-accepting-severity", "critical")[0] == 2
    assert check(node, "--read-only", ".*", "--space-critical", "1G:")[0] == 0
    del node.stats["storage_server.disk_free_for_nonroot"]
    assert check(node)[1].startswith("TAHOE WARNING - takes no shares, full or read-only;")


def test_space_of_a_full_server_is_judged_of_a_read_only_one_it_is_not(double):
    argv = ["--space-critical", "1G:", "--space-percent-critical", "1:", "--not-accepting-severity", "ok"]
    code, text = check(double("storage", nodes.full()), *argv)
    assert code == 2
    assert "space left: 0 B (< 1 GiB): add disk or servers" in text
    assert check(double("storage", nodes.read_only()), *argv)[0] == 0


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--space-warning", "1T:"], 1, "space left: 76.5 GiB (< 1 TiB)"),
        (["--space-warning", "76G:"], 0, ""),
        (["--space-percent-critical", "31:"], 2, "space left: 30.37% (< 31)"),
        (["--uptime-warning", "600:"], 1, "up 6.8 min (< 10 min)"),
        (["--cpu-critical", "0.5"], 2, "CPU 0.8% (> 0.5)"),
        (["--latency-warning", r"close\.p95=0.01"], 1, "close.p95 takes 0.0147 s (> 0.01)"),
        (["--latency-warning", r"close\.p95=0.02"], 0, ""),
        (["--latency-warning", "1"], 0, ""),
        (["--servers-warning", "3:"], 1, "servers connected: 2 (< 3)"),
        (["-w", "~:-1"], 1, "answered in "),
        (["--latency-critical", r"close\.p99=0.001"], 0, "no latency to judge yet: each comes when its operation has"),
        (["--load-warning", "0.1"], 3, "nothing to judge by --load-warning: no load is reported"),
    ],
)
def test_thresholds_of_a_node(double, argv, code, said):
    found, text = check(double("storage"), *argv)
    assert found == code
    assert said in text


def test_load_of_an_old_node_is_judged(double):
    node = double("storage")
    node.stats["load_monitor.max_load"] = 0.25
    code, text = check(node, "--load-warning", "0.1")
    assert (code, items(text)["load.peak"]) == (1, "0.25s")
    assert text.startswith("TAHOE WARNING - load peak 0.25 s (> 0.1); ")


def test_unknown_a_threshold_that_would_never_alert(double):
    code, text = check(double("client"), "--space-critical", "1G:")
    assert code == 3
    assert text.startswith(
        "TAHOE UNKNOWN - nothing to judge by --space-critical: no space is reported, is it a storage"
    )
    code, text = check(double("introducer"), "--shares-happy", "2")
    assert code == 3
    assert "nothing to judge by --shares-happy" in text
    assert "nothing to judge by --latency-warning" in check(double("client"), "--latency-warning", "1")[1]
    node = double("introducer")
    code, text = check(node, "--grid")
    assert code == 3
    said = f"127.0.0.1:{node.port} is an introducer, which is connected to no servers: --grid needs one of its clients"
    assert text.startswith(f"TAHOE UNKNOWN - {said} | time.answer=")
    young = double("storage")
    del young.stats["cpu_monitor.1min_avg"]
    assert check(young, "--cpu-warning", "50")[0] == 3
    young.stats["node.uptime"] = 20.0
    assert check(young, "--cpu-warning", "50")[0] == 0


def test_warn_damaged_shares(double):
    node = double("storage")
    cycle = {"corrupt-shares": [["a", 0], ["b", 1]], "space-recovered": {"examined-shares": 9}}
    node.documents[STORAGE]["lease-checker"]["history"] = {"3": cycle}
    code, text = check(node)
    assert (code, items(text)["shares.corrupt"], items(text)["shares.count"]) == (1, "2", "9")
    assert text.startswith("TAHOE WARNING - damaged shares: 2 (> 0); storage node ")


# Rates and restarts


def test_rates_come_with_the_second_run_and_a_restart_is_no_rate(double, wait):
    node = double("storage")
    assert items(check(node, "--save-state")[1]).get("storage.bytes_added_per_second") is None
    wait(60, node)
    node.counters["storage_server.bytes_added"] += 600_000
    node.counters["storage_server.add-lease"] = 30
    found = items(check(node, "--save-state")[1])
    assert found["storage.bytes_added_per_second"] == "10000B"
    assert found["storage.operations.get_per_second"] == "0"
    assert found["storage.operations.add-lease_per_second"] == "0.5"
    wait(60, node)
    node.stats["node.uptime"] = 20.0
    code, text = check(node, "--save-state", "--uptime-warning", "600:")
    assert code == 1
    assert text.startswith("TAHOE WARNING - restarted since the last run, up 20 s (< 10 min); ")
    assert "\nno rates: restarted since the last run\n" in text
    assert "_per_second" not in text
    wait(60, node)
    assert items(check(node)[1])["storage.bytes_added_per_second"] == "0B"


def test_a_restart_is_said_of_a_node_that_has_not_counted_yet(double, wait):
    node = double("storage")
    check(node, "--save-state")
    wait(60)
    node.stats["node.uptime"] = 20.0
    node.counters.clear()
    assert "\nno rates: restarted since the last run\n" in check(node, "--save-state")[1]


def test_without_save_state_nothing_is_written(double, tmp_path):
    check(double("storage"))
    assert list(tmp_path.iterdir()) == []


def test_rates_go_on_over_a_time_without_answers(double, wait):
    node = double("client")
    check(node, "--save-state")
    wait(60, node)
    node.statuses[STATISTICS] = node.statuses[WELCOME] = 500
    assert check(node, "--save-state")[0] == 2
    wait(60, node)
    node.statuses.clear()
    node.counters["uploader.files_uploaded"] += 12
    assert items(check(node, "--save-state")[1])["uploader.files_uploaded_per_second"] == "0.1"


# What is not as it should be


def test_crit_statistics_that_do_not_come(double):
    node = double("client")
    node.statuses[STATISTICS] = 500
    code, text = check(node)
    assert code == 1
    assert text.startswith("TAHOE WARNING - does not tell all, /statistics?t=json: HTTP 500: see the node's log; node ")
    assert items(text)["servers.connected"] == "2"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"servers":', b"<html>", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_crit_what_is_no_tahoe(double, body):
    node = double("client")
    node.bodies = {WELCOME: body, STATISTICS: body}
    for argv in ([], ["--grid"]):
        code, text = check(node, *argv)
        assert code == 2
        assert re.match(rf"TAHOE CRITICAL - 127\.0\.0\.1:{node.port} answers, but not as Tahoe-LAFS \(", text)


def test_hostile_names_and_numbers_cost_themselves(double):
    node = double("storage", nodes.hostile())
    for argv in ([], ["--grid"]):
        code, text = check(node, "-v", "--max-output", "60000", *argv)
        assert code == 1
        assert text.count("|") == 1
        assert not re.search(r"[<>\x00-\x09\x0b-\x1f\ud800-\udfff]", text)
        assert items(text)["servers.connected"] == "2"


def test_crit_nothing_listens_and_unknown_no_such_host():
    outcome = CHECK.run(["--url", "http://127.0.0.1:1"])
    assert outcome == (
        2,
        "TAHOE CRITICAL - 127.0.0.1:1 refuses connections: start the node, or see web.port in its tahoe.cfg\n",
    )
    assert CHECK.run(["--url", "http://nowhere.invalid"]).code == 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "one of --url URL and --stats-json FILE has to say what to look at"),
        (["--url", "http://h", "--stats-json", "x"], "only one of --url URL and --stats-json FILE"),
        (["--grid"], "one of --url URL and"),
        (["--grid", "--stats-json", "x"], "--grid needs --url"),
        (["--url", "http://h", "--node", "a"], "--node chooses among the nodes of --stats-json"),
        (["--url", "http://h", "--grid", "--cpu-warning", "5"], "--cpu-warning: a client does not know that"),
        (["--stats-json", "x", "-w", "5"], "-w and -c are for the time a web port takes"),
        (["--url", "localhost:3456"], "is not an http or https URL"),
        (["--url", "http://h", "--latency-warning", r"wriet\.p50=1"], "'wriet\\\\.p50' is no latency: they are called"),
        (["--url", "http://h", "--shares-happy", "0"], "'0' is not a whole number from 1 to 256"),
        (["--url", "http://h", "--introducer-severity", "bad"], "invalid choice: 'bad'"),
        (["--url", "http://h", "--space-warnin", "5"], "unrecognized arguments"),
    ],
)
def test_unknown_a_mistake_is_told_in_one_line(argv, said):
    code, text = CHECK.run(argv)
    assert code == 3
    assert text.startswith("TAHOE UNKNOWN - ")
    assert said in text
    assert text.count("\n") == 1
