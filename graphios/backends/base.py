"""What every receiver has in common, as the delivery sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from graphios.errors import GraphiosError
from graphios.points import Point

LINES = "lines"
POINTS = "points"


class DeliveryError(GraphiosError):
    """The batch was not acknowledged; the message says by whom and why. Sending it again does no harm."""


class ClosedEarly(DeliveryError):
    """The receiver accepted the connection and ended it before it had taken the batch. Not for time-outs and refused connections.

    Happening again and again with one batch, while others are taken, it means that something in this batch makes the receiver hang up.
    """


class Refused(GraphiosError):
    """The receiver is well, but will never take (some of) these items. Everything else of the batch was acknowledged.

    The message says by whom and why.
    """

    def __init__(self, message: str, items: Sequence[tuple[int, str]] = ()) -> None:
        """`items` are the positions in the batch that were refused, each with the receiver's reason; empty: nothing of the batch was taken,
        and the receiver does not say which item is to blame."""
        super().__init__(message)
        self.items = tuple(items)


class Backend(Protocol):
    """One receiver, or several that stand in for each other. Used by one thread at a time; close() by any."""

    name: str
    """The section of the configuration: `carbon`, `influxdb:lab`."""
    address: str
    """For people: `127.0.0.1:2003`, `https://influx.example:8086 database nagios`."""
    takes: str
    """LINES: items are `name value timestamp\\n`, ASCII. POINTS: items are Point."""
    forgets: bool
    """Whether what it acknowledged may still be lost when it dies, so that the replay window is kept for it."""

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        """Sends the batch (not empty) and returns when all of it was acknowledged.

        Raises DeliveryError, Refused, or Stopped when the process shall end.
        """

    def lost_memory(self) -> bool:
        """Whether, since the last call, the receiver may have lost what it had acknowledged. Never blocks for long. Always false unless
        `forgets`."""

    def identity(self) -> str:
        """Tells this run of the receiver from its next one, also in another process of ours; empty where that can't be told."""

    def report(self) -> dict[str, int | float | str | None]:
        """Figures of its own for the status document, may be empty."""

    def close(self) -> None:
        """Gives its connections up."""


class Remembering:
    """What a Backend has in common with every other that never forgets what it acknowledged, and has no figures of its own."""

    forgets = False

    def lost_memory(self) -> bool:
        """Never."""
        return False

    def identity(self) -> str:
        """Of no use: nothing is sent again to it."""
        return ""

    def report(self) -> dict[str, int | float | str | None]:
        """Nothing."""
        return {}
