"""Private mount, network and process namespaces for libvirtd and its guests: nothing of the machine's own libvirt, files
or network is touched.

Only root can have them. Inside, /run, /var/lib, /var/cache, /var/log and /etc/libvirt are folders of the stack,
/etc/passwd and /etc/group are copies with libvirt's user in them, /dev/kvm is not usable, and the taps of the guests
are the only network devices beside lo. When the holder ends, the kernel ends everything inside.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.stack import processes
from tests.stack.daemon import Daemon, StackError
from tests.stack.place import base, run

HIDDEN = ("/run", "/var/lib", "/var/cache", "/var/log", "/etc/libvirt")
LIBVIRT_USER = "libvirt-qemu"
UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
_LIBC = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12


def available() -> bool:
    """Whether this process may make such a namespace: root in a container often may not."""
    try:
        run([*UNSHARE, "true"], "unshare")
    except StackError:
        return False
    return True


def taps_available() -> bool:
    """Whether tap devices can be made."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


class Namespace:
    """Held open by one sleeping process; ends, with its mounts and taps, when that process and all inside it have ended."""

    def __init__(self, root: Path, shared: dict[str, Path]) -> None:
        """`shared` maps a folder inside to the folder that it shows, e.g. a cache that outlives the stack."""
        self.folder = root / "namespace"
        self._root = root
        self._shared = shared
        self.holder: Daemon | None = None

    def inside(self, path: str) -> Path:
        """Where a path below one of the hidden folders is found from outside."""
        return self.folder / path.strip("/")

    def start(self) -> None:
        """Makes the namespace. Raises StackError."""
        for hidden in HIDDEN:
            self.inside(hidden).mkdir(parents=True, exist_ok=True)
        for name, line in (
            ("passwd", f"{LIBVIRT_USER}:x:64055:64055::/nonexistent:/usr/sbin/nologin"),
            ("group", f"{LIBVIRT_USER}:x:64055:"),
        ):
            text = Path(f"/etc/{name}").read_text(encoding="utf-8", errors="surrogateescape")
            if not any(entry.startswith(f"{LIBVIRT_USER}:") for entry in text.splitlines()):
                text = text.rstrip("\n") + f"\n{line}\n"
            (self.folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        no_kvm = self.folder / "no-kvm"
        no_kvm.touch(mode=0)
        argv = [*UNSHARE, "/bin/sh", "-ec", self._script(ready)]
        self.holder = Daemon("namespace", argv, self._root / "log" / "namespace.log", root=self._root)
        self.holder.start()
        self.holder.wait_ready(ready.exists, 10, "a private mount and network namespace")

    def init(self) -> int:
        """Process id, as seen from outside, of the first process inside. Raises StackError when there is none."""
        for pid in processes.session_of(self.holder.pid) if self.holder else ():
            if processes.inner_pid(pid) == 1:
                return pid
        raise StackError("the private namespace is not there")

    @contextmanager
    def entered(self) -> Iterator[Callable[[], None]]:
        """While it is open, processes started by this thread begin inside, if they call what it yields before exec.

        Raises StackError.
        """
        init = self.init()
        with ExitStack() as closing:

            def opened(path: str) -> int:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                closing.callback(os.close, descriptor)
                return descriptor

            mount, net, pid = (opened(f"/proc/{init}/ns/{kind}") for kind in ("mnt", "net", "pid"))
            own = opened("/proc/self/ns/pid")

            def before_exec() -> None:
                _setns(net)
                _setns(mount)
                os.chdir("/")

            # A process can't change its own process namespace, only that of its future children.
            _setns(pid)
            try:
                yield before_exec
            finally:
                _setns(own)

    def run(self, argv: list[str]) -> None:
        """Runs a command inside. Raises StackError."""
        with self.entered() as before_exec:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, preexec_fn=before_exec)
        if done.returncode:
            raise StackError(f"{shlex.join(argv)}: {done.stderr.strip()}")

    def stop(self) -> None:
        """Ends the holder, and with it everything inside."""
        if self.holder and self.holder.alive():
            self.holder.kill(signal.SIGKILL)
            self.holder.stop()

    def _script(self, ready: Path) -> str:
        lines = []
        for hidden in HIDDEN:
            for path, shown in self._shared.items():
                if Path(path).is_relative_to(hidden) and not Path(path).is_relative_to(base()):
                    self.inside(path).mkdir(parents=True, exist_ok=True)
                    shown.mkdir(parents=True, exist_ok=True)
                    lines.append(f"mount --bind {shlex.quote(str(shown))} {shlex.quote(str(self.inside(path)))}")
        for hidden in HIDDEN:
            # The stack's own files must be seen at the same path inside, even when they lie below a folder that is hidden; with all that is
            # mounted above, for these paths lead through here as soon as that folder is hidden.
            if base().is_relative_to(hidden):
                self.inside(str(base())).mkdir(parents=True, exist_ok=True)
                lines.append(f"mount --rbind {shlex.quote(str(base()))} {shlex.quote(str(self.inside(str(base()))))}")
        lines += [
            f"mount --rbind {shlex.quote(str(self.inside(hidden)))} {hidden}" for hidden in HIDDEN if hidden != "/run"
        ]
        for name in ("passwd", "group"):
            lines.append(f"mount --bind {shlex.quote(str(self.folder / name))} /etc/{name}")
        if Path("/dev/kvm").exists():
            # libvirtd would probe QEMU anew at every start when it may use KVM and its guests' user may not.
            lines.append(f"mount --bind {shlex.quote(str(self.folder / 'no-kvm'))} /dev/kvm")
        lines += ["mount -t sysfs sysfs /sys", "ip link set lo up"]
        lines.append(f"mount --rbind {shlex.quote(str(self.inside('/run')))} /run")
        # Ignoring SIGCHLD, the first process reaps the orphans of the others at once.
        lines += [f": > {shlex.quote(str(ready))}", "exec env --ignore-signal=CHLD sleep infinity"]
        return "\n".join(lines)
