"""One daemon in the foreground: started with a clean environment, recorded, stopped with everything it started."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from tests.stack import processes

T = TypeVar("T")


class StackError(Exception):
    """A part of the stack did not come up, or went away; the text names the part and the log to read."""


class PortTaken(StackError):
    """Somebody else took the port between our choice and the daemon's start."""


class OnFreePort:
    """A server that chooses its port in `_start`, and chooses again where somebody else was faster."""

    port = 0

    def start(self) -> None:
        """Starts it and waits until it answers. Raises StackError."""
        for _ in range(3):
            try:
                return self._start()
            except PortTaken:
                self.port = 0
        return self._start()

    def _start(self) -> None:
        raise NotImplementedError


def wait_until(predicate: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of `predicate`. Raises StackError, which says `what`, when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise StackError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return answer


def clean_environment(root: Path, user: str | None) -> dict[str, str]:
    """What a daemon sees: nothing of the caller's environment (LIBVIRT_DEFAULT_URI, PYTHONPATH, proxies ...) and the
    mark of its stack.
    """
    name = user or pwd.getpwuid(os.getuid()).pw_name
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(root),
        "USER": name,
        "LOGNAME": name,
        processes.MARK: str(root),
    }


def accepts(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Daemon:
    """A process in a session of its own. `user` is given as root only; None means the caller.

    `root` is the folder of the stack it belongs to (default: where its log lies); `env` is added to a clean
    environment; `inside` is what puts the process into a namespace (Namespace.entered).
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        root: Path | None = None,
        inside: Callable[[], AbstractContextManager[Callable[[], None] | None]] = nullcontext,
    ) -> None:
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = log
        self.cwd = cwd
        self.user = user
        self.root = root or log.parent
        self.inside = inside
        self.env = clean_environment(self.root, user) | dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._started: int | None = None

    @property
    def pid(self) -> int:
        """Process id of the running daemon. Raises StackError when it was not started."""
        if self._process is None:
            raise StackError(f"{self.name} is not started")
        return self._process.pid

    def start(self) -> None:
        """Starts the process; whether it is ready is for its owner to find out.

        Raises StackError when it can't be executed.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        account = pwd.getpwnam(self.user) if self.user else None
        try:
            with self.log.open("ab") as log, self.inside() as before_exec:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.env,
                    cwd=self.cwd or self.root,
                    start_new_session=True,
                    preexec_fn=before_exec,
                    user=account.pw_uid if account else None,
                    group=account.pw_gid if account else None,
                    extra_groups=os.getgrouplist(account.pw_name, account.pw_gid) if account else None,
                )
        except OSError as error:
            raise StackError(f"{self.name} can't be started: {error}") from error
        self._started = processes.start_time(self._process.pid)
        self._record().parent.mkdir(parents=True, exist_ok=True)
        self._record().write_text(f"{self._process.pid} {self._started}\n", encoding="ascii")

    def alive(self) -> bool:
        """Whether the process runs (or is paused)."""
        return self._process is not None and self._process.poll() is None

    def listens(self, port: int) -> bool:
        """Whether the socket that listens on this port of 127.0.0.1 is this daemon's own (see proc(5), /proc/net/tcp)."""
        local = f"0100007F:{port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == local and row[3] == "0A"}
        try:
            return any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{self.pid}/fd").iterdir())
        except OSError:
            return False

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Sends a signal; after SIGKILL waits until the process is gone."""
        if self.alive():
            os.kill(self.pid, sig)
            if sig == signal.SIGKILL:
                self._reap()

    def pause(self) -> None:
        """SIGSTOP: it keeps its sockets open and never answers."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, the end of pause()."""
        self.kill(signal.SIGCONT)

    def stop(self, patience: float = 5.0) -> None:
        """Ends the process (TERM, after `patience` seconds KILL) and all that is left of its session."""
        if self._process is None:
            return
        processes.end_all([self.pid] if self.alive() else [], patience)
        processes.end_all(set(processes.session_of(self.pid)) & set(processes.processes_of(self.root)), patience=0.5)
        self._reap()
        self._process = None
        self._record().unlink(missing_ok=True)

    def wait_ready(self, predicate: Callable[[], T], seconds: float, what: str, ports: Sequence[int] = ()) -> T:
        """As wait_until, but also gives up, with the last words of the log, when the daemon dies.

        Raises PortTaken when it died and somebody else has one of its `ports`.
        """

        def ready_or_dead() -> T | bool:
            return predicate() or not self.alive()

        try:
            wait_until(ready_or_dead, seconds, what)
        except StackError as error:
            raise StackError(f"{error}; see {self.log}") from error
        if answer := predicate():
            return answer
        if any(accepts(port) for port in ports):
            raise PortTaken(f"{self.name} found its port taken; see {self.log}")
        text = self.log.read_text(encoding="utf-8", errors="replace")
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
        raise StackError(f"{self.name} ended at once: {last[:200]}; see {self.log}")

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired as error:
                raise StackError(f"{self.name} (process {self.pid}) does not end") from error

    def _record(self) -> Path:
        return self.root / "pids" / self.name
