"""What is wrong with a configuration, and the nearest known name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from graphios.errors import GraphiosError


class ConfigError(GraphiosError):
    """The message names the file, the section and the option, and what is wrong."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean WORD?)` with the known word that is nearest, or nothing when none is near."""
    near = difflib.get_close_matches(word, known, 1, 0.7)
    return f" (did you mean {near[0]}?)" if near else ""
