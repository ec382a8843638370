"""Where a stack lies: its folder, short socket folder, user and free ports.

The daemons that run as user `nagios` when root calls must be able to read their files. A clone under root's home
(mode 0700) is not readable to them: then the run folders, the virtual environment and a copy of the sources lie below
/var/lib/testbed-checks/ (see bin/lib/install), linked from `var/place`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import shutil
import socket
import subprocess
from pathlib import Path

from tests.stack import processes
from tests.stack.daemon import StackError

CLONE = Path(__file__).resolve().parents[2]
VAR = CLONE / "var"
# A Unix socket's path has at most 107 bytes.
LONGEST_SOCKET = 107


def daemon_user() -> str | None:
    """The user for daemons that need no privileges: `nagios` when root calls, otherwise None (the caller)."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("nagios")
    except KeyError:
        raise StackError("user nagios does not exist; it comes with Debian's package nagios4-core") from None
    return "nagios"


def base() -> Path:
    """The folder for everything the daemons' user has to read: `var`, or what bin/lib/install linked as `var/place`."""
    link = VAR / "place"
    return link.resolve() if link.is_symlink() and link.lstat().st_uid == os.geteuid() else VAR


def command(name: str) -> Path:
    """A console script of the project (or `python3`) in the virtual environment, executable by the daemons' user."""
    return base() / "venv" / "bin" / name


def sources() -> Path:
    """The project's files where the daemons' user can read them: the clone itself, or the copy beside the virtual
    environment.
    """
    return CLONE if base() == VAR else base() / "src"


def give(path: Path, user: str | None) -> Path:
    """Makes `path`, and all below it, belong to `user` (None: leave it as it is)."""
    if user:
        account = pwd.getpwnam(user)
        for folder, _, files in os.walk(path):
            for entry in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
                os.chown(entry, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return path


def make_root(name: str) -> Path:
    """An empty stack folder called `name`, which the caller owns until clean(); what a killed owner left there is ended
    and removed first.
    """
    root = base() / name
    clean(root)
    # It has its owner from the first moment on: another run takes one without for abandoned, and removes it.
    making = root.with_name(f".making-{name}-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    making.chmod(0o755)
    (making / "owner").write_text(f"{os.getpid()} {processes.start_time(os.getpid())}\n", encoding="ascii")
    making.rename(root)
    return root


def owner_alive(root: Path) -> bool:
    """Whether the process that called make_root() for this folder still runs."""
    try:
        pid, started = (root / "owner").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False
    return processes.start_time(int(pid)) == int(started)


def clean(root: Path) -> None:
    """Ends every process of the stack in `root` and removes its files.

    Nothing of it is left; harmless where nothing is.
    """
    if not root.exists():
        return
    processes.end_stack(root)
    shutil.rmtree(_socket_folder_outside(root), ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        raise StackError(f"can't remove {root}")


def clean_abandoned(prefix: str) -> None:
    """Cleans every stack whose folder begins with `prefix` and whose owner was killed."""
    for root in base().glob(f"{prefix}*"):
        if root.is_dir() and not owner_alive(root):
            clean(root)


def _socket_folder_outside(root: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    runtime = Path(f"/run/user/{os.geteuid()}")
    parent = Path("/run") if os.geteuid() == 0 else runtime if os.access(runtime, os.W_OK) else Path("/var/tmp")
    return parent / f"tb-{os.geteuid()}-{digest}"


def socket_folder(root: Path, below: int = 30) -> Path:
    """A folder for Unix sockets whose path leaves `below` bytes for what follows: `root`, or one outside that clean() removes as well.

    Raises StackError when that can't be made.
    """
    if len(os.fsencode(root)) + below <= LONGEST_SOCKET:
        return root
    folder = _socket_folder_outside(root)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StackError(f"{root} is too deep for Unix sockets, and {folder} can't be made: {error}") from error
    if status.st_uid != os.geteuid() or folder.is_symlink():
        raise StackError(f"{folder} belongs to somebody else; remove it")
    folder.chmod(0o711)
    return folder


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now, below the range from which the kernel serves outgoing connections."""
    for _ in range(200):
        port = random.randint(15000, 31999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StackError("no free port on 127.0.0.1 between 15000 and 31999")


def run(
    argv: list[str | Path],
    what: str,
    user: str | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 120,
) -> str:
    """Standard output of a command that ends by itself. Raises StackError with its last words when it fails."""
    account = pwd.getpwnam(user) if user else None
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=env,
            cwd=cwd,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[account.pw_gid] if account else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{what}: {error}") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise StackError(f"{what}: {words[:300]}")
    return done.stdout
