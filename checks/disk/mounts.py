"""The mounts of a machine, from /proc/self/mountinfo: which of them a path leads to, and which were meant to be writable.

psutil.disk_partitions is not used: up to 5.9 it asks every mount for its limits and so hangs on a dead one, and it has neither device
numbers nor the options of the file system itself. Format: proc(5) and fstab(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from checks.deadline import BadInput

# Their file systems can only be read: full and read-only by nature.
IMAGES = frozenset({"cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"})
# statfs(2) on these reads what the kernel has in memory. Any other may ask a server, a daemon or a device that is gone.
_IN_MEMORY = frozenset({"ext2", "ext3", "ext4", "tmpfs"})
# On the way to one of them nothing else is asked either.
_ON_THE_WAY = _IN_MEMORY | {"devtmpfs", "sysfs"}
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mount: `options` are its own, `super_options` those of its file system; `device` is what was mounted."""

    number: int
    parent: int
    device_number: str
    path: str
    options: frozenset[str]
    type: str
    device: str
    super_options: frozenset[str]


def parse_mountinfo(data: bytes) -> list[Mount]:
    """Return the mounts in the kernel's order. Raises BadInput."""
    mounts = []
    for line in data.splitlines():
        first, _, second = line.partition(b" - ")
        front, back = first.split(b" "), second.split(b" ")
        try:
            number, parent, device_number, _, path, options, *_ = front
            kind, device, super_options, *_ = back
            mount = Mount(
                int(number),
                int(parent),
                device_number.decode("ascii"),
                _unescape(path),
                _options(options),
                _unescape(kind),
                _unescape(device),
                _options(super_options),
            )
        except ValueError:
            raise BadInput(f"a line of mountinfo can't be read: {line[:80]!r}") from None
        if not mount.path.endswith("//deleted"):
            mounts.append(mount)
    return mounts


def visible(mounts: Iterable[Mount]) -> list[Mount]:
    """Return the mounts that their path leads to: those that no later mount covers or hides."""
    by_number = {mount.number: mount for mount in mounts}
    taken = {(mount.parent, mount.path) for mount in by_number.values() if mount.parent != mount.number}
    reached: dict[int, bool] = {}

    def hidden_by_sibling(mount: Mount, parent: Mount) -> bool:
        """Another mount in the parent's file system lies on the way to this one."""
        way = mount.path
        while way != "/" and len(way) >= len(parent.path):
            way = way.rpartition("/")[0] or "/"
            if len(way) >= len(parent.path) and (parent.number, way) in taken:
                return True
        return False

    def is_reached(mount: Mount) -> bool:
        chain: dict[int, Mount] = {}
        here: Mount | None = mount
        while here and here.number not in reached and here.number not in chain:
            chain[here.number] = here
            here = by_number.get(here.parent)
        answer = reached.get(here.number, True) if here else True
        for step in reversed(chain.values()):
            parent = by_number.get(step.parent)
            answer = answer and not (parent and parent is not step and hidden_by_sibling(step, parent))
            reached[step.number] = answer
        return answer

    top = [mount for mount in by_number.values() if (mount.number, mount.path) not in taken and is_reached(mount)]
    return list({mount.path: mount for mount in top}.values())


def in_memory(mounts: Iterable[Mount]) -> set[int]:
    """Return the numbers of the mounts that can be asked for their size without any danger of waiting; `mounts` are all there are."""
    by_number = {mount.number: mount for mount in mounts}

    def quick(mount: Mount) -> bool:
        here, steps = mount, len(by_number)
        while (parent := by_number.get(here.parent)) and parent is not here and steps:
            if parent.type not in _ON_THE_WAY:
                return False
            here, steps = parent, steps - 1
        return True

    return {mount.number for mount in by_number.values() if mount.type in _IN_MEMORY and quick(mount)}


def parse_fstab(data: bytes) -> dict[str, frozenset[str]]:
    """Return the options that fstab gives each mount point; what can't be read is left out."""
    found = {}
    for line in data.splitlines():
        fields = line.split()
        if len(fields) >= 4 and not fields[0].startswith(b"#"):
            path = _unescape(fields[1])
            found[path.rstrip("/") or "/"] = _options(fields[3])
    return found


def turned_read_only(mount: Mount, fstab: dict[str, frozenset[str]]) -> bool:
    """Tell whether the file system can no longer be written though it was meant to be.

    The kernel makes a damaged file system read-only and leaves the mount's own flag at rw; an administrator's `mount -o ro` sets
    both, and is a fault only where fstab says rw. A read-only bind mount leaves the file system rw.
    """
    if "ro" not in mount.super_options or mount.type in IMAGES:
        return False
    if mount.type == "overlay" and not any(option.startswith("upperdir=") for option in mount.super_options):
        return False
    planned = fstab.get(mount.path)
    if planned is not None:
        return not any(option == "ro" or option.startswith("ro=") for option in planned)
    return "rw" in mount.options


def _options(text: bytes) -> frozenset[str]:
    return frozenset(_unescape(text).split(","))


def _unescape(field: bytes) -> str:
    raw = _ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 255]), field) if b"\\" in field else field
    return raw.decode("utf-8", "surrogateescape")
