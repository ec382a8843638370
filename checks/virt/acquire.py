"""One run's look at a hypervisor: one read-only connection and one bulk call, and what to do when that call does not return.

The bulk call asks every QEMU; one that is stuck (stopped, or waiting for dead storage) blocks it for the whole host, in libvirtd, until that
QEMU answers or dies. With NOWAIT libvirtd leaves out what would need a guest whose monitor another call already holds. So a call that hangs costs
libvirtd one worker, once: the stuck guest is found (controlInfo needs no monitor), the others are asked without it, and it is
remembered, so that the next run does not ask it again (measured with libvirt 9.0 and SIGSTOP).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from checks.deadline import stage
from checks.plugin import CheckError
from checks.virt.calls import Call, Clock, connect, load_libvirt, stopped_processes
from checks.virt.records import BLOCKED, PAUSED, PREFIXES, RUNNING, Guest, Host, Pool, Snapshot, record

# libvirtd has 20 workers by default for all its users: never leave more than these waiting for stuck guests.
MOST_HUNG_CALLS = 4
# What of the deadline is kept for the rest of a run once a bulk call is too slow.
RESERVE = 0.2
_CONTROL_OCCUPIED = 2
# Waits before asking again for a guest that another call held: that call is mostly another check's, and over in no time.
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
# One key of each family that is there only if the guest's monitor could be asked.
_MONITOR_KEYS = ("balloon.rss", "balloon.last-update", "block.0.rd.reqs", "cpu.haltpoll.success.time", "vcpu.0.halted")

FAMILIES = {"state": 1, "cpu-total": 2, "balloon": 4, "vcpu": 8, "interface": 16, "block": 32}
"""virsh's word for a family of keys, and its flag (virDomainStatsTypes)."""
# These two families are read from libvirtd's own memory and the kernel: no monitor, so they never hang.
_SAFE = FAMILIES["state"] | FAMILIES["interface"]
_NEEDS_MONITOR = ~_SAFE


class Hypervisor:
    """Asks one libvirt for one snapshot."""

    def __init__(self, uri: str, words: Iterable[str], clock: Clock, on_reading: Callable[[], None]) -> None:
        """`words`: families, "host" and "pool"; `on_reading` is called when the guests' counters have arrived."""
        self._libvirt = load_libvirt()
        self._uri, self._words, self._clock, self._on_reading = uri, tuple(words), clock, on_reading
        self._flags = FAMILIES["state"]
        for word in self._words:
            self._flags |= FAMILIES.get(word, 0)
        self._nowait = self._libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        self._spare: Any = None
        self._partial = False
        self.troubles: list[str] = []

    def snapshot(self, look_first: bool) -> Snapshot:
        """Return what libvirt tells. `look_first`: find stuck guests before asking, because there were some at the last run.

        Raises CheckError where not even the state of the guests can be had.
        """
        connection = None
        if look_first:
            guests = self._carefully()
        else:
            call = Call(self._everything)
            if self._returns(call, ()):
                connection, guests = call.result(0, "")
                guests = self._complete(guests)
            else:
                guests = self._carefully()
        now = time.time()
        self._on_reading()
        host, pools, missing = self._surroundings(connection)
        remarks = () if self._partial else self._missing_families(guests)
        return Snapshot(guests, host, pools, missing, now, tuple(self.troubles), tuple(remarks))

    def _everything(self) -> tuple[Any, list[Guest]]:
        with stage(f"connecting to {self._uri}"):
            connection = connect(self._libvirt, self._uri)
        with stage("asking libvirt for the statistics of all guests"):
            return connection, self._records(connection.getAllDomainStats, self._flags, self._nowait)

    def _records(self, ask: Callable[..., Any], *arguments: Any) -> list[Guest]:
        try:
            return [record(domain.name(), domain.UUIDString(), domain.ID(), stats) for domain, stats in ask(*arguments)]
        except self._libvirt.libvirtError as error:
            raise CheckError(f"asking libvirt for statistics: {error}") from error

    def _returns(self, call: Call[Any], known: Container[str]) -> bool:
        """Wait for a bulk call; return whether it ended before a guest showed up as stuck that is not among the `known`."""
        if call.done(self._clock.patience):
            return True
        while self._clock.left() > self._clock.seconds * RESERVE:
            try:
                if any(uuid not in known for uuid in self._stuck(self._basics())):
                    break
            except CheckError:
                pass  # libvirtd answers nothing at all: only the deadline tells whether it is slow
            if call.done(self._clock.patience / 2):
                return True
        return call.done(0)

    def _spare_connection(self) -> Any:
        """Return the connection for calls that do not hang, made when first needed."""
        if self._spare is None:
            call = Call(lambda: connect(self._libvirt, self._uri))
            self._spare = call.result(self._clock.left() / 2, f"connecting to {self._uri}")
        return self._spare

    def _quick(self, function: Callable[[Any], Any], what: str) -> Any:
        connection = self._spare_connection()
        return Call(lambda: function(connection)).result(self._clock.left() / 2, what)

    def _basics(self) -> list[Guest]:
        """Return all guests with the families that never hang."""
        flags = _SAFE & self._flags
        return self._quick(  # type: ignore[no-any-return]
            lambda connection: self._records(connection.getAllDomainStats, flags, self._nowait),
            "asking for the states of all guests",
        )

    def _control(self, guests: list[Guest]) -> dict[str, tuple[int, float]]:
        """Return what each guest's monitor is doing, by UUID: a state of virDomainControlState, and for how many seconds."""

        def ask(connection: Any) -> dict[str, tuple[int, float]]:
            found = {}
            for guest in guests:
                try:
                    domain = connection.lookupByUUIDString(guest.uuid)
                    state, _, milliseconds = domain.controlInfo()
                    found[guest.uuid] = (state, milliseconds / 1000)
                except self._libvirt.libvirtError:
                    continue  # gone meanwhile, or a driver without monitors
            return found

        return self._quick(ask, "asking what the guests' monitors are doing")  # type: ignore[no-any-return]

    def _stuck(self, guests: list[Guest]) -> dict[str, str]:
        """Return the guests that are stuck, by UUID, and how that shows."""
        active = [guest for guest in guests if guest.active]
        found = dict.fromkeys(stopped_processes() & {guest.uuid for guest in active}, "its QEMU process is stopped")
        for uuid, (state, seconds) in self._control(active).items():
            if state == _CONTROL_OCCUPIED and seconds >= self._clock.patience * 0.8:
                why = f"; {found[uuid]}" if uuid in found else ""
                found[uuid] = f"its monitor has not answered for {seconds:.0f} s{why}"
        return found

    def _carefully(self) -> list[Guest]:
        """Ask for everything of all guests but the stuck ones, which are found one after the other."""
        basics = self._basics()
        stuck = self._stuck(basics)
        full: dict[str, Guest] = {}
        while self._flags & _NEEDS_MONITOR:
            rest = [guest for guest in basics if guest.active and guest.uuid not in stuck]
            why = f"{len(rest)} guests: only state and network, "
            if not rest:
                break
            if sum("has not answered" in detail for detail in stuck.values()) >= MOST_HUNG_CALLS:
                self._leave_out(why + f"{len(stuck)} others are stuck")
                break
            if self._clock.left() < self._clock.seconds * RESERVE:
                self._leave_out(why + "libvirt is too slow for more")
                break
            call = Call(lambda asked=rest: self._list_stats(asked))  # type: ignore[misc]
            if self._returns(call, stuck):
                full = {guest.uuid: guest for guest in call.result(0, "")}
                break
            stuck |= self._stuck(basics)
        return [_stuck_or(full.get(guest.uuid, guest), stuck) for guest in basics]

    def _leave_out(self, trouble: str) -> None:
        self._partial = True
        self.troubles.append(trouble)

    def _list_stats(self, guests: list[Guest]) -> list[Guest]:
        """Ask for everything of some guests, on a connection of its own: the call may hang."""
        connection = connect(self._libvirt, self._uri)
        wanted = {guest.uuid for guest in guests}
        domains = [domain for domain in connection.listAllDomains(1) if domain.UUIDString() in wanted]
        return self._records(connection.domainListGetStats, domains, self._flags, self._nowait) if domains else []

    def _complete(self, guests: list[Guest]) -> list[Guest]:
        """Look into running guests whose monitor libvirt did not ask: stuck, or held by another call and soon free again."""
        monitored: set[str] = set()
        for pause in _PAUSES:
            doubtful = [
                guest for guest in guests if guest.active and not guest.condition and self._lacks_monitor(guest)
            ]
            if not doubtful:
                break
            time.sleep(pause)
            stuck, control = self._stuck(doubtful), self._control(doubtful)
            monitored |= control.keys()
            again = [guest for guest in doubtful if guest.uuid in control and guest.uuid not in stuck]
            call = Call(lambda asked=again: self._list_stats(asked))  # type: ignore[misc]
            full = {guest.uuid: guest for guest in call.result(0, "")} if again and self._returns(call, stuck) else {}
            guests = [_stuck_or(full.get(guest.uuid, guest), stuck) for guest in guests]
            if not again:
                break
        return [
            guest._replace(condition="busy", detail="another call or job holds its monitor")
            if guest.uuid in monitored and not guest.condition and self._lacks_monitor(guest)
            else guest
            for guest in guests
        ]

    def _lacks_monitor(self, guest: Guest) -> bool:
        """Whether figures that were asked for are missing because libvirt could not ask the guest's QEMU."""
        stats = guest.stats
        if any(key in stats for key in _MONITOR_KEYS):
            return False
        if self._flags & FAMILIES["balloon"] and "balloon.current" in stats:
            return True
        return bool(self._flags & FAMILIES["block"] and stats.get("block.count"))

    def _surroundings(self, connection: Any) -> tuple[Host | None, list[Pool] | None, list[str] | None]:
        """Return host, pools and the guests marked autostart that do not run; what does not answer costs only itself."""
        found: list[Any] = [None, None, None]
        steps: list[tuple[int, str, str, Callable[[Any], Any]]] = [
            (0, "host", "the host's size", self._host),
            (2, "host", "the guests marked autostart", self._autostart_missing),
            (1, "pool", "storage pools", self._pools),
        ]
        for place, word, what, ask in steps:
            if word not in self._words:
                continue
            try:
                if connection is None:
                    connection = self._spare_connection()
                call = Call(lambda ask=ask, on=connection: ask(on))  # type: ignore[misc]
                found[place] = call.result(min(self._clock.left(), 2 * self._clock.patience), f"asking for {what}")
            except self._libvirt.libvirtError as error:
                if error.get_error_code() != self._libvirt.VIR_ERR_NO_SUPPORT:
                    self.troubles.append(f"{what}: {error}")
            except CheckError as error:
                self.troubles.append(str(error))
                break  # its connection is not to be used again
        return found[0], found[1], found[2]

    def _host(self, connection: Any) -> Host:
        _, megabytes, cpus, *_ = connection.getInfo()
        return Host(cpus, megabytes << 20)

    def _autostart_missing(self, connection: Any) -> list[str]:
        flags = self._libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART | self._libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE
        return sorted(domain.name() for domain in connection.listAllDomains(flags))

    def _pools(self, connection: Any) -> list[Pool]:
        found = []
        for pool in connection.listAllStoragePools():
            try:
                found.append(Pool(pool.name(), bool(pool.autostart()), *pool.info()))
            except self._libvirt.libvirtError as error:
                if error.get_error_code() != self._libvirt.VIR_ERR_NO_STORAGE_POOL:
                    self.troubles.append(f"storage pool {pool.name()}: {error}")
        return sorted(found)

    def _missing_families(self, guests: list[Guest]) -> Iterator[str]:
        """Name the families that were asked for and that no running guest has: an older libvirt, or another driver."""
        running = [guest for guest in guests if guest.state in (RUNNING, BLOCKED, PAUSED) and not guest.condition]
        for word, prefix in PREFIXES.items():
            if running and self._flags & FAMILIES[word] and not _any_key(running, prefix):
                yield f"this libvirt reports no {word} statistics"


def _stuck_or(guest: Guest, stuck: dict[str, str]) -> Guest:
    return guest._replace(condition="stuck", detail=stuck[guest.uuid]) if guest.uuid in stuck else guest


def _any_key(guests: list[Guest], prefix: str) -> bool:
    return any(key.startswith(prefix) for guest in guests for key in guest.stats)
