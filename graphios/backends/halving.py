"""Which items of a batch a receiver does not take, when it only says that there are some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

Found = list[tuple[Item, str]]
"""Items that were not taken, each with the receiver's reason."""


def settle(
    items: Sequence[Item], send: Callable[[Sequence[Item]], str | None], refused: str | None = None
) -> Found[Item]:
    """Sends all of `items`, in order, and halves what is refused until single items are left; those are the answer.

    `send` returns None when all of what it was given was taken, else the reason. `refused`: the reason why all
    together were refused already. For g guilty of n items it takes at most 2 g log2(n) requests, and 2 n.
    """
    found: Found[Item] = []
    stack: list[tuple[int, int]] = [(0, len(items))] if items else []
    if refused is not None and len(items) > 1:
        stack = _halves(0, len(items))
    elif refused is not None:
        return [(item, refused) for item in items]
    while stack:
        low, high = stack.pop()
        reason = send(items[low:high])
        if reason is None:
            continue
        if high - low == 1:
            found.append((items[low], reason))
        else:
            stack += _halves(low, high)
    return found


def _halves(low: int, high: int) -> list[tuple[int, int]]:
    middle = (low + high) // 2
    return [(middle, high), (low, middle)]
