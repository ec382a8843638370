"""The options of check_tahoe, and the contexts that judge by them."""

from __future__ import annotations

from checks import web
from checks.options import Options, UsageError, Values
from checks.plugin import SEVERITIES, Threshold
from checks.ranges import RangeRules, compile_regex, duration, human, parse_range, plain
from checks.tahoe.measures import STATISTICS

# A gatherer asks its nodes every 60 s; the Munin plugin leaves out what is older than this.
STALE = "300"
# HTTP clients ask their servers every second; an idle connection of Foolscap's is tried after 4 minutes, which it looks at every 4.
UNHEARD = "600"

_OPERATIONS = [one.label.rpartition(".")[2] for one in STATISTICS if one.label.startswith("storage.operations.")]
_LATENCY_NAMES = [
    f"{operation}.{what}"
    for operation in _OPERATIONS
    for what in ("mean", "p1", "p10", "p50", "p90", "p95", "p99", "p99_9")
]


class LatencyRules(RangeRules):
    """Ranges for latencies by OPERATION.STATISTIC; an expression that is none of those names is a mistake."""

    def add(self, text: str) -> None:
        """Take `RANGE` or `REGEX=RANGE`. Raises ValueError."""
        expression = text.rpartition("=")[0]
        if expression and not any(map(compile_regex(expression).fullmatch, _LATENCY_NAMES)):
            raise ValueError(f"{expression[:80]!r} is no latency: they are called write.p99, get.mean ...")
        super().add(text)


def declare(parser: Options) -> None:
    """Declare the options of check_tahoe."""
    parser.typed(
        "--url",
        read=web.folder_url,
        metavar="URL",
        help="web port of a client, storage node or introducer, such as http://127.0.0.1:3456",
    )
    parser.flag("--grid", help="with --url of a client or storage node: the whole grid as it sees it, each server")
    parser.path("--stats-json", help="file of a stats gatherer: all its nodes")
    parser.range("-w", "--warning", help="warn by seconds the web port takes to answer")
    parser.range("-c", "--critical", help="critical by seconds the web port takes to answer")
    said = "with --stats-json: only this node, by nickname, tubid or label; missing is CRITICAL; repeatable"
    parser.add("--node", help=said, default=[], action="append", metavar="NAME")
    said = "no nodes or servers whose whole label matches, such as those taken out of service; repeatable"
    parser.regexes("--ignore", help=said)
    _ranges(parser)
    _severities(parser)


# Option, whether its expression chooses an object, and what it is about.
_RANGES = (
    ("space", True, "bytes a server has left for shares (K M G T as powers of 1024), such as 10G:"),
    ("space-percent", True, "space a server has left for shares, in percent of its disk, such as 5:"),
    ("servers", False, "number of storage servers connected, such as 3: (with --url of an introducer announced)"),
    ("uptime", True, "seconds since a node was started, such as 600: for one that was restarted"),
    (
        "stale",
        False,
        f"age in seconds: with --stats-json of a node's numbers, else since a server was heard (without both, warning {STALE} or {UNHEARD})",
    ),
    (
        "latency",
        True,
        "seconds of a storage operation, the expression is for OPERATION.STATISTIC, such as 'write\\.p99=0.5'",
    ),
    ("corrupt", False, "shares that a storage node found damaged, with --url of one"),
    ("load", True, "load peak, the seconds a node's timer ran late (Tahoe-LAFS before 1.16 with a gatherer)"),
    ("cpu", True, "CPU a node used in the last minute, in percent of one CPU"),
)


def _ranges(parser: Options) -> None:
    for name, has_rules, what in _RANGES:
        for level, word in (("warning", "warn"), ("critical", "critical")):
            option, said = f"--{name}-{level}", f"{word} by {what}"
            if name == "latency":
                parser.collected(option, into=LatencyRules, metavar="[REGEX=]RANGE", help=said)
            elif has_rules:
                parser.rules(option, sizes=name == "space", help=said)
            else:
                parser.range(option, default="0" if option == "--corrupt-warning" else "", help=said)


def _severities(parser: Options) -> None:
    said = "uploads place shares on so many servers (shares.happy): critical with fewer that take shares, warning with no more"
    parser.whole("--shares-happy", metavar="N", low=1, high=256, help=said)
    severities: dict[str, object] = {"choices": tuple(SEVERITIES), "metavar": "STATE"}
    words = ", ".join(SEVERITIES)
    said = f"state of a server that takes no shares, because it is full or read-only: {words}"
    parser.add("--not-accepting-severity", default="warning", help=said, **severities)
    said = "servers that are meant to be read-only, by their label ('.*' with --url of one); repeatable"
    parser.regexes("--read-only", help=said)
    said = f"state when an introducer is lost; uploads go on without: {words}"
    parser.add("--introducer-severity", default="warning", help=said, **severities)
    said = f"state of a server that is not connected, with --grid: {words}"
    parser.add("--lost-severity", default="warning", help=said, **severities)


def validate(opts: Values) -> None:
    """Refuse options that do not go together, and fill in how old is stale. Raises UsageError."""
    if bool(opts.url) == bool(opts.stats_json):
        what = "only one of" if opts.url else "one of"
        raise UsageError(f"{what} --url URL and --stats-json FILE has to say what to look at")
    if opts.grid and not opts.url:
        raise UsageError("--grid needs --url of one of its clients; --stats-json shows all nodes without it")
    if opts.node and not opts.stats_json:
        raise UsageError("--node chooses among the nodes of --stats-json")
    if opts.stats_json and (opts.warning or opts.critical):
        raise UsageError("-w and -c are for the time a web port takes: --stats-json asks none")
    if opts.stale_warning is None and opts.stale_critical is None:
        opts.stale_warning = parse_range(STALE if opts.stats_json else UNHEARD)
    if opts.grid:
        for name in ("space_percent", "uptime", "latency", "load", "cpu"):
            for level in ("warning", "critical"):
                if getattr(opts, f"{name}_{level}"):
                    option = f"--{name.replace('_', '-')}-{level}"
                    raise UsageError(f"{option}: a client does not know that of its servers; ask them by --url")


def contexts(opts: Values) -> tuple[Threshold, ...]:
    """Return a context for each kind of threshold."""
    full, gone = "add disk or servers", "is it down? --ignore it if gone for good"
    return (
        Threshold("time", opts.warning, opts.critical, show=exact, unit=" s"),
        Threshold("space", opts.space_warning, opts.space_critical, word="space left:", show=human, advice=full),
        Threshold(
            "percent",
            opts.space_percent_warning,
            opts.space_percent_critical,
            word="space left:",
            unit="%",
            advice=full,
        ),
        Threshold("servers", opts.servers_warning, opts.servers_critical, word="servers connected:"),
        Threshold("uptime", opts.uptime_warning, opts.uptime_critical, word="restarted, it is up", show=duration),
        Threshold("stale", opts.stale_warning, opts.stale_critical, show=duration, advice=gone),
        Threshold("latency", opts.latency_warning, opts.latency_critical, show=exact, unit=" s"),
        Threshold("corrupt", opts.corrupt_warning, opts.corrupt_critical, word="damaged shares:"),
        Threshold("load", opts.load_warning, opts.load_critical, word="load peak", show=exact, unit=" s"),
        Threshold("cpu", opts.cpu_warning, opts.cpu_critical, word="CPU", unit="%"),
    )


def is_stale(age: float, opts: Values) -> bool:
    """Whether what is so old, in seconds, is no news."""
    return any(limit and not limit.match(age) for limit in (opts.stale_warning, opts.stale_critical))


def limits(rules: object, name: str) -> object:
    """Return the range that holds for `name`, for perfdata; `rules` is the value of an option."""
    find = getattr(rules, "find", None)
    return find(name) if find else rules


def exact(seconds: float) -> str:
    """Return a short time with three digits that count."""
    return plain(float(f"{seconds:.3g}"))
