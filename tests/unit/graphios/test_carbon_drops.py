"""New series that carbon says it dropped: counted, named with advice, and sent again; a graphite-web that is ill disturbs nobody."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from graphios.backends import drops
from graphios.backends.carbon import Carbon
from graphios.backends.drops import DroppedCreates
from graphios.configuration.settings import CarbonBackend
from tests.stack.daemon import wait_until
from tests.unit.graphios.peers import deaf, peer

SERIES = "carbon.agents.host-a.droppedCreates"


class Web(HTTPServer):
    """Answers /render with `points`, or with `body` and `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.points: list[tuple[float | None, int]] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.body or json.dumps([{"target": SERIES, "datapoints": self.server.points}]).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def settings(url: str, paced: int = 0) -> CarbonBackend:
    return CarbonBackend("carbon", (("127.0.0.1", 2003),), graphite_url=url, creates_per_minute=paced)


@pytest.fixture
def reader(web: Web) -> Iterator[DroppedCreates]:
    running = DroppedCreates(settings(f"http://127.0.0.1:{web.server_port}/"), interval=0.02)
    yield running
    running.close()


def read_again(web: Web) -> None:
    """Waits until the next answers have been read."""
    now = len(web.asked)
    wait_until(lambda: len(web.asked) > now + 2, 60, "graphite-web to be asked again")


def test_nothing_dropped(reader: DroppedCreates, web: Web) -> None:
    web.points = [(None, int(time.time())), (0.0, int(time.time()) + 1)]
    assert reader.count in (None, 0)
    wait_until(lambda: reader.count == 0, 60, "an answer")
    assert not reader.send_again()
    assert web.asked[0].startswith("/render?target=carbon.agents.%2A.droppedCreates&")


def test_drops_are_counted_once_named_and_sent_again(
    reader: DroppedCreates, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    now = int(time.time()) + 1
    web.points = [(7.0, now - 3600), (12.0, now), (30.0, now + 60)]
    wait_until(lambda: reader.count == 42, 60, "the drops to be counted")
    assert reader.send_again()
    read_again(web)
    assert reader.count == 42
    assert not reader.send_again()
    web.points[2] = (31.0, now + 60)
    wait_until(lambda: reader.count == 43, 60, "the interval that grew")
    assert "carbon: carbon dropped 42 new series (carbon.agents.host-a.droppedCreates)" in caplog.text
    assert "MAX_CREATES_PER_MINUTE" in caplog.text


@pytest.mark.slow
def test_a_carbon_that_goes_on_dropping_does_not_cause_endless_replays(web: Web) -> None:
    reader = DroppedCreates(settings(f"http://127.0.0.1:{web.server_port}"), interval=0.05)
    second = int(time.time())
    replays = 0
    started = time.monotonic()
    while time.monotonic() - started < 1:
        second += 1
        web.points = [(1.0, second)]
        replays += reader.send_again()
        time.sleep(0.01)
    reader.close()
    assert 1 <= replays <= 5  # at most after 0, 1, 3, 7 and 15 intervals; 20 without a bound


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", 200),
        (b"[]", 500),
        (b"{}", 200),
        (b"[1]", 200),
        (b'[{"target": 1}]', 200),
        (b'[{"target": "a", "datapoints": [["x", "y"]]}]', 200),
        (b'[{"target": "a", "datapoints": 5}]', 200),
        (b'[{"target": "a", "datapoints": [[NaN, 5], [1e999, 6]]}]', 200),
        (b"\xff\xfe", 200),
        (b"[" * 20_000, 200),
        (b" " * 4_20_000, 200),
    ],
)
def test_an_answer_that_is_none_is_said_once_and_the_next_one_counts(
    reader: DroppedCreates, web: Web, caplog: pytest.LogCaptureFixture, body: bytes, status: int
) -> None:
    web.body, web.status = body, status
    read_again(web)
    web.body, web.status = None, 200
    web.points = [(5.0, int(time.time()) + 1)]
    wait_until(lambda: reader.count == 5, 60, "the next answer")
    assert len([record for record in caplog.records if "can't read" in record.message]) <= 1


def test_a_password_in_the_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with deaf() as port:
        pass
    reader = DroppedCreates(settings(f"http://operator:secret@127.0.0.1:{port}"), interval=0.01)
    wait_until(lambda: "can't read" in caplog.text, 60, "the complaint")
    reader.close()
    assert "secret" not in caplog.text
    assert f"127.0.0.1:{port}" in caplog.text


def test_the_advice_of_a_paced_backend_names_its_rate(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    reader = DroppedCreates(settings(f"http://127.0.0.1:{web.server_port}", paced=50), interval=0.01)
    web.points = [(5.0, int(time.time()) + 1)]
    wait_until(lambda: reader.count, 60, "the drops")
    reader.close()
    assert "lower creates_per_minute (now 50)" in caplog.text


def test_the_backend_reports_drops_and_calls_for_the_window(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "INTERVAL", 0.02)
    with peer() as receiver:
        servers = (("127.0.0.1", receiver.port),)
        backend = Carbon(CarbonBackend("carbon", servers, graphite_url=f"http://127.0.0.1:{web.server_port}"))
        backend.deliver(["a 1 1795253480\n"])
        assert not backend.lost_memory()
        web.points = [(3.0, int(time.time()) + 1)]
        wait_until(backend.lost_memory, 60, "the drops")
        assert backend.report()["dropped_creates"] == 3
        backend.close()


def test_a_graphite_web_that_never_answers_disturbs_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "INTERVAL", 0.01)
    with deaf() as silent, peer() as receiver:
        servers = (("127.0.0.1", receiver.port),)
        backend = Carbon(CarbonBackend("carbon", servers, graphite_url=f"http://127.0.0.1:{silent}"))
        for _ in range(20):
            backend.deliver(["a 1 1795253480\n"])
            assert not backend.lost_memory()
        assert backend.report()["dropped_creates"] is None
        backend.close()
        assert len(receiver.received) == 20
