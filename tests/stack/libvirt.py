"""A private libvirtd with real QEMU guests.

Root gets a system daemon inside a private namespace (tests/stack/namespace.py); an ordinary user, and root where
namespaces are forbidden, gets a session daemon with folders of its own. The guests' NICs are taps where taps can be
made, so that libvirt can count their traffic.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.stack import namespace, processes
from tests.stack.daemon import Daemon, StackError, wait_until
from tests.stack.guests import Guest, domain_xml, make_disks
from tests.stack.linux_guest import LinuxImage
from tests.stack.namespace import Namespace
from tests.stack.place import base, daemon_user, give, socket_folder

LIBVIRTD_CONF = """\
unix_sock_dir = "{sockets}"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:stderr"
max_client_requests = 20
"""

QEMU_CONF = """\
user = "{user}"
group = "{user}"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
"""


class Libvirt:
    """libvirtd and its guests; guests go on when libvirtd is stopped, as in real life, and end with stop(guests=True)."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "libvirt"
        self.system = os.geteuid() == 0 and namespace.available()
        self.taps = self.system and namespace.taps_available()
        self._root = root
        self._user = None if self.system else daemon_user()
        # libvirt's session daemon puts QEMU's monitor at etc/libvirt/qemu/lib/domain-NUMBER-NAME/monitor.sock.
        self._sockets = socket_folder(root, 30 if self.system else 75) / "v"
        shared = {"/var/cache/libvirt": base() / "cache" / "libvirt-system", str(self._sockets): self._sockets}
        self._namespace = Namespace(root, shared)
        self._guests: dict[str, Guest] = {}
        self._numbers: Iterator[int] = iter(range(1, 65000))
        self.daemon: Daemon | None = None

    @property
    def uri(self) -> str:
        """Read-write, for whoever makes guests."""
        if self.system:
            return f"qemu+unix:///system?socket={self._sockets}/libvirt-sock"
        return f"qemu+unix:///session?socket={self._sockets}/run/libvirt/libvirt-sock"

    @property
    def uri_ro(self) -> str:
        """What the check is given: any user may open it."""
        return self.uri + "-ro" if self.system else self.uri

    def start(self) -> None:
        """Starts libvirtd and waits until it answers; up to 10 s when it has never looked at this QEMU before.

        Raises StackError.
        """
        self._sockets.mkdir(parents=True, exist_ok=True)
        for name in ("disks", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        log = self._root / "log" / "libvirtd.log"
        argv = self._system_argv() if self.system else self._session_argv()
        env = {} if self.system else self._session_environment()
        inside = self._namespace.entered if self.system else nullcontext
        self.daemon = Daemon("libvirtd", argv, log, env, user=self._user, root=self._root, inside=inside)
        self.daemon.start()
        self.daemon.wait_ready(self._answers, 60, "libvirtd answers")

    def _system_argv(self) -> list[str | Path]:
        config = self.folder / "libvirtd.conf"
        config.write_text(LIBVIRTD_CONF.format(sockets=self._sockets), encoding="utf-8")
        if not (self._namespace.holder and self._namespace.holder.alive()):
            conf = self._namespace.inside("/etc/libvirt/qemu.conf")
            conf.parent.mkdir(parents=True, exist_ok=True)
            conf.write_text(QEMU_CONF.format(user=daemon_user()), encoding="utf-8")
            give(self.folder / "disks", daemon_user())
            self._namespace.start()
        return ["/usr/sbin/libvirtd", "-f", config, "-p", self.folder / "libvirtd.pid"]

    def _session_environment(self) -> dict[str, str]:
        return {
            "HOME": str(self._sockets),
            "XDG_RUNTIME_DIR": str(self._sockets / "run"),
            "XDG_CONFIG_HOME": str(self._sockets / "etc"),
            "XDG_CACHE_HOME": str(base() / "cache" / "libvirt-session"),
            "XDG_DATA_HOME": str(self._sockets / "data"),
        }

    def _session_argv(self) -> list[str | Path]:
        config = self.folder / "libvirtd.conf"
        config.write_text('log_level = 3\nlog_outputs = "3:stderr"\n', encoding="utf-8")
        conf = self._sockets / "etc" / "libvirt" / "qemu.conf"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text('security_driver = "none"\ncgroup_controllers = []\nstdio_handler = "file"\n', encoding="utf-8")
        (self._sockets / "run").mkdir(mode=0o700, exist_ok=True)
        cache = base() / "cache" / "libvirt-session"
        cache.mkdir(parents=True, exist_ok=True)
        for folder in (self._sockets, self.folder, cache):
            give(folder, self._user)
        return ["/usr/sbin/libvirtd", "-f", config, "-p", self.folder / "libvirtd.pid"]

    def stop(self, guests: bool = True) -> None:
        """Ends libvirtd and (unless told otherwise) the guests and the namespace."""
        if guests:
            for name in list(self._guests):
                pid = self._qemu(name)
                if pid:
                    processes.end_all([pid], patience=0)
        if self.daemon:
            self.daemon.stop()
        if guests:
            self._namespace.stop()
            self._guests.clear()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A read-write libvirt connection (libvirt.virConnect)."""
        import libvirt

        libvirt.registerErrorHandler(lambda *_: None, None)
        try:
            connection = libvirt.open(self.uri)
        except libvirt.libvirtError as error:
            raise StackError(f"{self.uri}: {error}") from error
        try:
            yield connection
        finally:
            connection.close()

    def add_guest(
        self,
        name: str,
        *,
        vcpus: int = 1,
        memory_mib: int | None = None,
        nics: int = 1,
        disks: int = 1,
        balloon: bool = True,
        linux: LinuxImage | None = None,
        start: bool = True,
        autostart: bool = False,
    ) -> Guest:
        """Defines a guest, and starts it.

        With `linux` a real one (96 MiB), otherwise the boot sector (32 MiB, about 44 MB resident). Raises StackError.
        """
        import libvirt

        memory = memory_mib or (96 if linux else 32)
        kernel, initrd = (linux.kernel, linux.initrd) if linux else (None, None)
        guest = Guest(
            name,
            next(self._numbers),
            self.folder / "disks",
            vcpus,
            memory,
            nics,
            self.taps,
            disks,
            balloon,
            kernel,
            initrd,
        )
        make_disks(guest)
        give(self.folder / "disks", daemon_user())
        with self.connection() as connection:
            try:
                domain = connection.defineXML(domain_xml(guest))
                self._guests[name] = guest
                if autostart:
                    domain.setAutostart(1)
                if start:
                    domain.create()
            except libvirt.libvirtError as error:
                raise StackError(f"guest {name}: {error}; see {self._root / 'log' / 'libvirtd.log'}") from error
            if start and linux and nics and self.taps:
                self._give_address(domain, guest)
        return guest

    def start_guest(self, name: str) -> None:
        """Starts a guest that is defined and shut off."""
        with self.connection() as connection:
            domain = connection.lookupByName(name)
            domain.create()
            guest = self._guests[name]
            if guest.kernel and guest.nics and self.taps:
                self._give_address(domain, guest)

    def stop_guest(self, name: str) -> None:
        """Pulls the plug; the guest stays defined."""
        with self.connection() as connection:
            connection.lookupByName(name).destroy()

    def remove_guest(self, name: str) -> None:
        """Pulls the plug where needed, and forgets the guest and its disks."""
        with self.connection() as connection:
            domain = connection.lookupByName(name)
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        guest = self._guests.pop(name)
        for number in range(guest.disks):
            guest.disk(number).unlink(missing_ok=True)

    def qemu_pid(self, name: str) -> int:
        """Process id of a running guest's QEMU. Raises StackError when it does not run."""
        if not (pid := self._qemu(name)):
            raise StackError(f"guest {name} does not run")
        return pid

    def pause_qemu(self, name: str) -> None:
        """SIGSTOP for the guest's QEMU: libvirt believes that it runs, and never gets an answer from it."""
        os.kill(self.qemu_pid(name), signal.SIGSTOP)

    def resume_qemu(self, name: str) -> None:
        """SIGCONT, the end of pause_qemu()."""
        os.kill(self.qemu_pid(name), signal.SIGCONT)

    def wait_for_balloon(self, name: str, seconds: float = 60) -> None:
        """Waits until a Linux guest has booted and reports its memory. Raises StackError."""

        def reported() -> bool:
            with self.connection() as connection:
                return "usable" in connection.lookupByName(name).memoryStats()

        wait_until(reported, seconds, f"balloon statistics of guest {name}")

    def _qemu(self, name: str) -> int | None:
        mark = f"\0{self._guests[name].uuid}\0".encode()
        return next((pid for pid in processes.processes_of(self._root) if mark in processes.command_line(pid)), None)

    def _give_address(self, domain: Any, guest: Guest) -> None:
        """Gives the host's end of the first NIC an address, so that the guest's pings are answered."""
        import xml.etree.ElementTree as ET

        target = ET.fromstring(domain.XMLDesc(0)).find("devices/interface/target")
        if target is not None:
            self._namespace.run(["ip", "addr", "add", f"{guest.address(host=True)}/24", "dev", target.attrib["dev"]])

    def _answers(self) -> bool:
        try:
            with self.connection() as connection:
                return bool(connection.getVersion())
        except StackError:
            return False
