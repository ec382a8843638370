"""check_tahoe --grid on a real grid: servers lost, back and without room, the introducer lost; what it says of uploads is what they do."""

from __future__ import annotations

import os

import pytest

from tests.real.drill import CRITICAL, OK, WARNING
from tests.real.tahoe_site import check, label, repaired
from tests.stack.daemon import StackError
from tests.stack.tahoe import TahoeGrid, start_all

HAPPY = ("--grid", "--shares-happy", "2")  # as the client has it


def test_every_server_is_named_with_its_space(tahoe_grid: TahoeGrid) -> None:
    said = check("--url", tahoe_grid.client.url, *HAPPY, "-v")
    assert said.code == OK
    names = [label(node, tahoe_grid) for node in tahoe_grid.storage]
    for name in names:
        assert said.perfdata[f"{name}.connected"] == 1
        assert said.perfdata[f"{name}.available"] > 0
        assert said.perfdata[f"{name}.heard_age"] >= 0
        assert name in said.text.partition("\n")[2]
    total = sum(said.perfdata[f"{name}.available"] for name in names)
    assert said.perfdata["servers.available"] == total
    assert [said.perfdata[f"servers.{what}"] for what in ("connected", "known", "accepting")] == [3, 3, 3]


def test_lost_servers_have_no_current_numbers_and_happiness_is_what_uploads_need(tahoe_grid: TahoeGrid) -> None:
    killed, hung, left = tahoe_grid.storage
    names = [label(node, tahoe_grid) for node in tahoe_grid.storage]
    url = tahoe_grid.client.url
    with repaired(tahoe_grid, killed, hung):
        killed.kill()
        tahoe_grid.wait_for_servers([hung.name, left.name])
        said = check("--url", url, *HAPPY, "-v")
        assert said.code == WARNING
        assert [said.perfdata[f"{name}.connected"] for name in names] == [0, 1, 1]
        assert not {f"{names[0]}.available", f"{names[0]}.heard_age"} & set(said.perfdata)
        assert f"{names[0]} is not connected" in said.text
        assert "site-packages" not in said.text
        assert "one less and uploads fail" in said.text
        tahoe_grid.client.upload(os.urandom(20_000))

        hung.pause()
        for node, words in ((killed, "refuses connections"), (hung, "hangs")):
            said = check("--url", node.url, "-t", "2")
            assert (said.code, words in said.first) == (CRITICAL, True)
            assert f"127.0.0.1:{node.port}" in said.first
            assert not said.perfdata

        tahoe_grid.wait_for_servers([left.name])
        said = check("--url", url, *HAPPY)
        assert (said.code, "uploads fail" in said.first) == (CRITICAL, True)
        assert (said.perfdata["servers.connected"], said.perfdata["servers.accepting"]) == (1, 1)
        with pytest.raises(StackError, match="500"):
            tahoe_grid.client.upload(os.urandom(20_000))
    assert check("--url", url, *HAPPY).code == OK


def test_full_and_read_only_servers_are_told_apart_and_uploads_fail(tahoe_grid: TahoeGrid) -> None:
    """A client does not know which of the two its servers are."""
    full, closed, _ = tahoe_grid.storage
    names = [label(node, tahoe_grid) for node in tahoe_grid.storage]
    with repaired(tahoe_grid, full, closed):
        full.storage = {"reserved_space": "1000T"}
        closed.storage = {"reserved_space": "1M", "readonly": "true"}
        for node in (full, closed):
            node.stop()
        start_all([full, closed])
        for node, words, other in ((full, "full", "read-only"), (closed, "read-only", "full")):
            said = check("--url", node.url)
            problem = said.first.partition(";")[0]
            assert (said.code, words in problem, other in problem) == (WARNING, True, False)
            assert said.perfdata["accepting_shares"] == said.perfdata["disk.available"] == 0
            assert said.perfdata["disk.free"] > 0
        assert check("--url", full.url, "--space-critical", "1G:").code == CRITICAL
        assert check("--url", closed.url, "--read-only", ".*", "--space-critical", "1G:").code == OK

        tahoe_grid.wait(lambda: _without_room(tahoe_grid) == {full.name, closed.name}, "the client knows")
        said = check("--url", tahoe_grid.client.url, *HAPPY)
        assert (said.code, "uploads fail" in said.first) == (CRITICAL, True)
        assert (said.perfdata["servers.connected"], said.perfdata["servers.accepting"]) == (3, 1)
        assert [said.perfdata[f"{name}.available"] == 0 for name in names] == [True, True, False]
        assert all(f"{name} takes no shares" in said.text for name in names[:2])
        with pytest.raises(StackError, match="500"):
            tahoe_grid.client.upload(os.urandom(20_000))


def test_a_lost_introducer_is_a_warning_because_uploads_go_on(tahoe_grid: TahoeGrid) -> None:
    client = tahoe_grid.client
    with repaired(tahoe_grid):
        tahoe_grid.introducer.kill()
        tahoe_grid.wait(lambda: not client.reaches_introducer(), "the client notices")
        said = check("--url", client.url, *HAPPY)
        assert (said.code, "introducer" in said.first) == (WARNING, True)
        assert (said.perfdata["introducers.connected"], said.perfdata["servers.connected"]) == (0, 3)
        said = check("--url", tahoe_grid.storage[0].url, "--introducer-severity", "critical")
        assert (said.code, "introducer" in said.first) == (CRITICAL, True)
        capability = client.upload(data := os.urandom(20_000))
        assert client.download(capability) == data
        assert check("--url", tahoe_grid.introducer.url).code == CRITICAL


def test_the_texts_of_foolscap_connections_are_understood(tahoe_grid: TahoeGrid) -> None:
    """Of servers before 1.19, and where force_foolscap is set. `unstarted` is the text of the others before their first answer."""
    node, other, _ = tahoe_grid.storage
    names = [label(node, tahoe_grid) for node in tahoe_grid.storage]
    client = tahoe_grid.client
    with repaired(tahoe_grid, node, other):
        node.storage = {"reserved_space": "1M", "force_foolscap": "true"}
        node.restart()
        tahoe_grid.wait(lambda: _status(tahoe_grid, node.name).startswith("Connected to"), "it is reached by foolscap")
        said = check("--url", client.url, *HAPPY, "-v")
        assert (said.code, said.perfdata[f"{names[0]}.connected"]) == (OK, 1)
        assert "Connected to tcp:127.0.0.1" in said.text
        # The client asks such a server for its space only when it connects to it, perhaps weeks ago.
        assert f"{names[0]}.available" not in said.perfdata
        assert said.perfdata["servers.available"] == sum(said.perfdata[f"{name}.available"] for name in names[1:])

        client.kill()
        for paused in (node, other):
            paused.pause()
        client.start()
        tahoe_grid.wait(lambda: len(client.servers()) == 3, "the client hears of all servers")
        tahoe_grid.wait_for_servers([tahoe_grid.storage[2].name])
        said = check("--url", client.url, "--grid", "-v")
        assert said.code == WARNING
        assert [said.perfdata[f"{name}.connected"] for name in names] == [0, 0, 1]
        assert f"{names[0]} is not connected (Trying to connect)" in said.text
        assert f"{names[1]}.available" not in said.perfdata

        node.kill()
        tahoe_grid.wait(lambda: _status(tahoe_grid, node.name).startswith("Reconnecting in"), "the client tries again")
        said = check("--url", client.url, "--grid")
        assert (said.code, said.perfdata[f"{names[0]}.connected"]) == (WARNING, 0)


def _without_room(grid: TahoeGrid) -> set[str]:
    return {name for name, server in grid.client.servers().items() if server["available_space"] == 0}


def _status(grid: TahoeGrid, name: str) -> str:
    return str(grid.client.servers()[name]["connection_status"])
