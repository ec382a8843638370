"""check_tahoe by hand against a real grid, and the grid put in order again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.real.drill import by_hand
from tests.real.monitoring import read_output
from tests.stack.tahoe import TahoeGrid, TahoeNode


class Said(NamedTuple):
    """What a run of check_tahoe said: exit code, first line without perfdata, the numbers of the perfdata by label, and all of the text."""

    code: int
    first: str
    perfdata: dict[str, float]
    text: str


def check(*words: str, state: Path | None = None) -> Said:
    """One run of check_tahoe as on a shell; `state` is where it keeps its counters for the next."""
    argv = ["check_tahoe", *words, *(["--save-state"] if state else [])]
    answer = by_hand(argv, {"STATE_DIRECTORY": str(state)} if state else {})
    assert "Traceback" not in answer.output + answer.errors, answer
    assert not answer.errors, answer
    return Said(answer.code, answer.first, read_output(answer.output).perfdata, answer.output)


@contextmanager
def repaired(grid: TahoeGrid, *changed: TahoeNode) -> Iterator[None]:
    """The grid is as it was afterwards; storage nodes that are `changed` are started with their old settings."""
    settings = {node: dict(node.storage or {}) for node in changed}
    try:
        yield
    finally:
        for node, storage in settings.items():
            if node.storage != storage:
                node.storage = storage
                node.stop()
            node.resume()
        grid.start()
        grid.wait_for_introducer()
        grid.wait(
            lambda: all(server["available_space"] for server in grid.client.servers().values()), "all take shares"
        )


def label(node: TahoeNode, grid: TahoeGrid) -> str:
    """What the check calls a storage node of the grid: nickname and the first four of its id."""
    return f"{node.name}_{grid.client.servers()[node.name]['nodeid'].removeprefix('v0-')[:4]}"
