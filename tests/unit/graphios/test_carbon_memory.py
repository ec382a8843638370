"""When a carbon may have lost what it acknowledged, and which of several carbons gets the next batch."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graphios.backends.base import ClosedEarly, DeliveryError
from graphios.backends.carbon import Carbon
from graphios.backends.connector import Connector
from graphios.backends.monitor import IdleLimit, Monitor
from graphios.configuration.settings import CarbonBackend, Delivery, Timeouts
from tests.stack.daemon import wait_until
from tests.unit.graphios.peers import Behaviour, close_at_once, closed_port, deaf, peer, read_all

ONE = ["a 1 1795253480\n"]
SENT = ONE[0].encode()


@contextmanager
def carbon(*ports: int, name: str = "carbon", replay: float = 900, heartbeat: str = "") -> Iterator[Carbon]:
    settings = CarbonBackend(
        name,
        tuple(("127.0.0.1", port) for port in ports),
        delivery=Delivery(timeouts=Timeouts(1, 1, 1)),
        replay_seconds=replay,
    )
    backend = Carbon(settings, heartbeat=heartbeat)
    yield backend
    backend.close()


def noticed(backend: Carbon) -> None:
    """Waits until it says, once, that memory was lost."""
    wait_until(backend.lost_memory, 20, "the loss of memory to be noticed")
    assert not backend.lost_memory()


def test_a_receiver_that_goes_on_has_lost_nothing() -> None:
    with peer() as receiver, carbon(receiver.port) as backend:
        for _ in range(5):
            backend.deliver(ONE)
            assert not backend.lost_memory()
        assert receiver.connections == 6  # one of them stays


def test_a_receiver_that_ends_has_lost_its_memory_once() -> None:
    with peer() as receiver, carbon(receiver.port) as backend:
        backend.deliver(ONE)
        receiver.close()
        noticed(backend)
        for _ in range(3):
            with pytest.raises(DeliveryError, match="Connection refused"):
                backend.deliver(ONE)
            assert not backend.lost_memory()
        with peer(port=receiver.port) as again:
            backend.deliver(ONE)
            assert not backend.lost_memory()
            assert again.received == [SENT]


def test_a_receiver_that_was_restarted_between_two_batches_has_lost_its_memory() -> None:
    # Both ends of its absence fall between two looks at it.
    with peer() as receiver, carbon(receiver.port) as backend:
        backend.deliver(ONE)
        receiver.close()
        with peer(port=receiver.port) as again:
            backend.deliver(ONE)
            noticed(backend)
            assert again.received == [SENT]


def test_a_reset_of_the_idle_connection_is_a_loss() -> None:
    def read_all_or_reset(connection: socket.socket, received: list[bytes]) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(0.1)
        read_all(connection, received)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))

    with peer(read_all_or_reset) as receiver, carbon(receiver.port) as backend:
        for _ in range(5):  # it never becomes a habit
            backend.deliver(ONE)
            noticed(backend)


def test_a_receiver_that_took_nothing_yet_has_nothing_to_lose() -> None:
    with carbon(closed_port()) as backend:
        with pytest.raises(DeliveryError):
            backend.deliver(ONE)
        assert not backend.lost_memory()
    with peer(close_at_once) as receiver, carbon(receiver.port) as backend:
        with pytest.raises(ClosedEarly):
            backend.deliver(ONE)
        assert not backend.lost_memory()


def test_without_a_replay_window_there_is_no_idle_connection() -> None:
    with peer() as receiver, carbon(receiver.port, replay=0) as backend:
        backend.deliver(ONE)
        assert not backend.forgets
        assert receiver.connections == 1
        receiver.close()
        with pytest.raises(DeliveryError):
            backend.deliver(ONE)
        assert not backend.lost_memory()


def with_idle_limit(seconds: float) -> Behaviour:
    def read_while_there_is_something(connection: socket.socket, received: list[bytes]) -> None:
        connection.settimeout(seconds)
        read_all(connection, received)

    return read_while_there_is_something


@pytest.mark.slow
def test_a_receiver_that_closes_idle_connections_and_lives_on_does_not_cause_endless_replays() -> None:
    with peer(with_idle_limit(0.6)) as receiver, carbon(receiver.port) as backend:
        losses = 0
        backend.deliver(ONE)
        deadline = time.monotonic() + 60
        while receiver.connections < 11:
            assert time.monotonic() < deadline, "the idle connection is not opened again"
            if backend.lost_memory():
                losses += 1
                backend.deliver(ONE)  # the window, sent again
            time.sleep(0.01)
        assert losses <= 2
        # Its death is noticed nevertheless.
        receiver.close()
        noticed(backend)


@pytest.mark.slow
def test_a_receiver_that_is_restarted_at_regular_intervals_loses_its_memory_each_time() -> None:
    # As behind a proxy, which takes connections whatever happens to the carbon behind it.
    with peer() as receiver, carbon(receiver.port) as backend:
        for _ in range(6):
            backend.deliver(ONE)
            assert not backend.lost_memory()
            time.sleep(0.4)
            receiver.hang_up()
            noticed(backend)


def test_heartbeats_keep_the_idle_connection_in_use() -> None:
    with peer() as receiver:
        connector = Connector(Timeouts(1, 1, 1))
        monitor = Monitor(
            lambda: connector.connect("127.0.0.1", receiver.port), IdleLimit("carbon"), lambda: b"beat\n", interval=0.01
        )
        assert not monitor.wait(0.1)
        monitor.close()
        wait_until(lambda: receiver.received, 10, "the idle connection to end")
        assert receiver.received[0].startswith(b"beat\nbeat\n")


@pytest.mark.slow
def test_heartbeats_come_often_enough_once_an_idle_limit_is_known() -> None:
    with peer(with_idle_limit(0.6)) as receiver, carbon(receiver.port, heartbeat="graphios.beat") as backend:
        backend.deliver(ONE)
        noticed(backend)
        backend.deliver(ONE)
        time.sleep(2)
        # Two, and one to see whether it is back, then two more, and the witness. Another three where nothing keeps them.
        assert receiver.connections <= 7
        assert not backend.lost_memory()


def test_the_next_server_takes_over_and_keeps_the_work() -> None:
    with peer() as first, peer() as second, carbon(first.port, second.port) as backend:
        backend.deliver(ONE)
        assert backend.report()["server"] == f"127.0.0.1:{first.port}"
        first.close()
        backend.deliver(ONE)
        noticed(backend)
        assert second.received == [SENT]
        with peer(port=first.port) as back:
            backend.deliver(ONE)
            assert second.received == [SENT] * 2
            assert not backend.lost_memory()
            second.close()
            backend.deliver(ONE)
            noticed(backend)
            assert back.received == [SENT]
            assert backend.report() == {
                "server": f"127.0.0.1:{first.port}",
                "memory_losses": 2,
                "dropped_creates": None,
            }


@pytest.mark.slow
def test_all_servers_are_tried_and_each_is_named_with_its_reason() -> None:
    with (
        peer(close_at_once) as hasty,
        deaf() as silent,
        carbon(closed_port(), hasty.port, silent, name="carbon:lab") as backend,
    ):
        with pytest.raises(DeliveryError) as raised:
            backend.deliver(ONE)
        text = str(raised.value)
        assert text.startswith("carbon:lab 127.0.0.1:")
        assert "Connection refused; " in text
        assert f"127.0.0.1:{hasty.port}: " in text
        assert f"127.0.0.1:{silent}: took the data but does not acknowledge it for 1 s" in text
        # The silent one may be well, and would take the batch: nothing is wrong with it.
        assert not isinstance(raised.value, ClosedEarly)
        assert not backend.lost_memory()


def test_a_server_that_failed_is_passed_over_for_one_that_works() -> None:
    with peer(close_at_once) as hasty, peer() as good, carbon(hasty.port, good.port) as backend:
        backend.deliver(ONE)
        backend.deliver(ONE)
        assert good.received == [SENT] * 2
        assert not backend.lost_memory()


def test_the_idle_connection_ends_with_the_backend(capfd: pytest.CaptureFixture[str]) -> None:
    with peer() as receiver:
        with carbon(receiver.port) as backend:
            backend.deliver(ONE)
            wait_until(lambda: receiver.open == 1, 10, "the connection of the batch to end")
        wait_until(lambda: receiver.open == 0, 10, "the idle connection to end")
    assert capfd.readouterr() == ("", "")
