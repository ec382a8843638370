"""What is around the guests: the host's size, the guests marked autostart that do not run, and storage pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from checks.plugin import CheckError
from checks.virt.calls import Call, Clock
from checks.virt.records import Host, Pool


class Surroundings:
    """Asks one connection; libvirt has no way of asking for these without waiting, so each has a time of its own."""

    def __init__(self, libvirt: Any, connection: Any, clock: Clock, troubles: list[str]) -> None:
        """`troubles` takes what could not be read, in words."""
        self._libvirt, self._connection, self._clock, self._troubles = libvirt, connection, clock, troubles

    def ask(self, words: tuple[str, ...]) -> tuple[Host | None, list[Pool] | None, list[str] | None]:
        """Return host, pools and the names of guests; None for what was not asked for (`words`) or does not answer."""
        found: list[Any] = [None, None, None]
        steps: list[tuple[int, str, str, Callable[[], Any]]] = [
            (0, "host", "the host's size", self._host),
            (2, "host", "the guests marked autostart", self._autostart_missing),
            (1, "pool", "storage pools", self._pools),
        ]
        for place, word, what, ask in steps:
            if word not in words:
                continue
            try:
                found[place] = Call(ask).result(min(self._clock.left(), 2 * self._clock.patience), f"asking for {what}")
            except self._libvirt.libvirtError as error:
                if error.get_error_code() != self._libvirt.VIR_ERR_NO_SUPPORT:
                    self._troubles.append(f"{what}: {error}")
            except CheckError as error:
                self._troubles.append(str(error))
                break  # its connection is not to be used again
        return found[0], found[1], found[2]

    def _host(self) -> Host:
        _, megabytes, cpus, *_ = self._connection.getInfo()
        return Host(cpus, megabytes << 20)

    def _autostart_missing(self) -> list[str]:
        flags = self._libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART | self._libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE
        return sorted(domain.name() for domain in self._connection.listAllDomains(flags))

    def _pools(self) -> list[Pool]:
        found = []
        for pool in self._connection.listAllStoragePools():
            try:
                found.append(Pool(pool.name(), bool(pool.autostart()), *pool.info()))
            except self._libvirt.libvirtError as error:
                if error.get_error_code() != self._libvirt.VIR_ERR_NO_STORAGE_POOL:
                    self._troubles.append(f"storage pool {pool.name()}: {error}")
        return sorted(found)
