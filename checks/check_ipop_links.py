"""The links of an IPOP or EdgeVPN node, or of a whole overlay: which are active, and their traffic, age and round trip.

Alerts when the source is stale (its controller is dead, so no link counts as active), when a listed peer has no data, when a peer of --require is
not active, when a peer of --direct is reached through a relay, and by the limits given: active links, share of offline ones, time since a
peer was heard of over XMPP, age of links, links made anew since the last run. Needs to read the source; no root, no sudo.

One of three sources. --stats-dir: the directory that the controller of IPOP 14 writes for Ganglia. --tincan: the tincan of IPOP 14 to 16.01, on
this machine, is asked for its state. A newer tincan is never sent anything, for from then on it would answer this check instead of its
controller: what looks newer is refused, and one on another machine is asked only where --tincan-version says that it is not newer.
--controller-json: a file or URL with what an IPOP 18 to 20 or EdgeVPN controller reports to its visualizer, or with what the visualizer's service
answers; which of them is known by its content. EdgeVPN counts no bytes: they are those of the links' network devices on this machine.

Thresholds that take a REGEX take it for the peer as it is shown: 'web.*=300:'. A limit for what the source does not tell is UNKNOWN, for it would
never alert (only IPOP 14 to 16 tell XMPP times). Rates, links made anew, and ages past 49.7 days, after which those of IPOP 14 to 16 begin anew,
need --save-state in the regular run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from checks.counters import Counters, StateError
from checks.ipop import asking, judge, links, report
from checks.ipop.generation import read_version
from checks.ipop.links import View
from checks.options import UsageError
from checks.plugin import (
    COUNTER,
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
)

MEASURES = (
    Measure("links.active", "", GAUGE, "active links: packets get through"),
    Measure("links.listed", "", GAUGE, "links that the source lists, active or not"),
    Measure("links.offline_percent", "%", GAUGE, "share of the listed links that are not active"),
    Measure("links.remade", "", GAUGE, "links that were active at the last run and were made anew since"),
    Measure("links.local", "", GAUGE, "active links from one local address to another"),
    Measure("links.stun", "", GAUGE, "active links through a NAT"),
    Measure("links.relay", "", GAUGE, "active links through a relay"),
    Measure("source.age", "s", GAUGE, "time since the source was written"),
    Measure("<link>.status", "", GAUGE, "1 active, 0 not; of a source that is too old 0"),
    Measure("<link>.recv_bytes_second", "B", GAUGE, "bytes received from the peer, per second since the last run"),
    Measure("<link>.sent_bytes_second", "B", GAUGE, "bytes sent to the peer, per second since the last run"),
    Measure("<link>.age", "s", GAUGE, "time since the connection was made"),
    Measure("<link>.xmpp_time", "s", GAUGE, "time since the peer was last heard of over XMPP"),
    Measure("<link>.rtt", "s", GAUGE, "round trip to the peer, as STUN measures it"),
    Measure("<link>.connection", "", GAUGE, "how the link runs: 1 local, 2 through a NAT (stun), 3 through a relay"),
    Measure("<link>.recv_total_bytes", "c", COUNTER, "bytes received, over all candidate pairs there are now"),
    Measure("<link>.sent_total_bytes", "c", COUNTER, "bytes sent, over all candidate pairs there are now"),
)
_NEWEST = "http://127.0.0.1:5000/IPOP/overlays/101000F/links?current_state=True&interval=2100-01-01T00:00:00"
# Nine links say more than Nagios takes.
_WIDE = "--max-output 60000 --compress"
COMMANDS = (
    Command(
        "check_ipop_links_stats",
        f"--stats-dir /var/lib/ipop/ganglia --save-state {_WIDE}",
        "links of an IPOP 14 node, from its controller's statistics directory",
        tap=True,
        special=True,
    ),
    Command(
        "check_ipop_links_tincan",
        f"--tincan 127.0.0.1:5800 --save-state {_WIDE}",
        "links of an IPOP 14 to 16 node, asked of its tincan",
        tap=True,
        special=True,
    ),
    Command(
        "check_ipop_links_controller",
        f"--controller-json /var/lib/ipop/controller.json --save-state {_WIDE}",
        "links of an IPOP 18 to 20 or EdgeVPN node, from its controller's document",
        tap=True,
        special=True,
    ),
    Command(
        "check_ipop_links_overlay",
        f"--controller-json '{_NEWEST}' --save-state {_WIDE}",
        "all links of an overlay, from its visualizer's records",
        tap=True,
        special=True,
    ),
)


def options(parser: Options) -> None:
    """Declare the options of check_ipop_links."""
    parser.path("--stats-dir", help="source: the directory that the controller of IPOP 14 writes for Ganglia")
    parser.server("--tincan", port=5800, help="source: the tincan of IPOP 14 to 16, usually 127.0.0.1:5800")
    said = "source: what a controller of IPOP 18 to 20 or EdgeVPN, or the visualizer's service, reports"
    parser.typed("--controller-json", read=_read_source, metavar="FILE|URL", help=said)
    said = "the version of that tincan, such as 16.01, where it is not on this machine; above 16.01 nothing is sent"
    parser.typed("--tincan-version", read=read_version, metavar="VERSION", help=said)
    parser.add("--overlay", help="only the links of this overlay, such as 101000F", metavar="ID")
    parser.add("--node", help="only the links that this node reports (its name or id)", metavar="NAME")
    parser.path("--sysfs", default="/sys", help="where sysfs is mounted, for traffic of network devices")
    parser.range("-w", "--warning", help="warn by number of active links, such as 2:")
    parser.range("-c", "--critical", help="critical by number of active links, such as 1:")
    parser.range("--offline-warning", help="warn by percentage of the listed links that are offline")
    parser.range("--offline-critical", help="critical by percentage of the listed links that are offline")
    said = "critical unless there is an active link to this peer (address, name, id or label); repeatable"
    parser.add("--require", help=said, default=[], action="append", metavar="NAME")
    parser.regexes("--direct", help="warn when such a peer is reached through a relay; repeatable")
    parser.range("--stale-warning", help="warn by seconds since the source was written")
    said = "critical by seconds since the source was written; then no link counts as active"
    parser.range("--stale-critical", default="60", help=said)
    said = f"state when a listed peer has no data, or none that is fresh: {', '.join(SEVERITIES)}"
    parser.add("--no-data-severity", default="warning", help=said, choices=tuple(SEVERITIES), metavar="STATE")
    parser.rules("--xmpp-warning", help="warn by seconds since the peer was last heard of over XMPP")
    parser.rules("--xmpp-critical", help="critical by seconds since the peer was last heard of over XMPP")
    parser.rules("--age-warning", help="warn by age of a link in seconds, such as 300: where links flap")
    parser.rules("--age-critical", help="critical by age of a link in seconds")
    parser.range("--remade-warning", help="warn by number of links made anew since the last run, such as 0")
    parser.range("--remade-critical", help="critical by number of links made anew since the last run")


def validate(opts: Values) -> None:
    """Refuse anything but one source. Raises UsageError."""
    given = [opts.stats_dir, opts.tincan, opts.controller_json]
    if sum(source is not None for source in given) != 1:
        said = "which links? one of --stats-dir DIR, --tincan HOST:PORT or --controller-json FILE|URL"
        raise UsageError(f"{said} (see check_ipop_links --help)")
    if opts.tincan_version and not opts.tincan:
        raise UsageError("--tincan-version needs --tincan")


def _read_source(text: str) -> str:
    if "://" in text:
        from checks.web import read_url

        return read_url(text)
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is neither a file nor a URL")
    return text


class Links(Resource):
    """The links of one source."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._found: View | None = None
        self._has_run_before = False
        self._notes: list[str] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        return judge.contexts(self.opts)

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged. Raises CheckError."""
        opts = self.opts
        counters = Counters("check_ipop_links", _target(opts), opts.state_key)
        try:
            reading = asking.read(opts)
        except asking.SourceError as error:
            yield Metric(str(error), error.severity, context="finding")
            return
        counters.mark()
        now = time.time()
        reading = links.with_taps(links.choose(reading, opts.overlay, opts.node), opts.sysfs, now)
        by_node = not reading.node and not opts.node
        stale, own_files = partial(judge.is_stale, opts), bool(opts.stats_dir)
        found = links.view(reading, counters, now, by_node=by_node, own_files=own_files, is_stale=stale)
        self._found, self._has_run_before = found, counters.interval is not None
        self.headline = report.headline(found)
        yield from judge.metrics(found, opts, self._has_run_before)
        self._remember(found, counters)

    def _remember(self, found: View, counters: Counters) -> None:
        opts = self.opts
        self._notes += report.partly_known(found)
        if counters.interval:
            self._notes += report.no_rates(found)
        elif found.active:
            hint = "" if opts.save_state else "; --save-state keeps counters for the next"
            what = "no rates, nor links made anew" if opts.remade_warning or opts.remade_critical else "no rates"
            self._notes.append(f"{what}: {counters.why}{hint}")
        if opts.save_state:
            try:
                counters.save()
            except StateError as error:
                self._notes.append(f"no rates at the next run: {error}")

    def perfdata(self) -> Sequence[str]:
        """Return the figures of the whole, then of every link, one kind after the other."""
        if not self._found:
            return ()
        whole = list(report.head(self._found, self.opts, self._has_run_before))
        room = 1 << 40 if self.opts.compress else self.opts.max_output
        items, self.metrics_left_out = report.each(self._found, self.opts, room)
        return whole + items

    def notes(self) -> Sequence[str]:
        """Return what is not known, and why."""
        return self._notes

    def lines(self) -> Sequence[str]:
        """Return a line for the source, and one for each link."""
        return report.lines(self._found) if self._found else ()


def _target(opts: Values) -> str:
    """Return what the counters are of."""
    source = next(str(source) for source in (opts.stats_dir, opts.tincan, opts.controller_json) if source is not None)
    return source + "".join(
        f" {what} {name}" for what, name in (("overlay", opts.overlay), ("node", opts.node)) if name
    )


CHECK = Check(Links, MEASURES, options, commands=COMMANDS, rates=True, validate=validate)
main = CHECK.main
