"""Small file systems for a test, in a user and mount namespace of their own, which end with the test: full, read-only, or another one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.stack.daemon import StackError, wait_until

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]


class Mounts:
    """A namespace that sees everything the test sees, plus its own mounts. Needs no privileges."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"ready\n":
            raise StackError("no user and mount namespace to be had")

    def __enter__(self) -> Mounts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.kill()
        self._holder.wait(20)

    @property
    def enter(self) -> Sequence[str]:
        """What goes before a command that shall run inside."""
        return ("nsenter", "--user", "--mount", "--preserve-credentials", "--target", str(self._holder.pid), "--")

    @property
    def root(self) -> Path:
        """Where the test sees the namespace's `/`."""
        return Path(f"/proc/{self._holder.pid}/root")

    def tmpfs(self, path: Path, size: str = "16m", options: str = "") -> None:
        """Mounts an empty file system of `size` on `path`. Raises StackError."""
        self._run("mount", "-t", "tmpfs", "-o", f"size={size}{',' if options else ''}{options}", "tmpfs", str(path))

    def remount(self, path: Path, options: str) -> None:
        """Changes the options of the mount at `path`, e.g. to `ro`; again while it is busy. Raises StackError."""
        wait_until(lambda: self._done("mount", "-o", f"remount,{options}", str(path)), 20, f"remount {path} {options}")

    def read_only(self, path: Path) -> None:
        """Covers `path` with a read-only view of itself: what is open stays writable. Raises StackError."""
        self._run("mount", "--bind", str(path), str(path))
        self._run("mount", "-o", "remount,bind,ro", str(path))

    def uncover(self, path: Path) -> None:
        """Takes away what covers `path`, also while it is busy. Raises StackError."""
        self._run("umount", "--lazy", str(path))

    def unmount(self, path: Path) -> None:
        """Takes the mount away. Raises StackError."""
        self._run("umount", str(path))

    def _done(self, *command: str) -> bool:
        return not subprocess.run([*self.enter, *command], capture_output=True, check=False).returncode

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self.enter, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"{' '.join(command)}: {done.stderr.strip()}")


def fill(folder: Path) -> Path:
    """Takes all the room that is left on the file system of `folder`, with one file, which is the answer."""
    path = folder / ".filler"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return path
