"""Runs of check_tahoe on doubles, in this process."""

from __future__ import annotations

from contextlib import ExitStack

from checks.check_tahoe import CHECK
from tests.tahoe.node import KINDS, STORAGE, TahoeNode


class Doubles(ExitStack):
    """A double of each kind, which serve while this context lasts."""

    def __enter__(self) -> Doubles:
        self._serving = {kind: self.enter_context(TahoeNode(kind)) for kind in KINDS}
        return self

    def fresh(self, kind: str, made: TahoeNode | None = None) -> TahoeNode:
        """Return the double of this kind as it was recorded, but for the damaged share, or as `made`: it tells what that one would."""
        node, like = self._serving[kind], made or TahoeNode(kind)
        for name in ("documents", "bodies", "statuses", "manners", "paths"):
            setattr(node, name, getattr(like, name))
        if kind == "storage":
            for cycle in node.documents[STORAGE]["lease-checker"]["history"].values():
                if isinstance(cycle, dict):
                    cycle["corrupt-shares"] = []
        return node


def check(node: TahoeNode, *argv: str) -> tuple[int, str]:
    """Return exit code and text of a run on a double."""
    outcome = CHECK.run(["--url", node.url, *argv])
    assert "internal error" not in outcome.text
    return outcome.code, outcome.text


def items(text: str) -> dict[str, str]:
    """Return perfdata by label, without the ranges."""
    found = dict(item.split("=") for item in text.partition("\n")[0].partition(" | ")[2].split())
    return {label: value.split(";")[0] for label, value in found.items()}
