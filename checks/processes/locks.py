"""The clearinghouse's lock server, asked the one question that changes nothing: GetStatus, XML-RPC on the machine itself.

Anything else may end it: it shuts itself down on an internal exception. Its answer names every lock anybody ever asked for; those with a session are
held. Source: the lock server's own documentation of GetStatus, its tests, and a captured answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from checks import web
from checks.options import Values
from checks.output import clean_name, perfdata

HOST = "127.0.0.1"
_KINDS = ("node", "user")


class Lock(NamedTuple):
    """A lock that is held: `since` is when it was taken, by the lock server's own clock and time zone, or ""."""

    kind: str
    name: str
    session: str
    waiting: int
    since: str

    @property
    def key(self) -> str:
        """What tells this holding of the lock apart from the next one."""
        return "\0".join((self.kind, self.name, self.session, self.since))


class Status(NamedTuple):
    """What the lock server said: the locks held, how often somebody waits for one, how many sessions; in how many seconds."""

    locks: list[Lock]
    waiting: int
    sessions: int
    seconds: float


def ask(port: int, until: float) -> Status:
    """Return the lock server's status. `until` is a moment of time.monotonic(). Raises web.WebError."""
    web.load()
    url = f"http://{HOST}:{port}/"
    started = time.monotonic()
    try:
        answer = web.call(url, "GetStatus", (), until)
    except web.Fault:
        # It writes its answer without its own lock: where a session ends meanwhile, that is a fault, and the next try a status.
        started = time.monotonic()
        answer = web.call(url, "GetStatus", (), until)
    return parse(answer, time.monotonic() - started)


def parse(answer: Any, seconds: float = 0.0) -> Status:
    """Return what GetStatus answered. Raises web.Malformed."""
    try:
        held, sessions, times = (answer[key] for key in ("heldlockdict", "sessiondict", "locktimelist"))
        since = {(str(kind), str(name)): str(taken) for lock, taken in times for kind, name in lock.items()}
        every = [(kind, str(name), state) for kind in _KINDS for name, state in held[kind].items()]
        locks = [
            Lock(kind, name, str(state["locked_by_session"]), len(state["queue"]), since.get((kind, name), ""))
            for kind, name, state in every
            if state["locked_by_session"] is not None
        ]
        if not isinstance(sessions, Mapping):
            raise TypeError
        return Status(locks, sum(len(state["queue"]) for _, _, state in every), len(sessions), seconds)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise web.Malformed("the answer to GetStatus is no status of locks") from error


def lines(status: Status) -> list[str]:
    """Return a line for each lock that is held."""
    return [
        f"{title(lock)}{f', since {clean_name(lock.since[:40])} by its clock' if lock.since else ''}, {lock.waiting} wait"
        for lock in status.locks
    ]


def title(lock: Lock) -> str:
    """Return a lock and who holds it as the text says it."""
    return f"lock of {lock.kind} {clean_name(lock.name[:60])} (session {clean_name(lock.session[:20])})"


def items(status: Status, age: float | None, opts: Values) -> list[str]:
    """Return the perfdata; `age` is the time in seconds for which the oldest is held at least, None where that is not known."""
    found = [
        perfdata("locks.held", len(status.locks), "", opts.locks_warning, opts.locks_critical),
        perfdata("locks.waiting", status.waiting),
        perfdata("locks.sessions", status.sessions),
    ]
    if age is not None:
        found.append(perfdata("locks.age", age, "s", opts.lock_age_warning, opts.lock_age_critical))
    return [*found, perfdata("time.lock_status", round(status.seconds, 6), "s")]


def failure(error: web.WebError, port: int) -> str:
    """Say what is wrong with the lock server, and what to do next."""
    place = f"{HOST}:{port}"
    start = "start it (lockserver_daemon.py, as ch)"
    if isinstance(error, web.Refused):
        return f"lock server {place} refuses connections: {start}"
    if isinstance(error, web.NoAnswer):
        return f"lock server {place} takes the connection but does not answer: it hangs, re{start}"
    if isinstance(error, web.EmptyAnswer):
        return f"lock server {place} closes without an answer: it ends itself after an error, see its log and re{start}"
    if isinstance(error, web.Fault):
        return f"lock server {place} answers GetStatus with a fault: {clean_name(str(error)[:120])}"
    if isinstance(error, web.Incomplete):
        return f"lock server {place} breaks off its answer ({error}): re{start}"
    if isinstance(error, web.WrongStatus | web.Malformed):
        return f"what answers at {place} is no lock server ({clean_name(str(error)[:120])}): see who listens there"
    return f"lock server {place}: {clean_name(str(error)[:120])}: see whether it runs, or re{start}"
