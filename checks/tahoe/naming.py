"""What nodes and servers are called: as the Munin plugin of Tahoe-LAFS names its fields, and never two alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_LONGEST = 60
# Version prefix of today's node ids, before the base32 that differs.
_PREFIX = "v0-"


def labels(nodes: Sequence[tuple[str, str]]) -> list[str]:
    """Return the label of each node, given as (nickname, id): `<nickname>_<first 4 of its id>`, what isn't a letter or digit made `_`.

    Where two would meet, each has a hash of its id as well.
    """
    plain = [_label(nickname, identity) for nickname, identity in nodes]
    number = Counter(plain)
    return [
        label if number[label] == 1 else f"{label}_{_hash(nickname, identity)}"
        for label, (nickname, identity) in zip(plain, nodes, strict=True)
    ]


def _label(nickname: str, identity: str) -> str:
    # What begins with _ is to graphios a mount point.
    name = re.sub("[^A-Za-z0-9]", "_", nickname[:_LONGEST]).lstrip("_") or "node"
    return f"{name}_{re.sub('[^A-Za-z0-9]', '_', identity.removeprefix(_PREFIX)[:4])}"


def _hash(nickname: str, identity: str) -> str:
    import hashlib

    return hashlib.sha256(f"{identity}\0{nickname}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
