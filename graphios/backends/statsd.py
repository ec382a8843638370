"""statsd: every value as a gauge.

statsd's protocol (https://github.com/statsd/statsd, docs/metric_types.md) is `name:value|g`, one a line; it has no
timestamps, and a sign means a change: a negative gauge is set to 0 first. Over UDP nothing is acknowledged: what
arrives late or not at all is lost without anybody's knowledge. Over TCP a batch counts as taken when statsd has read
it to the end and closed the connection.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from graphios.backends.addresses import resolve
from graphios.backends.base import LINES, ClosedEarly, DeliveryError, Remembering
from graphios.backends.connection import EndedEarly
from graphios.backends.connector import Connector, reason
from graphios.configuration.settings import StatsdBackend
from graphios.errors import Stopped
from graphios.points import Point

LONGEST_DATAGRAM = 1_432
"""What fits into one Ethernet frame, so that no part of it can get lost; statsd's own advice (docs/metric_types.md,
multi-metric packets).
"""

_BURST = 32
_PAUSE = 0.005
"""Datagrams after which the receiver is given time to read: its kernel's buffer (net.core.rmem_default) holds about
150 of them.
"""
_SAFE = str.maketrans(":|@", "___")


class Statsd(Remembering):
    """One statsd, over UDP or TCP. What statsd had is older than what it gets next."""

    takes = LINES

    def __init__(self, settings: StatsdBackend, stopping: Callable[[], bool]) -> None:
        """Looks nothing up and connects to nothing yet; `stopping` is asked several times a second."""
        self.name = settings.name
        where = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"{settings.protocol}://{where}:{settings.port}"
        self._host, self._port = settings.host, settings.port
        self._udp = settings.protocol == "udp"
        self._timeouts = settings.delivery.timeouts
        self._stopping = stopping
        self._connector = Connector(settings.delivery.timeouts, None, stopping)

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """UDP: returns when all datagrams are on their way. TCP: when statsd has read everything. Raises
        DeliveryError, Stopped.
        """
        gauges = map(gauge, (item for item in items if isinstance(item, str)))
        try:
            if self._udp:
                self._throw(gauges)
            else:
                self._send(b"".join(gauges))
        except OSError as error:
            kind = ClosedEarly if isinstance(error, EndedEarly) else DeliveryError
            raise kind(f"{self.name} {self.address}: {reason(error)}") from error

    def close(self) -> None:
        """There is nothing to give up: a connection lasts as long as a batch."""

    def _send(self, data: bytes) -> None:
        connection = self._connector.connect(self._host, self._port)
        try:
            connection.send(data)
            connection.acknowledged()
        finally:
            connection.close()

    def _throw(self, gauges: Iterator[bytes]) -> None:
        ready = list(datagrams(gauges))
        addresses = resolve(self._host, self._port, self._timeouts.connect, self._stopping)
        for family, _, _, _, address in addresses[:-1]:
            with contextlib.suppress(ConnectionRefusedError):
                self._throw_at(family, address, ready)
                return
        self._throw_at(addresses[-1][0], addresses[-1][4], ready)

    def _throw_at(self, family: int, address: tuple[object, ...], ready: list[bytes]) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(self._timeouts.send)
            # Connected, the socket learns from the receiver's kernel that nobody listens there.
            sender.connect(address)
            for number, datagram in enumerate(ready, 1):
                sender.send(datagram)
                if number % _BURST == 0:
                    if self._stopping():
                        raise Stopped
                    time.sleep(_PAUSE)
            time.sleep(_PAUSE)
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sender.recv(1)


def gauge(line: str) -> bytes:
    """One of carbon's lines as a gauge, with its newline. Characters that mean something to statsd become
    underscores.
    """
    name, value, _ = line.split(" ", 2)
    name = name.translate(_SAFE)
    if value.startswith("-"):
        return f"{name}:0|g\n{name}:{value}|g\n".encode()
    return f"{name}:{value}|g\n".encode()


def datagrams(gauges: Iterator[bytes]) -> Iterator[bytes]:
    """As many gauges as fit into LONGEST_DATAGRAM at a time; one that is longer goes alone."""
    waiting: list[bytes] = []
    size = 0
    for one in gauges:
        if waiting and size + len(one) > LONGEST_DATAGRAM:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(one)
        size += len(one)
    if waiting:
        yield b"".join(waiting)
