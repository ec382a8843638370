"""Strict options on argparse: every mistake is one line on standard output and exit code 3, and nothing is guessed."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from checks.output import DEFAULT_BUDGET, host_port
from checks.ranges import RangeRules, compile_regex, parse_range

Values = argparse.Namespace
MINIMUM_BUDGET = 300


class UsageError(Exception):
    """A mistake on the command line, told in one line."""


class Asked(Exception):
    """The operator asked for a text instead of a check."""


class Declared(NamedTuple):
    """One option, as the generated documentation shows it."""

    flags: str
    default: str
    help: str


class Server(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as an operator writes it."""
        return host_port(self.host, self.port)


class _Add(argparse.Action):
    """Adds each value to one collection, made when the option is first given, so that a parser can be used again."""

    def __init__(self, *, make: Callable[[], Any], **keywords: Any) -> None:
        self.make = make
        super().__init__(**keywords)

    def __call__(self, parser: Any, namespace: Values, values: Any, option_string: str | None = None) -> None:
        collection = getattr(namespace, self.dest)
        if collection is self.default:
            collection = self.make()
            setattr(namespace, self.dest, collection)
        try:
            collection.add(values)
        except ValueError as error:
            parser.error(f"argument {option_string}: {error}")


class Options:
    """The options of one check: the ones every check has, and what the check declares in its `options` function."""

    def __init__(self, name: str, description: str) -> None:
        self._parser = _Parser(prog=name, description=description)
        self._group = self._parser.add_argument_group("options of this check")
        self.declared: list[Declared] = []

    def add(self, *flags: str, help: str, default: Any = None, **keywords: Any) -> None:
        """Declare an option as argparse's add_argument takes it; `help` says what it does, without the default."""
        self._declare(self._group, flags, help, default, keywords)

    def rules(self, *flags: str, help: str, default: str = "", sizes: bool = False) -> None:
        """Declare thresholds: `RANGE` for all, `REGEX=RANGE` for the objects whose whole name matches; repeatable.

        `sizes`: numbers may end in K, M, G, T, P or E (powers of 1024).
        """
        rules = RangeRules(default, sizes)
        self.add(
            *flags,
            help=help,
            default=rules,
            action=_Add,
            make=lambda: RangeRules(default, sizes),
            metavar="[REGEX=]RANGE",
        )
        self._redeclare(default)

    def range(self, *flags: str, help: str, default: str = "") -> None:
        """Declare one Nagios range; its value is None where there is none."""
        self.add(*flags, help=help, default=parse_range(default), type=telling(parse_range), metavar="RANGE")
        self._redeclare(default)

    def regexes(self, *flags: str, help: str) -> None:
        """Declare a repeatable regular expression; its value is a list."""
        self.add(*flags, help=help, default=[], action="append", type=telling(compile_regex), metavar="REGEX")
        self._redeclare("")

    def path(self, *flags: str, help: str, default: str | None = None) -> None:
        """Declare a path."""
        self.add(*flags, help=help, default=Path(default) if default else None, type=telling(_path), metavar="PATH")

    def flag(self, *flags: str, help: str) -> None:
        """Declare a switch that is off by default."""
        self.add(*flags, help=help, default=False, action="store_true")
        self._redeclare("")

    def typed(self, *flags: str, read: Callable[[str], Any], metavar: str, help: str, default: Any = None) -> None:
        """Declare an option whose value `read` makes of its text; what `read` raises as ValueError is told."""
        self.add(*flags, help=help, default=default, type=telling(read), metavar=metavar)

    def seconds(self, *flags: str, help: str, default: float) -> None:
        """Declare a number of seconds."""
        self.typed(*flags, read=_seconds, metavar="SECONDS", help=help, default=default)

    def collected(self, *flags: str, into: type[Any], metavar: str, help: str) -> None:
        """Declare a repeatable option whose values go to the `add` method of one `into()`; what that raises as ValueError is told."""
        self.add(*flags, help=help, default=into(), action=_Add, make=into, metavar=metavar)
        self._redeclare("")

    def host(self, *, help: str) -> None:
        """Declare -H, the name or address of the host to ask; None where it is not given."""
        self.typed("-H", "--hostname", read=_host, metavar="HOST", help=help)

    def port(self, *flags: str, help: str, default: int | None = None) -> None:
        """Declare a port number."""
        self.whole(*flags, help=help, metavar="PORT", low=1, high=65535, default=default)

    def whole(self, *flags: str, help: str, metavar: str, low: int, high: int, default: int | None = None) -> None:
        """Declare a whole number from `low` to `high`."""

        def read(text: str) -> int:
            if not (text.isascii() and text.isdigit() and len(text) < 16 and low <= int(text) <= high):
                raise ValueError(f"{text[:80]!r} is not a whole number from {low} to {high}")
            return int(text)

        self.typed(*flags, read=read, metavar=metavar, help=help, default=default)

    def server(self, *flags: str, help: str, port: int) -> None:
        """Declare a server, written as HOST, HOST:PORT or [ADDRESS]:PORT; `port` is what it has without one."""

        def read(text: str) -> Server:
            found = re.fullmatch(
                r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]{1,20})?)\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?", text, re.ASCII
            )
            number = int(found[3] or port) if found else 0
            if not found or text.startswith("-") or not 0 < number < 65536:
                raise ValueError(f"{text[:80]!r} is not HOST, HOST:PORT or [ADDRESS]:PORT")
            return Server(found[1] or found[2], number)

        self.typed(*flags, read=read, metavar="HOST[:PORT]", help=help)

    def choices(
        self, *flags: str, help: str, words: Sequence[str], default: str, aliases: Mapping[str, str] | None = None
    ) -> None:
        """Declare a comma-separated selection of `words`, or "all"; its value is a tuple in the order of `words`."""

        def read(text: str) -> tuple[str, ...]:
            if text == "all":
                return tuple(words)
            asked = [(aliases or {}).get(word.strip(), word.strip()) for word in text.split(",") if text]
            wrong = [word for word in asked if word not in words]
            if wrong:
                raise ValueError(f"{wrong[0]!r} is none of {', '.join(words)}")
            return tuple(word for word in words if word in asked)

        self.add(*flags, help=f"{help}: {', '.join(words)}", default=read(default), type=telling(read), metavar="LIST")
        self._redeclare(default)

    def common(self, version: str, *, rates: bool, timeout: float = 10.0) -> None:
        """Declare what every check has; `rates`: the check keeps counters between runs; `timeout`: its deadline in seconds by default."""
        group = self._parser.add_argument_group("options of every check")

        def add(*flags: str, help: str, default: Any = None, **keywords: Any) -> None:
            self._declare(group, flags, help, default, keywords)

        add("-t", "--timeout", help="deadline in seconds", default=timeout, type=telling(_seconds), metavar="SECONDS")
        add("--max-output", help="most bytes of output", default=DEFAULT_BUDGET, type=telling(_budget), metavar="BYTES")
        add("--compress", help="deflate output that is over --max-output", default=False, action="store_true")
        self._redeclare("")
        if rates:
            add("--save-state", help="keep the counters for the next run's rates", default=False, action="store_true")
            self._redeclare("")
            add("--state-key", help="tells apart checks of one target that run at different intervals", metavar="WORD")
        add("--no-engine", help="run here, even where the engine could run it", default=False, action="store_true")
        self._redeclare("")
        add("-v", "--verbose", help="list each object", default=0, action="count")
        self._redeclare("")
        add("-V", "--version", help="show the version", action=_Say, text=version)
        add("-h", "--help", help="show this text", action=_Say)

    def parse(self, argv: Sequence[str]) -> Values:
        """Return the values. Raises UsageError, or Asked with the text of --help or --version."""
        return self._parser.parse_args(_attach_negatives(argv))

    def _declare(self, group: Any, flags: tuple[str, ...], help: str, default: Any, keywords: dict[str, Any]) -> None:
        said = keywords.pop("said_default", None)
        shown = said if said is not None else "" if default in (None, False, 0, []) else str(default)
        text = help.replace("%", "%%") + (f" (default {shown.replace('%', '%%')})" if shown else "")
        action = group.add_argument(*flags, help=text, default=default, **keywords)
        metavar = f" {action.metavar}" if action.metavar else ""
        self.declared.append(Declared(", ".join(flags) + metavar, shown, help))
        self._last = action

    def _redeclare(self, default: str) -> None:
        """Show `default` for the option declared last, whose value in Python reads badly."""
        last = self.declared[-1]
        self.declared[-1] = last._replace(default=default)
        shown = f" (default {default.replace('%', '%%')})" if default else ""
        self._last.help = last.help.replace("%", "%%") + shown


class _Say(argparse.Action):
    """--help and --version: raises Asked with the text."""

    def __init__(self, *, text: str | None = None, **keywords: Any) -> None:
        self.text = text
        super().__init__(nargs=0, **keywords)

    def __call__(self, parser: Any, *_: Any) -> NoReturn:
        raise Asked(self.text or parser.format_help())


class _Parser(argparse.ArgumentParser):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(
            add_help=False, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **keywords
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def telling(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `read` so that argparse shows the text of its ValueError."""

    def typed(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a path")
    return Path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None
    if not (math.isfinite(seconds) and 0 < seconds <= 86400):
        raise ValueError(f"{text!r} is not between 0 and 86400 seconds")
    return seconds


def _host(text: str) -> str:
    if not (text.isascii() and 0 < len(text) < 254 and re.fullmatch(r"[A-Za-z0-9._:%-]+", text) and text[0] != "-"):
        raise ValueError(f"{text[:80]!r} is not a host's name or address")
    return text


def _budget(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:12]) >= MINIMUM_BUDGET):
        raise ValueError(f"{text!r} is not a number of bytes from {MINIMUM_BUDGET} up")
    return int(text)


def _attach_negatives(argv: Sequence[str]) -> list[str]:
    """Join an option and its value that begins with "-" and a digit (`-w -10:`), which argparse would take for an option."""
    joined: list[str] = []
    for word in argv:
        option = joined[-1] if joined else ""
        if (
            len(word) > 1
            and word[0] == "-"
            and word[1] in ".0123456789"
            and option.startswith("-")
            and "=" not in option
        ):
            joined[-1] = f"{option}={word}" if option.startswith("--") else option + word
        else:
            joined.append(word)
    return joined
