"""Delivery: a batch counts as delivered only after the receiver read all of it. Peers that behave like carbon are in tests/real."""

import socket
import threading
import time

import pytest

from graphios.backends.base import DeliveryError
from graphios.backends.carbon import Carbon
from graphios.configuration.settings import CarbonBackend, Delivery, Timeouts
from graphios.errors import Stopped
from tests.unit.graphios.peers import close_at_once, closed_port, deaf, peer, read_all, reset, say_hello

LINES = ["a.b.c 1 1795253480\n"] * 50_000
BATCH = "".join(LINES).encode()
ONE = ["a 1 1795253480\n"]


def carbon(port: int, host: str = "127.0.0.1") -> Carbon:
    return Carbon(CarbonBackend("carbon", ((host, port),), delivery=Delivery(timeouts=Timeouts(1, 1, 1))))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_batch_arrives_whole_over_ipv4_ipv6_and_a_name(host: str) -> None:
    address = "::1" if ":" in host else "127.0.0.1"
    with peer(read_all, address) as receiver:
        carbon(receiver.port, host).deliver(LINES)
        assert receiver.received == [BATCH]


def test_nobody_listens() -> None:
    with pytest.raises(DeliveryError, match=r"carbon 127.0.0.1:\d+: Connection refused"):
        carbon(closed_port()).deliver(LINES)


def test_an_ipv6_address_is_named_in_brackets() -> None:
    with pytest.raises(DeliveryError, match=r"carbon \[::1\]:\d+: "):
        carbon(closed_port(), "::1").deliver(LINES)


def test_a_name_without_address() -> None:
    with pytest.raises(DeliveryError, match=r"carbon no-such-host.invalid:2003: "):
        carbon(2003, "no-such-host.invalid").deliver(LINES)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [LINES, ONE], ids=["large", "small"])
def test_a_receiver_that_accepts_nothing_acknowledged_nothing(batch: list[str]) -> None:
    with deaf() as port, pytest.raises(DeliveryError, match=r"takes no data|does not acknowledge"):
        carbon(port).deliver(batch)


@pytest.mark.parametrize("batch", [LINES, ONE * 100], ids=["large", "small"])
def test_a_reset_is_no_acknowledgement(batch: list[str]) -> None:
    with peer(reset) as receiver, pytest.raises(DeliveryError):
        carbon(receiver.port).deliver(batch)


@pytest.mark.parametrize("repeat", range(20))
def test_a_receiver_that_closes_without_reading_acknowledged_nothing(repeat: int) -> None:
    # The end-of-stream and the data cross on the way: a race that must never look like success.
    with peer(close_at_once) as receiver, pytest.raises(DeliveryError):
        carbon(receiver.port).deliver(ONE)


def test_a_server_that_is_no_carbon_is_recognised() -> None:
    with (
        peer(say_hello) as receiver,
        pytest.raises(DeliveryError, match=r"answers b'SSH-2.0-OpenSSH_9.2.*so this is not carbon"),
    ):
        carbon(receiver.port).deliver(LINES)


def test_the_wait_for_an_acknowledgement_ends_when_the_process_shall_end() -> None:
    stop = threading.Event()

    def never_close(connection: socket.socket, received: list[bytes]) -> None:
        received.append(connection.recv(100))
        stop.set()
        stop_seen.wait(10)

    stop_seen = threading.Event()
    with peer(never_close) as receiver:
        patient = Carbon(
            CarbonBackend("carbon", (("127.0.0.1", receiver.port),), delivery=Delivery(timeouts=Timeouts(1, 1, 600))),
            stop.is_set,
        )
        started = time.monotonic()
        with pytest.raises(Stopped):
            patient.deliver(ONE)
        assert time.monotonic() - started < 60
        stop_seen.set()
