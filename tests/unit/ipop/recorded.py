"""Recorded documents of controllers and visualizer, made from their formats, and what is changed in them."""

import json
from pathlib import Path
from typing import Any

from checks.ipop import document
from checks.ipop.records import Link, Reading

FOLDER = Path(__file__).parent.parent / "data" / "check_ipop_links"
WRITTEN = 1795209064.0
"""When they were written, 2026-11-20 21:11:04 UTC."""
OVERLAY, OTHER = "101000F", "111030F"
A = "a100feb1" * 4
"""Id of the node that reports; the next are its peers'."""
B, C, E, X = "b200feb2" * 4, "c300feb3" * 4, "e500feb5" * 4, "f600feb6" * 4
T1, T2, T3, T4 = (f"{number}f00d" * 6 + f"0{number}" for number in range(1, 5))
"""Ids of tunnels."""


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_bytes())


def read(content: Any, changed: float | None = WRITTEN) -> Reading:
    """Read a document by its recorded name, or as given."""
    data = (FOLDER / f"{content}.json").read_bytes() if isinstance(content, str) else json.dumps(content).encode()
    return document.parse(data, "the document", changed)


def links(content: Any, changed: float | None = WRITTEN) -> dict[str, Link]:
    """Return the links of a document by their own id; no two may have one key."""
    found = read(content, changed).links
    assert len({link.key for link in found}) == len(found)
    assert len({link.incarnation for link in found}) == len(found)
    return {link.incarnation: link for link in found}
