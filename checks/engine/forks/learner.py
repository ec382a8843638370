"""How the fork server comes to load what is not ours: a trial process imports it first, and only what passed is imported; the engine is told."""

from __future__ import annotations

import marshal
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from checks.engine.forks import forked, guard, kinship
from checks.engine.forks.warmth import Memory, Warmth
from checks.engine.forks.wire import LEARNED, LOADING, READY, TRYING

FOREIGN_SECONDS = 1.0
"""How long the engine waits at the start for entries that are not ours; what takes longer is loaded meanwhile."""


# A trial says so by its own word: an import can end its process with any status.
_PASSED = "\0passed"


class Learner:
    """One trial at a time; `act` is to be called whenever something happened, and after `patience` seconds."""

    def __init__(
        self,
        path: list[str],
        entries: Sequence[str],
        avoid: Mapping[str, str],
        seconds: float,
        send: Callable[[int, int, bytes], None],
    ) -> None:
        """`path`: where modules are found; `avoid`: modules not to be imported, and why; `seconds`: how long an import may take."""
        self.path = path
        sys.path[:] = path
        self.memory = Memory()
        self.warmth = Warmth(entries, avoid, seconds)
        self._send = send
        self._trial = self._slot = 0
        self._ready_by: float | None = time.monotonic() + FOREIGN_SECONDS

    @property
    def patience(self) -> float | None:
        """Seconds after which there is something to do; None where there is not."""
        waits = [self.warmth.patience]
        if self._ready_by is not None:
            waits.append(max(0.0, self._ready_by - time.monotonic()))
        return min((wait for wait in waits if wait is not None), default=None)

    def act(self) -> None:
        """Begin or end a trial where it is time to, and tell the engine when we are ready."""
        if self._trial and self.warmth.patience == 0:
            kinship.kill_group(self._trial, signal.SIGKILL)
        elif not self._trial and self.warmth.learning:
            self._begin()
        if self._ready_by is not None and (not self.warmth.learning or time.monotonic() > self._ready_by):
            self._ready_by = None
            self._tell(READY)

    def is_trial(self, pid: int) -> bool:
        """Return whether this child of ours is a trial."""
        return pid == self._trial

    def ended(self) -> None:
        """The trial is over, and reaped: load what passed."""
        hung = self.warmth.patience == 0
        wrong = self.memory.give_back(self._slot)
        self._trial = 0
        self._send(TRYING, 0, b"")
        if wrong == _PASSED:
            wrong = ""
        elif not wrong:
            wrong = "its import hangs" if hung else "its import ends the process"
        self.warmth.load(self.warmth.tried(wrong), lambda name: self._send(LOADING, 0, name.encode()))
        if self._ready_by is None:
            self._tell(LEARNED)

    def leave(self, slot: int | None) -> None:
        """In a warm child, at its end: leave what it had to import."""
        names = self.warmth.imported()
        if names and slot is not None and sys.path == self.path:
            self.memory.write(slot, "\n".join(names))

    def take_back(self, slot: int | None, *, unused: bool = False) -> None:
        """The child that had this slot is gone: learn from what it left."""
        text = "" if slot is None else self.memory.give_back(slot)
        if text and not unused:
            self.warmth.learn(text)

    def _begin(self) -> None:
        if not (names := self.warmth.next_trial()):
            return
        slot, parent = self.memory.take(), os.getpid()
        try:
            if slot is None:
                raise OSError
            self._send(TRYING, 0, "\n".join(names).encode())
            pid = os.fork()
        except OSError:  # too busy
            self.take_back(slot, unused=True)
            self.warmth.postpone()
            return
        if pid:
            self._trial, self._slot = pid, slot
            return
        try:
            forked.leave(parent)
            os.closerange(3, forked.EVERY)
            self.memory.write(slot, guard.trial(names) or _PASSED)
            os._exit(0)
        finally:
            os._exit(1)

    def _tell(self, kind: int) -> None:
        self._send(kind, 0, marshal.dumps({"cold": self.warmth.cold, "files": self.warmth.files}))
