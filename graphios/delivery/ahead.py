"""Makes the next batch while the last one is on its way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Takes items from an iterator in a thread of its own, never more than one ahead. The thread never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wanted: Iterator[Item] | None = None
        self._result: tuple[Item | None, BaseException | None] | None = None
        self._condition = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def over(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items, of which the next is made while the caller works on the last. Raises what making them raises."""
        self._ask(items)
        while (item := self._answer()) is not None:
            self._ask(items)
            yield item

    def _ask(self, items: Iterator[Item]) -> None:
        with self._condition:
            if not self._thread:
                self._thread = threading.Thread(target=self._work, name=f"{self._name} reader", daemon=True)
                self._thread.start()
            self._wanted, self._result = items, None
            self._condition.notify_all()

    def _answer(self) -> Item | None:
        with self._condition:
            while self._result is None:
                self._condition.wait()
            item, error = self._result
        if error:
            raise error
        return item

    def settle(self) -> None:
        """Waits until nothing is being made, and drops what was."""
        with self._condition:
            while self._wanted is not None:
                self._condition.wait()

    def close(self) -> None:
        """Ends the thread, as soon as it has made what it is at."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                while self._wanted is None and not self._closed:
                    self._condition.wait()
                items = self._wanted
                if items is None:
                    return
            result: tuple[Item | None, BaseException | None]
            try:
                result = next(items, None), None
            except BaseException as error:  # it is raised in the other thread
                result = None, error
            with self._condition:
                self._wanted, self._result = None, result
                self._condition.notify_all()
            del items, result
