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
RUNNING, BLOCKED, PAUSED, SHUTOFF = 1, 2, 3, 5
# How the keys of a family begin, by virsh's word for it.
PREFIXES = {"cpu-total": "cpu.", "balloon": "balloon.", "vcpu": "vcpu.", "interface": "net.", "block": "block."}
POOL_STATES = ("inactive", "building", "running", "degraded", "inaccessible")


class Guest(NamedTuple):
    """One domain: libvirt's bulk statistics under libvirt's own keys, and what kept them from being complete."""

    name: str
    uuid: str
    id: int
    stats: dict[str, Any]
    condition: str = ""
    """"stuck" (its QEMU does not answer) or "busy" (another job holds it), else empty."""
    detail: str = ""

    @property
    def state(self) -> int:
        """Number of the state, 0 where libvirt reports none."""
        number = self.stats.get("state.state", 0)
        return number if isinstance(number, int) else 0

    @property
    def active(self) -> bool:
        """Whether the domain exists in the hypervisor, so that its counters are its own."""
        return self.state in (RUNNING, BLOCKED, PAUSED, 4, 7)

    @property
    def state_word(self) -> str:
        """virsh's word for the state."""
        return STATES[self.state] if 0 <= self.state < len(STATES) else f"state-{self.state}"

    @property
    def reason_word(self) -> str:
        """virsh's word for the reason of the state."""
        number, words = self.stats.get("state.reason", 0), REASONS.get(self.state_word, "").split()
        return words[number] if isinstance(number, int) and 0 <= number < len(words) else "unknown"


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
