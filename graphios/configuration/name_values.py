"""The options that make metric names, from text to value. Each converter raises ValueError with what the option must be."""

from __future__ import annotations

import re

from graphios.configuration.errors import did_you_mean

FIELDS = ("prefix", "host", "postfix", "service", "label")
"""What may stand in braces in a template, besides fields of the spool line by their own names (`{HOSTGROUPNAME}`)."""

_OF_THE_LINE = re.compile(r"[A-Z][A-Z0-9_]*")

_PART = re.compile(r"\{(\w*)\}|[{}]|[^{}]+")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def fields_of(text: str, allowed: tuple[str, ...] = FIELDS) -> set[str]:
    """The fields in `text`. Raises ValueError for lone braces and fields that are not `allowed`."""
    found = set()
    for part in _PART.finditer(text):
        if part[0] in "{}":
            raise ValueError("has a { or } that belongs to no field")
        if (field := part[1]) is None:
            continue
        if field not in allowed and not (allowed is FIELDS and _OF_THE_LINE.fullmatch(field)):
            names = ", ".join(f"{{{name}}}" for name in allowed)
            raise ValueError(f"has the unknown field {{{field}}}{did_you_mean(field, allowed)}; the fields are {names}")
        found.add(field)
    return found


def template(text: str) -> str:
    """A metric name with fields in braces."""
    fields_of(text)
    literal = re.sub(r"\{\w+\}", "", text)
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", literal) or not text:
        raise ValueError("may hold, besides fields, letters, digits, _, - and dots only")
    return text


def tags(text: str) -> tuple[tuple[str, str], ...]:
    """`tag=template` pairs separated by commas, by the rules of Graphite 1.1: https://graphite.readthedocs.io/en/latest/tags.html."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        tag, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not value:
            raise ValueError("must be pairs such as host={host}, separated by commas")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", tag):
            raise ValueError(f"has a tag {tag[:100]!r}: letters, digits, _ and - only")
        if tag == "name" or tag in found:
            reason = "Graphite uses itself" if tag == "name" else "stands there twice"
            raise ValueError(f"has a tag {tag!r}, which {reason}")
        fields_of(value)
        if value.startswith("~") or ";" in value or not value.isprintable():
            raise ValueError(f"has a value {value[:100]!r} for {tag}: no ; and no ~ at its start")
        found[tag] = value
    return tuple(found.items())


def measurement(text: str) -> str:
    """The name of a measurement, with or without fields."""
    fields_of(text, ("host", "service", "label"))
    if not text or not text.isprintable():
        raise ValueError("must be the name of a measurement")
    return text


def metric_name(text: str) -> str:
    """A metric name as Prometheus takes it."""
    if not _METRIC_NAME.fullmatch(text):
        raise ValueError("must be letters, digits, _ and :, not beginning with a digit")
    return text


def replacement(text: str) -> str:
    """What takes the place of a character: nothing, or what a metric name may hold."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,10}", text):
        raise ValueError("must be letters, digits, _ or -, or nothing")
    return text


def dot(text: str) -> str:
    """What a dot in a label becomes."""
    if text != "." and not re.fullmatch(r"[A-Za-z0-9_-]{1,10}", text):
        raise ValueError("must be a dot, or letters, digits, _ or -")
    return text
