"""A private engine (`testbed-checks serve`): checks run warm there, as the user who runs NRPE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.stack.daemon import Daemon
from tests.stack.place import command, give, socket_folder


class Engine:
    """The resident engine with a socket of its own: `environment` sends a check there."""

    def __init__(self, root: Path, user: str | None = None, options: Sequence[str] = (), name: str = "engine") -> None:
        """`options`: further ones of `testbed-checks serve`."""
        self.folder = socket_folder(root) / name
        self.socket = self.folder / "engine.sock"
        self.environment = {"TESTBED_CHECKS_ENGINE": str(self.socket)}
        self._root, self._user, self._options, self._name = root, user, list(options), name
        self.daemon: Daemon | None = None

    def start(self) -> None:
        """Start it and wait until it serves. Raises StackError."""
        commands = self.folder / "nrpe.d"
        commands.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        give(self.folder, self._user)
        log = self._root / "log" / f"{self._name}.log"
        argv: list[str | Path] = [command("testbed-checks"), "serve", "--socket", self.socket, "--commands", commands]
        argv += self._options
        self.daemon = Daemon(self._name, argv, log, user=self._user, root=self._root)
        said = len(self.log())
        self.daemon.start()
        self.daemon.wait_ready(lambda: " runs: " in self.log()[said:], 60, "the engine serves")

    def stop(self) -> None:
        """End it and the checks that it runs."""
        if self.daemon:
            self.daemon.stop()

    def log(self) -> str:
        """What it has said."""
        path = self._root / "log" / f"{self._name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def processes(self) -> list[int]:
        """Process ids: the engine's, its fork server's, and those of what runs."""
        assert self.daemon
        found = [self.daemon.pid]
        for pid in found:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
        return found
