"""What a link did between two runs: bytes per second, and whether it was made anew. Pure functions on what was read then and now.

Counters are compared pair by pair, because a link's candidate pairs come and go. There is no rate where one can't be known, and words for why.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from checks.counters import SHORTEST_INTERVAL, delta
from checks.ipop.records import AGE_WRAP, Link, Pair

# Why there is no rate, as it follows the names of links.
NOT_LISTED = "not listed at the last run"
WAS_DOWN = "not active at the last run"
NO_COUNTERS = "no bytes known at the last run"
MADE_ANEW = "made anew since the last run"
BEGAN_ANEW = "counters began anew"
CAME_BACK = "a candidate pair came back"
SAME_SAMPLE = "not written again since the last run"
CLOCK_SET = "the clock was set since the last run"
UNKNOWN = "bytes not reported"
# Ages are whole seconds, and reading takes its time.
_SLACK = 3.0
_CLOCKS_AGREE = 2.0
# How many pairs that are gone are remembered of a link.
_MOST_GONE = 20
_NOT_KNOWN = -1


class Kept(NamedTuple):
    """What one run keeps of a link for the next."""

    active: bool
    age: float | None = None
    """seconds, beyond AGE_WRAP as well"""
    incarnation: int = 0
    """a check sum; 0 is not known"""
    sampled: float | None = None
    """when its counters were read, epoch seconds, where that is not the moment of the run"""
    behind: float = 0.0
    """how long before the run that was, seconds"""
    pairs: Mapping[str, tuple[int, int]] = {}
    """bytes received and sent of each pair, by check sum of its key; -1 is not known"""
    gone: Mapping[str, tuple[int, int]] = {}
    """pairs it had earlier, and what they had counted"""


class Change(NamedTuple):
    """What a link did since the last run. None is not known."""

    received: float | None = None
    """bytes per second"""
    sent: float | None = None
    why: str = ""
    """why there is no rate; "" where there is one, or nothing to compare with at all"""
    remade: bool = False
    """whether it was made anew, though active then and now"""
    age: float | None = None
    """seconds; of an age that began anew after AGE_WRAP the true one"""


def keep(link: Link, active: bool, age: float | None, now: float, old: Kept | None) -> Kept:
    """Return what to keep of a link; `now`: epoch seconds of this run, `old`: what was kept of it before."""
    if not active:
        return Kept(False)
    behind = 0.0 if link.sampled is None else now - link.sampled
    incarnation = _check_sum(link.incarnation) + 1 if link.incarnation else 0
    pairs = _by_check_sum(link.pairs)
    known = {**old.pairs, **old.gone} if old else {}
    gone = [(key, counted) for key, counted in known.items() if key not in pairs]
    return Kept(True, age, incarnation, link.sampled, behind, pairs, dict(gone[:_MOST_GONE]))


def compare(old: Kept | None, new: Kept, interval: float | None, bits: int, age_wraps: bool) -> Change:
    """Return what happened to a link between the runs that kept `old` and `new`, `interval` seconds apart (None: nothing to compare with)."""
    if not new.active or interval is None:
        return Change(age=new.age)
    if old is None or not old.active:
        return Change(why=WAS_DOWN if old else NOT_LISTED, age=new.age)
    seconds, why = _elapsed(old, new, interval)
    age = _true_age(old.age, new.age, 0.0 if why == SAME_SAMPLE else seconds) if age_wraps else new.age
    if _made_anew(old, new._replace(age=age), seconds):
        return Change(why=MADE_ANEW, remade=True, age=age)
    if seconds is None or not new.pairs:
        return Change(why=why if new.pairs else UNKNOWN, age=age)
    received, why = _gained(old, new, 0, bits)
    sent, why_sent = _gained(old, new, 1, bits)
    if BEGAN_ANEW in (why, why_sent):  # then what the other direction gained is not known either
        return Change(why=BEGAN_ANEW, age=age)
    return Change(_per(seconds, received), _per(seconds, sent), why or why_sent, age=age)


def _per(seconds: float, gained: int | None) -> float | None:
    return None if gained is None else gained / seconds


def _elapsed(old: Kept, new: Kept, interval: float) -> tuple[float | None, str]:
    """The seconds between the two readings of the counters, or None and why."""
    if old.sampled is None and new.sampled is None:
        return interval, ""
    if old.sampled is None or new.sampled is None:  # a document's then, a network device's now, or the other way round
        return None, NO_COUNTERS
    by_clock = new.sampled - old.sampled
    by_runs = interval + old.behind - new.behind
    if abs(by_clock - by_runs) > _CLOCKS_AGREE:
        return None, CLOCK_SET
    seconds = max(by_clock, by_runs)
    if by_clock == 0 or seconds < SHORTEST_INTERVAL:
        return None, SAME_SAMPLE
    return seconds, ""


def _true_age(old: float | None, new: float | None, seconds: float | None) -> float | None:
    """The age, beyond AGE_WRAP where it went on from the old one, `seconds` ago."""
    if old is None or new is None or seconds is None:
        return new
    beyond = round((old + seconds - new) / AGE_WRAP) * AGE_WRAP
    return new + beyond if beyond > 0 and abs(new + beyond - old - seconds) <= _SLACK else new


def _made_anew(old: Kept, new: Kept, seconds: float | None) -> bool:
    if old.incarnation and new.incarnation and old.incarnation != new.incarnation:
        return True
    if old.age is None or new.age is None or seconds is None:
        return False
    return new.age < max(old.age, seconds) - _SLACK


def _gained(old: Kept, new: Kept, way: int, bits: int) -> tuple[int | None, str]:
    """The bytes that all pairs gained in one direction, or None and why. A pair that was made since then gained all it has."""
    if not old.pairs:
        return None, NO_COUNTERS
    total = 0
    for key, counted in new.pairs.items():
        before = old.pairs.get(key)
        # One that was gone is a new one of the same addresses, unless it goes on where it was: then it has counted for longer than this interval.
        if key in old.gone and 0 < counted[way] >= old.gone[key][way]:
            return None, CAME_BACK
        if counted[way] == _NOT_KNOWN:
            return None, UNKNOWN
        if before and before[way] == _NOT_KNOWN:
            return None, NO_COUNTERS
        gained = delta(before[way] if before else 0, counted[way], bits)
        if gained is None:
            return None, BEGAN_ANEW
        total += gained
    return total, ""


def _by_check_sum(pairs: Iterable[Pair]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for pair in pairs:
        key = f"{_check_sum(pair.key):x}"
        counted = tuple(_NOT_KNOWN if total is None else total for total in (pair.received, pair.sent))
        # Two of one check sum can't be told apart.
        found[key] = (_NOT_KNOWN, _NOT_KNOWN) if key in found else (counted[0], counted[1])
    return found


def _check_sum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def total(pairs: Iterable[Pair], way: str) -> int | None:
    """Return the bytes "received" or "sent" over all pairs; None where there is no pair, or one of them is not known."""
    counted = [getattr(pair, way) for pair in pairs]
    return sum(counted) if counted and None not in counted else None


def pack(kept: Kept) -> dict[str, int]:
    """Return what Counters keeps: names and whole numbers (times in milliseconds)."""
    values = {"active": int(kept.active), "incarnation": kept.incarnation, "behind": round(kept.behind * 1000)}
    for name, seconds in (("age", kept.age), ("sampled", kept.sampled)):
        if seconds is not None:
            values[name] = round(seconds * 1000)
    for key, (received, sent) in kept.pairs.items():
        values[f"r{key}"], values[f"s{key}"] = received, sent
    for key, (received, sent) in kept.gone.items():
        values[f"g{key}"], values[f"h{key}"] = received, sent
    return values


def unpack(values: Mapping[str, int]) -> Kept | None:
    """Return what `pack` was given; None where there is nothing, or what it did not make."""
    if not values or not all(type(value) is int and abs(value) < 1 << 66 for value in values.values()):
        return None
    seconds = {name: values[name] / 1000 for name in ("age", "sampled", "behind") if name in values}
    return Kept(
        values.get("active") == 1,
        seconds.get("age"),
        values.get("incarnation", 0),
        seconds.get("sampled"),
        seconds.get("behind", 0.0),
        _both_ways(values, "r", "s"),
        _both_ways(values, "g", "h"),
    )


def _both_ways(values: Mapping[str, int], received: str, sent: str) -> dict[str, tuple[int, int]]:
    return {
        name[1:]: (number, values.get(sent + name[1:], _NOT_KNOWN))
        for name, number in values.items()
        if name[0] == received
    }
