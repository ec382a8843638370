"""How every check runs: options, evaluation by nagiosplugin, exit code, deadline and output budget.

`Check.run` is the callable form (argv in, exit code and text out, the caller owns the deadline); `Check.main` is the command.
Exit codes and output: monitoring-plugins developer guidelines.
"""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

import nagiosplugin
from nagiosplugin import Critical, Metric, Ok, Result, Unknown, Warn

from checks.deadline import BadInput, CheckError, Watchdog, stage
from checks.options import Asked, Options, UsageError, Values
from checks.output import Output, clean_name, clean_text, decimal
from checks.ranges import RangeRules, plain, violation
from checks.version import VERSION

__all__ = [
    "COUNTER",
    "GAUGE",
    "BadInput",
    "Check",
    "CheckError",
    "Command",
    "Finding",
    "Measure",
    "Metric",
    "Options",
    "Outcome",
    "Resource",
    "Threshold",
    "Values",
    "stage",
]

GAUGE = "gauge"
COUNTER = "counter"
SEVERITIES = {"ok": Ok, "warning": Warn, "critical": Critical, "unknown": Unknown}
# A known problem outranks what could not be found out, which outranks OK.
_ORDER = (Ok, Unknown, Warn, Critical)
Limits = RangeRules | nagiosplugin.Range | None


class Measure(NamedTuple):
    """One metric a check can emit: label pattern with <placeholders>, unit in perfdata, GAUGE or COUNTER, and its meaning."""

    label: str
    unit: str
    kind: str
    meaning: str


class Command(NamedTuple):
    """One fixed NRPE command line of a check, from which nrpe/ and nagios-config/ are generated.

    `tap`: it says more than Nagios takes, for graphios-tap; `server`: it looks at what only the monitoring server has.
    `network`: arguments with which the monitoring server asks the host itself, without NRPE; Nagios's macros stand in single quotes, as in
    "-H '$HOSTADDRESS$'". `special`: for hosts of one kind only, so that it is not among the examples for any host.
    `interval`: seconds between two runs, for what must not run as often as everything else.
    """

    name: str
    arguments: str
    description: str
    tap: bool = False
    server: bool = False
    network: str = ""
    special: bool = False
    interval: int = 0


class Outcome(NamedTuple):
    """What a run of a check gives: exit code 0 to 3 and the text for standard output, with its last newline."""

    code: int
    text: str


class Resource(nagiosplugin.Resource):  # type: ignore[misc]
    """What a check looks at: `probe` acquires, parses and yields what is to be judged; the rest is for the output."""

    headline = ""

    def __init__(self, opts: Values) -> None:
        self.opts = opts

    def probe(self) -> Iterable[Metric]:
        """Yield the metrics that have a threshold or a state to judge; each names its context. Raises CheckError."""
        raise NotImplementedError

    def contexts(self) -> Sequence[nagiosplugin.Context]:
        """Return the contexts that judge the metrics."""
        return ()

    def perfdata(self) -> Sequence[str]:
        """Return the perfdata items, the most important first; an entry may hold several with a blank between."""
        return ()

    metrics_left_out = 0
    """How many items `perfdata` did not make because they can't fit into --max-output."""

    def lines(self) -> Sequence[str]:
        """Return the lines that -v shows, one for each object."""
        return ()

    def notes(self) -> Sequence[str]:
        """Return lines that are shown without -v as well: what is missing, and why."""
        return ()


class Threshold(nagiosplugin.Context):  # type: ignore[misc]
    """Judges a number by the ranges that hold for its object; metric names are "object" or "object what"."""

    def __init__(
        self,
        name: str,
        warning: RangeRules,
        critical: RangeRules,
        *,
        word: str = "",
        unit: str = "",
        show: Callable[[float], str] = plain,
        advice: str = "",
    ) -> None:
        """`word` and `unit` stand around the value in the text; `show` writes value and limit; `advice` says what to do next."""
        super().__init__(name)
        self.warning, self.critical, self.word, self.unit, self.show = warning, critical, word or name, unit, show
        self.advice = f": {advice}" if advice else ""

    def evaluate(self, metric: Metric, resource: Resource) -> Result:
        """Return the result; its hint says value and limit."""
        if not math.isfinite(metric.value):  # compares as inside any range
            return Result(Unknown, f"{clean_name(metric.name)} {self.word} is not a number", metric)
        name, _, what = metric.name.partition("\0")
        for severity, limits in ((Critical, self.critical), (Warn, self.warning)):
            limit = limits.find(name) if isinstance(limits, RangeRules) else limits
            if limit is not None and not limit.match(metric.value):
                subject = " ".join(part for part in (clean_name(name), clean_name(what) or self.word) if part)
                value = self.show(round(metric.value, 2) if self.show is plain else metric.value)
                said = f"{subject} {value}{self.unit} ({violation(limit, metric.value, self.show)}){self.advice}"
                return Result(severity, said, metric)
        return Result(Ok, None, metric)


class Finding(nagiosplugin.Context):  # type: ignore[misc]
    """Judges what the check already knows: the metric's value is a severity word, its name the text for the operator."""

    def __init__(self, name: str = "finding") -> None:
        super().__init__(name)

    def evaluate(self, metric: Metric, resource: Resource) -> Result:
        """Return the result with the metric's name as its hint."""
        return Result(SEVERITIES[metric.value], metric.name, metric)


class Check:
    """One command: `Check(resource, measures, options).main` is its entry point."""

    def __init__(
        self,
        resource: type[Resource],
        measures: Sequence[Measure],
        options: Callable[[Options], None] | None = None,
        *,
        commands: Sequence[Command] = (),
        rates: bool = False,
        timeout: float = 10.0,
        validate: Callable[[Values], None] | None = None,
    ) -> None:
        """`rates`: counters are kept between runs; `timeout`: the deadline without -t, in seconds; `validate` raises UsageError for options
        that do not go together.
        """
        module = sys.modules[resource.__module__]
        self.name = str(module.__file__).rpartition("/")[2].removesuffix(".py")
        self.description = (module.__doc__ or "").strip()
        self.resource, self.measures, self.commands = resource, measures, commands
        self._declare, self._rates, self._timeout, self._validate = options, rates, timeout, validate
        self._made: Options | None = None

    @property
    def title(self) -> str:
        """The word that begins every output: the name without check_, in capitals."""
        return self.name.removeprefix("check_").upper()

    def options(self) -> Options:
        """Return the options of this check."""
        options = Options(self.name, self.description)
        if self._declare:
            self._declare(options)
        options.common(f"{self.name} {VERSION} (testbed-checks)", rates=self._rates, timeout=self._timeout)
        return options

    def warm_up(self) -> None:
        """Do ahead what each run does alike, for runs in forks of this process."""
        self._made = self.options()

    def parse(self, argv: Sequence[str]) -> Values:
        """Return the values of the options. Raises UsageError or Asked."""
        opts = (self._made or self.options()).parse(argv)
        if self._validate:
            self._validate(opts)
        return opts

    def run(self, argv: Sequence[str]) -> Outcome:
        """Run the check: exit code and text. Never raises for what an operator or a target can do wrong, and sets no deadline."""
        opts = self._opts_or_outcome(argv)
        return opts if isinstance(opts, Outcome) else self.execute(opts)

    def main(self) -> NoReturn:
        """Run as a command: options from sys.argv, text on standard output, and the deadline's watchdog."""
        _fill_standard_descriptors()
        gc.disable()  # a run is over before there is anything worth collecting
        opts = self._opts_or_outcome(sys.argv[1:])
        seconds = 10.0 if isinstance(opts, Outcome) else opts.timeout
        dog = Watchdog(
            seconds, lambda what: self._unknown(f"no answer within {decimal(seconds)} s while {clean_text(what)}").text
        )
        try:
            outcome = opts if isinstance(opts, Outcome) else self.execute(opts)
        except KeyboardInterrupt:
            outcome = self._unknown("interrupted")
        dog.finish(*outcome)

    def execute(self, opts: Values) -> Outcome:
        """Evaluate with parsed options and render the outcome."""
        try:
            resource = self.resource(opts)
            results = self._judge(resource)
            code, first, problems = self._sum_up(resource, results)
            below = [*problems, *resource.notes(), *(resource.lines() if opts.verbose else ())]
            output = Output(first, resource.perfdata(), below, resource.metrics_left_out)
            return Outcome(code, output.render(opts.max_output, opts.compress))
        except CheckError as error:
            return self._unknown(str(error))
        except MemoryError:
            return self._unknown("out of memory")
        except Exception as error:  # an operator never sees a traceback, and Nagios no exit code 1
            return self._unknown(_internal(error))

    def _opts_or_outcome(self, argv: Sequence[str]) -> Values | Outcome:
        try:
            return self.parse(argv)
        except Asked as asked:
            return Outcome(3, str(asked).rstrip("\n") + "\n")
        except UsageError as error:
            return self._unknown(str(error))

    def _judge(self, resource: Resource) -> list[Result]:
        """Let nagiosplugin evaluate what the resource yields; results, the worst first."""
        contexts = [*resource.contexts(), Finding()]
        judged: list[Result] = []
        by_name = {context.name: context for context in contexts}
        for metric in resource.probe():
            judged.append(metric.replace(contextobj=by_name[metric.context], resource=resource).evaluate())
        judged.sort(key=lambda result: -_ORDER.index(result.state))
        return judged

    def _sum_up(self, resource: Resource, results: list[Result]) -> tuple[int, str, list[str]]:
        """Return exit code, first line, and a line for each problem when there are several."""
        state = results[0].state if results else Ok
        problems = [result for result in results if result.state != Ok]
        if not problems:
            return 0, f"{self.title} OK - {resource.headline}", []
        first = f"{self.title} {str(state).upper()} - {problems[0].hint}"
        if len(problems) > 1:
            first += f", {len(problems) - 1} more"
        if resource.headline:
            first += f"; {resource.headline}"
        told = [f"{str(result.state).upper()}: {result.hint}" for result in problems] if len(problems) > 1 else []
        return state.code, first, told

    def _unknown(self, text: str) -> Outcome:
        return Outcome(3, Output(f"{self.title} UNKNOWN - {text}").render())


def _fill_standard_descriptors() -> None:
    """Where we were started without standard input, output or error, keep their numbers from going to what the check opens."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # so that writing fails, and the exit code says that nobody got the text


def raised_at(error: BaseException) -> str:
    """Return file and line where it was raised; "" where that is not known."""
    trace, place = error.__traceback__, ""
    while trace:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _internal(error: Exception) -> str:
    """Name an error nobody foresaw, with the place in our code: a line that can be reported."""
    return f"internal error, please report it: {type(error).__name__}: {str(error)[:200]} (in {raised_at(error)})"
