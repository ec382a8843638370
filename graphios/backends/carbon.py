"""Delivery to carbon's plaintext or pickle port, with an acknowledgement, and to the next server where one fails.

One batch, one connection: see graphios.backends.connection for how it is acknowledged. carbon keeps what it acknowledged in memory for a while; an
idle connection beside the deliveries tells when that memory is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from graphios.backends.base import LINES, ClosedEarly, DeliveryError
from graphios.backends.connection import EndedEarly, NoConnection, TimedOut
from graphios.backends.connector import Connector, reason
from graphios.backends.drops import DroppedCreates
from graphios.backends.encoding import pickled, plaintext
from graphios.backends.listening import listener
from graphios.backends.monitor import IdleLimit, Monitor
from graphios.configuration.settings import CarbonBackend
from graphios.points import Point


class _Server(NamedTuple):
    host: str
    port: int
    address: str
    limit: IdleLimit


class Carbon:
    """One carbon, relay, or what else speaks their protocols, and those that stand in for it. See graphios.backends.base.Backend."""

    takes = LINES

    def __init__(
        self, settings: CarbonBackend, stopping: Callable[[], bool] = lambda: False, heartbeat: str = ""
    ) -> None:
        """`stopping` is asked several times a second. `heartbeat` is the series whose value is 1 while the idle connection is open; empty: none."""
        self.name = settings.name
        self.forgets = settings.replay_seconds > 0
        self.address = ", ".join(_address(host, port) for host, port in settings.servers)
        self._servers = [
            _Server(host, port, _address(host, port), IdleLimit(f"{settings.name} {_address(host, port)}"))
            for host, port in settings.servers
        ]
        self._encode = pickled if settings.protocol == "pickle" else plaintext
        self._connector = Connector(settings.delivery.timeouts, settings.tls, stopping)
        self._heartbeat = heartbeat
        self._current = self._servers[0]
        self._monitor: Monitor | None = None
        self._holds = False
        """Whether the server in use has acknowledged anything that it may lose."""
        self._lost = False
        self._losses = 0
        self._drops = DroppedCreates(settings) if settings.graphite_url else None

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """Returns when one server has taken all lines, beginning with the one that took the last batch.

        Raises DeliveryError, which names every server with its reason (ClosedEarly when none of them was slow and one hung up), or Stopped.
        """
        lines = [item for item in items if isinstance(item, str)]
        problems: list[tuple[_Server, OSError]] = []
        for server in [self._current, *(other for other in self._servers if other is not self._current)]:
            try:
                self._deliver_to(server, lines)
                return
            except OSError as error:
                problems.append((server, error))
                if server is self._current and isinstance(error, NoConnection):
                    self._unreachable(error)
        raise _failure(self.name, problems)

    def lost_memory(self) -> bool:
        """Whether the server in use may have lost what it acknowledged, since the last call: its idle connection ended, it refused a
        connection, another one has taken its place, or it dropped new series. Never blocks.
        """
        if self._monitor and self._monitor.ended:
            self._forget()
            self._watch_no_more()
        if self._drops and self.forgets and self._drops.send_again():
            self._lost = True
        lost, self._lost = self._lost, False
        self._losses += lost
        return lost

    def identity(self) -> str:
        """Tells these servers from the same ones after a restart, over runs of graphios; empty where that can't be told."""
        known = [listener(server.host, server.port) for server in self._servers]
        return "; ".join(known) if all(known) else ""

    def report(self) -> dict[str, int | float | str | None]:
        """The server in use, how often memory was lost, and how many new series carbon dropped (None: not known)."""
        return {
            "server": self._current.address,
            "memory_losses": self._losses,
            "dropped_creates": self._drops.count if self._drops else None,
        }

    def close(self) -> None:
        """Gives the connections up."""
        self._watch_no_more()
        if self._drops:
            self._drops.close()

    def _deliver_to(self, server: _Server, lines: list[str]) -> None:
        monitor = self._watched(server)
        try:
            connection = self._connector.connect(server.host, server.port)
            try:
                for data in self._encode(lines):
                    connection.send(data)
                connection.acknowledged()
            finally:
                connection.close()
        except BaseException:
            if monitor is not self._monitor and monitor:
                monitor.close()
            raise
        if server is not self._current:
            self._forget()
            self._current = server
        if monitor is not self._monitor:
            self._watch_no_more()
            self._monitor = monitor
        self._holds = self.forgets

    def _watched(self, server: _Server) -> Monitor | None:
        """The monitor of the server, open before it is given anything that it could lose unnoticed. Raises OSError, Stopped."""
        if not self.forgets:
            return None
        if server is self._current and self._monitor:
            if not self._monitor.ended:
                return self._monitor
            self._forget()
            self._watch_no_more()
        return Monitor(
            lambda: self._connector.connect(server.host, server.port),
            server.limit,
            self._beat if self._heartbeat else None,
        )

    def _beat(self) -> bytes:
        return b"".join(self._encode([f"{self._heartbeat} 1 {int(time.time())}\n"]))

    def _unreachable(self, error: NoConnection) -> None:
        """The server in use takes no connection. One that is only stopped keeps its memory, and its end of the idle connection."""
        if error.timed_out and self._monitor and not self._monitor.ended:
            return
        self._forget()

    def _forget(self) -> None:
        """What the server in use had acknowledged may be gone; once for each time."""
        self._lost = self._lost or self._holds
        self._holds = False

    def _watch_no_more(self) -> None:
        if self._monitor:
            self._monitor.close()
        self._monitor = None


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _failure(name: str, problems: list[tuple[_Server, OSError]]) -> DeliveryError:
    text = "; ".join(f"{server.address}: {reason(error)}" for server, error in problems)
    errors = [error for _, error in problems]
    slow = any(isinstance(error, TimedOut) or (isinstance(error, NoConnection) and error.timed_out) for error in errors)
    hung_up = any(isinstance(error, EndedEarly | ConnectionError) for error in errors)
    return (ClosedEarly if hung_up and not slow else DeliveryError)(f"{name} {text}")
