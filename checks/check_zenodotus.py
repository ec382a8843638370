"""Zenodotus, the Seattle testbed's DNS server, and the advertise service behind it from which it knows users' names.

Alerts when Zenodotus does not answer, when the advertise service behind it does not (SERVFAIL at once: it is down; after 10 s: it hangs),
when a name of --name is no longer announced (NXDOMAIN) or lacks an expected address, and when answers are slow or broken. Sends plain DNS
queries over UDP; needs no privileges.

Three levels. The zone's own name is known to Zenodotus itself. Names of --name are looked up in the advertise service; without any a random
name is asked that nobody announced: NXDOMAIN proves that the service answered. --advertise-host announces a random name at the advertise
server that Zenodotus asks, and Zenodotus has to find it. Its address is always 192.0.2.1, which belongs to nobody: advertise servers of the
second generation, such as that, end when a value expires behind which others stand. A --ttl longer than the interval of the runs keeps ours
from expiring at all.

A short name, such as hello, is meant within the zone. Letters are made lower case, since Zenodotus tells them apart. Without -H it is asked
on 127.0.0.1, and where nothing listens there on this machine's own address, the only one on which Zenodotus listens unless told otherwise.

While Zenodotus works on one query it drops all others from the same address without a word: queries are sent again, after 0.3 s and more,
until 85 % of -t are over. A look-up takes 10.1 s while the advertise service hangs: with -t below 13 that looks like silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from checks.deadline import last_moment
from checks.output import label_part, perfdata
from checks.plugin import GAUGE, Check, Command, Measure, Metric, Options, Resource, Threshold, Values, stage
from checks.seattle import ADVERTISE_PORT, PROBE_TTL
from checks.seattle.dns import NXDOMAIN, Answer
from checks.seattle.errors import NoAnswer, Refused, SeattleError, Unreachable, Unresolvable
from checks.zenodotus.arguments import Addresses, Name, Names, read_zone
from checks.zenodotus.lookups import LOCAL, Lookups, Trouble, random_name

if TYPE_CHECKING:
    from checks.seattle.advertise import TcpAdvertise

MEASURES = (
    Measure("time.zone", "s", GAUGE, "time to the answer for the zone's own name"),
    Measure("time.lookup", "s", GAUGE, "time to the answer for a random name that nobody announced"),
    Measure("time.register", "s", GAUGE, "time to announce a random name at the advertise server"),
    Measure("time.registered", "s", GAUGE, "time to the answer for that name"),
    Measure("time.name.<name>", "s", GAUGE, "time to the answer for a name of --name"),
    Measure("addresses.<name>", "", GAUGE, "addresses it has"),
    Measure("queries", "", GAUGE, "queries sent"),
    Measure("unanswered", "", GAUGE, "queries without an answer, of these"),
    Measure("time.total", "s", GAUGE, "time to the answers of all levels together, without the pauses between them"),
)
COMMANDS = (
    Command(
        "check_zenodotus",
        "-t 13",
        "Zenodotus's DNS, and whether the advertise service behind it answers",
        network="-H '$HOSTADDRESS$' --zone '$_HOSTZONE$' $_HOSTZENODOTUS_OPTIONS$",
        special=True,
        interval=300,
    ),
)
_ADVERTISE_SECONDS = 5.0
# A name of the zone with a dot before its last 28 characters is taken for that of another name server: a slip in Zenodotus's code.
_UNDIVIDED = 28


def options(parser: Options) -> None:
    """Declare the options of check_zenodotus."""
    parser.host(help=f"host to ask; without it this machine: {LOCAL}, or its own address")
    parser.port("-p", "--port", help="UDP port", default=53)
    parser.range("-w", "--warning", default="5", help="warn by seconds to the answers of all levels together")
    parser.range("-c", "--critical", default="10", help="critical by seconds to the answers of all levels together")
    parser.typed(
        "--zone", read=read_zone, metavar="NAME", help="the zone Zenodotus serves", default="zenodotus.poly.edu"
    )
    said = "a name that has to resolve, and addresses it has to have; repeatable"
    parser.collected("--name", into=Names, metavar="NAME[=ADDRESS,...]", help=said)
    said = "address that each --name, or without any the zone, has to have (it may have others too); repeatable"
    parser.collected("--expect-address", into=Addresses, metavar="ADDRESS", help=said)
    said = "advertise server at which to announce a random name, which Zenodotus then has to find"
    parser.server("--advertise-host", port=ADVERTISE_PORT, help=said)
    parser.whole("--ttl", metavar="SECONDS", low=1, high=86400, help="how long it stays announced", default=PROBE_TTL)


def validate(opts: Values) -> None:
    """Make full names of short ones and give each the addresses of --expect-address; those without a --name are the zone's."""
    expected: dict[str, tuple[str, ...]] = {}
    for one in opts.name or [Name(opts.zone)] * bool(opts.expect_address):
        name = one.name if "." in one.name else f"{one.name}.{opts.zone}"
        expected[name] = tuple(dict.fromkeys((*expected.get(name, ()), *one.expected, *opts.expect_address)))
    opts.zone_addresses = expected.pop(opts.zone, ())
    opts.names = [Name(*item) for item in expected.items()]


class Zenodotus(Resource):
    """The levels, as far as they were asked."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._lookups: Lookups | None = None
        self._items: dict[str, str] = {}
        self._lines: list[str] = []
        self._left = [one.name for one in opts.names]
        self._complete = False

    def contexts(self) -> Sequence[Threshold]:
        """Return what judges the time."""
        return (Threshold("total", self.opts.warning, self.opts.critical, word="answers took", unit=" s"),)

    def probe(self) -> Iterator[Metric]:
        """Yield what is wrong, level by level, then the time they took together."""
        opts, well = self.opts, True
        try:
            self._lookups = Lookups(opts.hostname, opts.port, last_moment(opts.timeout))
            for finding in self._levels(self._lookups):
                well = False
                yield finding
            if well:
                self.headline = self._headline(self._lookups)
            if self._complete:
                yield Metric("", self._lookups.seconds, context="total")
        except Trouble as trouble:
            yield Metric(str(trouble), trouble.severity, context="finding")
        finally:
            if self._lookups:
                self._lookups.close()

    def _levels(self, lookups: Lookups) -> Iterator[Metric]:
        """Yield what is wrong. Raises Trouble where nothing more can be asked."""
        opts = self.opts
        yield from self._compare(
            Name(opts.zone, opts.zone_addresses), self._timed("time.zone", lookups.zone(opts.zone))
        )
        if opts.advertise_host:
            yield from self._registered(lookups)
        elif all(one.name in ("localhost", f"localhost.{opts.zone}") for one in opts.names):
            self._unannounced(lookups)
        for one in opts.names:
            yield from self._name(lookups, one)
            self._left.remove(one.name)
        self._complete = True

    def _unannounced(self, lookups: Lookups) -> None:
        """Look up a name nobody announced. Raises Trouble."""
        answer = self._timed("time.lookup", lookups.look_up(random_name(self.opts.zone)))
        if answer.reply.rcode != NXDOMAIN:
            found = _joined(answer.reply.addresses)
            raise Trouble(f"{lookups.where} knows a random name that nobody announced ({found}): is this Zenodotus?")

    def _registered(self, lookups: Lookups) -> Iterator[Metric]:
        """Announce a random name and look it up; twice before it is said to be missing. Raises Trouble."""
        from checks.seattle.advertise import PROBE_VALUE, TcpAdvertise  # most runs need none

        name, address, server = random_name(self.opts.zone), PROBE_VALUE.decode("ascii"), self.opts.advertise_host
        advertise = TcpAdvertise(*server)
        for last in (False, True):
            lookups.rest()  # so that the look-up follows at once: a server that was idle may forget its first value
            self._announce(lookups, advertise, name, PROBE_VALUE)
            answer = lookups.look_up(name)
            if answer.reply.rcode != NXDOMAIN or last or not lookups.time_left():
                break
        self._timed("time.registered", answer)
        if answer.reply.rcode == NXDOMAIN:
            said = f"advertise server {server} forgets what was just announced: restart it; Zenodotus itself answers"
            if _knows(advertise, name, PROBE_VALUE, lookups.until):
                said = (
                    f"Zenodotus does not find a name announced at {server}, which knows it: does it ask another server?"
                )
            yield Metric(said, "critical", context="finding")
        elif address not in answer.reply.addresses:
            found = _joined(answer.reply.addresses) or "no address"
            said = f"Zenodotus {lookups.where} gives {found} for a name announced as {address} at {server}: restart it"
            yield Metric(said, "critical", context="finding")

    def _announce(self, lookups: Lookups, advertise: TcpAdvertise, name: str, address: bytes) -> None:
        """Announce an address under a name. Raises Trouble."""
        server = self.opts.advertise_host
        until = min(time.monotonic() + _ADVERTISE_SECONDS, lookups.until)
        try:
            with stage(f"announcing a name at the advertise server {server}"):
                stored = advertise.put(name.encode("ascii"), address, self.opts.ttl, until)
        except Unresolvable as error:
            raise Trouble(f"advertise server {server}: {error}: is --advertise-host right?", "unknown") from None
        except SeattleError as error:
            raise Trouble(f"advertise server {server}: {error}: {_advice(error)}; {self._behind(lookups)}") from None
        self._items["time.register"] = perfdata("time.register", stored.connect + stored.seconds, "s")

    def _behind(self, lookups: Lookups) -> str:
        """Say whether Zenodotus gets answers where we got none."""
        try:
            self._unannounced(lookups)
        except Trouble:
            return "Zenodotus gets no answers either"
        return "Zenodotus gets answers, maybe from another one"

    def _name(self, lookups: Lookups, one: Name) -> Iterator[Metric]:
        """Look up a user's name and yield what is wrong with it. Raises Trouble."""
        label = label_part(one.name.removesuffix(f".{self.opts.zone}"))
        answer = self._timed(f"time.name.{label}", lookups.look_up(one.name), one.name)
        reply = answer.reply
        if reply.rcode == NXDOMAIN:
            yield Metric(
                f"{one.name} is no longer announced (NXDOMAIN): {self._cure(one.name)}", "critical", context="finding"
            )
            return
        self._items[f"addresses.{label}"] = perfdata(f"addresses.{label}", reply.announced)
        if not reply.addresses:
            yield Metric(f"{one.name} has no address: {self._cure(one.name)}", "critical", context="finding")
        else:
            yield from self._compare(one, answer)

    def _cure(self, name: str) -> str:
        """Say what to do about a name that does not resolve."""
        if name.endswith(self.opts.zone) and "." in name[:-_UNDIVIDED]:
            return f"Zenodotus resolves no name with a dot before its last {_UNDIVIDED} characters, rename it"
        return "restart what announces it; advertise answers"

    def _compare(self, one: Name, answer: Answer) -> Iterator[Metric]:
        """Yield what is wrong with the addresses of a name."""
        reply = answer.reply
        missing = [address for address in one.expected if address not in reply.addresses]
        if not missing:
            return
        if reply.announced > len(reply.addresses):
            said = f"{one.name} has {reply.announced} addresses, {len(reply.addresses)} fit into an answer, not {missing[0]}"
            yield Metric(f"{said}: see who announces so many", "warning", context="finding")
            return
        advice = "see who announces that"
        if one.name == self.opts.zone:
            advice = "Zenodotus runs elsewhere, or was started with another address"
        said = f"{one.name} is {_joined(reply.addresses)}, not {_joined(missing)}: {advice}"
        yield Metric(said, "critical", context="finding")

    def _timed(self, label: str, answer: Answer, name: str = "") -> Answer:
        """Keep how long an answer took, and the line of -v."""
        self._items[label] = perfdata(label, answer.seconds, "s")
        reply = answer.reply
        found = (
            "not announced" if reply.rcode == NXDOMAIN else _joined(reply.addresses, reply.announced) or "no address"
        )
        self._lines.append(f"{name or label.removeprefix('time.')}: {found}, {answer.seconds:.3f} s")
        return answer

    def _headline(self, lookups: Lookups) -> str:
        parts, number = ["zone"], len(self.opts.names)
        if self.opts.advertise_host:
            parts.append("a name just announced")
        if number:
            parts.append("1 name" if number == 1 else f"{number} names")
        if len(parts) == 1:
            parts.append("the advertise service behind")
        return f"{', '.join(parts[:-1])} and {parts[-1]} answer in {lookups.seconds:.3f} s"

    def notes(self) -> Sequence[str]:
        """Return which names remained without an answer, where others may have one."""
        return [f"without an answer: {_joined(self._left)}"] if self._left and self._items else ()

    def perfdata(self) -> Sequence[str]:
        """Return the times of what was asked, the number of queries, and the time of all where all were asked."""
        if not self._lookups:
            return ()
        opts = self.opts
        sent, unanswered = self._lookups.queries()
        items = [*self._items.values(), perfdata("queries", sent), perfdata("unanswered", unanswered)]
        if self._complete:
            items.append(perfdata("time.total", self._lookups.seconds, "s", opts.warning, opts.critical))
        return items

    def lines(self) -> Sequence[str]:
        """Return a line for each name that was asked."""
        return self._lines


def _knows(advertise: TcpAdvertise, name: str, address: bytes, until: float) -> bool:
    """Whether the advertise server itself has what was announced there."""
    try:
        return address in advertise.get(name.encode("ascii"), 100, min(time.monotonic() + 1, until)).values
    except SeattleError:
        return False


def _joined(texts: Sequence[str], number: int = 0) -> str:
    """Return the first of them and how many more there are; `number` where they are more than those that came."""
    more = max(number, len(texts)) - 3
    return " and ".join(texts) if more <= 0 else f"{', '.join(texts[:3])} and {more} more"


def _advice(error: SeattleError) -> str:
    if isinstance(error, Refused):
        return "start it"
    if isinstance(error, Unreachable):
        return "look at its host and the network"
    return "it hangs, restart it" if isinstance(error, NoAnswer) else "restart it"


CHECK = Check(Zenodotus, MEASURES, options, commands=COMMANDS, timeout=20.0, validate=validate)
main = CHECK.main
