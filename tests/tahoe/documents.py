"""Recorded documents of Tahoe-LAFS 1.20 (an introducer, two storage nodes, a client) and of a gatherer of 1.14, and larger ones made of them.

Of storage/storage.json, the counts of most of the 1,024 prefixes are left out. One of its shares was damaged on purpose.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "unit/data/check_tahoe"
TUBID = "mjc3ebkjy5l4zjvs6mfubg2pdknvo7kk"


def recorded(name: str) -> Any:
    """Return one recorded document, below tests/unit/data/check_tahoe."""
    return json.loads((RECORDED / f"{name}.json").read_bytes())


def welcome(servers: int, connected: int | None = None, introducer: bool = True) -> dict[str, Any]:
    """Return what a client tells that knows `servers` storage servers, of which the first `connected` (all) are connected, heard of a second ago."""
    document = recorded("client/welcome")
    one, now = document["servers"][0], time.time()
    document["servers"] = [
        {**one, "nodeid": f"v0-{number:052d}", "nickname": f"store{number:04d}", "last_received_data": now - 1}
        for number in range(servers)
    ]
    for server in document["servers"][servers if connected is None else connected :]:
        server["connection_status"] = "Trying to connect"
    if not introducer:
        document["introducers"]["statuses"] = ["Reconnecting in 12 seconds (last attempt 4s ago)"]
    return document  # type: ignore[no-any-return]


def gathered(nodes: int = 1, age: float = 5.0) -> dict[str, Any]:
    """Return a gatherer's document of several nodes, each got `age` seconds ago."""
    (one,) = recorded("gatherer").values()
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    document = {}
    for number in range(nodes):
        tubid = digits[number // 1024 % 32] + digits[number // 32 % 32] + digits[number % 32] + TUBID[3:]
        document[tubid if number else TUBID] = {
            **copy.deepcopy(one),
            "timestamp": time.time() - age,
            "nickname": f"old{number + 1}",
        }
    return document
