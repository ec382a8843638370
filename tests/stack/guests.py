"""What the QEMU guests are made of: a boot sector that does a little work, and libvirt's XML."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

IMAGE_BYTES = 1 << 20


def boot_sector() -> bytes:
    """512 bytes of 16-bit x86 code, a guest without an operating system.

    About once a second it reads one sector of its first disk and writes one; in between it halts, so twenty of them
    take a seventh of a core.
    """
    code = bytes.fromhex(
        # start: the BIOS jumps here (0000:7c00) with the disk's number in dl
        "fa"  # cli
        "31c0 8ed8 8ec0 8ed0"  # xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax
        "bc007c"  # mov sp,7c00h     the stack grows down from the code
        "fb"  # sti              hlt below needs the timer interrupt
        # work:
        "b80102 b90200 ba8000 bb007e cd13"  # int 13h, ah=02h: read 1 sector, cylinder 0 sector 2, head 0 of disk 80h, to 0000:7e00
        "b80103 b90300 ba8000 bb007e cd13"  # int 13h, ah=03h: write 1 sector, cylinder 0 sector 3, from 0000:7e00
        "b91200"  # mov cx,18        the timer ticks 18.2 times a second
        # pause:
        "f4"  # hlt              until the next interrupt
        "e2fd"  # loop pause
        "ebdc"  # jmp work
    )
    return code.ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True)
class Guest:
    """How a guest is built. `kernel` and `initrd` make it a real Linux guest, otherwise it runs the boot sector."""

    name: str
    number: int
    folder: Path
    vcpus: int = 1
    memory_mib: int = 32
    nics: int = 1
    taps: bool = True
    disks: int = 1
    balloon: bool = True
    kernel: Path | None = None
    initrd: Path | None = None
    uuid: uuid.UUID = field(default_factory=uuid.uuid4)

    def disk(self, number: int) -> Path:
        """The image behind a disk; its name does not follow the guest's, which may hold anything."""
        return self.folder / f"guest{self.number}-disk{number}.raw"

    def address(self, host: bool) -> str:
        """The IPv4 address of the guest's first NIC, or of the host's end of it."""
        return f"10.99.{self.number % 250}.{1 if host else 2}"

    def mac(self, nic: int) -> str:
        """The hardware address of a NIC."""
        return f"52:54:00:{self.number >> 8:02x}:{self.number & 255:02x}:{nic:02x}"


def make_disks(guest: Guest) -> None:
    """Writes the disk images: 1 MiB (Linux: 8 MiB) each, sparse; the first begins with the boot sector."""
    guest.folder.mkdir(parents=True, exist_ok=True)
    for number in range(guest.disks):
        with guest.disk(number).open("wb") as image:
            image.write(boot_sector() if number == 0 and not guest.kernel else b"")
            image.truncate(8 << 20 if guest.kernel else IMAGE_BYTES)


def disk_target(number: int) -> str:
    """vda, vdb ... vdz, vdaa ..."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"vd{letters}"


def domain_xml(guest: Guest) -> str:
    """The domain as libvirt wants it, https://libvirt.org/formatdomain.html; emulated (TCG), since KVM may be missing."""
    domain = ET.Element("domain", type="qemu")

    def add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
        element = ET.SubElement(parent, tag, attributes)
        element.text = text
        return element

    add(domain, "name", guest.name)
    add(domain, "uuid", str(guest.uuid))
    add(domain, "memory", str(guest.memory_mib), unit="MiB")
    add(domain, "vcpu", str(guest.vcpus))
    boot = add(domain, "os")
    add(boot, "type", "hvm", arch="x86_64", machine="q35" if guest.kernel else "pc")
    features = add(domain, "features")
    add(features, "acpi")
    if guest.kernel:
        add(boot, "kernel", str(guest.kernel))
        add(boot, "initrd", str(guest.initrd))
        # panic=-1: reboot at once; the init of tests/stack/linux_guest.py reads the two addresses.
        addresses = f"addr={guest.address(host=False)} peer={guest.address(host=True)}"
        add(boot, "cmdline", f"console=ttyS0 quiet panic=-1 {addresses}")
        add(add(features, "tcg"), "tb-cache", "32", unit="MiB")
    else:
        add(boot, "boot", dev="hd")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        add(domain, event, action)
    devices = add(domain, "devices")
    add(devices, "emulator", "/usr/bin/qemu-system-x86_64")
    for number in range(guest.disks):
        disk = add(devices, "disk", type="file", device="disk")
        add(disk, "driver", name="qemu", type="raw", cache="unsafe")
        add(disk, "source", file=str(guest.disk(number)))
        add(disk, "target", dev=disk_target(number), bus="virtio")
    for number in range(guest.nics):
        # A NIC of type `ethernet` is a bare tap device; libvirt counts its traffic. It has no counters for one of type `user`.
        nic = add(devices, "interface", type="ethernet" if guest.taps else "user")
        add(nic, "mac", address=guest.mac(number))
        add(nic, "model", type="virtio")
        add(nic, "rom", enabled="no")
    if guest.kernel:
        add(add(devices, "serial", type="file"), "source", path=str(guest.folder / f"guest{guest.number}-console.log"))
    add(devices, "controller", type="usb", model="none")
    if guest.balloon:
        add(add(devices, "memballoon", model="virtio"), "stats", period="2")
    else:
        add(devices, "memballoon", model="none")
    return ET.tostring(domain, encoding="unicode")
