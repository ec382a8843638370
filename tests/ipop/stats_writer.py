"""A controller of IPOP 14 that writes its statistics for Ganglia over and over, and not with care: files are away or half written for moments.

    python3 -m tests.ipop.stats_writer DIRECTORY [--peers N]

The list and the file of each peer are replaced one after the other, in turn by writing two halves with a pause in between, and by removing the
file and writing it anew after a pause; then comes a longer pause. Each file is whole again within LONGEST seconds: one that was not, because
this process had to wait for a processor, is printed as "<begin> <end>" (time.monotonic()).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

LONGEST = 0.09
RECEIVED, SENT = 1000, 400
"""Bytes a second on each link; the counters of peer N wrap at 32 bits N seconds after the start."""
_PAUSE = 0.04
# So long that who looks at a peer's file again, a tenth of a second after it was not whole, does not meet the list's moment instead.
_QUIET = 0.25


def address(number: int) -> str:
    """Return the overlay address of a peer."""
    return f"172.31.{number // 200}.{number % 200 + 1}"


def state(number: int, seconds: float, status: str = "online") -> dict[str, Any]:
    """Return what tincan tells of a peer so many seconds after the start."""

    def counter(rate: int) -> int:
        return int((1 << 32) + rate * (seconds - number)) % (1 << 32)

    told: dict[str, Any] = {
        "fpr": "ab" * 20,
        "ip4": address(number),
        "ip6": f"fd50:dbc:41f2:4a3c::{number + 1:x}",
        "last_time": int(seconds) + 100,
        "status": status,
        "type": "peer_state",
        "uid": f"{number:040x}",
        "xmpp_time": int(seconds) % 120,
    }
    if status == "online":
        told["security"] = "dtls"
        told["stats"] = [
            {
                "best_conn": True,
                "local_addr": "192.0.2.10:42100",
                "local_type": "local",
                "new_conn": False,
                "readable": True,
                "recv_bytes_second": RECEIVED,
                "recv_total_bytes": counter(RECEIVED),
                "rem_addr": f"198.51.100.7:{50000 + number}",
                "rem_type": "stun",
                "rtt": 23,
                "sent_bytes_second": SENT,
                "sent_total_bytes": counter(SENT),
                "timeout": False,
                "writable": True,
            }
        ]
    return told


def write(directory: Path, peers: int, seconds: float = 0, offline: Container[int] = ()) -> None:
    """Write the list and the files of so many peers, whole; the ones in `offline` are."""
    _list(directory).write_text(json.dumps([address(number) for number in range(peers)]) + "\n", encoding="ascii")
    for number in range(peers):
        told = state(number, seconds, "offline" if number in offline else "online")
        _file(directory, number).write_text(json.dumps(told) + "\n", encoding="ascii")


def _list(directory: Path) -> Path:
    return directory / "peer_list_ganglia.json"


def _file(directory: Path, number: int) -> Path:
    return directory / f"{address(number)}_ganglia_data.json"


def _careless(path: Path, document: object, unlink: bool) -> None:
    text = json.dumps(document) + "\n"
    begin = time.monotonic()
    if unlink:
        path.unlink(missing_ok=True)
        time.sleep(_PAUSE)
        path.write_text(text, encoding="ascii")
    else:
        with path.open("w", encoding="ascii", buffering=1 << 16) as file:
            file.write(text[: len(text) // 2])
            file.flush()
            time.sleep(_PAUSE)
            file.write(text[len(text) // 2 :])
    end = time.monotonic()
    if end - begin > LONGEST:
        print(begin, end, flush=True)


def _run(directory: Path, peers: int) -> None:
    start = time.monotonic()
    write(directory, peers)
    print("serving", flush=True)
    number = 0
    while True:
        number += 1
        _careless(_list(directory), [address(peer) for peer in range(peers)], number % 2 == 0)
        for peer in range(peers):
            _careless(_file(directory, peer), state(peer, time.monotonic() - start), (number + peer) % 2 == 0)
        time.sleep(_QUIET)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("directory", type=Path)
    options.add_argument("--peers", type=int, default=4)
    asked = options.parse_args()
    _run(asked.directory, asked.peers)
