"""Questions to one Zenodotus within one span of time; each way to fail is told in a line that says what to do next."""

from __future__ import annotations

import os
import time

from checks.deadline import stage
from checks.output import host_port
from checks.seattle.dns import FORMERR, NXDOMAIN, SERVFAIL, Answer, NameServer, rcode_name
from checks.seattle.errors import NoAnswer, Refused, SeattleError, Unresolvable
from checks.seattle.peers import own_address

LOCAL = "127.0.0.1"
# Zenodotus gives the advertise service 10 s before it fails; what fails much sooner was refused or cut off.
_LONGEST_LOOKUP = 10.1
_HANGING = 8.0
_SLOW = 3.0
_LEEWAY = 0.7


class Trouble(Exception):
    """Nothing more can be found out; the text is for the operator."""

    def __init__(self, text: str, severity: str = "critical") -> None:
        super().__init__(text)
        self.severity = severity


class Lookups:
    """One Zenodotus; without a host that on this machine, which listens on its own address only unless told otherwise."""

    def __init__(self, host: str | None, port: int, until: float) -> None:
        """Waiting ends at `until` (time.monotonic()). Raise Trouble where no such host is known."""
        self._port, self.until, self.where = port, until, ""
        self._elsewhere = None if host else own_address()
        self._past: list[NameServer] = []
        self._server = self._connected(host or LOCAL)
        self._looked_up = False
        self.seconds = 0.0
        """Time to all the answers together, without pauses and without queries that were dropped."""

    def close(self) -> None:
        """Give the socket back."""
        self._server.close()

    def queries(self) -> tuple[int, int]:
        """Return how many queries were sent, and how many of them have no answer."""
        sent = sum(server.sent for server in (*self._past, self._server))
        return sent, sent - sum(server.answered for server in (*self._past, self._server))

    def rest(self) -> None:
        """Wait until Zenodotus takes another query from us."""
        self._server.rest()

    def time_left(self) -> bool:
        """Whether there is time to ask something else."""
        return time.monotonic() + _LEEWAY < self.until

    def zone(self, name: str) -> Answer:
        """Return the answer for the zone's own name, which Zenodotus knows without the advertise service. Raises Trouble."""
        began = time.monotonic()
        try:
            answer = self._ask_here_or_there(name)
        except Refused:
            raise Trouble(f"Zenodotus is down: nothing listens on UDP {self.where}, start it") from None
        except NoAnswer as error:
            # While it works on one query of a client it drops the others: those of another check on this machine as well.
            unless = (
                "" if time.monotonic() - began > _LONGEST_LOOKUP else " (or it works for another check: more -t tells)"
            )
            raise Trouble(f"Zenodotus {self.where} is silent, {error}: it hangs, restart it{unless}") from None
        except SeattleError as error:
            raise self._broken(error) from None
        if answer.reply.rcode or not answer.reply.addresses:
            said = rcode_name(answer.reply.rcode) if answer.reply.rcode else "no address"
            advice = "does something change queries on their way?"
            if answer.reply.rcode != FORMERR:
                advice = "is that its zone (--zone), and is this Zenodotus?"
            raise Trouble(f"{self.where} answers for {name} with {said}: {advice}")
        return answer

    def look_up(self, name: str) -> Answer:
        """Return the answer for a name that Zenodotus looks up in the advertise service: NOERROR or NXDOMAIN. Raises Trouble."""
        if self._looked_up and not self.time_left():
            raise self._no_time()
        began = time.monotonic()
        try:
            answer = self._ask(name)
            if answer.reply.rcode == SERVFAIL and answer.seconds < _HANGING and self.time_left():
                answer = self._ask(name)
        except Refused:
            raise Trouble(
                f"Zenodotus {self.where} ended during a look-up: start it; its last output says why"
            ) from None
        except NoAnswer:
            seconds = time.monotonic() - began
            # Others were answered, and a slow look-up is no silence yet.
            raise (self._no_time() if self._looked_up and seconds < _SLOW else self._silent(seconds)) from None
        except SeattleError as error:
            raise self._broken(error) from None
        if answer.reply.rcode == SERVFAIL:
            raise self._nothing_behind(answer.seconds)
        if answer.reply.rcode not in (0, NXDOMAIN):
            raise Trouble(
                f"Zenodotus {self.where} answers for {name} with {rcode_name(answer.reply.rcode)}: restart it"
            )
        self._looked_up = True
        return answer

    def _ask(self, name: str) -> Answer:
        with stage(f"asking Zenodotus {self.where}"):
            answer = self._server.ask(name, self.until)
        self.seconds += answer.seconds
        return answer

    def _ask_here_or_there(self, name: str) -> Answer:
        """Ask, and where nothing listens on 127.0.0.1 on this machine's own address. Raises SeattleError."""
        try:
            return self._ask(name)
        except Refused:
            if not self._elsewhere:
                raise
        refused = self.where
        self._past.append(self._server)
        self._server.close()
        self._server = self._connected(self._elsewhere)
        try:
            return self._ask(name)
        except Refused:
            self.where = f"{refused} and {self.where}"
            raise

    def _connected(self, host: str) -> NameServer:
        self.where = host_port(host, self._port)
        try:
            with stage(f"looking up the address of {host}"):
                return NameServer(host, self._port)
        except Unresolvable as error:
            raise Trouble(
                f"{host}: {error}: is the name right, and does this machine's own DNS work?", "unknown"
            ) from None
        except SeattleError as error:
            raise self._broken(error) from None

    def _broken(self, error: SeattleError) -> Trouble:
        return Trouble(f"Zenodotus {self.where} is broken, restart it or see what else answers there: {error}")

    def _no_time(self) -> Trouble:
        return Trouble("no time was left to look up all names, those before were answered: give more -t", "unknown")

    def _nothing_behind(self, seconds: float) -> Trouble:
        what = f"the advertise service behind Zenodotus {self.where}"
        if seconds < _HANGING:
            when = "at once" if seconds < 1 else f"after {seconds:.1f} s"
            return Trouble(f"{what} is down (SERVFAIL {when}): start the advertise server")
        return Trouble(f"{what} hangs (SERVFAIL after {seconds:.1f} s): restart the advertise server")

    def _silent(self, seconds: float) -> Trouble:
        said = f"Zenodotus {self.where} answers for its zone, but no look-up in {seconds:.1f} s"
        if seconds > _LONGEST_LOOKUP + 1:  # it would have failed by then
            return Trouble(f"{said}: it hangs, restart it, and see whether the advertise service answers")
        return Trouble(f"{said}: see first whether the advertise service behind it hangs (-t 20 tells)")


def random_name(zone: str) -> str:
    """Return a name of the zone that nobody else has."""
    return f"nagios-{os.urandom(16).hex()}.{zone}"
