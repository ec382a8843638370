"""HTTP receivers that refuse, hang, redirect, talk too much: what an operator reads, and that nothing is lost, shown or awaited for ever."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from graphios.backends.base import ClosedEarly, DeliveryError, Refused
from graphios.backends.http import Http
from graphios.backends.influxdb import Influx
from graphios.configuration.settings import Delivery, InfluxBackend, Timeouts, Tls
from graphios.errors import Stopped
from graphios.points import Point
from tests.unit.graphios.http_peers import http_peer
from tests.unit.graphios.peers import Behaviour, close_at_once, closed_port, deaf, peer

SHORT = Delivery(timeouts=Timeouts(connect=0.3, send=0.3, acknowledge=0.3))
LONG = Delivery(timeouts=Timeouts(connect=5, send=20, acknowledge=20))


def point(label: str) -> Point:
    return Point(f"web.{label}", "1", 1_795_253_480, "web", "http", label, "value", "")


POINTS = [point(f"m{i}") for i in range(8)]


def influx(url: str, delivery: Delivery = LONG, **options: str) -> Influx:
    return Influx(InfluxBackend("influxdb", url, database="d", delivery=delivery, **options), lambda: False)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_and_nothing_is_rejected(status: int) -> None:
    with http_peer(lambda body: (status, {"Location": "http://elsewhere/"}, b"some\x1b[31m words\n")) as receiver:
        with pytest.raises(DeliveryError, match=f"influxdb .*HTTP {status}: ") as caught:
            influx(receiver.url).deliver(POINTS)
        assert str(caught.value).isprintable()
        assert len(receiver.bodies) == 1


def test_a_redirect_is_not_followed_and_said() -> None:
    with http_peer() as elsewhere, http_peer(lambda body: (307, {"Location": elsewhere.url}, b"")) as receiver:
        with pytest.raises(DeliveryError, match=f"redirects to {elsewhere.url}, which is not followed"):
            influx(receiver.url).deliver(POINTS)
        assert not elsewhere.bodies


def test_a_400_that_does_not_depend_on_the_content_rejects_nothing() -> None:
    """A web server in the way, a wrong address: every request is 400."""
    with http_peer(lambda body: (400, {}, b"The plain HTTP request was sent to HTTPS port")) as receiver:
        with pytest.raises(DeliveryError, match="400: The plain HTTP request"):
            influx(receiver.url).deliver(POINTS)
        assert len(receiver.bodies) == 2


def test_a_400_for_one_point_rejects_that_point_and_delivers_the_others() -> None:
    stored: set[bytes] = set()

    def receive(body: bytes) -> tuple[int, dict[str, str], bytes]:
        if b"label=m5" in body:
            return 400, {}, b"I do not like it"
        stored.update(body.splitlines())
        return 204, {}, b""

    with http_peer(receive) as receiver:
        with pytest.raises(Refused, match="refuses 1 of 8 values") as caught:
            influx(receiver.url).deliver(POINTS)
        assert caught.value.items == ((5, "I do not like it"),)
        assert len([line for line in stored if line.startswith(b"perfdata")]) == 7
        assert len(receiver.bodies) <= 9
        assert receiver.connections == 1


def test_a_batch_that_is_too_large_arrives_in_parts() -> None:
    stored: list[bytes] = []

    def receive(body: bytes) -> tuple[int, dict[str, str], bytes]:
        if len(body) > 150:
            return 413, {}, b""
        stored.extend(body.splitlines())
        return 204, {}, b""

    with http_peer(receive) as receiver:
        influx(receiver.url).deliver(POINTS)
    assert len(set(stored)) == len(stored) == 8


def test_a_receiver_for_which_everything_is_too_large_rejects_nothing() -> None:
    with http_peer(lambda body: (413, {}, b"")) as receiver, pytest.raises(DeliveryError, match="413"):
        influx(receiver.url).deliver(POINTS)


def test_a_long_answer_is_cut() -> None:
    with http_peer(lambda body: (500, {}, b"x" * 10_000_000)) as receiver:
        with pytest.raises(DeliveryError) as caught:
            influx(receiver.url).deliver(POINTS)
        assert len(str(caught.value)) < 500


def test_requests_share_a_connection_and_know_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{closed_port()}")
    with http_peer() as receiver:
        backend = influx(receiver.url)
        for _ in range(5):
            backend.deliver(POINTS)
        assert (len(receiver.bodies), receiver.connections) == (5, 1)


def test_a_login_is_sent_and_never_shown() -> None:
    with http_peer(lambda body: (401, {}, b"no")) as receiver:
        for options in ({"username": "nagios", "password": "sesäm"}, {"token": "sesäm".encode().decode("latin-1")}):
            with pytest.raises(DeliveryError) as caught:
                influx(receiver.url, **options).deliver(POINTS)
            assert "ses" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert receiver.headers[0]["Authorization"] == "Basic bmFnaW9zOnNlc8OkbQ=="
        assert receiver.headers[1]["Authorization"].startswith("Token ses")
    with pytest.raises(DeliveryError) as caught:
        influx(f"http://127.0.0.1:{closed_port()}", username="nagios", password="sesäm").deliver(POINTS)
    assert "Connection refused" in str(caught.value)
    assert "ses" not in str(caught.value)


def drip(connection: socket.socket, received: list[bytes]) -> None:
    """Answers a byte every tenth of a second, for ever."""
    received.append(connection.recv(65536))
    while True:
        connection.sendall(b"H")
        time.sleep(0.1)


def rubbish(connection: socket.socket, received: list[bytes]) -> None:
    received.append(connection.recv(65536))
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [(drip, "no whole answer within 0.9 s"), (rubbish, "not HTTP"), (close_at_once, "without an answer|reset")],
    ids=["drips", "is no HTTP server", "closes"],
)
def test_a_receiver_that_misbehaves_is_given_up(behaviour: Behaviour, words: str) -> None:
    with peer(behaviour) as receiver, pytest.raises(DeliveryError, match=words):
        influx(f"http://127.0.0.1:{receiver.port}", SHORT).deliver(POINTS)


def test_a_receiver_that_hangs_up_is_told_from_a_slow_one() -> None:
    with peer(close_at_once) as receiver, pytest.raises(ClosedEarly):
        influx(f"http://127.0.0.1:{receiver.port}", LONG).deliver(POINTS)
    with (
        deaf() as port,
        pytest.raises(DeliveryError, match=r"did not answer for|no connection within|within") as caught,
    ):
        influx(f"http://127.0.0.1:{port}", SHORT).deliver(POINTS)
    assert not isinstance(caught.value, ClosedEarly)


def test_the_end_of_the_process_is_heeded_while_a_receiver_is_silent() -> None:
    ending = threading.Event()
    with deaf() as port:
        http = Http("silent", LONG, Tls(), ending.is_set)
        threading.Timer(0.2, ending.set).start()
        with pytest.raises(Stopped):
            http.post(f"http://127.0.0.1:{port}/", b"x")


@pytest.mark.parametrize("text", ["1", "Sat, 21 Nov 2026 12:00:00 GMT", "soon", "-5", "99999999999999"])
def test_retry_after_is_heeded_within_reason(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes at most; what is no time, or a past one, is none."""
    with http_peer(lambda body: (503, {"Retry-After": text}, b"")) as receiver:
        http = Http("busy", LONG, Tls(), lambda: False)
        http.refusal(http.post(receiver.url, b"x"))
        waited: list[float] = []
        clock = [time.monotonic()]

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            clock[0] += seconds

        monkeypatch.setattr("graphios.backends.http.time.sleep", sleep)
        monkeypatch.setattr("graphios.backends.http.time.monotonic", lambda: clock[0])
        http._wait_as_told()
        expected = {"1": 1, "99999999999999": 300}.get(text, 0)
        assert sum(waited) == pytest.approx(expected, abs=0.3)
