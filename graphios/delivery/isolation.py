"""Finds the items because of which a receiver refuses a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphios.backends.base import ClosedEarly, Refused

MOST_TRIES = 400


class Verdict(NamedTuple):
    """`guilty`: (index, reason) of what was not taken; everything else was. `certain`: each was alone when it was refused."""

    guilty: list[tuple[int, str]]
    certain: bool


class _Part(NamedTuple):
    low: int
    high: int
    reason: str
    spoken: bool  # refused by words, not by hanging up


def isolate(items: Sequence[Any], attempt: Callable[[Sequence[Any]], None]) -> Verdict | None:
    """Delivers all of `items` but those the receiver refuses: halves what is refused until single items are left, MOST_TRIES times at most.

    None: the receiver hangs up whatever it gets, so it is not the items' fault. Raises DeliveryError when it can't be reached. Some items may
    have been taken then, and are delivered again.
    """
    guilty: list[tuple[int, str]] = []
    refused: list[_Part] = []
    good: Sequence[Any] = ()
    middle = len(items) // 2
    stack = [(middle, len(items)), (0, middle)] if middle else [(0, 1)]
    tries = 0
    while stack:
        low, high = stack.pop()
        tries += 1
        try:
            attempt(items[low:high])
            good = good or items[low : low + 1]
            continue
        except Refused as error:
            if error.items:
                guilty += [(low + index, reason) for index, reason in error.items]
                continue
            part = _Part(low, high, str(error), True)
        except ClosedEarly as error:
            part = _Part(low, high, str(error), False)
        if high - low == 1 or tries > MOST_TRIES:
            refused.append(part)
        else:
            middle = (low + high) // 2
            stack += [(middle, high), (low, middle)]
    for part in refused:
        if not part.spoken and (verdict := _hangs_up(items, part, good, attempt)) is not True:
            if verdict is None:
                return None
            continue
        guilty += [(index, part.reason) for index in range(part.low, part.high)]
    return Verdict(guilty, all(part.high - part.low == 1 for part in refused))


def _hangs_up(
    items: Sequence[Any], part: _Part, good: Sequence[Any], attempt: Callable[[Sequence[Any]], None]
) -> bool | None:
    """Whether the receiver hangs up on this part again, and still takes a good item right after it; None when it does not take that either."""
    try:
        attempt(items[part.low : part.high])
        return False
    except (ClosedEarly, Refused):
        pass
    if not good:
        return None
    try:
        attempt(good)
    except ClosedEarly:
        return None
    return True
