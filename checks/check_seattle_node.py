"""A node of the Seattle testbed: whether its node manager answers, and how its vessels are.

Alerts when no node manager answers or it answers slowly, when there are no vessels, when one is out of threads (the node manager then stops
the others), and by the limits given: vessels in each status, unassigned vessels, vessels of an owner, version, state. Asks only what
everybody may ask, without a key. Needs to reach the node's port: without -p the ports on which node managers listen are tried in order.

A healthy node manager takes up to 1.1 s, for it looks for work once a second, and one client that says nothing holds its only worker for
10 s: hence -w 5 and -t 20 (over NRPE -t 14). It is asked once, and again only where it hung up without an answer. On the node itself it listens
at the address the node has towards others, not at 127.0.0.1; without -H both are tried.

--status-warning and --status-critical take STATUS=RANGE, such as Stale=0 or 'Stopped|Terminated=5', or a RANGE for each status; statuses: Fresh,
Started, Stopped, Terminated, Stale (started, no sign of life), ThreadErr, and other for all that nobody knows. --resources without a value
shows what is left over on the node (offcut) and the first 10 vessels, a second for each; --resources=v2,offcut shows these.
--advertise-host looks up the node's key at that server; where the service itself fails the state is UNKNOWN, for nothing is known about the node.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from checks.deadline import last_moment
from checks.node import report, trouble
from checks.node.arguments import read_names
from checks.node.limits import StatusRules, StatusWarnings
from checks.node.states import key_of, state_keys, states
from checks.options import UsageError, telling
from checks.output import clean_name, host_port, perfdata
from checks.plugin import (
    GAUGE,
    SEVERITIES,
    Check,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
    stage,
)
from checks.seattle import ADVERTISE_PORT, nodemanager
from checks.seattle.keys import PublicKey
from checks.seattle.nodemanager import PORTS, Answered, NotFound
from checks.seattle.peers import own_address, time_left

MEASURES = (
    Measure("time.total", "s", GAUGE, "time of the answer with all vessels, from the connection on"),
    Measure("time.connect", "s", GAUGE, "of this, until the connection stood"),
    Measure("time.answer", "s", GAUGE, "of this, until the answer was there"),
    Measure("time.advertise", "s", GAUGE, "time of the look-up in the advertise service"),
    Measure("time.resources", "s", GAUGE, "time of all questions for resources"),
    Measure("vessels.total", "", GAUGE, "vessels of the node"),
    Measure("vessels.assigned", "", GAUGE, "vessels that have a user"),
    Measure("vessels.unassigned", "", GAUGE, "vessels without a user"),
    Measure("vessels.advertised", "", GAUGE, "vessels that the node advertises to their owner and users"),
    Measure("vessels.owned", "", GAUGE, "vessels of --owner"),
    Measure("status.<status>", "", GAUGE, "vessels in this status: Fresh, Started ...; other: statuses nobody knows"),
    Measure("advertise.addresses", "", GAUGE, "different addresses and names under the node's key"),
    Measure("vessel.<vessel>.memory", "B", GAUGE, "memory it may use"),
    Measure("vessel.<vessel>.diskused", "B", GAUGE, "disk it may use"),
    Measure("vessel.<vessel>.<resource>", "", GAUGE, "cpu, events, messports ... it may use; rates in bytes a second"),
    Measure("offcut.memory", "B", GAUGE, "memory left over on the node"),
    Measure("offcut.diskused", "B", GAUGE, "disk left over on the node"),
    Measure("offcut.<resource>", "", GAUGE, "other resources left over on the node"),
)
COMMANDS = (
    Command(
        "check_seattle_node",
        "-t 14",
        "the node manager of a Seattle node, and its vessels by status",
        network="-H '$HOSTADDRESS$' $_HOSTNODE_OPTIONS$",
        special=True,
        interval=300,
    ),
    Command(
        "check_seattle_node_advertised",
        "-t 14 --advertise-host advertiseserver_v2.poly.edu",
        "whether a Seattle node is found in the advertise service",
        network="-H '$HOSTADDRESS$' --advertise-host '$_HOSTADVERTISE_HOST$' $_HOSTNODE_OPTIONS$",
        special=True,
        interval=900,
    ),
)
_LOCAL = "127.0.0.1"
# The longest time of an answer in health, and what must be left for another question.
_HEALTHY = 1.1
_UNHURRIED = 2.5


def options(parser: Options) -> None:
    """Declare the options of check_seattle_node."""
    parser.host(help=f"the node; without it {_LOCAL} and this machine's own address")
    parser.port(
        "-p", "--port", help=f"port of the node manager; without it the known ones: {', '.join(map(str, PORTS))}"
    )
    parser.range("-w", "--warning", default="5", help="warn by seconds to the answer; up to 1.1 are healthy")
    parser.range("-c", "--critical", help="critical by seconds to the answer")
    parser.range("--vessels-warning", help="warn by number of vessels, such as 3:")
    parser.range("--vessels-critical", default="1:", help="critical by number of vessels")
    said = "by vessels in a status, such as Stale=0; repeatable"
    metavar = "[STATUS=]RANGE"
    parser.collected(
        "--status-warning", into=StatusWarnings, metavar=metavar, help=f"warn {said} (without it ThreadErr=0)"
    )
    parser.collected("--status-critical", into=StatusRules, metavar=metavar, help=f"critical {said}")
    parser.range("--unassigned-warning", help="warn by vessels without a user, such as 1:")
    parser.range("--unassigned-critical", help="critical by vessels without a user")
    parser.path("--owner", help="a .publickey file: count the vessels of this owner")
    parser.range("--owned-warning", help="warn by vessels of --owner")
    parser.range("--owned-critical", default="1:", help="critical by vessels of --owner")
    said = "warn by any other version, such as 0.2-alpha-20140714-1434; repeatable"
    parser.add("--expect-version", help=said, action="append", metavar="VERSION")
    parser.path("--state-keys", help="folder with the clearinghouse's keys NAME.publickey: show the node's state")
    parser.add("--expect-state", help="warn by any other state than NAME; repeatable", action="append", metavar="NAME")
    said = "show resources of the vessels in LIST, such as v2,offcut; without LIST of the first 10"
    parser.add("--resources", type=telling(read_names), metavar="LIST", help=said, nargs="?", const=())
    said = "look the node up at this advertise server"
    parser.server("--advertise-host", port=ADVERTISE_PORT, help=said)
    severities: dict[str, object] = {"choices": tuple(SEVERITIES), "metavar": "STATE"}
    said = f"state of a node that is not advertised: {', '.join(SEVERITIES)}"
    parser.add("--not-advertised-severity", default="critical", help=said, **severities)


def validate(opts: Values) -> None:
    """Refuse thresholds for what is not looked at. Raises UsageError."""
    if opts.owned_warning and not opts.owner:
        raise UsageError("--owned-warning needs --owner")
    if opts.expect_state and not opts.state_keys:
        raise UsageError("--expect-state needs --state-keys")


class SeattleNode(Resource):
    """A node, as its manager describes it."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._until = last_moment(opts.timeout)
        self._owner: PublicKey | None = None
        self._items: list[str] = []
        self._later: list[str] = []
        self._lines: list[str] = []
        self._more: list[str] = []
        self._notes: list[str] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        opts = self.opts
        owner = clean_name(opts.owner.name) if opts.owner else ""
        return (
            Threshold("time", opts.warning, opts.critical, unit=" s"),
            Threshold("vessels", opts.vessels_warning, opts.vessels_critical, word="vessels:"),
            Threshold("status", opts.status_warning, opts.status_critical, word="vessels:"),
            Threshold("unassigned", opts.unassigned_warning, opts.unassigned_critical, word="unassigned vessels:"),
            Threshold("owned", opts.owned_warning, opts.owned_critical, word=f"vessels of {owner}'s owner:"),
        )

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged: whether a node manager answers, then what it says. Raises CheckError."""
        opts = self.opts
        self._owner = key_of(opts.owner) if opts.owner else None
        keys = state_keys(opts.state_keys) if opts.state_keys else {}
        targets, started = _targets(opts), time.monotonic()
        try:
            with stage(f"asking {targets[0][0]} for its vessels"):
                answered = nodemanager.find(targets, self._until)
        except NotFound as error:
            severity, said = trouble.explain(error.failures)
            self._notes += trouble.notes(error.failures, time.monotonic() - started)
            yield Metric(said, severity, context="finding")
            return
        yield from self._judge(answered, keys)
        if opts.advertise_host:
            yield from self._look_up(answered)
        if opts.resources is not None:
            yield from self._ask_resources(answered)

    def _judge(self, answered: Answered, keys: dict[PublicKey, str]) -> Iterator[Metric]:
        """Yield the node's counts, and what is expected of it."""
        opts, node, reply = self.opts, answered.node, answered.reply
        where = host_port(answered.host, answered.port)
        counts = report.count(node, self._owner)
        self.headline = report.headline(answered, counts)
        self._items = report.times(answered, opts) + report.figures(counts, opts)
        self._lines = report.lines(answered, counts, self._owner) if opts.verbose else []
        self._notes += trouble.others(answered.others)
        taken = reply.connect + reply.seconds
        yield Metric(f"\0{where} answered in", taken, context="time")
        if taken > 2 * _HEALTHY:
            self._notes.append("slow: other clients, or one that says nothing for 10 s, held its only worker")
        if reply.tries > 1:
            self._notes.append("the first connection was closed unanswered: too many from this address at that moment")
        yield Metric("", counts.total, context="vessels")
        for status, number in reversed(counts.statuses.items()):
            which = report.named(node, status) if number else ""
            name = f"{status}\0vessels ({which}):" if which else status
            yield Metric(name, number, context="status")
        yield Metric("", counts.unassigned, context="unassigned")
        if counts.owned is not None:
            yield Metric("", counts.owned, context="owned")
        if opts.expect_version and node.version not in opts.expect_version:
            wanted = " or ".join(map(report.short, opts.expect_version))
            said = f"version {report.short(node.version)}, not {wanted}: does the software updater run?"
            yield Metric(said, "warning", context="finding")
        if keys:
            yield from self._judge_state(states(node, keys))

    def _judge_state(self, found: list[str]) -> Iterator[Metric]:
        said = f"state {' and '.join(map(report.short, found))}" if found else "in no state of --state-keys"
        self._lines[:0] = [said] if self.opts.verbose else []
        expected = self.opts.expect_state
        if expected and not (len(found) == 1 and found[0] in expected):
            wanted = " or ".join(map(report.short, expected))
            yield Metric(f"{said}, not {wanted}: see the clearinghouse's transitions", "warning", context="finding")

    def _look_up(self, answered: Answered) -> Iterator[Metric]:
        """Yield how the node stands in the advertise service."""
        from checks.node import advertised  # most runs don't ask there

        opts = self.opts
        # What hangs there leaves half of the time for the resources.
        left = time_left(self._until) / (2 if opts.resources is not None else 1)
        with stage(f"looking it up at {opts.advertise_host}"):
            until = time.monotonic() + left
            standing = advertised.look_up(opts.advertise_host, answered, opts.not_advertised_severity, until)
        if standing.found:
            taken = standing.found.connect + standing.found.seconds
            self._items.append(perfdata("advertise.addresses", len(standing.found.names)))
            self._items.append(perfdata("time.advertise", taken, "s"))
        self._more += standing.lines
        if standing.text:
            yield Metric(standing.text, standing.severity, context="finding")

    def _ask_resources(self, answered: Answered) -> Iterator[Metric]:
        """Yield what is wrong with the resources of the chosen vessels; what they are goes to perfdata and lines."""
        from checks.node import resources  # most runs don't ask for them

        with stage(f"asking {answered.host} for resources"):
            found = resources.ask(answered, self.opts.resources, self._until, min(_UNHURRIED, self.opts.timeout / 8))
        self._items.append(perfdata("time.resources", found.seconds, "s"))
        self._later += found.items
        self._more += found.lines
        self._notes += found.notes
        for severity, said in found.problems:
            yield Metric(said, severity, context="finding")

    def perfdata(self) -> Sequence[str]:
        """Return times and counts, then resources; nothing of what was not measured."""
        return self._items + self._later

    def lines(self) -> Sequence[str]:
        """Return the node, how it is advertised, resources, and each vessel."""
        return self._more + self._lines

    def notes(self) -> Sequence[str]:
        """Return what else was found where a node manager could be."""
        return self._notes


def _targets(opts: Values) -> list[tuple[str, int]]:
    """Return where the node manager may be."""
    hosts = [opts.hostname] if opts.hostname else [_LOCAL]
    own = None if opts.hostname else own_address()
    if own and own != _LOCAL:
        hosts.append(own)
    return [(host, port) for host in hosts for port in ((opts.port,) if opts.port else PORTS)]


CHECK = Check(SeattleNode, MEASURES, options, commands=COMMANDS, timeout=20.0, validate=validate)
main = CHECK.main
