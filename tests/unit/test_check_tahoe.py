"""check_tahoe on nodes, introducers and grids as their web ports tell of them, and from one run to the next."""

import re
import time
from contextlib import ExitStack

import pytest

from checks import counters
from checks.check_tahoe import CHECK
from tests.tahoe import node as nodes
from tests.tahoe.documents import welcome
from tests.tahoe.node import STATISTICS, STORAGE, WELCOME, TahoeNode
from tests.unit.clock import Clock

FAILURE = (
    "failure: [Failure instance: Traceback: <class 'twisted.internet.error.ConnectionRefusedError'>: refused|x.\n"
    "/usr/lib/python3/dist-packages/twisted/internet/defer.py:1\n--- <exception caught here> ---\npb://secret@tcp:h:1/swissnum\n]"
)


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


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


@pytest.fixture(scope="module")
def _serving():
    with ExitStack() as stack:
        yield {kind: stack.enter_context(TahoeNode(kind)) for kind in nodes.KINDS}


@pytest.fixture
def double(_serving):
    """A double of one kind as it was recorded; one for all tests, because each has a port of its own."""

    def fresh(kind, made=None):
        node = _serving[kind]
        state = vars(made or TahoeNode(kind))
        for name in ("documents", "bodies", "statuses", "manners", "paths"):
            setattr(node, name, state[name])
        if kind == "storage":
            for cycle in node.documents[STORAGE]["lease-checker"]["history"].values():
                if isinstance(cycle, dict):
                    cycle["corrupt-shares"] = []
        return node

    return fresh


def check(node, *argv):
    """Exit code and text of a run on a double."""
    outcome = CHECK.run(["--url", node.url, *argv])
    assert "internal error" not in outcome.text
    return outcome.code, outcome.text


def items(text):
    """Perfdata by label."""
    found = dict(item.split("=") for item in text.partition("\n")[0].partition(" | ")[2].split())
    return {label: value.split(";")[0] for label, value in found.items()}


def grid(double, servers=3, **fields):
    """A client that knows some servers; what it tells of the first is changed."""
    node = double("client")
    node.documents[WELCOME] = welcome(servers)
    node.servers[0].update(fields)
    return node


# One node


def test_ok_a_storage_node_with_all_it_reports(double):
    node = double("storage")
    code, text = check(node, "--max-output", "20000")
    assert code == 0
    first, note = text.splitlines()
    said = "up 6.8 min, 76.5 GiB left, 2 of 2 servers, introducer connected | time.answer="
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


# The servers a node knows, and a grid


def test_ok_a_grid_names_each_server(double):
    node = grid(double)
    code, text = check(node, "--grid", "-v", "--shares-happy", "2")
    assert code == 0
    assert text.startswith(f"TAHOE OK - grid of 127.0.0.1:{node.port}, 3 of 3 servers, introducer connected | ")
    assert node.paths == [WELCOME]
    assert "\nserver store0000_0000: connected, 76.6 GiB left, tahoe-lafs/1.20.0, heard 1" in text
    found = items(text)
    assert found["store0002_0000.connected"] == "1"
    assert found["store0002_0000.available"].endswith("B")
    assert found["servers.connected"] == found["servers.known"] == "3"


@pytest.mark.parametrize("status", ["Trying to connect", "Reconnecting in 5 seconds (last attempt 1s ago)", FAILURE])
def test_warn_a_lost_server_and_none_of_its_old_numbers(double, status):
    node = grid(double, connection_status=status)
    code, text = check(node, "--grid", "-v", "--space-critical", "1P:" if status == FAILURE else "")
    assert code == (2 if status == FAILURE else 1)
    assert f"server store0000_0000 is not connected ({status.split('[')[0].strip()}"[:45] in text or status == FAILURE
    found = items(text)
    assert found["store0000_0000.connected"] == "0"
    assert not {"store0000_0000.available", "store0000_0000.heard_age"} & set(found)
    assert found["servers.available"] == f"{2 * node.servers[1]['available_space']}B"
    assert "store0000_0000 space left" not in text
    assert check(node, "--grid", "--ignore", "store0000.*")[0] == 0
    assert check(node, "--grid", "--lost-severity", "critical")[0] == 2


def test_what_a_connection_failed_with_is_one_clean_line_without_the_address_that_is_a_key(double):
    node = grid(double, connection_status=FAILURE)
    node.documents[WELCOME]["introducers"]["statuses"] = ["failure: pb://abc@tcp:host:1/swissnum was refused"]
    code, text = check(node, "--grid", "-v")
    assert code == 1
    assert "server store0000_0000 is not connected (ConnectionRefusedError: refused?x.)" in text
    assert "lost the introducer (failure: pb://... was refused): uploads go on, new servers stay unknown" in text
    for secret in ("swissnum", "/usr/lib", "exception caught"):
        assert secret not in text
    assert text.count("|") == 1


@pytest.mark.parametrize(("wanted", "code", "said"), [(1, 0, ""), (2, 1, "no server to spare"), (3, 2, "uploads fail")])
def test_happiness_counts_servers_that_are_connected_and_take_shares(double, wanted, code, said):
    node = grid(double, 4, available_space=0)
    node.servers[1]["connection_status"] = "Trying to connect"
    argv = ["--shares-happy", str(wanted), "--lost-severity", "ok", "--not-accepting-severity", "ok"]
    for view in ([], ["--grid"]):
        found, text = check(node, *view, *argv)
        assert found == code
        assert said in text
        assert items(text)["servers.accepting"] == "2"


def test_warn_a_server_of_a_grid_that_takes_no_shares(double):
    node = grid(double, available_space=0)
    code, text = check(node, "--grid")
    assert code == 1
    assert text.startswith("TAHOE WARNING - server store0000_0000 takes no shares, it is full or read-only; grid of ")
    assert check(node, "--grid", "--read-only", "store0000.*")[0] == 0
    assert check(node, "--grid", "--read-only", "store0000.*", "--space-critical", "1G:")[0] == 0
    node.servers[0]["available_space"] = None  # it doesn't say
    assert check(node, "--grid", "--shares-happy", "2")[0] == 0


def test_a_server_that_was_not_heard_for_long_is_not_connected_whatever_its_client_thinks(double):
    node = grid(double, last_received_data=time.time() - 700)
    code, text = check(node, "--grid", "--shares-happy", "2")
    assert code == 1
    assert "WARNING: server store0000_0000 not heard for 11.7 min (> 10 min): is it down? " in text
    assert "no server to spare, 2 servers take shares" in text
    assert items(text)["store0000_0000.connected"] == "0"
    assert "store0000_0000.available" not in text
    assert check(node, "--grid", "--stale-warning", "3600")[0] == 0
    assert check(node, "--shares-happy", "2")[0] == 1


def test_what_a_server_has_left_is_old_news_where_its_client_asks_only_when_it_connects(double):
    node = grid(double, connection_status="Connected to tcp:127.0.0.1:1 via tcp")
    code, text = check(node, "--grid", "-v", "--shares-happy", "2")
    assert code == 0
    assert "76.6 GiB left (when it connected)" in text
    found = items(text)
    assert found["store0000_0000.connected"] == "1"
    assert "store0000_0000.available" not in found
    assert found["servers.available"] == f"{2 * node.servers[1]['available_space']}B"
    node.servers[0]["available_space"] = 0
    assert "no server to spare" in check(node, "--grid", "--shares-happy", "2")[1], "its client gives it no shares"


def test_warn_a_lost_introducer_because_uploads_go_on(double):
    node = double("client")
    node.documents[WELCOME] = welcome(2, introducer=False)
    code, text = check(node)
    assert code == 1
    said = "lost the introducer (Reconnecting in 12 seconds (last attempt 4s ago)): uploads go on, new servers stay unknown"
    assert text.startswith(f"TAHOE WARNING - {said}; client ")
    assert check(node, "--introducer-severity", "ok")[0] == 0
    statuses = node.documents[WELCOME]["introducers"]["statuses"]
    statuses.append("Connected to tcp:127.0.0.1:1 via tcp")
    assert "lost 1 of 2 introducers" in check(node)[1]
    statuses.clear()
    assert check(node)[0] == 0


def test_crit_a_client_without_any_server(double):
    node = double("client")
    node.documents[WELCOME] = welcome(2, 0)
    code, text = check(node)
    assert code == 2
    assert text.startswith("TAHOE CRITICAL - no storage server is connected: nothing can be read or uploaded; client ")
    assert check(node, "--servers-warning", "1:")[0] == 1
    storage = double("storage")
    storage.documents[WELCOME] = welcome(2, 0)
    assert check(storage)[0] == 0, "it serves others"


def test_a_thousand_servers_within_the_output_budget_totals_first(double):
    code, text = check(double("client", nodes.large()), "--grid", "-v")
    assert code == 1
    assert len(text.encode()) <= 4000
    assert "99 more; grid of" in text
    assert re.search(r"\[\d+ of 28\d\d metrics fit\]", text)
    assert items(text)["servers.known"] == "1000"


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
