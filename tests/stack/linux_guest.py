"""A tiny real Linux for guests: Debian's cloud kernel and busybox, downloaded and unpacked, never installed.

It boots in about three seconds under emulation, reports full balloon statistics, and reads, writes and pings for ever.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.stack.daemon import StackError
from tests.stack.place import base, run

# In the order in which insmod can load them; what a kernel has built in is not there as a file.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "virtio_balloon",
)

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in {modules}; do
  [ -e /lib/$module.ko ] && insmod /lib/$module.ko
done
for word in $(cat /proc/cmdline); do
  case $word in addr=*|peer=*) eval "$word" ;; esac
done
ifconfig lo up
ifconfig eth0 $addr netmask 255.255.255.0 up
echo "guest is up"
while :; do
  dd if=/dev/urandom of=/dev/vda bs=4k count=4 conv=fsync 2>/dev/null
  echo 3 > /proc/sys/vm/drop_caches
  dd if=/dev/vda of=/dev/null bs=4k count=8 2>/dev/null
  ping -c 1 -W 1 $peer >/dev/null 2>&1
  sleep 1
done
"""


@dataclass(frozen=True)
class LinuxImage:
    """What QEMU boots."""

    kernel: Path
    initrd: Path


def linux_image() -> LinuxImage:
    """The kernel and initrd, downloaded once and kept. Raises StackError, which says why, when apt can't provide them."""
    folder = base() / "cache" / "linux-guest"
    folder.mkdir(parents=True, exist_ok=True)
    image = LinuxImage(folder / "vmlinuz", folder / "initrd")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a demo and a test run may want it at once
        if not (folder / "complete").exists():
            _make(folder, image)
            (folder / "complete").touch()
    return image


def _make(folder: Path, image: LinuxImage) -> None:
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    kernel = _kernel_package()
    if not kernel and os.geteuid() == 0:
        run(["apt-get", "update", "-q"], "apt-get update", seconds=600)
        kernel = _kernel_package()
    if not kernel:
        raise StackError("apt knows no linux-image-cloud-amd64 (its lists may be missing: apt-get update)")
    run(["apt-get", "download", "-q", kernel, "busybox-static"], "apt-get download", cwd=work, seconds=600)
    tree = work / "tree"
    for package in work.glob("*.deb"):
        run(["dpkg-deb", "-x", package, tree], f"unpacking {package.name}")
    files = {
        "init": INIT.format(modules=" ".join(MODULES)).encode(),
        "bin/busybox": (tree / "bin/busybox").read_bytes(),
    }
    for module in MODULES:
        for found in tree.rglob(f"{module}.ko"):
            files[f"lib/{module}.ko"] = found.read_bytes()
    image.initrd.write_bytes(gzip.compress(newc_archive(files), 1))
    shutil.copyfile(next((tree / "boot").glob("vmlinuz-*")), image.kernel)
    for path in (image.initrd, image.kernel):
        path.chmod(0o644)
    shutil.rmtree(work)


def _kernel_package() -> str | None:
    """The newest cloud kernel that apt knows of."""
    try:
        depends = run(["apt-cache", "depends", "linux-image-cloud-amd64"], "apt-cache depends")
    except StackError:
        return None
    return next((line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line), None)


def newc_archive(files: dict[str, bytes]) -> bytes:
    """A cpio archive ("newc" format, see cpio(5)) of executable files and the folders they need, as the kernel unpacks
    it.
    """
    folders = {"bin", "lib", "proc", "sys", "dev", "tmp"} | {os.path.dirname(name) for name in files} - {""}  # noqa: PTH120
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in sorted(folders)]
    entries += [(name, stat.S_IFREG | 0o755, data) for name, data in files.items()]
    archive = bytearray()
    for inode, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % number for number in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
