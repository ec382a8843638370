"""The stats gatherer's file (stats.json, Tahoe-LAFS 1.12 to 1.15): the last statistics of every node that ever reported.

{"<tubid>": {"timestamp": <epoch seconds>, "nickname": "...", "stats": {"counters": {...}, "stats": {...}}}}. Nothing is ever taken out: a node
that is dead stays, with its old timestamp. The gatherer removes the file before it puts the next in place, once a minute.
"""

from __future__ import annotations

import time
from pathlib import Path

from checks.deadline import BadInput
from checks.output import clean_name
from checks.sources import number, read_file, read_json, text
from checks.tahoe import statistics
from checks.tahoe.records import Node

LARGEST = 64 << 20
_PAUSE = 0.1
_LONGEST_TUBID = 64


def read(path: Path) -> tuple[Node, ...]:
    """Return all nodes, in the file's order. Raises CheckError. What is missing or cut is looked at a second time, after a moment."""
    try:
        return _read(path)
    except BadInput:
        time.sleep(_PAUSE)
        return _read(path)


def _read(path: Path) -> tuple[Node, ...]:
    found = read_file(path, LARGEST)
    name = clean_name(str(path))
    if found is None:
        raise BadInput(f"there is no {name}: does the stats gatherer run, and is --stats-json right?")
    return parse(found.data, name)


def parse(data: bytes, what: str) -> tuple[Node, ...]:
    """Return all nodes in the file's bytes; a damaged entry costs that node, which has `trouble`. Raises BadInput."""
    document = read_json(data, what, nan_is_null=True, doubled_is_null=True)
    if not isinstance(document, dict):
        raise BadInput(f"{what} is no file of a stats gatherer")
    return tuple(_node(tubid, entry) for tubid, entry in document.items())


def _node(tubid: str, entry: object) -> Node:
    found = entry if isinstance(entry, dict) else {}
    node = Node(
        tubid[:_LONGEST_TUBID], text(found.get("nickname"), 100), number(found.get("timestamp")), statistics.NONE
    )
    if not isinstance(entry, dict) or len(tubid) > _LONGEST_TUBID:
        return node._replace(trouble="its entry is damaged")
    if node.gathered is None:
        return node._replace(trouble="its entry does not say when it was got")
    try:
        return node._replace(statistics=statistics.parse(found.get("stats"), "its entry"))
    except BadInput as error:
        return node._replace(trouble=str(error))
