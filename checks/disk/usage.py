"""Asks file systems how full they are, so that one that never answers costs nobody but itself.

statvfs on a dead mount can't be interrupted, nor its process be killed. So a child asks, with one thread, and one more for each mount
that keeps it waiting; the child holds none of our descriptors and nobody waits for its end. While it is stuck it keeps an abstract
socket for each mount that holds it, whose name later runs meet: they leave that mount alone, so there is never more than one stuck
process for a mount, however many runs there are. The kernel frees the name when the process ends at last.
"""

from __future__ import annotations

import _thread
import errno
import hashlib
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

import psutil

# An answer that takes longer than this gets the queue behind it another thread.
_PATIENCE = 0.025
_MOST_THREADS = 256
# What the child may take beyond a mount's time, and the parent once more, as a part of that time.
_GRACE = 0.07
# As a part of that time, what lies between a child's last word and its end; past that it is stuck.
_LEAVING = 0.05


class Usage(NamedTuple):
    """Bytes and inodes of a file system; `free` is what an ordinary user can still write."""

    size: int
    used: int
    free: int
    inodes: int
    inodes_free: int

    @property
    def used_percent(self) -> float:
        """Percent used as df computes it: of what is used or free for ordinary users, without root's reserve."""
        return 100 * self.used / (self.used + self.free) if self.used + self.free else 0.0

    @property
    def inodes_used_percent(self) -> float:
        """Percent of the inodes that are used."""
        return 100 * (self.inodes - self.inodes_free) / self.inodes


class Trouble(NamedTuple):
    """Why a file system gave no numbers: an errno, or `hung`."""

    error: int = 0
    hung: bool = False
    earlier: bool = False


Answer = Usage | Trouble
_left: list[int] = []


def ask(mounts: Sequence[tuple[str, str]], seconds: float, here: Container[str] = ()) -> dict[str, Answer]:
    """Return the answer of each mount of `mounts` (its device number and path) by path; each may take `seconds`.

    The paths in `here` can't keep anybody waiting: they need no child, which costs more than all the rest of a check.
    A mount that nobody got round to asking is missing. Raises OSError where no child can be started.
    """
    found = {path: _ask_here(path) for _, path in mounts if path in here}
    others = [mount for mount in mounts if mount[1] not in found]
    return found | _ask_in_a_child(others, seconds) if others else found


def _ask_in_a_child(mounts: Sequence[tuple[str, str]], seconds: float) -> dict[str, Answer]:
    _reap()
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(writing)
        os.close(reading)
        raise
    if child == 0:
        _be_the_child(writing, mounts, seconds)
    os.close(writing)
    ended = False
    try:
        lines, ended = _read(reading, seconds * (1 + 2 * _GRACE), seconds * _LEAVING)
    finally:
        os.close(reading)
        if ended:
            os.waitpid(child, 0)
        else:
            _left.append(child)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    return dict(_answers(lines, [path for _, path in mounts]))


def _ask_here(path: str) -> Answer:
    try:
        return measure(path)
    except OSError as error:
        return Trouble(error.errno or errno.EIO)


def measure(path: str) -> Usage:
    """Return how full the file system at `path` is. Raises OSError."""
    space, inodes = psutil.disk_usage(path), os.statvfs(path)
    # Some NFS servers say "less than nothing" where root's reserve is in use; unsigned, that is a huge number.
    free = space.free if space.free < 1 << 63 else 0
    return Usage(space.total, max(space.used, 0), free, inodes.f_files, min(inodes.f_ffree, inodes.f_files))


def _reap() -> None:
    """Collect children of earlier calls that have ended meanwhile."""
    for child in list(_left):
        try:
            ended = os.waitpid(child, os.WNOHANG)[0]
        except ChildProcessError:
            ended = child
        if ended:
            _left.remove(child)


def _read(reading: int, seconds: float, leaving: float) -> tuple[list[bytes], bool]:
    """Return the child's lines, and whether it ended: no thread of it holds the pipe any more, so it can be waited for."""
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    data = bytearray()
    ended = said_end = False
    while not ended and (left := end - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            chunk = os.read(reading, 1 << 16)
            ended = not chunk
            data += chunk
        if not said_end and data.endswith(b"end\n"):
            said_end, end = True, time.monotonic() + leaving
    return bytes(data).split(b"\n")[:-1], ended


def _answers(lines: Sequence[bytes], paths: Sequence[str]) -> Iterator[tuple[str, Answer]]:
    for line in lines:
        number, _, rest = line.partition(b" ")
        if rest:
            yield paths[int(number)], _decode(rest)


def _decode(text: bytes) -> Answer:
    kind, *numbers = text.split()
    values = [int(number) for number in numbers]
    return Usage(*values) if kind == b"usage" else Trouble(values[0], kind != b"error", kind == b"earlier")


def _be_the_child(writing: int, mounts: Sequence[tuple[str, str]], seconds: float) -> NoReturn:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _Child(_let_go(writing), mounts, seconds).work()
    finally:
        os._exit(0)


def _let_go(writing: int) -> int:
    """Close what we inherited, so that nobody waits for a stuck child's end of a pipe or socket; return the pipe's new number."""
    import fcntl

    kept = fcntl.fcntl(writing, fcntl.F_DUPFD, 3)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.closerange(3, kept)
    os.closerange(kept + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 20))
    return kept


class _Child:
    """The child's side: threads that ask, and the first thread, which sees who is stuck."""

    def __init__(self, pipe: int, mounts: Sequence[tuple[str, str]], seconds: float) -> None:
        self.pipe, self.mounts, self.seconds = pipe, mounts, seconds
        self.queue: deque[int] = deque()
        # What each thread asks and since when; the GIL keeps single operations on dict and deque whole.
        self.asking: dict[int, tuple[int, float]] = {}
        self.given_up: set[int] = set()
        self.ready = _thread.allocate_lock()
        self.threads = self.answers = 0
        self.names: list[socket.socket] = []

    def work(self) -> None:
        """Ask everything; return when every mount has answered or had its time."""
        self.queue.extend(self._not_stuck_already())
        end = time.monotonic() + self.seconds * (1 + _GRACE)
        self.ready.acquire()
        more, before = 1, -1
        while (self.queue or self.asking) and time.monotonic() < end:
            if self.answers == before or not self.threads:
                self._start_threads(more)
                more *= 2
            else:
                more = 1
            before = self.answers
            self.ready.acquire(timeout=_PATIENCE)
            self._give_up(self.seconds)
        self._give_up(0)
        self._say("end")

    def _start_threads(self, count: int) -> None:
        for _ in range(min(count, len(self.queue), _MOST_THREADS - self.threads)):
            self.threads += 1
            try:
                _thread.start_new_thread(self._ask_next, (self.threads,))
            except RuntimeError:  # no more threads for this user: those there are go on
                return

    def _ask_next(self, thread: int) -> None:
        while True:
            try:
                number = self.queue.popleft()
            except IndexError:
                break
            self.asking[thread] = (number, time.monotonic())
            try:
                text = "usage " + " ".join(map(str, measure(self.mounts[number][1])))
            except OSError as error:
                text = f"error {error.errno or errno.EIO}"
            except Exception:
                text = f"error {errno.EIO}"
            self.asking.pop(thread, None)
            self.answers += 1  # one lost between two threads does not matter
            if number in self.given_up:
                break
            self._say(f"{number} {text}")
        if not self.queue and not self.asking:
            with suppress(RuntimeError):
                self.ready.release()

    def _give_up(self, seconds: float) -> None:
        """Say which mounts have not answered for `seconds`, and leave their names for later runs."""
        now = time.monotonic()
        for thread, (number, since) in list(self.asking.items()):
            if now - since >= seconds and number not in self.given_up:
                self.given_up.add(number)
                self._keep_name(number)
                self._say(f"{number} hung 0")
                self.asking.pop(thread, None)

    def _say(self, line: str) -> None:
        try:
            os.write(self.pipe, line.encode() + b"\n")
        except OSError:  # nobody reads any more
            os._exit(0)

    def _name(self, number: int) -> bytes:
        device_number, path = self.mounts[number]
        digest = hashlib.sha256(f"{device_number} {path}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return f"\0testbed-checks/check_disk/{os.getuid()}/{digest}".encode()

    def _keep_name(self, number: int) -> None:
        with suppress(OSError):
            name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.names.append(name)
            name.bind(self._name(number))
            name.listen(128)

    def _not_stuck_already(self) -> list[int]:
        """Return the mounts that no earlier run's child is stuck in, and say which are."""
        free = []
        for number in range(len(self.mounts)):
            if self._is_taken(number):
                self._say(f"{number} earlier 0")
            else:
                free.append(number)
        return free

    def _is_taken(self, number: int) -> bool:
        """Tell whether a process of our own user has the mount's name; anybody could take a name to blind us."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self._name(number))
            except BlockingIOError:  # its queue is full of runs like this one
                return True
            except OSError:
                return False
            _, user, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return bool(user == os.getuid())
