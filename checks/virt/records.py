"""Plain records of what libvirt reports, and the words virsh uses for it."""

from __future__ import annotations

from typing import Any, NamedTuple

# virDomainState and its reasons, in libvirt's numbering; the words are virsh's, without blanks.
STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
REASONS = {
    "running": """unknown booted migrated restored from-snapshot unpaused migration-canceled save-canceled wakeup crashed
        post-copy post-copy-failed""",
    "paused": """unknown user migrating saving dumping ioerror watchdog from-snapshot shutting-down snapshot crashed
        starting-up post-copy post-copy-failed api-error""",
    "shutdown": "unknown user",
    "shutoff": "unknown shutdown destroyed crashed migrated saved failed from-snapshot daemon",
    "crashed": "unknown panicked",
}
RUNNING, BLOCKED, PAUSED = 1, 2, 3
# In these the domain exists in the hypervisor: besides the above, in shutdown and suspended.
ACTIVE = frozenset((RUNNING, BLOCKED, PAUSED, 4, 7))
# How the keys of a family begin, by virsh's word for it.
PREFIXES = {"cpu-total": "cpu.", "balloon": "balloon.", "vcpu": "vcpu.", "interface": "net.", "block": "block."}
POOL_STATES = ("inactive", "building", "running", "degraded", "inaccessible")


class Guest(NamedTuple):
    """One domain: libvirt's bulk statistics under libvirt's own keys, and what kept them from being complete."""

    name: str
    uuid: str
    id: int
    state: int
    """virDomainState, 0 where libvirt reports none."""
    reason: int
    stats: dict[str, Any]
    condition: str = ""
    """"stuck" (its QEMU does not answer) or "busy" (another job holds it), else empty."""
    detail: str = ""

    @property
    def active(self) -> bool:
        """Whether the domain exists in the hypervisor, so that its counters are its own."""
        return self.state in ACTIVE

    @property
    def state_word(self) -> str:
        """virsh's word for the state."""
        return state_word(self.state)

    @property
    def reason_word(self) -> str:
        """virsh's word for the reason of the state."""
        words = REASONS.get(self.state_word, "").split()
        return words[self.reason] if 0 <= self.reason < len(words) else "unknown"


def record(name: str, uuid: str, id: int, stats: dict[str, Any]) -> Guest:
    """Return the record of one guest; its state is taken from the statistics."""
    state, reason = stats.get("state.state", 0), stats.get("state.reason", 0)
    return Guest(name, uuid, id, state if type(state) is int else 0, reason if type(reason) is int else 0, stats)


def state_word(number: int) -> str:
    """Return virsh's word for a state."""
    return STATES[number] if 0 <= number < len(STATES) else f"state-{number}"


class Pool(NamedTuple):
    """One storage pool; sizes in bytes."""

    name: str
    autostart: bool
    state: int
    capacity: int
    allocation: int
    available: int


class Host(NamedTuple):
    """The hypervisor's own size; memory in bytes."""

    cpus: int
    memory: int


class Snapshot(NamedTuple):
    """Everything one run has learned. `now` is the wall clock of the reading, in seconds since the epoch."""

    guests: list[Guest]
    host: Host | None = None
    pools: list[Pool] | None = None
    autostart_missing: list[str] | None = None
    now: float = 0.0
    troubles: tuple[str, ...] = ()
    """What could not be read, each in words."""
    remarks: tuple[str, ...] = ()
    """What this libvirt does not have, each in words."""
