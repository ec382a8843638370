"""Finds the items because of which a receiver refuses a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphios.backends.base import ClosedEarly, Refused

MOST_TRIES = 400
_CERTAIN = 2


class Verdict(NamedTuple):
    """`guilty`: (index, reason) of what was not taken; everything else was. `certain`: each was alone when it was refused."""

    guilty: list[tuple[int, str]]
    certain: bool


def isolate(items: Sequence[Any], attempt: Callable[[Sequence[Any]], None]) -> Verdict | None:
    """Delivers all of `items` but those the receiver refuses: halves what is refused until single items are left, MOST_TRIES times at most.

    None: not one item was taken while the receiver only hung up, so it is not the items' fault. Raises DeliveryError when it can't be reached;
    what was taken by then may be delivered again.
    """
    guilty: list[tuple[int, str]] = []
    middle = len(items) // 2
    stack = [(middle, len(items)), (0, middle)] if middle else [(0, 1)]
    tries, taken, spoken, certain = 0, 0, False, True
    while stack:
        low, high = stack.pop()
        tries += 1
        try:
            attempt(items[low:high])
            taken += high - low
            continue
        except Refused as error:
            spoken = True
            if error.items:
                guilty += [(low + index, reason) for index, reason in error.items]
                continue
            reason = str(error)
        except ClosedEarly as error:
            reason = str(error)
            if high - low == 1 and not _again(items[low:high], attempt):
                taken += 1
                continue
        if high - low == 1 or tries > MOST_TRIES:
            guilty += [(index, reason) for index in range(low, high)]
            certain = certain and high - low == 1
        else:
            middle = (low + high) // 2
            stack += [(middle, high), (low, middle)]
    return Verdict(guilty, certain) if taken or spoken else None


def _again(item: Sequence[Any], attempt: Callable[[Sequence[Any]], None]) -> bool:
    """Whether the receiver hangs up on this one item every time. Raises DeliveryError when it can't be reached."""
    for _ in range(_CERTAIN):
        try:
            attempt(item)
            return False
        except ClosedEarly:
            continue
    return True
