"""What graphios says about itself: the status document, and its own series."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from graphios.delivery import status
from tests.unit.graphios.deliveries import Place, refused_connection, wait_for
from tests.unit.graphios.spool_lines import service_line

COUNTERS = ("sent", "acknowledged", "retries", "replayed", "refused", "set_aside")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def read(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.settings.status_file.read_text(encoding="utf-8"))
    return found


def test_the_document_after_a_single_run(place: Place) -> None:
    place.write("service-perfdata.1", service_line("a=1 b=U c=x") + "rubbish\n" + service_line("d=1"))
    place.once()
    found = read(place)
    assert found["version"] == 1
    assert found["running"] is False
    assert (found["lines_read"], found["metrics_read"]) == (3, 2)
    assert found["rejected"]["total"] == 2
    assert sum(found["rejected"]["by_reason"].values()) == 2
    assert found["skipped"]["U"] == 1
    assert found["spools"][0] == {"directory": str(place.spool), "files": 0, "bytes": 0, "oldest": None}
    assert found["window"]["files"] == 1
    assert found["trouble"] == []
    (backend,) = found["backends"]
    assert [backend[name] for name in COUNTERS] == [2, 2, 0, 0, 0, 0]
    assert (backend["name"], backend["kind"], backend["state"], backend["error"]) == ("carbon", "carbon", "idle", None)
    assert time.time() - backend["last_success"] < 100


def test_the_document_while_a_receiver_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphios.delivery import report

    monkeypatch.setattr(report, "STATUS", 0.05)
    place.receiver().answer = lambda items: refused_connection()
    path = place.write("service-perfdata.1", service_line("a=1"), 500)
    with place.running():
        wait_for(lambda: place.settings.status_file.exists() and read(place)["backends"][0]["retries"] > 2, "retries")
        found = read(place)
        (backend,) = found["backends"]
        assert found["running"] is True
        assert backend["state"] == "retrying"
        assert "Connection refused" in backend["error"]
        assert backend["error_since"] <= found["time"]
        assert (backend["waiting_files"], backend["waiting_bytes"]) == (1, path.stat().st_size)
        assert 499 < backend["lag_seconds"] < 600
        assert 499 < found["lag_seconds"] < 600
    assert read(place)["running"] is False


def test_a_status_file_that_cannot_be_written_is_said_and_costs_nothing_else(place: Place) -> None:
    place.settings.status_file.parent.mkdir()
    place.settings.status_file.mkdir()
    (place.settings.status_file / "x").touch()
    place.write("service-perfdata.1", service_line("a=1"))
    ship = place.once()
    assert place.files() == []
    assert "status file" in " ".join(ship.troubles.current())


def test_it_ships_its_own_figures(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status.socket, "gethostname", lambda: "mon.example")
    place.change(self_interval=0.1)
    place.write("service-perfdata.1", service_line("a=1") + "rubbish\n")
    carbon = place.receiver()
    wanted = [
        *("lag", "spool.files", "spool.bytes", "lines_read", "metrics_read", "rejected.total", "rejected.line"),
        *("skipped.U", "dropped.files", "dropped.lines", "set_aside.files", "window.files"),
        *("backend.carbon.sent", "backend.carbon.acknowledged", "backend.carbon.retries", "backend.carbon.lag"),
    ]
    with place.running():
        wait_for(lambda: f"graphios.mon_example.{wanted[-1]}" in carbon.names, "the figures")
    assert {f"graphios.mon_example.{label}" for label in wanted} <= set(carbon.names)
    assert not place.settings.reject_file.read_text(encoding="ascii").count("graphios,")
