"""What the worker has to know of its Nagios: where its sockets and files are, and which perfdata it writes itself.

Formats: nagios.cfg, objects.cache and status.dat of Nagios Core 4; the defaults are Debian's. In nagios.cfg the last of equal names wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DEFAULT = Path("/etc/nagios4/nagios.cfg")
_LONGEST = 16 * 1024 * 1024
_STATUS_HEAD = 8192
_DEFAULTS = {
    "query_socket": "/var/lib/nagios4/rw/nagios.qh",
    "check_result_path": "/var/lib/nagios4/spool/checkresults",
    "command_file": "/var/lib/nagios4/rw/nagios.cmd",
    "object_cache_file": "/var/lib/nagios4/objects.cache",
    "status_file": "/var/lib/nagios4/status.dat",
}
_OBJECT = re.compile(rb"^define (service|host) \{\n(.*?)^\s*\}", re.MULTILINE | re.DOTALL)
_HOST = re.compile(rb"^\thost_name\t(.*)$", re.MULTILINE)
_SERVICE = re.compile(rb"^\tservice_description\t(.*)$", re.MULTILINE)
_SWITCHED_OFF = re.compile(rb"^\tprocess_perf_data\t0$", re.MULTILINE)
_PROGRAM_SWITCH = re.compile(rb"^\s*process_performance_data=([01])", re.MULTILINE)


class BadConfig(Exception):
    """nagios.cfg is of no use; the message names the file and says why."""


class NagiosConfig(NamedTuple):
    """The part of nagios.cfg that concerns a worker."""

    path: Path
    query_socket: Path
    check_result_path: Path
    command_file: Path
    object_cache_file: Path
    status_file: Path
    environment_macros: bool
    """enable_environment_macros: whether a job says whose it is."""
    performance_data: bool
    """process_performance_data: whether perfdata is written at all."""
    service_perfdata: bool
    """Whether perfdata of services goes anywhere: to a file or a command."""
    host_perfdata: bool


def read(path: Path = DEFAULT) -> NagiosConfig:
    """Return what nagios.cfg says. Raises BadConfig."""
    found = _values(path)
    places = {
        name: path.parent / os.fsdecode(found.get(name.encode(), default.encode()))
        for name, default in _DEFAULTS.items()
    }
    return NagiosConfig(
        path,
        **places,
        environment_macros=_switch(path, found, "enable_environment_macros"),
        performance_data=_switch(path, found, "process_performance_data"),
        service_perfdata=_goes_somewhere(found, b"service"),
        host_perfdata=_goes_somewhere(found, b"host"),
    )


def _values(path: Path) -> dict[bytes, bytes]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from None
    if len(text) > _LONGEST or b"\0" in text:
        raise BadConfig(f"{path} is not a main configuration file of Nagios")
    found = {}
    for line in text.split(b"\n"):
        name, equals, value = line.strip().partition(b"=")
        if equals and not name.startswith((b"#", b";")):
            found[name.rstrip()] = value.lstrip()
    if not found:
        raise BadConfig(f"{path} is not a main configuration file of Nagios: nothing is set in it")
    return found


def _switch(path: Path, found: dict[bytes, bytes], name: str) -> bool:
    value = found.get(name.encode(), b"0")
    if not value.isdigit():
        raise BadConfig(f"{path}: {name} is {os.fsdecode(value)[:40]!r}, not 0 or 1")
    return int(value[:9]) > 0


def _goes_somewhere(found: dict[bytes, bytes], kind: bytes) -> bool:
    return bool(found.get(kind + b"_perfdata_file") or found.get(kind + b"_perfdata_command"))


class OwnPerfdata:
    """Whose perfdata Nagios writes itself. What it writes is not to be shipped a second time."""

    def __init__(self, config: NagiosConfig) -> None:
        self._config = config
        self._switched_off: frozenset[tuple[bytes, bytes]] | None = None
        self._running = config.performance_data
        self._objects = _Watched(config.object_cache_file, _LONGEST * 16, self._read_objects)
        self._status = _Watched(config.status_file, _STATUS_HEAD, self._read_status)

    def written(self, host: bytes, service: bytes) -> bool:
        """Whether Nagios writes what it gets of this service (empty: of the host itself). Files that changed are read again.

        Not while objects.cache can't be read: a value that comes twice is better than one that does not come.
        """
        self._status.look()
        goes = self._config.service_perfdata if service else self._config.host_perfdata
        if not (self._running and goes):
            return False
        self._objects.look()
        return self._switched_off is not None and (host, service) not in self._switched_off

    @property
    def trouble(self) -> str:
        """What keeps it from knowing, for the operator; empty where nothing does."""
        if self._running and self._switched_off is None:
            return (
                f"{self._config.object_cache_file} can't be read: perfdata that Nagios writes itself is shipped as well"
            )
        return ""

    def _read_objects(self, text: bytes) -> bool:
        """objects.cache: all objects, everything inherited, written anew at each start of Nagios."""
        if not text.rstrip().endswith(b"}"):
            return False  # it is being written
        found = set()
        for kind, body in _OBJECT.findall(text):
            host = _HOST.search(body)
            service = _SERVICE.search(body) if kind == b"service" else None
            if host and _SWITCHED_OFF.search(body):
                found.add((host[1], service[1] if service else b""))
        self._switched_off = frozenset(found)
        return True

    def _read_status(self, text: bytes) -> bool:
        """The head of status.dat: an operator can switch perfdata off and on while Nagios runs."""
        if found := _PROGRAM_SWITCH.search(text):
            self._running = found[1] == b"1"
        return True


class _Watched:
    """A file that is read again when it changed; one that can't be read leaves things as they are."""

    def __init__(self, path: Path, limit: int, use: Callable[[bytes], bool]) -> None:
        self._path, self._limit, self._use = os.fspath(path), limit, use
        self._seen: tuple[int, ...] = ()

    def look(self) -> None:
        try:
            now = os.stat(self._path)  # noqa: PTH116  # once for each check
            stamp = (now.st_ino, now.st_size, now.st_mtime_ns)
            if stamp == self._seen:
                return
            with open(self._path, "rb") as file:  # noqa: PTH123
                text = file.read(self._limit)
        except OSError:
            return
        if self._use(text):
            self._seen = stamp
