"""A memory for what is made of texts that come again: bounded in bytes, and of use even when more comes around than fits."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(dict[Key, Value], Generic[Key, Value]):
    """Look things up with []: what is not there is made, and kept if there is room.

    When it is full, what is there stays, so that a round of more things than fit still finds most of them; it starts afresh when twice as many
    things as it holds were not found.
    """

    def __init__(self, make: Callable[[Key], Value], size: Callable[[Key, Value], int], most_bytes: int) -> None:
        """`size` gives the bytes one thing takes, about."""
        super().__init__()
        self._make = make
        self._size = size
        self._most = most_bytes
        self._bytes = 0
        self._missed = 0

    def __missing__(self, key: Key) -> Value:
        value = self._make(key)
        self.keep(key, value)
        return value

    def keep(self, key: Key, value: Value) -> None:
        """Remembers that this was made of `key`, if there is room."""
        size = self._size(key, value)
        if self._bytes + size <= self._most:
            self._bytes += size
            self[key] = value
        else:
            self._missed += 1
            if self._missed > 2 * len(self):
                self.clear()
                self._bytes = self._missed = 0
