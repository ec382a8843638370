"""Seattle's serialization: a letter for the type, then the value; what a container holds stands with its length before it.

Source: seattlelib's serialize module, and captured exchanges such as b'T3:SOK6:L1:S0:0:', which is ('OK', ['']). Strings are bytes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from checks.seattle.errors import Malformed, quoted

DEEPEST = 20
MOST_ITEMS = 1_000_000
# The hashes of hostile members can all be the same, and then each is compared with all others.
MOST_HASHED = 4096
_LONGEST_NUMBER = 4300
_LENGTH_DIGITS = 9
_FLOAT = rb"-?(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|inf|nan)"
_COMPLEX = rb"\(?[-+0-9.einfaj]+\)?"
_CONTAINERS: dict[bytes, type[list[Any]] | type[tuple[Any, ...]] | type[set[Any]] | type[frozenset[Any]]] = {
    b"L": list,
    b"T": tuple,
    b"s": set,
    b"f": frozenset,
}


def dumps(value: Any) -> bytes:
    """Return the bytes of bytes, int, float, complex, bool, None, list, tuple, set, frozenset or dict, of whatever of these they hold.

    Raises TypeError for anything else, and ValueError where it is deeper than DEEPEST.
    """
    return _dumped(value, 0)


def loads(data: bytes) -> Any:
    """Return the value that `data` is, and all of `data`. Raises Malformed, and nothing else."""
    reader = _Reader(data)
    try:
        return reader.value(0, len(data), 0)
    except _Wrong as wrong:
        raise Malformed(f"{wrong}: {quoted(data)}") from None


def _dumped(value: Any, depth: int) -> bytes:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} containers in one another")
    if isinstance(value, bytes):
        return b"S" + value
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"BT" if value else b"BF"
    for kind, letter in ((int, b"I"), (float, b"F"), (complex, b"C")):
        if isinstance(value, kind):
            return letter + str(value).encode("ascii")
    for letter, container in _CONTAINERS.items():
        if isinstance(value, container):
            return _dumped_items(letter, value, depth)
    if isinstance(value, dict):
        keys = _dumped_items(b"L", value.keys(), depth + 1)
        return b"D%d:%s%s" % (len(keys), keys, _dumped_items(b"L", value.values(), depth + 1))
    raise TypeError(f"{type(value).__name__} can't be serialized")


def _dumped_items(letter: bytes, items: Any, depth: int) -> bytes:
    parts = [letter]
    for item in items:
        data = _dumped(item, depth + 1)
        parts.append(b"%d:%s" % (len(data), data))
    return b"".join((*parts, b"0:"))


class _Wrong(Exception):
    """Why the data is no serialized value."""


class _Reader:
    """Reads one document by positions, so that nothing is copied but the values themselves."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._items = 0
        self._hashed = 0
        self._simple: dict[bytes, Callable[[bytes], Any]] = {
            b"S": bytes,
            b"I": _int,
            b"B": _bool,
            b"N": _none,
            b"F": _float,
            b"C": _complex,
        }

    def value(self, start: int, end: int, depth: int) -> Any:
        """Return the value from `start` to `end`."""
        letter = self._data[start : start + 1]
        if simple := self._simple.get(letter):
            return simple(self._data[start + 1 : end])
        if depth > DEEPEST:
            raise _Wrong(f"more than {DEEPEST} containers in one another")
        if letter == b"D":
            return self._dict(start + 1, end, depth)
        if letter not in _CONTAINERS:
            raise _Wrong("not a serialized value" if letter else "nothing where a value should be")
        items = self._list(start + 1, end, depth)
        container = _CONTAINERS[letter]
        return self._of_hashed(container, items) if container in (set, frozenset) else container(items)

    def _list(self, start: int, end: int, depth: int) -> list[Any]:
        """Return the values of a container, up to its end mark."""
        found: list[Any] = []
        while True:
            start, length = self._length(start, end)
            if not length:
                break
            self._items += 1
            if self._items > MOST_ITEMS:
                raise _Wrong(f"more than {MOST_ITEMS} values")
            found.append(self.value(start, start + length, depth + 1))
            start += length
        if start != end:
            raise _Wrong("something after the end of a container")
        return found

    def _length(self, start: int, end: int) -> tuple[int, int]:
        """Return where an item begins, and its length."""
        colon = self._data.find(b":", start, min(start + _LENGTH_DIGITS + 1, end))
        digits = self._data[start : max(colon, start)]
        if not digits.isdigit() or (digits[0] == 0x30 and len(digits) > 1):
            raise _Wrong("no length where an item should be")
        length = int(digits)
        if colon + 1 + length > end:
            raise _Wrong("an item longer than what holds it")
        return colon + 1, length

    def _dict(self, start: int, end: int, depth: int) -> dict[Any, Any]:
        start, length = self._length(start, end)
        keys = self.value(start, start + length, depth + 1)
        values = self.value(start + length, end, depth + 1)
        if type(keys) is not list or type(values) is not list or len(keys) != len(values):
            raise _Wrong("a dict without as many values as keys")
        self._of_hashed(frozenset, keys)
        return dict(zip(keys, values, strict=True))

    def _of_hashed(self, container: Any, items: list[Any]) -> Any:
        self._hashed += len(items)
        if self._hashed > MOST_HASHED:
            raise _Wrong(f"more than {MOST_HASHED} members of sets and keys of dicts")
        try:
            made = container(items)
        except TypeError:
            raise _Wrong("a member of a set, or a key, that can be none") from None
        if len(made) != len(items):
            raise _Wrong("a member of a set, or a key, that is there twice")
        return made


def _int(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > _LONGEST_NUMBER:
        raise _Wrong("an integer that is none")
    return int(text)


def _bool(text: bytes) -> bool:
    if text not in (b"T", b"F"):
        raise _Wrong("a boolean that is neither true nor false")
    return text == b"T"


def _none(text: bytes) -> None:
    if text:
        raise _Wrong("a None with something behind it")


def _float(text: bytes) -> float:
    if len(text) > _LONGEST_NUMBER or not re.fullmatch(_FLOAT, text):
        raise _Wrong("a number that is none")
    return float(text)


def _complex(text: bytes) -> complex:
    if len(text) < _LONGEST_NUMBER and re.fullmatch(_COMPLEX, text):
        try:
            return complex(text.decode("ascii"))
        except ValueError:
            pass
    raise _Wrong("a complex number that is none")
