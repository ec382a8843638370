"""Byte counters of a tunnel's network device, for documents that have none: evio's tap devices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from checks.deadline import CheckError
from checks.sources import read_file

_LARGEST = 4096
# IFNAMSIZ is 16 with its end; the kernel takes more characters, the controllers use none of them.
_NAME = r"[A-Za-z0-9_.-]{1,15}"


class TapCounters(NamedTuple):
    """Bytes since the device was made: `received` is what tincan wrote to it, so what came from the peer."""

    received: int
    sent: int
    ifindex: int
    """another one when the device was made anew"""


def read(sysfs: Path, name: str) -> TapCounters | None:
    """Return the counters of a network device of this host, from `sysfs` (usually /sys); None where there is no such device.

    Format: sysfs-class-net-statistics and sysfs-class-net of the kernel's documentation.
    """
    if not re.fullmatch(_NAME, name) or name in (".", ".."):
        return None
    device = sysfs / "class" / "net" / name
    received, sent, ifindex = (
        _number(device / file) for file in ("statistics/rx_bytes", "statistics/tx_bytes", "ifindex")
    )
    return None if received is None or sent is None or ifindex is None else TapCounters(received, sent, ifindex)


def _number(path: Path) -> int | None:
    try:
        contents = read_file(path, _LARGEST)
    except CheckError:  # a device that goes away while it is read
        return None
    data = contents.data.strip() if contents else b""
    return int(data) if re.fullmatch(rb"[0-9]{1,20}", data) else None
