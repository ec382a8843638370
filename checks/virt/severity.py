"""How bad a guest's state is: a default for every state and reason, and what the operator says instead."""

from __future__ import annotations

from checks.plugin import SEVERITIES
from checks.virt.records import REASONS, STATES, Guest

# Besides libvirt's states: a QEMU that does not answer, one that another job holds, a guest marked autostart that does not run.
CONDITIONS = ("stuck", "busy", "autostart")
DEFAULTS = {
    "nostate": "unknown",
    "paused": "warning",
    "paused:ioerror": "critical",
    "paused:watchdog": "critical",
    "paused:crashed": "critical",
    "paused:api-error": "critical",
    "paused:post-copy-failed": "critical",
    # Passing states of a healthy guest that somebody saves, dumps, migrates or snapshots.
    "paused:migrating": "ok",
    "paused:saving": "ok",
    "paused:dumping": "ok",
    "paused:snapshot": "ok",
    "paused:shutting-down": "ok",
    "paused:starting-up": "ok",
    "paused:post-copy": "ok",
    "running:post-copy-failed": "critical",
    "shutoff:crashed": "critical",
    "shutoff:failed": "critical",
    "crashed": "critical",
    "stuck": "critical",
    "busy": "ok",
    "autostart": "warning",
}


class StateSeverities:
    """The severity words for states; a reason of a state beats the state."""

    def __init__(self) -> None:
        self._words = dict(DEFAULTS)
        self._known: dict[tuple[int, int], str] = {}

    def add(self, text: str) -> None:
        """Take `STATE[:REASON]=SEVERITY`; a state given without reason holds for all its reasons. Raises ValueError."""
        key, _, word = text.partition("=")
        state, colon, reason = key.partition(":")
        if state not in STATES + CONDITIONS:
            raise ValueError(f"{state!r} is no state; there are {', '.join(STATES + CONDITIONS)}")
        if colon and reason not in REASONS.get(state, "").split():
            raise ValueError(
                f"{reason!r} is no reason of {state}; there are {', '.join(REASONS.get(state, 'none').split())}"
            )
        if word not in SEVERITIES:
            raise ValueError(f"{word!r} is no severity; there are {', '.join(SEVERITIES)}")
        self._words[key] = word
        if not colon:
            self._words = {k: w for k, w in self._words.items() if not k.startswith(f"{state}:")}

    def of_guest(self, guest: Guest) -> str:
        """Return the severity word of a guest's state."""
        known = self._known.get((guest.state, guest.reason))
        if known is None:
            state = guest.state_word
            known = self._words.get(f"{state}:{guest.reason_word}") or self._words.get(state, "ok")
            self._known[guest.state, guest.reason] = known
        return known

    def of(self, condition: str) -> str:
        """Return the severity word of one of CONDITIONS."""
        return self._words[condition]
