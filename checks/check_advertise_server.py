"""Seattle's advertise service: a value put under a fresh key and got back, and how many nodes are advertised.

Asks over TCP or UDP. Alerts, each by its name and after a second try, when the server refuses, hangs, hangs up, answers what is no answer
or another value; when it is slow; and when the number of nodes under a public key is out of its range. Needs no privileges; each run
leaves a value on the server for --ttl seconds.

A node state is a key file: --state twopercent=300: counts the nodes advertised under twopercent.publickey in --state-directory, and is
critical where there are fewer than 300. --state-key and --get-only take the file itself; --get-only puts nothing. Each distinct value
is a node; -v lists their addresses and looks up those that Affix hides. The time thresholds are for all of this, a second try included.

A server that refuses TCP while its process answers on another UDP port was restarted too soon: advertiseserver.py goes on without its
TCP port, and only stopping it and starting it 60 s later helps.

The key is random in each run, the value is the same: advertiseserver_v2.r2py crashes when a value expires while a newer one is there, so
that two runs with random values within --ttl would end it. A random key proves as much: nothing else may be found under it. Where such
a server is asked, a --ttl longer than the interval of the runs protects it from nodes that come between them as well; where none is,
--fresh-value makes the value random, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from checks.advertise.round_trip import Failure, Trip, round_trip, twice
from checks.advertise.states import KeyFiles, State, States, key_file, read_state, states
from checks.advertise.telling import half_dead, node_line, shown, told, where
from checks.deadline import last_moment
from checks.options import UsageError, telling
from checks.output import clean_name, label_part, perfdata
from checks.plugin import (
    GAUGE,
    Check,
    CheckError,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
    stage,
)
from checks.seattle import PROBE_TTL
from checks.seattle.advertise import PORT, TcpAdvertise, UdpAdvertise
from checks.seattle.errors import Refused, SeattleError, Unresolvable
from checks.seattle.keys import PublicKey
from checks.seattle.nodes import AFFIX, Advertised, Followed, advertised, follow
from checks.seattle.peers import THIS_MACHINE

MEASURES = (
    Measure("time.connect", "s", GAUGE, "time until the connections for put and get stood (TCP)"),
    Measure("time.put", "s", GAUGE, "time from there until the put was acknowledged"),
    Measure("time.get", "s", GAUGE, "time from there until the value was back"),
    Measure("time.states", "s", GAUGE, "time for counting the nodes of all states"),
    Measure("time.total", "s", GAUGE, "time from the first connection to the last answer, second tries included"),
    Measure("values", "", GAUGE, "values found under the fresh key, 1 where all is well"),
    Measure("state.<name>.nodes", "", GAUGE, "nodes advertised under the key of a state: distinct values"),
)
_STATES = "--state twopercent=300: --state acceptdonation=:50 --state canonical=:50"
COMMANDS = (
    Command(
        "check_advertise_server",
        "",
        "put and get over TCP",
        network="-H '$HOSTADDRESS$' $_HOSTADVERTISE_OPTIONS$",
        special=True,
        interval=300,
    ),
    Command(
        "check_advertise_server_udp",
        "--transport udp",
        "put and get over UDP",
        network="-H '$HOSTADDRESS$' --transport udp $_HOSTADVERTISE_OPTIONS$",
        special=True,
        interval=300,
    ),
    Command(
        "check_advertise_server_states",
        f"--get-only --state-directory /etc/testbed-checks/statekeys {_STATES}",
        "nodes in each state",
        network=f"-H '$HOSTADDRESS$' --get-only --state-directory '$_HOSTSTATEKEYS$' {_STATES} $_HOSTADVERTISE_OPTIONS$",
        special=True,
        interval=300,
    ),
)
# As many states as the first line names.
_MOST_NAMED = 4


def options(parser: Options) -> None:
    """Declare the options of check_advertise_server."""
    said = "where the server is; without it 127.0.0.1 is asked and, where that refuses, this machine's own address"
    parser.host(help=said)
    parser.port("-p", "--port", help="its port, TCP or UDP", default=PORT)
    parser.add("--transport", help="tcp or udp", default="tcp", choices=("tcp", "udp"), metavar="WORD")
    parser.range("-w", "--warning", default="5", help="warn by total time in seconds")
    parser.range("-c", "--critical", default="10", help="critical by total time in seconds")
    parser.flag(
        "--fresh-value", help="a random value in each run, not only a random key; never for advertiseserver_v2.r2py"
    )
    parser.whole(
        "--ttl", metavar="SECONDS", low=1, high=86400, help="how long the value put is kept", default=PROBE_TTL
    )
    parser.add(
        "--get-only",
        help="put nothing; count the nodes of this key, where one is given",
        nargs="?",
        const=True,
        type=telling(key_file),
        metavar="KEYFILE",
    )
    parser.collected(
        "--state-key", into=KeyFiles, metavar="KEYFILE", help="count the nodes of this public key; repeatable"
    )
    parser.collected(
        "--state",
        into=States,
        metavar="NAME[=RANGE]",
        help="count the nodes of this state's key, critical outside RANGE; repeatable",
    )
    parser.path("--state-directory", help="where the states' public keys are, NAME.publickey each")
    parser.rules("--nodes-warning", help="warn by number of nodes, the REGEX for names of states")
    parser.rules("--nodes-critical", help="critical by number of nodes, where --state has no RANGE")
    parser.whole(
        "--follow", metavar="NUMBER", low=0, high=999999, help="most Affix names that -v looks up", default=100
    )
    parser.port(
        "--sibling-port", help="another UDP port of the same process, which tells half-dead from dead", default=11034
    )


class AdvertiseServer(Resource):
    """One advertise server: the round trip of a value, and the nodes advertised on it."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._service = (TcpAdvertise if opts.transport == "tcp" else UdpAdvertise)(
            opts.hostname or THIS_MACHINE, opts.port
        )
        self._states = states(opts)
        self._trip = Trip()
        self._counting: float | None = None
        self._total: float | None = None
        self._counts: dict[str, Advertised] = {}
        self._followed: dict[bytes, Followed] = {}
        self._notes: list[str] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return what judges the total time, and the nodes of each state."""
        opts = self.opts
        return (
            Threshold("total", opts.warning, opts.critical, word="total time", show=shown),
            *(Threshold(f"nodes {state.name}", *self._limits(state), word="nodes") for state in self._states),
        )

    def probe(self) -> Iterator[Metric]:
        """Yield what is wrong with the server, its time, and the number of nodes in each state. Raises CheckError."""
        until = last_moment(self.opts.timeout)
        keys: dict[str, PublicKey] = {}
        for state in self._states:
            try:
                keys[state.name] = read_state(state)
            except (OSError, SeattleError) as error:
                said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                yield Metric(
                    f"key of {state.name}: {clean_name(str(state.paths[0]))}: {said}", "unknown", context="finding"
                )
        with stage(f"asking {where(self._service)}"):
            problem = self._ask(keys, until)
        if problem:
            yield Metric(problem, "critical", context="finding")
        elif self._total is not None:
            yield Metric("", self._total, context="total")
        for name, found in self._counts.items():
            yield Metric(name, len(found.names), context=f"nodes {name}")

    def _ask(self, keys: dict[str, PublicKey], until: float) -> str:
        """Ask all there is to ask; return what is wrong with the server, or nothing. Raises CheckError."""
        started = time.monotonic()
        try:
            if self.opts.get_only is None:
                self._trip, failures = round_trip(self._service, until, self.opts.ttl, fresh=self.opts.fresh_value)
                if len(failures) > 1:
                    return self._problem(failures, until)
                self._remark(failures)
            counting = time.monotonic()
            for name, key in keys.items():
                found, failures = self._count(name, key, until)
                if found is None:
                    return self._problem(failures, until)
                self._counts[name] = found
                self._remark(failures)
            self._total = time.monotonic() - started
            self._counting = time.monotonic() - counting if keys else None
            self.headline = self._headline()
            if self.opts.verbose:
                self._follow(until)
        except Unresolvable as error:
            raise CheckError(f"{self.opts.hostname}: {error}; see -H and the name service") from error
        return ""

    def _count(self, name: str, key: PublicKey, until: float) -> tuple[Advertised | None, list[Failure]]:
        return twice(lambda end: advertised(self._service, key, end), lambda: f"get of {name}", until)

    def _problem(self, failures: list[Failure], until: float) -> str:
        """Return the line for a server that failed twice."""
        if self._states and not self._counts:
            self._notes.append("nodes were not counted")
        first, last = failures
        if (first.doing, type(first.error)) != (last.doing, type(last.error)):
            self._notes.append(f"the first try: {told(first, self._service)}")
        alive = isinstance(last.error, Refused) and half_dead(self._service, self.opts.sibling_port, until)
        return alive or told(last, self._service)

    def _remark(self, failures: list[Failure]) -> None:
        self._notes.extend(f"a second try helped; the first: {told(failure, self._service)}" for failure in failures)

    def _follow(self, until: float) -> None:
        """Look up Affix names, as many as are wanted."""
        hidden = {name.value: name for found in self._counts.values() for name in found.names if name.kind == AFFIX}
        self._followed = follow(self._service, list(hidden.values())[: self.opts.follow], until)
        left = len(hidden) - len(self._followed)
        if left:
            why = (
                f"--follow {self.opts.follow}"
                if len(self._followed) >= self.opts.follow
                else "time is over, or the server fails"
            )
            self._notes.append(f"{left} of {len(hidden)} Affix names not looked up: {why}")

    def _headline(self) -> str:
        place, count = where(self._service), len(self._counts)
        nodes = [f"{clean_name(name)} {len(found.names)}" for name, found in self._counts.items()]
        if count > _MOST_NAMED:
            nodes = [f"{sum(len(found.names) for found in self._counts.values())} nodes in {count} states"]
        trip = f"gave back what was put in {shown(self._total or 0.0)} ({self._service.transport})"
        return f"{place} {', '.join([trip] * (self._trip.get is not None) + nodes)}"

    def _limits(self, state: State) -> tuple[Any, Any]:
        """Return the warning and the critical range of a state."""
        opts = self.opts
        return opts.nodes_warning.find(state.name), opts.state.limits.get(state.name) or opts.nodes_critical.find(
            state.name
        )

    def perfdata(self) -> list[str]:
        """Return the times that were measured, then what was counted."""
        trip, opts = self._trip, self.opts
        connect = trip.connect if self._service.transport == "TCP" else None
        times = {"connect": connect, "put": trip.put, "get": trip.get, "states": self._counting}
        items = [perfdata(f"time.{what}", seconds, "s") for what, seconds in times.items() if seconds is not None]
        if self._total is not None:
            items.append(perfdata("time.total", self._total, "s", opts.warning, opts.critical))
        if trip.values is not None:
            items.append(perfdata("values", trip.values))
        for state in self._states:
            if found := self._counts.get(state.name):
                items.append(
                    perfdata(f"state.{label_part(state.name)}.nodes", len(found.names), "", *self._limits(state))
                )
        return items

    def lines(self) -> list[str]:
        """Return a line for each state, and for each of its nodes."""
        said = []
        for name, found in self._counts.items():
            said.append(f"{clean_name(name)}: {len(found.names)} nodes, {found.values} values")
            said += [f"{clean_name(name)}: {node_line(node, self._followed.get(node.value))}" for node in found.names]
        return said

    def notes(self) -> list[str]:
        """Return what a second try made good, and what was not asked."""
        return self._notes


def validate(opts: Values) -> None:
    """Raise UsageError for options that do not go together."""
    if not states(opts) and opts.get_only is True:
        raise UsageError("--get-only puts nothing, so it needs a key to count: KEYFILE, --state-key or --state")


CHECK = Check(AdvertiseServer, MEASURES, options, commands=COMMANDS, validate=validate)
main = CHECK.main
