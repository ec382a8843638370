"""Whether the directories and files around a configuration are as they must be for the user that runs this."""

from __future__ import annotations

import enum
import importlib.util
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from graphios.commands.units import many, size
from graphios.configuration import graphios2, state_directory
from graphios.configuration.settings import InfluxBackend, OutputBackend, PrometheusBackend, Settings


class Level(enum.IntEnum):
    """How bad it is."""

    NOTE = 0
    WARNING = 1
    WRONG = 2


class Finding(NamedTuple):
    """Something the operator should know."""

    level: Level
    text: str


def look_around(settings: Settings) -> Iterator[Finding]:
    """All findings of one configuration."""
    if not os.geteuid():
        yield Finding(
            Level.NOTE, "root may read and write everything: as the user of the service, this may look different"
        )
    for spool in settings.spools:
        yield from _spool(spool.name, spool.directory)
        yield from _same_file_system(settings, spool.directory)
    for fifo in settings.fifos:
        yield from _fifo(fifo.name, Path(fifo.path))
    for what, directory in (
        ("[state] directory", settings.state_directory),
        ("[status] file", settings.status_file.parent),
        ("[rejects] file", settings.reject_file.parent),
    ):
        level = Level.NOTE if _systemd_will_say(directory) else Level.WRONG
        for finding in _can_be_written(what, directory):
            said = " (unless systemd sets STATE_DIRECTORY, as graphios.service has it)" if level == Level.NOTE else ""
            yield Finding(level, finding.text + said)
    for backend in settings.backends:
        if isinstance(backend, OutputBackend) and backend.path:
            yield from _output(backend.name, backend.path)
    yield from _space(settings)
    yield from _libraries(settings)
    if settings.names.cleaning == "graphios" and settings.path.suffix == ".cfg":
        yield from _left_alone(settings)


def _systemd_will_say(directory: Path) -> bool:
    """Whether this is where state goes only because no unit file says where."""
    return "STATE_DIRECTORY" not in os.environ and directory.is_relative_to(state_directory())


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _access(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _mode(path: Path) -> int:
    """Its mode as stat(2) gives it; 0: it is not there, or what is above it can't be entered."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _spool(name: str, directory: str) -> Iterator[Finding]:
    path = Path(directory)
    mode = _mode(path)
    if not stat.S_ISDIR(mode):
        reason = "is no directory" if mode else f"does not exist, or {_user()} can't enter what is above it"
        yield Finding(Level.WRONG, f"[{name}] directory = {directory} {reason}")
        return
    if not _access(path, os.R_OK | os.X_OK):
        yield Finding(Level.WRONG, f"[{name}] directory = {directory} can't be read, as {_user()}")
    elif not _access(path, os.W_OK | os.X_OK):
        text = f"[{name}] directory = {directory} can't be written, as {_user()}: delivered files could not be removed"
        yield Finding(Level.WRONG, text)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        text = f"[{name}] directory = {directory}: every user of this machine may put files there, and remove others'"
        yield Finding(Level.WARNING, text)


def _fifo(name: str, path: Path) -> Iterator[Finding]:
    mode = _mode(path)
    if not mode:
        yield from _can_be_written(f"[{name}] path", path.parent, made=False)
    elif not stat.S_ISFIFO(mode):
        yield Finding(Level.WRONG, f"[{name}] path = {path} is something else than a named pipe")
    elif not _access(path, os.R_OK):
        yield Finding(Level.WRONG, f"[{name}] path = {path} can't be read, as {_user()}")


def _existing(path: Path) -> Path:
    """The nearest directory above that is there, or the path itself."""
    while not _mode(path) and path != path.parent:
        path = path.parent
    return path


def _can_be_written(what: str, directory: Path, made: bool = True) -> Iterator[Finding]:
    """`made`: missing directories are made by graphios."""
    nearest = _existing(directory)
    if not made and nearest != directory:
        yield Finding(Level.WRONG, f"{what}: {directory} does not exist")
    elif not stat.S_ISDIR(_mode(nearest)):
        yield Finding(Level.WRONG, f"{what}: {nearest} is no directory")
    elif not _access(nearest, os.W_OK | os.X_OK):
        missing = "" if nearest == directory else f", so {directory} can't be made"
        yield Finding(Level.WRONG, f"{what}: {nearest} can't be written, as {_user()}{missing}")


def _same_file_system(settings: Settings, directory: str) -> Iterator[Finding]:
    try:
        same = Path(directory).stat().st_dev == _existing(settings.state_directory).stat().st_dev
    except OSError:
        return
    if not same:
        text = f"state ({settings.state_directory}) and spool ({directory}) are on different file systems: the replay window of this spool"
        yield Finding(Level.NOTE, f"{text} is kept in {directory}/.delivered")


def _output(name: str, path: Path) -> Iterator[Finding]:
    mode = _mode(path)
    if not mode:
        yield from _can_be_written(f"[{name}] path", path.parent, made=False)
    elif stat.S_ISDIR(mode) or not _access(path, os.W_OK):
        yield Finding(Level.WRONG, f"[{name}] path = {path} can't be written, as {_user()}")


def _space(settings: Settings) -> Iterator[Finding]:
    for spool in settings.spools:
        try:
            space = os.statvfs(spool.directory)
        except OSError:
            continue
        free = space.f_bavail * space.f_frsize
        if not settings.limits.max_bytes or free < settings.limits.max_bytes:
            text = (
                f"{size(free)} are free for {spool.directory}, so the disk is full before [limits] max_bytes is reached"
            )
            yield Finding(Level.NOTE, text)


def _libraries(settings: Settings) -> Iterator[Finding]:
    needed = {"inotify_simple": ("inotify-simple", Level.WARNING, "new files are noticed by looking for them")}
    for backend in settings.backends:
        if isinstance(backend, InfluxBackend | PrometheusBackend):
            needed["requests"] = ("requests", Level.WRONG, f"[{backend.name}] needs it")
        if isinstance(backend, PrometheusBackend):
            needed["cramjam"] = ("cramjam", Level.WRONG, f"[{backend.name}] needs it")
    for module, (package, level, why) in needed.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(level, f"the Python package {package} is not installed: {why}")


def _left_alone(settings: Settings) -> Iterator[Finding]:
    for spool in settings.spools:
        try:
            found = graphios2.left_alone(spool.directory)
        except OSError:
            continue
        if found:
            text = f"{spool.directory} holds {many(len(found), 'file')} that Graphios 2 would have taken and that are left alone now, such as"
            yield Finding(Level.WARNING, f"{text} {sorted(found)[0]!r}")
