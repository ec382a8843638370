"""What is done to finished names: rewrite rules in their order, then include and exclude."""

from __future__ import annotations

import re

from graphios.configuration.settings import Names

LONGEST_NAME = 1000
"""Characters of a name."""

_FILTERED = ""
_REMEMBERED_BYTES = 4_000_000
_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_EXACT_PATH = re.compile(r"[^\s;.\x00-\x20\x7f-\x9f]+(?:\.[^\s;.\x00-\x20\x7f-\x9f]+)*")
_TAG = re.compile(r"[^\s;!^=\x00-\x20\x7f-\xff]+=[A-Za-z0-9_.:/@%+-][^\s;~\x00-\x20\x7f-\U0010ffff]*")


class BadName(ValueError):
    """Carbon would not take the name the rewrite rules made; the message is the name."""


class Rules:
    """Rewrite rules and filters, and what came of names, a bounded number of them."""

    def __init__(self, names: Names) -> None:
        self._rewrite = names.rewrite
        self._include = names.include
        self._exclude = names.exclude
        self._tags = names.scheme == "tags"
        self._path = _EXACT_PATH if names.cleaning == "graphios" else _PATH
        self._results: dict[str, str | BadName] = {}
        self._bytes = 0
        self.any = bool(self._rewrite or self._include or self._exclude)

    def finish(self, name: str) -> str:
        """The name it is shipped under, or nothing if it is not shipped. Raises BadName."""
        result = self._results.get(name)
        if result is None:
            try:
                result = self._finished(name)
            except BadName as error:
                result = error
            if self._bytes > _REMEMBERED_BYTES:
                self._results.clear()
                self._bytes = 0
            self._bytes += 300 + 2 * len(name)
            self._results[name] = result
        if isinstance(result, BadName):
            raise result
        return result

    def _finished(self, name: str) -> str:
        name, _ = self.rewritten(name)
        return _FILTERED if self.why_filtered(name) else name

    def rewritten(self, name: str) -> tuple[str, list[str]]:
        """The name after the rewrite rules, and which of them changed it. Raises BadName."""
        told = []
        for pattern, replacement in self._rewrite:
            new = pattern.sub(replacement, name)
            if new != name:
                told.append(f"{pattern.pattern} -> {replacement}")
                name = new
        if told:
            path, semicolon, tags = name.partition(";")
            path = ".".join([element for element in path.split(".") if element])
            name = f"{path}{semicolon}{tags}"
            fine = self._path.fullmatch(path) and (not semicolon or (self._tags and self._are_tags(tags)))
            if not fine or len(name) > LONGEST_NAME:
                raise BadName(f"rewritten to {name[:200]!r}, which carbon would not take")
        return name, told

    @staticmethod
    def _are_tags(text: str) -> bool:
        return all(map(_TAG.fullmatch, text.split(";")))

    def why_filtered(self, name: str) -> str:
        """Which rule keeps this name back; empty if none does."""
        for pattern in self._exclude:
            if pattern.search(name):
                return f"excluded by {pattern.pattern}"
        if self._include and not any(pattern.search(name) for pattern in self._include):
            return "not included by any of " + ", ".join([pattern.pattern for pattern in self._include])
        return ""
