"""Thresholds for the number of vessels in each status."""

from __future__ import annotations

from typing import ClassVar

from checks.ranges import Limit, RangeRules, compile_regex, parse_range
from checks.seattle.nodemanager import STATUSES

OTHER = "other"
"""What stands for every status that nobody knows."""


class StatusRules(RangeRules):
    """`STATUS=RANGE`, or `RANGE` for each status; where nothing given holds for a status, `fallback` does."""

    fallback: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._for_all = False

    def add(self, text: str) -> None:
        """Take one of the two. Raises ValueError, also for a status that does not exist: such a rule would never alert."""
        expression, equals, _ = text.rpartition("=")
        words = (*STATUSES, OTHER)
        if expression and not any(compile_regex(expression).fullmatch(word) for word in words):
            raise ValueError(f"{expression[:80]!r} is none of {', '.join(words)}")
        super().add(text)
        self._for_all = self._for_all or not equals

    def find(self, name: str) -> Limit | None:
        """Return the range that holds for a status, or None."""
        if self._for_all or any(expression.fullmatch(name) for _, expression, _ in self._rules):
            return super().find(name)
        return parse_range(self.fallback.get(name, ""))

    def __bool__(self) -> bool:
        return super().__bool__() or bool(self.fallback)


class StatusWarnings(StatusRules):
    """The rules of --status-warning: a vessel that is out of threads makes the node manager stop all the others, so it warns by default."""

    fallback: ClassVar[dict[str, str]] = {"ThreadErr": "0"}
