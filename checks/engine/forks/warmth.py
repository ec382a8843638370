"""What the fork server has loaded, and what it learns to load: entries it is told, and modules that its children had to import themselves.

What is not ours is imported in a trial process first: an import that fails, hangs, crashes, prints or leaves something behind costs that entry
or module, never the fork server. A child says at its end what it imported, through a piece of memory that it shares with the fork server.
"""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import mmap
import os
import struct
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.engine.forks import guard
from checks.plugin import Check

_OURS = "checks."
_SLOTS = 64
_SLOT = 4096
_LENGTH = struct.Struct("<H")
_MOST_REFUSED = 10_000
Signature = tuple[int, int, int]


def function(entry: str) -> Callable[[], object]:
    """Return what an entry names. Raises whatever its import raises."""
    module, _, attribute = entry.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


class Memory:
    """Shared with children that are forked later: each may leave a text in a slot of its own."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SLOTS * _SLOT)
        self._free = list(range(_SLOTS))

    def take(self) -> int | None:
        """Return a free slot, None where there is none."""
        if not self._free:
            return None
        slot = self._free.pop()
        self.write(slot, "")
        return slot

    def write(self, slot: int, text: str) -> None:
        """Leave this text, as much of it as there is room for."""
        data = text.encode("utf-8", "replace")[: _SLOT - _LENGTH.size]
        at = slot * _SLOT
        self._map[at + _LENGTH.size : at + _LENGTH.size + len(data)] = data
        self._map[at : at + _LENGTH.size] = _LENGTH.pack(len(data))

    def give_back(self, slot: int) -> str:
        """Return what was left in it, and have it free."""
        at = slot * _SLOT
        (length,) = _LENGTH.unpack(self._map[at : at + _LENGTH.size])
        data = self._map[at + _LENGTH.size : at + _LENGTH.size + min(length, _SLOT - _LENGTH.size)]
        self._free.append(slot)
        return data.decode("utf-8", "replace")


class Warmth:
    """The modules of the fork server. `cold` are entries that can't be loaded, and why; `files` what was loaded, as it was then."""

    def __init__(self, entries: Iterable[str], avoid: Mapping[str, str], seconds: float) -> None:
        """`avoid`: modules not to be imported, and why; `seconds`: how long a trial may take."""
        self._seconds = seconds
        self.cold: dict[str, str] = {}
        self.files: dict[str, Signature] = {}
        self._entries: dict[str, list[str]] = {}
        self._refused = dict(avoid)
        self._trials: deque[list[str]] = deque()
        self._known: set[str] = set()
        self._deadline = self._not_before = 0.0
        own = []
        for entry in entries:
            module = entry.partition(":")[0]
            self._entries.setdefault(module, []).append(entry)
            if module in avoid:
                self._refuse(module, avoid[module])
            elif module.startswith(_OURS):
                own.append(module)
            else:
                self._trials.append([module])
        self.load(own)

    def imported(self) -> list[str]:
        """Return, in a child, the modules that the fork server does not have."""
        if len(sys.modules) == len(self._known):
            return []
        return [
            name
            for name, module in list(sys.modules.items())
            if name not in self._known and getattr(module, "__spec__", None) and name not in self._refused
        ]

    def learn(self, text: str) -> None:
        """Take what a child left: the modules it imported, to be tried."""
        names = [name for name in text.split("\n") if name and name not in sys.modules and name not in self._refused]
        if names and names not in self._trials:
            self._trials.append(names)

    def next_trial(self) -> list[str]:
        """Return the modules that a trial process has to import now; empty where there is nothing to do. `tried` is to be told how that ended."""
        if self._trials and time.monotonic() >= self._not_before:
            self._deadline = time.monotonic() + self._seconds
            return self._trials[0]
        return []

    def postpone(self) -> None:
        """No trial process could be made."""
        self._deadline, self._not_before = 0.0, time.monotonic() + 1.0

    @property
    def learning(self) -> bool:
        """Whether there is something left to try."""
        return bool(self._trials)

    @property
    def patience(self) -> float | None:
        """Seconds that the trial process still has; None where there is none."""
        return max(0.0, self._deadline - time.monotonic()) if self._deadline else None

    def tried(self, wrong: str) -> list[str]:
        """Return the modules that are to be imported now, with `load`: none where the trial says that something is wrong."""
        self._deadline = 0.0
        names = self._trials.popleft()
        if not wrong:
            return names
        if len(names) > 1:  # which of them?
            self._trials.extendleft([name] for name in reversed(names))
        else:
            self._refuse(names[0], wrong)
        return []

    def load(self, names: Sequence[str], announce: Callable[[str], object] = str) -> None:
        """Import modules; each is announced, for it may be the end of this process though it passed its trial."""
        for name in names:
            announce(name)
            before = guard.state()
            try:
                importlib.import_module(name)
                if name.startswith(_OURS):
                    self._warm_up(name)
            except BaseException as error:
                self._refuse(name, f"its import fails: {type(error).__name__}: {error}")
            else:
                wrong = guard.difference(before, guard.state())
                if wrong:
                    self._refuse(name, f"its import {wrong}")
        gc.collect()
        gc.freeze()
        new = sys.modules.keys() - self._known
        self._known |= new
        self.files |= _signatures(new)

    def _warm_up(self, module: str) -> None:
        """Have our checks do ahead what each run does alike."""
        for entry in self._entries.get(module, ()):
            owner = getattr(function(entry), "__self__", None)
            if isinstance(owner, Check):
                owner.warm_up()

    def _refuse(self, module: str, why: str) -> None:
        if len(self._refused) < _MOST_REFUSED:
            self._refused[module] = why
        for entry in self._entries.get(module, ()):
            self.cold[entry] = why
            self.files |= _signatures_of_missing(module)


def _signatures(modules: Iterable[str]) -> dict[str, Signature]:
    """Return file and signature of the modules outside the standard library; os.py and the interpreter stand for that."""
    standard = sysconfig.get_path("stdlib") + "/"
    files = [os.__file__, os.path.realpath(sys.executable)]
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and (not file.startswith(standard) or "-packages/" in file):
            files.append(file)
    return {file: found for file in files if (found := signature(file))}


def _signatures_of_missing(module: str) -> dict[str, Signature]:
    """Return file and signature of where a module that can't be imported seems to lie, so that its repair is noticed."""
    top, *rest = module.split(".")
    try:
        spec = importlib.machinery.PathFinder.find_spec(top)
    except Exception:
        return {}
    files = [spec.origin] if spec and spec.origin else []
    if spec and rest:
        files += [str(Path(place, *rest).with_suffix(".py")) for place in spec.submodule_search_locations or ()]
    return {file: found for file in files if (found := signature(file))}


def signature(file: str) -> Signature | None:
    """Return what changes when a file does: time of change in ns, size and inode; None where it is gone."""
    try:
        found = os.stat(file)  # noqa: PTH116 - called for each file once a second
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
