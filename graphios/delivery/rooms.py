"""What a lane works with, beside its backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from graphios.delivery.reader import Common
from graphios.delivery.removal import Removal
from graphios.delivery.set_aside import SetAside
from graphios.delivery.window import Window


class Pacing(Protocol):
    """Holds back what a carbon would drop: points of series it may not create yet."""

    @property
    def waiting(self) -> tuple[int, int]:
        """Series and points held back."""

    def admit(self, lines: list[str]) -> list[str]:
        """Those that may go."""

    def commit(self) -> None:
        """The others are on disk. Raises DeliveryError."""

    def due(self, limit_bytes: int) -> list[str]:
        """Held ones that may go now."""

    def delivered(self, lines: list[str]) -> None:
        """These were acknowledged."""

    def lost(self) -> None:
        """carbon lost its memory."""

    def close(self) -> None:
        """Gives its file up."""


class Rooms(NamedTuple):
    """What a lane works with, beside its backend."""

    common: Common
    window: Window
    removal: Removal
    set_aside: SetAside
    sleep: Callable[[float], None]  # that many seconds, or less when the lane shall end
    stopping: Callable[[], bool]
