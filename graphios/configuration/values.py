"""From the text of an option to its value. Each converter raises ValueError with what the option must be."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from graphios.configuration.errors import did_you_mean

_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,20})?|\.\d{1,20}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_NAME_ELEMENTS = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def number(low: float, high: float) -> Callable[[str], float]:
    """A number from `low` to `high`; no `inf`, `nan` or exponent."""

    def convert(text: str) -> float:
        value = float(text) if text.isascii() and _NUMBER.fullmatch(text) else math.nan
        if not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return value

    return convert


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return convert


def one_of(*words: str) -> Callable[[str], str]:
    """One of `words`, as it is written there."""

    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of: {', '.join(words)}{did_you_mean(text.lower(), words)}")
        return text

    return convert


def yes_or_no(text: str) -> bool:
    """yes, true, on or 1; no, false, off or 0."""
    word = text.lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise ValueError("must be yes or no")


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """Any of `words`, separated by blanks or commas; empty is none."""

    def convert(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(text.replace(",", " ").split()))
        for word in found:
            if word not in words:
                raise ValueError(f"{word!r} is none of: {', '.join(words)}{did_you_mean(word.lower(), words)}")
        return found

    return convert


def absolute(text: str) -> str:
    """An absolute path, without superfluous slashes, `.` and `..`."""
    if not text.startswith("/") or "\0" in text:
        raise ValueError("must be an absolute path")
    return "/" + os.path.normpath(text).lstrip("/")


def path_or_none(text: str) -> Path | None:
    """An absolute path; None for nothing."""
    return Path(absolute(text)) if text else None


def patterns(text: str) -> tuple[str, ...]:
    """Shell patterns of file names, separated by blanks."""
    found = tuple(dict.fromkeys(text.split()))
    if not found or any("/" in pattern for pattern in found):
        raise ValueError("must be patterns of file names, separated by blanks, without /")
    return found


def levels(text: str) -> str:
    """Elements of a metric name, joined by dots."""
    if not _NAME_ELEMENTS.fullmatch(text) or len(text) > 200:
        raise ValueError("must be letters, digits, _ and -, in levels separated by dots")
    return text


def host(text: str) -> str:
    """A host name, an IPv4 address, or an IPv6 address with or without brackets (which are taken off)."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise ValueError("must be a host name or an IP address") from None
        return bare
    if bare != text or not _HOST_NAME.fullmatch(bare):
        raise ValueError("must be a host name or an IP address")
    return bare


def servers(text: str) -> tuple[tuple[str, int | None], ...]:
    """Hosts with or without a port, separated by commas: `a, b:2103, [::1]:2003`. The port is None where there is none."""
    found: list[tuple[str, int | None]] = []
    for word in text.split(","):
        name, port = word.strip(), None
        if found_port := re.fullmatch(r"(\[.*\]|[^:]*):([^:]*)", name):
            name, digits = found_port.groups()
            try:
                port = whole(1, 65535)(digits)
            except ValueError as error:
                raise ValueError(f"the port of {word.strip()[:100]!r} {error}") from None
        found.append((host(name), port))
    if len(set(found)) != len(found):
        raise ValueError("names a server twice")
    return tuple(found)


def url(text: str) -> str:
    """An http or https URL without user, password, query and fragment; without a slash at its end."""
    try:
        parts = urlsplit(text)
        _refuse_parts(parts)
        host(parts.hostname or "")
        if parts.port == 0:
            raise ValueError
    except ValueError as error:
        reason = str(error) if "must not" in str(error) else "must be a URL such as http://influx.example:8086"
        raise ValueError(reason) from None
    if parts.scheme not in ("http", "https") or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL that begins with http:// or https://")
    return text.rstrip("/")


def _refuse_parts(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise ValueError("must not hold user or password: they have options of their own, and secrets come from files")
    if parts.query or parts.fragment:
        raise ValueError("must not hold ? or #: what goes there has options of its own")


def url_or_none(text: str) -> str:
    """As url(), or nothing."""
    return url(text) if text else ""


def plain(text: str) -> str:
    """Text without control characters, empty allowed."""
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def expressions(text: str) -> tuple[re.Pattern[str], ...]:
    """Regular expressions, one a line."""
    return tuple(expression(line.strip()) for line in text.splitlines() if line.strip())


def expression(text: str) -> re.Pattern[str]:
    """One regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text[:100]!r} is no regular expression: {error}") from None


def rewrite(text: str) -> tuple[re.Pattern[str], str]:
    r"""`PATTERN -> REPLACEMENT`; the replacement may be empty and may refer to groups as \1 or \g<name>."""
    pattern, arrow, replacement = f"{text} ".partition(" -> ")
    if not arrow or not pattern.strip():
        raise ValueError("must be PATTERN -> REPLACEMENT")
    compiled, replacement = expression(pattern.strip()), replacement.strip()
    try:
        compiled.sub(replacement, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"the replacement {replacement[:100]!r} is wrong: {error}") from None
    return compiled, replacement
