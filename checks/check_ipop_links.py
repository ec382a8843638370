"""The links of an IPOP or EdgeVPN node, or of a whole overlay: which are up, their traffic, age, round trip and kind of connection.

Alerts when the source is stale (then no link counts as up: its controller is dead), when a listed peer has no data, when a peer of --require is
not up, when a peer of --direct is reached through a relay, and by the limits given: links that are up, share that is offline, time since a
peer was heard of over XMPP, age of links, links made anew since the last run. Needs to read the source; no root, no sudo.

One of three sources. --stats-dir: the directory that the controller of IPOP 14 writes for Ganglia. --tincan: the tincan of IPOP 14 to 16 is
asked for its state, on this machine. A newer tincan is never sent anything, for it would answer this check instead of its controller from then
on: what looks newer is refused, and one on another machine is asked only where --tincan-version says that it is not. --controller-json: a file or
URL with what an IPOP 18 to 20 or EdgeVPN controller reports to its visualizer, or with what the visualizer's service answers; what it is is known
by its content. EdgeVPN counts no bytes: they are read from the links' network devices, where these are on this machine.

Thresholds that take a REGEX take it for the peer as it is shown: 'web.*=300:'. Rates, links made anew, and ages past 49.7 days, after which
those of IPOP 14 to 16 begin anew, need --save-state in the regular run.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    Values,
)

MEASURES = (
    Measure("links.active", "", GAUGE, "links that are up"),
    Measure("links.listed", "", GAUGE, "links that the source lists, up or not"),
    Measure("links.offline_percent", "%", GAUGE, "share of the listed links that are not up"),
    Measure("links.remade", "", GAUGE, "links that were up at the last run and were made anew since"),
    Measure("links.local", "", GAUGE, "links that are up between addresses of one network"),
    Measure("links.stun", "", GAUGE, "links that are up through a NAT"),
    Measure("links.relay", "", GAUGE, "links that are up through a relay"),
    Measure("source.age", "s", GAUGE, "time since the source was written"),
    Measure("<link>.status", "", GAUGE, "1 up, 0 not"),
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
COMMANDS = (
    Command(
        "check_ipop_links_stats",
        "--stats-dir /var/lib/ipop/ganglia --save-state",
        "links of an IPOP 14 node, from its controller's statistics directory",
        special=True,
    ),
    Command(
        "check_ipop_links_tincan",
        "--tincan 127.0.0.1:5800 --save-state",
        "links of an IPOP 14 to 16 node, asked of its tincan",
        special=True,
    ),
    Command(
        "check_ipop_links_controller",
        "--controller-json /var/lib/ipop/controller.json --save-state",
        "links of an IPOP 18 to 20 or EdgeVPN node, from its controller's document",
        special=True,
    ),
    Command(
        "check_ipop_links_overlay",
        f"--controller-json '{_NEWEST}' --save-state --max-output 60000 --compress",
        "all links of an overlay, from its visualizer's records, for graphios-tap",
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
    said = "the version of that tincan, such as 16.01, where it is not on this machine; above 16 nothing is sent"
    parser.typed("--tincan-version", read=_read_version, metavar="VERSION", help=said)
    parser.add("--overlay", help="only the links of this overlay, such as 101000F", metavar="ID")
    parser.add("--node", help="only the links that this node reports (its name or id)", metavar="NAME")
    parser.path("--sysfs", default="/sys", help="where sysfs is mounted, for traffic of network devices")
    parser.range("-w", "--warning", help="warn by number of links that are up, such as 2:")
    parser.range("-c", "--critical", help="critical by number of links that are up, such as 1:")
    parser.range("--offline-warning", help="warn by percentage of the listed links that are not up")
    parser.range("--offline-critical", help="critical by percentage of the listed links that are not up")
    said = "critical unless there is a link to this peer (address, name, id or label) that is up; repeatable"
    parser.add("--require", help=said, default=[], action="append", metavar="NAME")
    parser.regexes("--direct", help="warn when such a peer is reached through a relay; repeatable")
    parser.range("--stale-warning", help="warn by seconds since the source was written")
    said = "critical by seconds since the source was written; then no link counts as up"
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


def _read_version(text: str) -> float:
    """Return the first two numbers of a version, such as 14.07 of 14.07.1. Raises ValueError."""
    import re

    found = re.fullmatch(r"v?(\d{1,2}(?:\.\d{1,2})?)(?:\.\d{1,6})*", text, re.ASCII)
    if not found:
        raise ValueError(f"{text[:80]!r} is no version such as 16.01")
    return float(found[1])


class Links(Resource):
    """The links of one source."""

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged. Raises CheckError."""
        yield from ()


CHECK = Check(Links, MEASURES, options, commands=COMMANDS, rates=True, validate=validate)
main = CHECK.main
