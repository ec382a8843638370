"""Runs check_virt_stats over recordings that a test makes, and reads its output as a consumer would."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from checks.check_virt_stats import CHECK

DATA = Path(__file__).parents[1] / "data" / "virt"
REAL_HOST = DATA / "real_host.json"
NOW = 1_795_000_000
GIB = 1 << 20
"""1 GiB in libvirt's KiB."""


def stats(**changes: Any) -> dict[str, Any]:
    """Statistics of a running guest with two vCPUs, one NIC, one disk and a fresh balloon; `a__b` stands for the key a.b, None removes."""
    found: dict[str, Any] = {
        "state.state": 1,
        "state.reason": 1,
        "cpu.time": 100_000_000_000,
        "cpu.user": 90_000_000_000,
        "cpu.system": 10_000_000_000,
        "balloon.current": 4 * GIB,
        "balloon.maximum": 8 * GIB,
        "balloon.available": 4 * GIB,
        "balloon.unused": 1 * GIB,
        "balloon.usable": 3 * GIB,
        "balloon.last-update": NOW - 5,
        "balloon.rss": 2 * GIB,
        "vcpu.current": 2,
        "vcpu.maximum": 4,
        "net.count": 1,
        "net.0.name": "vnet7",
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.path": "/var/lib/libvirt/images/a.qcow2",
    }
    for vcpu in ("0", "1"):
        found |= {
            f"vcpu.{vcpu}.state": 1,
            f"vcpu.{vcpu}.time": 10**10,
            f"vcpu.{vcpu}.wait": 0,
            f"vcpu.{vcpu}.delay": 10**9,
        }
    for way in ("rx", "tx"):
        found |= {f"net.0.{way}.bytes": 1000, f"net.0.{way}.pkts": 10, f"net.0.{way}.errs": 0, f"net.0.{way}.drop": 0}
    for way in ("rd", "wr"):
        found |= {f"block.0.{way}.reqs": 100, f"block.0.{way}.bytes": 409600, f"block.0.{way}.times": 10**9}
    found |= {"block.0.fl.reqs": 3, "block.0.fl.times": 10**6}
    found |= {"block.0.allocation": 25, "block.0.capacity": 100, "block.0.physical": 30}
    for key, value in changes.items():
        found[key.replace("__", ".")] = value
    return {key: value for key, value in found.items() if value is not None}


def guest(name: str, id: int = 1, identity: str = "", **changes: Any) -> dict[str, Any]:
    """One guest of a recording."""
    return {
        "name": name,
        "uuid": identity or str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "id": id,
        "stats": stats(**changes),
    }


def shut_off(name: str, reason: int = 1) -> dict[str, Any]:
    """A guest that is shut off; libvirt reports a CPU time all the same where no cgroups are in use."""
    only = {
        "state.state": 5,
        "state.reason": reason,
        "cpu.time": 12_340_000_000,
        "balloon.maximum": GIB,
        "vcpu.maximum": 1,
    }
    return {"name": name, "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "id": -1, "stats": only}


class Result:
    """Exit code, text, and perfdata by label."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        first, *self.lines = text.splitlines()
        self.first, _, perfdata = first.partition(" | ")
        self.items = [item.split("=", 1) for item in perfdata.split()]
        self.perfdata = dict(self.items)
        assert len(self.perfdata) == len(self.items), "a label occurs twice"

    def number(self, label: str) -> float:
        """Return the value of a label, without unit and thresholds."""
        return float(self.perfdata[label].partition(";")[0].rstrip("cBs%"))


def run(tmp_path: Path, guests: list[dict[str, Any]], *argv: str, **document: Any) -> Result:
    """Return what the check says of a host with these guests."""
    recording = tmp_path / "recording.json"
    recording.write_text(json.dumps({"time": NOW, "guests": guests, **document}), encoding="utf-8")
    return replay(recording, *argv)


def replay(recording: Path, *argv: str) -> Result:
    """Return what the check says of a recording; with room for everything unless --max-output is given."""
    room = [] if "--max-output" in argv else ["--max-output", "10000000"]
    return Result(*CHECK.run(["--replay", str(recording), *room, *argv]))
