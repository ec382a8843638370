"""Which mounts are looked at: what the operator asks for, and what goes without saying."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from checks.disk.mounts import IMAGES, Mount
from checks.options import Values

# File systems of the kernel's own, which hold no data.
PSEUDO = re.compile(
    r"autofs|bdev|binder|binfmt_misc|bpf|cgroup2?|configfs|cpuset|debugfs|devpts|devtmpfs|efivarfs|functionfs|fusectl|hugetlbfs|mqueue"
    r"|nfsd|none|nsfs|openpromfs|pipefs|proc|pstore|ramfs|resctrl|rootfs|rpc_pipefs|secretmem|securityfs|selinuxfs|smackfs|sockfs"
    r"|spufs|sysfs|tracefs|usbfs|xenfs|fuse\.(gvfsd-fuse|lxcfs|portal|snapfuse)"
)
# File systems that another machine or another process serves.
REMOTE = re.compile(
    r"nfs4?|cifs|smb3|smbfs|ncpfs|afs|auristorfs|coda|ceph|glusterfs|lustre|beegfs|fhgfs|gpfs|orangefs|pvfs2|panfs|wekafs|davfs|9p"
    r"|virtiofs|vboxsf|prl_fs|vmhgfs|fuse(\..*)?"
)
# Kernel interfaces, logins, and what container engines mount for their containers: numbers that are told elsewhere.
_NESTED = re.compile(
    r"/(proc|sys)(/.*)?|/dev(/(?!shm$).*)?|/run/(user|credentials|docker|containerd|containers|netns)/.*"
    r"|/var/lib/(docker|containerd|containers|kubelet|lxcfs)/.*",
    re.DOTALL,
)


class Choice(NamedTuple):
    """The mounts to look at, by path; how many were left out for which reason; and each --include-path expression without a mount,
    with the reason where the only ones it matches were left out.
    """

    mounts: list[Mount]
    left_out: Counter[str]
    unmatched: dict[str, str]


def choose(mounts: Iterable[Mount], opts: Values) -> Choice:
    """Return one mount for each chosen file system: one whose path was asked for literally, or else the shortest path."""
    left_out: Counter[str] = Counter()
    by_device: dict[str, Mount] = {}
    expressions = {expression.pattern: expression for expression in opts.include_path}
    unmatched = dict.fromkeys(expressions, "")
    for mount in sorted(mounts, key=lambda mount: (mount.path not in expressions, len(mount.path), mount.path)):
        reason = _reason_against(mount, opts, mount.path in expressions)
        for pattern in [pattern for pattern in unmatched if expressions[pattern].fullmatch(mount.path)]:
            if reason:
                unmatched[pattern] = reason
            else:
                del unmatched[pattern]
        if reason:
            left_out[reason] += 1
        elif by_device.setdefault(mount.device_number, mount) is not mount:
            left_out["mounted twice"] += 1
    return Choice(sorted(by_device.values(), key=lambda mount: mount.path), left_out, unmatched)


def is_remote(mount: Mount) -> bool:
    """Tell whether another machine or process serves the file system, by its type or by a device such as host:/path or //host/share."""
    return bool(REMOTE.fullmatch(mount.type) or mount.device.startswith("//") or re.match(r"[^/]+:/", mount.device))


def _reason_against(mount: Mount, opts: Values, named: bool) -> str:
    """Return why a mount is not looked at, or nothing. What is excluded stays excluded, whatever includes it."""
    for kind, text in (("path", mount.path), ("type", mount.type), ("device", mount.device)):
        if _matches(getattr(opts, f"exclude_{kind}"), text):
            return "excluded"
        if (included := getattr(opts, f"include_{kind}")) and not _matches(included, text):
            return "not included"
    if named:
        return ""
    if not opts.include_type:
        if PSEUDO.fullmatch(mount.type) or (mount.type == "overlay" and mount.path != "/"):
            return "pseudo"
        if mount.type in IMAGES:
            return "image"
        if is_remote(mount) and not opts.remote:
            return "remote"
    return "nested" if _NESTED.fullmatch(mount.path) else ""


def _matches(expressions: Iterable[re.Pattern[str]], text: str) -> bool:
    return any(expression.fullmatch(text) for expression in expressions)
