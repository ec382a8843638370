"""Which guests a run is about: by name, by state, and by part."""

from __future__ import annotations

from checks.options import Values
from checks.plugin import CheckError
from checks.virt.records import PREFIXES, STATES, Guest

MOST_PARTS = 1000


def read_part(text: str) -> tuple[int, int]:
    """Return (K, N) of "K/N". Raises ValueError."""
    part, slash, parts = text.partition("/")
    if not (slash and part.isascii() and part.isdigit() and parts.isascii() and parts.isdigit() and len(text) < 12):
        raise ValueError(f"{text!r} is not K/N, such as 1/8")
    if not 1 <= int(part) <= int(parts) <= MOST_PARTS:
        raise ValueError(f"{text!r}: K goes from 1 to N, N to {MOST_PARTS}")
    return int(part), int(parts)


def choose(guests: list[Guest], opts: Values) -> list[Guest]:
    """Return the guests the filters leave, by name. Raises CheckError where they leave none although there are some."""
    words = {word for word in opts.include_state if word not in opts.exclude_state}
    states = {guest.state for guest in guests if guest.state_word in words or guest.state_word not in STATES}
    chosen = [guest for guest in guests if guest.state in states and named(guest.name, opts)]
    if guests and not chosen:
        raise CheckError(f"no guest matches the filters, of {len(guests)}")
    return sorted(chosen, key=lambda guest: guest.name)


def only_part(guests: list[Guest], part: tuple[int, int] | None) -> list[Guest]:
    """Return the guests of one part: a hash of the UUID decides, so a guest stays in its part whatever else comes and goes."""
    if not part:
        return guests
    import zlib

    return [guest for guest in guests if zlib.crc32(guest.uuid.encode()) % part[1] == part[0] - 1]


def named(name: str, opts: Values) -> bool:
    """Whether --include and --exclude leave this guest in."""
    if any(expression.fullmatch(name) for expression in opts.exclude):
        return False
    return not opts.include or any(expression.fullmatch(name) for expression in opts.include)


def without_families(guest: Guest, words: tuple[str, ...]) -> Guest:
    """Return a recorded guest with only the families asked for (and its state)."""
    prefixes = ("state.", *(prefix for word, prefix in PREFIXES.items() if word in words))
    return guest._replace(stats={key: value for key, value in guest.stats.items() if key.startswith(prefixes)})
