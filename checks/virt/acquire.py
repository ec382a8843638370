"""One run's look at a hypervisor: one read-only connection and one bulk call, and what to do when that call does not return.

The bulk call asks every QEMU; one that is stuck (stopped, or waiting for dead storage) blocks it for the whole host, in libvirtd, until that
QEMU answers or dies. With NOWAIT libvirtd leaves out what would need a guest whose monitor another call already holds. So a call that hangs costs
libvirtd one worker, once: the stuck guest is found (controlInfo needs no monitor), the others are asked without it, and it is
remembered, so that the next run does not ask it again (measured with libvirt 9.0 and SIGSTOP).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, NamedTuple

from checks.deadline import stage
from checks.plugin import CheckError
from checks.virt.calls import Call, Clock, connect, load_libvirt, stopped_processes
from checks.virt.records import BLOCKED, PAUSED, PREFIXES, RUNNING, Guest, Host, Pool, Snapshot, record
from checks.virt.surroundings import Surroundings

# libvirtd has 20 workers by default for all its users: never leave more than these waiting for stuck guests.
MOST_HUNG_CALLS = 4
# What of the deadline is kept for the rest of a run once a bulk call is too slow.
RESERVE = 0.2
# A monitor that is silent for so many seconds is stuck; before that its storage may just be slow. Less where the deadline is short.
STUCK_AFTER = 3.0
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


class Silence(NamedTuple):
    """A guest that does not answer: for how many seconds a call has been waiting (0: none is), and whether its QEMU is stopped."""

    seconds: float
    stopped: bool


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
        self._main: Any = None
        self._spare: Any = None
        self._partial = False
        self._now = 0.0
        self.troubles: list[str] = []

    def snapshot(self, look_first: bool) -> Snapshot:
        """Return what libvirt tells. `look_first`: find stuck guests before asking, because there were some at the last run.

        Raises CheckError where not even the state of the guests can be had.
        """
        if look_first:
            guests = self._carefully([])
        else:
            call = Call(self._everything)
            if self._returns(call, ()):
                self._mark()
                guests = self._complete(call.result(0, ""))
            else:
                guests = self._carefully([call])
        host, pools, missing = self._surroundings()
        remarks = () if self._partial else self._missing_families(guests)
        return Snapshot(guests, host, pools, missing, self._now, tuple(self.troubles), tuple(remarks))

    def _mark(self) -> None:
        """Take now as the time of the figures: called when most of them arrive, before anything waits for a single guest."""
        self._now = time.time()
        self._on_reading()

    def _everything(self) -> list[Guest]:
        with stage(f"connecting to {self._uri}"):
            connection = connect(self._libvirt, self._uri)
        with stage("asking libvirt for the statistics of all guests"):
            guests = self._records(connection.getAllDomainStats, self._flags, self._nowait)
        self._main = connection
        return guests

    def _records(self, ask: Callable[..., Any], *arguments: Any) -> list[Guest]:
        try:
            return [record(domain.name(), domain.UUIDString(), domain.ID(), stats) for domain, stats in ask(*arguments)]
        except self._libvirt.libvirtError as error:
            raise CheckError(f"asking libvirt for statistics: {error}") from error

    def _returns(self, call: Call[list[Guest]], known: Container[str]) -> bool:
        """Wait for a bulk call; return whether it ended before a guest turned out silent that is not among the `known`."""
        if call.done(self._clock.patience):
            return True
        while self._clock.left() > self._clock.seconds * RESERVE:
            try:
                if any(uuid not in known for uuid in self._silent(self._basics())):
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
        call = Call(lambda: function(connection))
        if not call.done(self._clock.left() / 2):
            self._spare = None  # it holds a call that hangs
        return call.result(0, what)

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

    def _silent(self, guests: list[Guest]) -> dict[str, Silence]:
        """Return the guests that are not to be asked now, by UUID: their QEMU is stopped, or some call waits for its answer."""
        active = [guest for guest in guests if guest.active]
        return self._silent_of(active, self._control(active))

    def _silent_of(self, active: list[Guest], control: dict[str, tuple[int, float]]) -> dict[str, Silence]:
        stopped = stopped_processes()
        found = {guest.uuid: Silence(0.0, True) for guest in active if guest.uuid in stopped}
        for uuid, (state, seconds) in control.items():
            if state == _CONTROL_OCCUPIED and seconds >= self._clock.patience * 0.8:
                found[uuid] = Silence(seconds, uuid in found)
        return found

    def _carefully(self, calls: list[Call[list[Guest]]]) -> list[Guest]:
        """Ask for everything of all guests but the silent ones, which are found one after the other.

        `calls` are those that wait for a silent guest already: they are used if it answers after all.
        """
        guests = self._basics()
        silent = self._silent(guests)
        while self._flags & _NEEDS_MONITOR:
            rest = [guest for guest in guests if guest.active and guest.uuid not in silent]
            why = f"{len(rest)} guests: only state and network, "
            if not rest:
                break
            if sum(silence.seconds > 0 for silence in silent.values()) >= MOST_HUNG_CALLS:
                self._leave_out(why + f"{len(silent)} others are stuck")
                break
            if self._clock.left() < self._clock.seconds * RESERVE:
                self._leave_out(why + "libvirt is too slow for more")
                break
            calls.append(Call(lambda asked=rest: self._list_stats(asked)))  # type: ignore[misc]
            if self._returns(calls[-1], silent):
                guests = _merged(guests, calls.pop().result(0, ""))
                break
            silent |= self._silent(guests)
        self._mark()
        return self._verdict(guests, silent, calls)

    def _verdict(self, guests: list[Guest], silent: dict[str, Silence], calls: list[Call[list[Guest]]]) -> list[Guest]:
        """Tell the stuck from the slow: a monitor has STUCK_AFTER seconds, and what it answers until then is used."""
        limit = min(STUCK_AFTER, self._clock.seconds * 0.3)
        slow = [silence.seconds for silence in silent.values() if not silence.stopped and silence.seconds < limit]
        if slow:
            time_left = min(limit - min(slow), self._clock.left() - self._clock.seconds * RESERVE)
            for call in calls:
                begin = time.monotonic()
                if call.done(time_left):
                    guests = _merged(guests, call.result(0, ""))
                time_left -= time.monotonic() - begin
            silent = self._silent(guests)
        return [_told(guest, silent.get(guest.uuid), limit) for guest in guests]

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
            control = self._control(doubtful)
            silent = self._silent_of(doubtful, control)
            monitored |= control.keys()
            again = [guest for guest in doubtful if guest.uuid in control and guest.uuid not in silent]
            call = Call(lambda asked=again: self._list_stats(asked))  # type: ignore[misc]
            if again and self._returns(call, silent):
                guests = _merged(guests, call.result(0, ""))
            guests = self._verdict(guests, silent, [])
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

    def _surroundings(self) -> tuple[Host | None, list[Pool] | None, list[str] | None]:
        try:
            connection = self._main or self._spare_connection()
        except CheckError as error:
            self.troubles.append(str(error))
            return None, None, None
        return Surroundings(self._libvirt, connection, self._clock, self.troubles).ask(self._words)

    def _missing_families(self, guests: list[Guest]) -> Iterator[str]:
        """Name the families that were asked for and that no running guest has: an older libvirt, or another driver."""
        running = [guest for guest in guests if guest.state in (RUNNING, BLOCKED, PAUSED) and not guest.condition]
        for word, prefix in PREFIXES.items():
            if running and self._flags & FAMILIES[word] and not _any_key(running, prefix):
                yield f"this libvirt reports no {word} statistics"


def _merged(guests: list[Guest], full: list[Guest]) -> list[Guest]:
    """Return the guests, each as it is in `full` where it is there."""
    known = {guest.uuid: guest for guest in full}
    return [known.get(guest.uuid, guest) for guest in guests]


def _told(guest: Guest, silence: Silence | None, limit: float) -> Guest:
    """Return the guest with what its silence means."""
    if silence is None:
        return guest
    said = f"its monitor has not answered for {silence.seconds:.0f} s" if silence.seconds else ""
    stopped = "its QEMU process is stopped" if silence.stopped else ""
    stuck = silence.stopped or silence.seconds >= limit * 0.9
    return guest._replace(condition="stuck" if stuck else "busy", detail="; ".join(filter(None, (said, stopped))))


def _any_key(guests: list[Guest], prefix: str) -> bool:
    return any(key.startswith(prefix) for guest in guests for key in guest.stats)
