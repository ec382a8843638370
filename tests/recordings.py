"""Recordings of getAllDomainStats made up for any number of guests: what --replay reads, the same for the same arguments.

The keys are those of a libvirt 9 host with Linux guests. Most values have many digits, so that a number cut short on its way is another number.
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

MOMENT = 1_790_000_000
"""When a recording was made unless told otherwise, in seconds since the epoch."""
ROLES = ("web", "db", "build", "cache", "mail")
_GIB = 1 << 30
_MIB_IN_KIB = 1 << 10


def make(guests: int, seconds: int = 0, seed: int = 1, shut_off: bool = True) -> dict[str, Any]:
    """A recording of `guests` guests as check_virt_stats --replay reads it (its JSON form, see checks/virt/recording.py).

    About 55 metrics a guest: 500 guests are 890 kB of perfdata, 250 kB compressed. `seconds` makes the same guests that much
    later, their counters grown. With `shut_off` every fiftieth guest is, and still reports a CPU time, as libvirt does.
    """
    return {
        "time": MOMENT + seconds,
        "host": {"cpus": 128, "memory": 2048 * _GIB},
        "pools": [
            {
                "name": "images",
                "autostart": True,
                "state": 2,
                "capacity": 9_876_543_210_987,
                "allocation": 5_432_109_876_543 + 1_234_567 * seconds,
                "available": 4_444_433_334_444 - 1_234_567 * seconds,
            }
        ],
        "autostart_missing": [],
        "guests": [_guest(number, seconds, seed, shut_off) for number in range(guests)],
    }


def write(path: Path, recording: dict[str, Any]) -> Path:
    """Writes a recording as a file; returns its path."""
    path.write_text(json.dumps(recording, ensure_ascii=False), encoding="utf-8")
    return path


def _guest(number: int, seconds: int, seed: int, shut_off: bool) -> dict[str, Any]:
    rng = random.Random(f"{seed} {number}")
    name = f"{ROLES[number % len(ROLES)]}{number:03d}"
    off = shut_off and number % 50 == 49
    stats = {"state.state": 5, "state.reason": 1, "cpu.time": rng.randrange(10**12)} if off else _stats(rng, seconds)
    identity = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {"name": name, "uuid": identity, "id": -1 if off else number + 1, "stats": stats}


def _stats(rng: random.Random, seconds: int) -> dict[str, Any]:
    vcpus, nics, disks = rng.choice((1, 1, 2, 2, 4)), rng.choice((1, 1, 1, 1, 2)), rng.choice((1, 1, 1, 2))
    return {
        "state.state": 1,
        "state.reason": 1,
        **_cpu(rng, seconds, vcpus),
        **_balloon(rng, seconds),
        **_vcpus(rng, seconds, vcpus),
        "net.count": nics,
        **{key: value for nic in range(nics) for key, value in _nic(rng, seconds, f"net.{nic}").items()},
        "block.count": disks,
        **{key: value for disk in range(disks) for key, value in _disk(rng, seconds, disk).items()},
    }


def _grown(rng: random.Random, seconds: int, digits: int, per_second: int) -> int:
    """A counter of up to `digits` digits that grows by about `per_second`."""
    return rng.randrange(10 ** (digits - 1), 10**digits) + seconds * rng.randrange(per_second // 2, per_second)


def _cpu(rng: random.Random, seconds: int, vcpus: int) -> dict[str, int]:
    user, system = _grown(rng, seconds, 13, vcpus * 400_000_000), _grown(rng, seconds, 12, vcpus * 100_000_000)
    return {
        "cpu.time": user + system,
        "cpu.user": user,
        "cpu.system": system,
        "cpu.cache.monitor.count": 0,
        "cpu.haltpoll.success.time": _grown(rng, seconds, 10, 1_000_000),
        "cpu.haltpoll.fail.time": _grown(rng, seconds, 9, 1_000_000),
    }


def _balloon(rng: random.Random, seconds: int) -> dict[str, int]:
    size = rng.choice((2, 4, 8, 16)) * 1024 * _MIB_IN_KIB
    available = size - rng.randrange(60, 200) * _MIB_IN_KIB - rng.randrange(1024)
    unused = rng.randrange(available // 20, available // 2)
    return {
        "balloon.current": size,
        "balloon.maximum": 2 * size,
        "balloon.swap_in": 0,
        "balloon.swap_out": 0,
        "balloon.major_fault": _grown(rng, seconds, 4, 10),
        "balloon.minor_fault": _grown(rng, seconds, 8, 5000),
        "balloon.unused": unused,
        "balloon.available": available,
        "balloon.usable": rng.randrange(unused, available),
        "balloon.last-update": MOMENT + seconds - rng.randrange(1, 20),
        "balloon.disk_caches": rng.randrange(available // 10),
        "balloon.hugetlb_pgalloc": 0,
        "balloon.hugetlb_pgfail": 0,
        "balloon.rss": rng.randrange(size // 3, size),
    }


def _vcpus(rng: random.Random, seconds: int, vcpus: int) -> dict[str, Any]:
    stats: dict[str, Any] = {"vcpu.current": vcpus, "vcpu.maximum": vcpus}
    for number in range(vcpus):
        stats |= {
            f"vcpu.{number}.state": 1,
            f"vcpu.{number}.time": _grown(rng, seconds, 13, 500_000_000),
            f"vcpu.{number}.wait": 0,
            f"vcpu.{number}.halted": rng.choice(("yes", "no")),
            f"vcpu.{number}.halted.sum": _grown(rng, seconds, 9, 100),
            f"vcpu.{number}.delay": _grown(rng, seconds, 11, 10_000_000),
        }
    return stats


def _nic(rng: random.Random, seconds: int, key: str) -> dict[str, Any]:
    stats: dict[str, Any] = {f"{key}.name": f"vnet{rng.randrange(10000)}"}
    for way in ("rx", "tx"):
        stats |= {
            f"{key}.{way}.bytes": _grown(rng, seconds, 10, 2_000_000),
            f"{key}.{way}.pkts": _grown(rng, seconds, 7, 2000),
            f"{key}.{way}.errs": 0,
            f"{key}.{way}.drop": rng.choice((0, 0, 0, 17)),
        }
    return stats


def _disk(rng: random.Random, seconds: int, number: int) -> dict[str, Any]:
    key, capacity = f"block.{number}", rng.choice((20, 40, 100)) * _GIB
    stats: dict[str, Any] = {
        f"{key}.name": f"vd{'abcdefgh'[number]}",
        f"{key}.path": f"/var/lib/libvirt/images/{rng.getrandbits(48):012x}.qcow2",
        f"{key}.backingIndex": number + 1,
    }
    for way in ("rd", "wr"):
        stats |= {
            f"{key}.{way}.reqs": _grown(rng, seconds, 6, 500),
            f"{key}.{way}.bytes": _grown(rng, seconds, 10, 5_000_000),
            f"{key}.{way}.times": _grown(rng, seconds, 12, 100_000_000),
        }
    return stats | {
        f"{key}.fl.reqs": _grown(rng, seconds, 5, 50),
        f"{key}.fl.times": _grown(rng, seconds, 11, 10_000_000),
        f"{key}.allocation": rng.randrange(capacity // 10, capacity),
        f"{key}.capacity": capacity,
        f"{key}.physical": rng.randrange(capacity // 10, capacity),
    }
