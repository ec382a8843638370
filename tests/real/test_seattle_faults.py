"""Seattle's servers, healthy, hung, killed and started again, and what each check says of that: by hand, and through a real NRPE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.real.drill import CRITICAL, OK, Double, Drill, Row, by_hand, drilled, started
from tests.soak import count

RUNS = count(10, 200)
# The first line names the server, what is wrong with it, and what to do next.
HUNG = r" CRITICAL - .*127\.0\.0\.1:\d+ .*(hangs|silent).*restart it"
GONE = r" CRITICAL - .*127\.0\.0\.1:\d+.*\bstart (it|its web server)"
ROWS = [
    Row("advertise_1", "advertise --generation 1", "check_advertise_server -p {port} -t 5 --sibling-port 1"),
    Row("advertise_2", "advertise --generation 2", "check_advertise_server -p {port} -t 5 --sibling-port 1"),
    Row("advertise_udp", "advertise --udp", "check_advertise_server --transport udp -p {port} -t 5"),
    Row("zenodotus", "zenodotus", "check_zenodotus -H 127.0.0.1 -p {port} -t 5"),
    Row("node", "nodemanager --poll 0.1", "check_seattle_node -H 127.0.0.1 -p {port} -t 5"),
    Row("update", "updatesite", "check_software_update --url http://127.0.0.1:{port}/updatesite/ -t 5"),
    Row("builder", "builder", "check_installer_builder --url http://127.0.0.1:{port}/custom_install/ -t 5"),
    Row("lockserver", "lockserver", "check_seattle_processes --lock-status --lock-port {port} -t 5"),
]
ROWS_BY_NAME = {row.name: row for row in ROWS}
every_row = pytest.mark.parametrize("row", ROWS, ids=ROWS_BY_NAME)


@pytest.fixture(scope="module")
def root(make_stack_root: Callable[[str], Path]) -> Path:
    """The folder of the doubles and of NRPE."""
    return make_stack_root("seattle")


@pytest.fixture(scope="module")
def doubles(root: Path) -> Iterator[dict[str, Double]]:
    """All doubles, each a process."""
    with started(root, ROWS) as doubles:
        yield doubles


@pytest.fixture(scope="module")
def drill(root: Path, doubles: dict[str, Double], stack_user: str | None) -> Iterator[Drill]:
    """What every check said at every stage; all servers are there again at its end."""
    with drilled(root, ROWS, doubles, stack_user, "seattle") as drill:
        yield drill


@every_row
@pytest.mark.parametrize("stage", Drill.STAGES)
def test_a_check_names_what_its_server_does_by_hand_and_over_nrpe(drill: Drill, row: Row, stage: str) -> None:
    by_operator, over_nrpe = drill.said(row, stage)
    code, wanted = {"hung": (CRITICAL, HUNG), "gone": (CRITICAL, GONE)}.get(stage, (OK, " OK - "))
    for answer in (by_operator, over_nrpe):
        assert answer.code == code, answer
        assert re.search(wanted, answer.first), answer
        assert "Traceback" not in answer.output + answer.errors
        assert not answer.errors
    assert by_operator.shape == over_nrpe.shape


def test_runs_in_a_row_raise_no_false_alarm(drill: Drill, doubles: dict[str, Double]) -> None:
    def alarms(row: Row) -> list[str]:
        runs = (by_hand(row.argv(doubles[row.name].port)) for _ in range(RUNS))
        return [f"{row.name}: {answer}" for answer in runs if answer.code != OK or answer.errors]

    with ThreadPoolExecutor(4) as pool:
        assert [alarm for found in pool.map(alarms, ROWS) for alarm in found] == []
