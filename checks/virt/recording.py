"""Recorded getAllDomainStats output: what --replay reads and --record writes.

Two forms. JSON, one document: {"time": seconds since the epoch, "host": {"cpus", "memory"}, "pools": [{"name", "state", "capacity", "allocation",
"available", "autostart"}], "autostart_missing": [names], "guests": [{"name", "uuid", "id", "stats": {libvirt's keys}}]}; only "guests" is
needed, and it may stand alone as a list, hold [name, stats] pairs, or be an object of stats by name. And the text of `virsh domstats --raw`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checks.plugin import BadInput, stage
from checks.virt.records import Guest, Host, Pool, Snapshot, record

LARGEST = 256 << 20
_PLAIN = frozenset((int, str, bool))


def read(path: Path) -> Snapshot:
    """Return the recorded snapshot. Raises CheckError where the file can't be read, BadInput where it is no recording."""
    with stage(f"reading {path}"), path.open("rb") as file:
        data = file.read(LARGEST + 1)
        mtime = path.stat().st_mtime
    if len(data) > LARGEST:
        raise BadInput(f"{path} is larger than {LARGEST >> 20} MiB")
    return parse(data, mtime, str(path))


def parse(data: bytes, mtime: float, name: str = "recording") -> Snapshot:
    """Return the snapshot in `data`; `mtime` stands in for its time where it has none. Raises BadInput."""
    begin = data[:256].lstrip()
    if begin[:1] in (b"{", b"["):
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name} is not JSON: {error}") from None
        snapshot = _from_document(document, name)
    elif begin.startswith(b"Domain:"):
        snapshot = Snapshot(_from_virsh(data, name))
    else:
        raise BadInput(f"{name} is neither JSON nor the text of virsh domstats")
    return snapshot._replace(now=snapshot.now or _newest_update(snapshot.guests) or mtime)


def _from_document(document: Any, name: str) -> Snapshot:
    if isinstance(document, list) or "guests" not in document:
        document = {"guests": document}
    listed = document["guests"]
    if isinstance(listed, dict):
        listed = list(listed.items())
    if not isinstance(listed, list):
        raise BadInput(f"{name}: guests are not a list")
    try:
        host, pools = document.get("host"), document.get("pools")
        missing = document.get("autostart_missing")
        return Snapshot(
            [_guest(entry, name) for entry in listed],
            Host(int(host["cpus"]), int(host["memory"])) if host else None,
            None if pools is None else [_pool(entry) for entry in pools],
            [str(guest) for guest in missing] if missing is not None else None,
            float(document.get("time") or 0),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BadInput(f"{name} is not a recording: {type(error).__name__} {error}") from None


def _pool(entry: Any) -> Pool:
    state, capacity, allocation, available = (int(entry[key]) for key in Pool._fields[2:])
    return Pool(str(entry["name"]), bool(entry.get("autostart")), state, capacity, allocation, available)


def _guest(entry: Any, name: str) -> Guest:
    if isinstance(entry, dict):
        raw, stats = entry["name"], entry["stats"]
        identity, number = str(entry.get("uuid") or _uuid_of(str(raw))), int(entry.get("id", 0))
    else:
        raw, stats = entry
        identity, number = _uuid_of(str(raw)), 0
    if not isinstance(raw, str) or not isinstance(stats, dict):
        raise BadInput(f"{name}: a guest without name or stats")
    if not _PLAIN.issuperset(map(type, stats.values())):
        raise BadInput(f"{name}: guest {raw!r} has a statistic that is neither a whole number nor text")
    return record(raw, identity, number, stats)


def _from_virsh(data: bytes, name: str) -> list[Guest]:
    found: list[tuple[str, dict[str, Any]]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        if line.startswith("Domain:"):
            raw = line.removeprefix("Domain:").strip()[1:-1]
            found.append((raw, {}))
        elif line.strip():
            key, equals, value = line.strip().partition("=")
            if not equals:
                raise BadInput(f"{name}: {line.strip()[:60]!r} is no line of virsh domstats")
            found[-1][1][key] = int(value) if value.lstrip("-").isdecimal() and len(value) < 25 else value
    return [record(raw, _uuid_of(raw), 0, stats) for raw, stats in found]


def _uuid_of(name: str) -> str:
    """Return a stable stand-in where a recording has no UUID."""
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name.encode("utf-8", "replace").decode()))


def _newest_update(guests: list[Guest]) -> float:
    """Return the newest time a balloon was read, the best clock in a recording without a time; 0 where there is none."""
    return float(max((guest.stats.get("balloon.last-update", 0) for guest in guests), default=0))


def write(path: Path, snapshot: Snapshot) -> None:
    """Write the JSON form. Raises CheckError."""
    document = {
        "time": snapshot.now,
        "host": snapshot.host and snapshot.host._asdict(),
        "pools": [pool._asdict() for pool in snapshot.pools] if snapshot.pools is not None else None,
        "autostart_missing": snapshot.autostart_missing,
        "guests": [{"name": g.name, "uuid": g.uuid, "id": g.id, "stats": g.stats} for g in snapshot.guests],
    }
    with stage(f"writing {path}"):
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
