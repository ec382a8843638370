"""graphios, the shipper of perfdata: whether it runs, keeps up, and delivers all it reads.

Alerts when graphios does not run or is silent, when perfdata waits too long or too much of it, when a backend fails for a while, and when
anything was rejected, dropped or set aside. Reads the status document that graphios writes every 2 s; needs no privileges and no network.

What was rejected or dropped counts since the last run of this check (--save-state); what a graphios that was restarted says counts from
its start. Where thresholds take a REGEX it is for the backend's name, its section of the configuration: -w 300 -w 'influxdb:lab=3600'.
One service for each graphios: another one's document is given with --status.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from checks.counters import Counters, StateError, delta
from checks.output import clean_name
from checks.plugin import (
    COUNTER,
    GAUGE,
    SEVERITIES,
    BadInput,
    Check,
    Command,
    Measure,
    Metric,
    Options,
    Resource,
    Threshold,
    Values,
)
from checks.ranges import duration
from checks.shipper import report
from checks.shipper.document import Backend, Document, parse, read

MEASURES = (
    Measure("lag", "s", GAUGE, "age of the oldest spool file that waits"),
    Measure("age", "s", GAUGE, "age of the status document"),
    Measure("spool.files", "", GAUGE, "spool files that wait"),
    Measure("spool.bytes", "B", GAUGE, "size of the spool files that wait"),
    Measure("rejected.total", "c", COUNTER, "lines and items that were rejected"),
    Measure("rejected.<kind>", "c", COUNTER, "of these, by reason: line, time, perfdata, name, refused ..."),
    Measure("dropped.files", "c", COUNTER, "spool files dropped over the limits of the spool"),
    Measure("dropped.bytes", "c", COUNTER, "their size"),
    Measure("dropped.lines", "c", COUNTER, "their lines"),
    Measure("set_aside.files", "", GAUGE, "spool files set aside because a backend would not take them"),
    Measure("lines_read", "c", COUNTER, "lines read from spool files"),
    Measure("metrics_read", "c", COUNTER, "metrics read from spool files"),
    Measure("backend.<name>.acknowledged", "c", COUNTER, "metrics this backend took"),
    Measure("backend.<name>.lag", "s", GAUGE, "age of the oldest spool file that waits for this backend"),
    Measure("backend.<name>.error", "s", GAUGE, "time since it delivers nothing, 0 while it does"),
    Measure("backend.<name>.sent", "c", COUNTER, "metrics handed over, those sent again included"),
    Measure("backend.<name>.retries", "c", COUNTER, "tries that failed"),
    Measure("backend.<name>.replayed", "c", COUNTER, "metrics sent again after it may have lost its memory"),
    Measure("backend.<name>.refused", "c", COUNTER, "metrics it will never take"),
    Measure("backend.<name>.waiting_files", "", GAUGE, "spool files that wait for it"),
    Measure("backend.<name>.waiting_bytes", "B", GAUGE, "their size"),
    Measure("backend.<name>.parked_series", "", GAUGE, "new series that wait until carbon may create them"),
    Measure("backend.<name>.parked_points", "", GAUGE, "their points"),
    Measure("backend.<name>.dropped_creates", "c", COUNTER, "new series that carbon itself says it dropped"),
    Measure("backend.<name>.memory_losses", "c", COUNTER, "how often carbon may have lost its memory"),
    Measure("backend.<name>.set_aside", "c", COUNTER, "spool files it would not take"),
    Measure("skipped.<what>", "c", COUNTER, "items that are not to be shipped: U, filtered, unprefixed"),
    Measure("window.files", "", GAUGE, "delivered files kept for a carbon that forgets"),
    Measure("window.bytes", "B", GAUGE, "their size"),
)
COMMANDS = (
    Command("check_graphios", "--save-state", "lag, backends, rejects and drops of the local graphios", server=True),
)
_LEEWAY = 60.0


def options(parser: Options) -> None:
    """Declare the options of check_graphios."""
    parser.path("--status", default="/run/graphios/status.json", help="the status document")
    parser.rules("-w", "--warning", default="300", help="warn by lag in seconds, of each backend")
    parser.rules("-c", "--critical", default="1800", help="critical by lag in seconds, of each backend")
    parser.range("--age-warning", help="warn by age of the status document in seconds")
    parser.range(
        "--age-critical",
        default="60",
        help="critical by age of the status document in seconds; then nothing else is judged",
    )
    words = ", ".join(SEVERITIES)
    severities: dict[str, object] = {"choices": tuple(SEVERITIES), "metavar": "STATE"}
    stopped = f"state when graphios has ended, or there is no status document: {words}"
    parser.add("--not-running-severity", default="critical", help=stopped, **severities)
    said = "state of what graphios itself calls trouble, such as a spool it can't read"
    parser.add("--trouble-severity", default="warning", help=said, **severities)
    parser.rules("--error-warning", default="60", help="warn by seconds a backend delivers nothing")
    parser.rules("--error-critical", default="600", help="critical by seconds a backend delivers nothing")
    parser.range("--files-warning", help="warn by spool files that wait")
    parser.range("--files-critical", help="critical by spool files that wait")
    parser.rules(
        "--bytes-warning", sizes=True, help="warn by bytes that wait for a backend (K M G T as powers of 1024)"
    )
    parser.rules("--bytes-critical", sizes=True, help="critical by bytes that wait for a backend")
    parser.range("--rejected-warning", default="0", help="warn by lines and items rejected since the last run")
    parser.range("--rejected-critical", help="critical by lines and items rejected since the last run")
    parser.range("--dropped-warning", help="warn by spool files dropped since the last run")
    parser.range("--dropped-critical", default="0", help="critical by spool files dropped since the last run")
    parser.range("--set-aside-warning", default="0", help="warn by spool files set aside")
    parser.range("--set-aside-critical", help="critical by spool files set aside")
    parser.rules(
        "--dropped-creates-warning",
        default="0",
        help="warn by new series that carbon says it dropped since the last run",
    )
    parser.rules(
        "--dropped-creates-critical", help="critical by new series that carbon says it dropped since the last run"
    )
    parser.rules("--parked-warning", help="warn by new series that wait until carbon may create them")
    parser.rules("--parked-critical", help="critical by new series that wait until carbon may create them")


class Shipper(Resource):
    """One graphios, as its status document shows it."""

    def __init__(self, opts: Values) -> None:
        super().__init__(opts)
        self._document: Document | None = None
        self._now = 0.0
        self._notes: list[str] = []

    def contexts(self) -> Sequence[Threshold]:
        """Return a context for each kind of threshold."""
        opts = self.opts
        return (
            Threshold("age", opts.age_warning, opts.age_critical, show=duration),
            Threshold("lag", opts.warning, opts.critical, show=duration),
            Threshold("error", opts.error_warning, opts.error_critical, show=duration),
            Threshold("files", opts.files_warning, opts.files_critical, word="spool files"),
            Threshold("bytes", opts.bytes_warning, opts.bytes_critical, word="waiting bytes"),
            Threshold("rejected", opts.rejected_warning, opts.rejected_critical, word="rejected since the last run:"),
            Threshold(
                "dropped", opts.dropped_warning, opts.dropped_critical, word="spool files dropped since the last run:"
            ),
            Threshold("aside", opts.set_aside_warning, opts.set_aside_critical, word="spool files set aside:"),
            Threshold(
                "creates",
                opts.dropped_creates_warning,
                opts.dropped_creates_critical,
                word="dropped new series since the last run:",
            ),
            Threshold("parked", opts.parked_warning, opts.parked_critical, word="parked series"),
        )

    def probe(self) -> Iterator[Metric]:
        """Yield what is to be judged: whether it runs, then what it says. Raises CheckError."""
        self._now = time.time()
        text = read(self.opts.status)
        if text is None:
            yield from self._stopped(f"{clean_name(str(self.opts.status))} is not there")
            return
        document = parse(text)
        age = self._now - document.time
        if age < -_LEEWAY:
            raise BadInput(f"the status document is {duration(-age)} in the future: the clock was set back")
        if not document.running:
            yield from self._stopped(f"it ended {duration(age)} ago")
            return
        yield Metric(f"\0graphios is silent (process {document.pid}): status of", age, context="age")
        if self.opts.age_critical and not self.opts.age_critical.match(age):
            return
        self._document = document
        counters = Counters("check_graphios", str(self.opts.status), self.opts.state_key)
        self.headline = self._headline(document, counters)
        yield from self._judge_losses(document, counters)
        for backend in document.backends:
            yield from _judge_backend(backend, document)
            creates = self._gained(document, counters, f"creates {backend.name}")
            if creates is not None:
                yield Metric(backend.name, creates, context="creates")
        for trouble in document.trouble:
            yield Metric(clean_name(trouble), self.opts.trouble_severity, context="finding")
        yield Metric("", sum(spool.files for spool in document.spools), context="files")
        self._remember(document, counters)

    def _stopped(self, why: str) -> Iterator[Metric]:
        said = f"graphios does not run: {why}"
        yield Metric(said, self.opts.not_running_severity, context="finding")
        self.headline = said if self.opts.not_running_severity == "ok" else ""

    def _judge_losses(self, document: Document, counters: Counters) -> Iterator[Metric]:
        dropped, rejected = (self._gained(document, counters, key) for key in ("dropped", "rejected"))
        if dropped is not None:
            yield Metric("", dropped, context="dropped")
        if rejected is not None:
            yield Metric("", rejected, context="rejected")
        yield Metric("", document.figures["set_aside.files"], context="aside")
        # The inputs may be behind where no backend is, and a graphios without backends is behind with everything.
        if document.lag > max((backend.lag for backend in document.backends), default=0.0) + _LEEWAY:
            yield Metric("spool", document.lag, context="lag")

    def _gained(self, document: Document, counters: Counters, key: str) -> int | None:
        """What a counter gained since the last run; None where that can't be known."""
        if not counters.interval:
            return None
        new, old = _kept(document).get(key), counters.previous("graphios", document.epoch).get(key, 0)
        return delta(old, new) if isinstance(old, int) and new is not None else None

    def _remember(self, document: Document, counters: Counters) -> None:
        if not counters.interval:
            hint = "" if self.opts.save_state else "; --save-state keeps counters for the next"
            self._notes.append(f"rejected and dropped since the last run are not known: {counters.why}{hint}")
        if self.opts.save_state:
            counters.keep("graphios", document.epoch, _kept(document))
            try:
                counters.save()
            except StateError as error:
                self._notes.append(f"rejected and dropped will not be known at the next run: {error}")

    def _headline(self, document: Document, counters: Counters) -> str:
        number = len(document.backends)
        waiting = sum(spool.files for spool in document.spools)
        said = f"lag {duration(document.lag)}, {waiting} file{'' if waiting == 1 else 's'} waiting"
        said += f", {number} backend{'' if number == 1 else 's'}"
        acknowledged = self._gained(document, counters, "acknowledged")
        if acknowledged is not None and counters.interval:
            said += f", {acknowledged / counters.interval:.0f} metrics/s"
        return said

    def notes(self) -> Sequence[str]:
        """Return what is not known, and why."""
        return self._notes

    def perfdata(self) -> Sequence[str]:
        """Return the figures of the whole, then the essentials of every backend, then the rest; nothing of a graphios that does not run."""
        return report.perfdata_items(self._document, self._now, self.opts) if self._document else ()

    def lines(self) -> Sequence[str]:
        """Return a line for each backend and spool, and the rejects by reason."""
        return report.lines(self._document) if self._document else ()


def _judge_backend(backend: Backend, document: Document) -> Iterator[Metric]:
    if backend.error:
        what = f"{backend.name}\0delivers nothing ({backend.error[:120]}) for"
        yield Metric(what, report.failing(backend, document), context="error")
    yield Metric(backend.name, backend.lag, context="lag")
    for context, key in (("bytes", "waiting_bytes"), ("parked", "parked_series")):
        if key in backend.figures:
            yield Metric(backend.name, backend.figures[key], context=context)


def _kept(document: Document) -> dict[str, int]:
    """The counters that matter between two runs."""
    return {
        "rejected": document.rejected_total,
        "dropped": document.figures["dropped.files"],
        "acknowledged": sum(backend.figures["acknowledged"] for backend in document.backends),
    } | {
        f"creates {backend.name}": backend.figures["dropped_creates"]
        for backend in document.backends
        if "dropped_creates" in backend.figures
    }


CHECK = Check(Shipper, MEASURES, options, commands=COMMANDS, rates=True)
main = CHECK.main
