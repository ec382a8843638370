"""check_tahoe on the servers and introducers that a node knows, and on a whole grid as one client sees it."""

import re
import time

import pytest

from tests.tahoe import node as nodes
from tests.tahoe.checking import Doubles, check, items
from tests.tahoe.documents import welcome
from tests.tahoe.node import WELCOME

FAILURE = (
    "failure: [Failure instance: Traceback: <class 'twisted.internet.error.ConnectionRefusedError'>: refused|x.\n"
    "/usr/lib/python3/dist-packages/twisted/internet/defer.py:1\n--- <exception caught here> ---\npb://secret@tcp:h:1/swissnum\n]"
)


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


def grid(double, servers=3, **fields):
    """A client that knows some servers; what it tells of the first is changed."""
    node = double("client")
    node.documents[WELCOME] = welcome(servers)
    node.servers[0].update(fields)
    return node


def test_ok_a_grid_names_each_server(double):
    node = grid(double)
    code, text = check(node, "--grid", "-v", "--shares-happy", "2")
    assert code == 0
    assert text.startswith(f"TAHOE OK - grid of 127.0.0.1:{node.port}, 3 of 3 servers, introducer up | ")
    assert node.paths == [WELCOME]
    assert "\nserver store0000_0000: connected, 76.6 GiB left, tahoe-lafs/1.20.0, heard " in text
    found = items(text)
    assert found["store0002_0000.connected"] == "1"
    assert found["store0002_0000.available"].endswith("B")
    assert found["servers.connected"] == found["servers.known"] == "3"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("Trying to connect", "Trying to connect"),
        ("Reconnecting in 5 seconds (last attempt 1s ago)", "Reconnecting in 5 seconds (last attempt 1s ago)"),
        (FAILURE, "connection refused"),
        (FAILURE.replace("ConnectionRefusedError", "ConnectError"), "ConnectError: refused?x."),
        (FAILURE.replace("ConnectionRefusedError'>: refused|x", "ResponseNeverReceived'>: [<Failure"), "no answer"),
        ("", "it does not say why"),
        (None, "it does not say why"),
    ],
)
def test_warn_a_lost_server_and_none_of_its_old_numbers(double, status, said):
    node = grid(double, connection_status=status)
    code, text = check(node, "--grid", "-v", "--space-warning", "store0000.*=1P:", "--space-warning", "1K:")
    assert code == 1
    assert text.startswith(f"TAHOE WARNING - server store0000_0000 is not connected ({said}); grid of ")
    assert f"\nserver store0000_0000: not connected, {said}, last heard " in text
    found = items(text)
    assert found["store0000_0000.connected"] == "0"
    assert not {"store0000_0000.available", "store0000_0000.heard_age"} & set(found)
    assert found["servers.available"] == f"{2 * node.servers[1]['available_space']}B"
    assert check(node, "--grid", "--ignore", "store0000.*")[0] == 0
    assert check(node, "--grid", "--lost-severity", "critical")[0] == 2


def test_what_a_connection_failed_with_is_one_clean_line_without_the_address_that_is_a_key(double):
    node = grid(double, connection_status=FAILURE.replace("ConnectionRefusedError", "ConnectError"))
    node.documents[WELCOME]["introducers"]["statuses"] = ["failure: pb://abc@tcp:host:1/swissnum was refused"]
    code, text = check(node, "--grid", "-v")
    assert code == 1
    assert "server store0000_0000 is not connected (ConnectError: refused?x.)" in text
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
