"""What --resources names: vessels, and what is left over on a node."""

from __future__ import annotations

OFFCUT = "offcut"
"""Stands for what is left over on a node."""
MOST_RESOURCES = 10
"""Of how many vessels resources are asked for: each question takes a second."""


def read_names(text: str) -> tuple[str, ...]:
    """Return the vessels' names in a list with commas. Raises ValueError."""
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if not all(names) or len(names) > MOST_RESOURCES or any(len(name) > 64 for name in names):
        raise ValueError(f"{text[:80]!r} is no list of up to {MOST_RESOURCES} vessels, such as v2,v3,{OFFCUT}")
    return names
