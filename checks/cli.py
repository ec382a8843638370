"""The command `testbed-checks`: makes configuration files and documentation out of what the checks declare."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from checks.configuration import graphite, nagios, nrpe, readme
from checks.configuration.declared import ConfigurationError, all_checks, checkout
from checks.configuration.seattle import PROFILES
from checks.configuration.settings import DEFAULTS, OPTIONS, Settings
from checks.options import Asked, UsageError, telling
from checks.plugin import Check
from checks.version import VERSION

ROOMS: dict[str, Callable[[Sequence[Check], Settings], dict[str, str]]] = {
    "nrpe": nrpe.files,
    "nagios": nagios.files,
    "graphite": graphite.files,
}
# Where a checkout keeps them.
FOLDERS = {"nrpe": "nrpe", "nagios": "nagios-config", "graphite": "nagios-config/graphite"}
_SAYS = {
    "nrpe": "NRPE's commands for the nodes: files for /etc/nagios/nrpe.d/",
    "nagios": "commands, templates and services for the monitoring server",
    "graphite": "retention, aggregation and limits for carbon",
    "readme": "each check's options and metrics, in Markdown",
    "all": "all of it in a checkout, with the defaults: nrpe/, nagios-config/ and README.md",
}


class _Parser(argparse.ArgumentParser):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(add_help=False, allow_abbrev=False, **keywords)
        self.add_argument("-h", "--help", nargs=0, action=_Say, help="show this text")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Say(argparse.Action):
    """--help and --version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        version = f"testbed-checks {VERSION}\n"
        raise Asked(version if "--version" in self.option_strings else parser.format_help())


def main() -> NoReturn:
    """Run as a command. Exit code 0: done; 1: `all --check` found differences; 3: help, version and mistakes."""
    try:
        code, text = run(sys.argv[1:])
    except KeyboardInterrupt:
        code, text = 3, "testbed-checks: interrupted\n"
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # The interpreter would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            print(f"testbed-checks: standard output: {error.strerror}", file=sys.stderr)
        code = 3
    sys.exit(code)


def run(argv: Sequence[str]) -> tuple[int, str]:
    """Return exit code and text; files are written where the options say so."""
    try:
        opts = _parser().parse_args(argv)
        if "room" not in opts:
            raise UsageError("what to make is missing (see testbed-checks config --help)")
        return _make(opts)
    except Asked as asked:
        return 3, str(asked)
    except (UsageError, ConfigurationError) as error:
        return 3, f"testbed-checks: {error}\n"
    except OSError as error:
        return 3, f"testbed-checks: {error.filename or 'error'}: {error.strerror}\n"
    except UnicodeError as error:
        return 3, f"testbed-checks: not UTF-8 text: {error}\n"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="testbed-checks", description=__doc__)
    parser.add_argument("-V", "--version", nargs=0, action=_Say, help="show the version")
    commands = parser.add_subparsers(metavar="config", required=True)
    config = commands.add_parser("config", help="make configuration files", description="Makes configuration files.")
    rooms = config.add_subparsers(metavar="|".join(_SAYS), required=True)
    for room, says in _SAYS.items():
        one = rooms.add_parser(room, help=says, description=says[0].upper() + says[1:] + ".")
        one.set_defaults(room=room)
        _add_options(one, room)
    return parser


def _add_options(parser: argparse.ArgumentParser, room: str) -> None:
    if room == "all":
        way = parser.add_mutually_exclusive_group(required=True)
        way.add_argument("--write", action="store_true", help="write the files that differ")
        way.add_argument("--check", action="store_true", help="name the files that differ; exit code 1 if any does")
    elif room == "readme":
        parser.add_argument("--write", type=Path, metavar="FILE", help="put it between the markers of this file")
    else:
        parser.add_argument("--output", type=Path, metavar="DIR", help="write files into DIR instead of printing them")
        parser.add_argument("--force", action="store_true", help="replace files in DIR that differ")
    for option in OPTIONS:
        if room in option.rooms:
            default = getattr(DEFAULTS, option.field)
            said = f" (default {default})" if default else ""
            keywords: dict[str, Any] = (
                {"type": telling(option.read), "metavar": option.metavar} if option.read else {"action": "store_true"}
            )
            if option.repeatable:
                keywords["action"] = "append"
            parser.add_argument(option.flag, default=argparse.SUPPRESS, help=option.help + said, **keywords)


def _make(opts: argparse.Namespace) -> tuple[int, str]:
    checks = all_checks()
    if opts.room == "all":
        return _all(checks, opts.write)
    if opts.room == "readme":
        if not opts.write:
            return 0, readme.tables(checks).strip("\n") + "\n"
        return 0, _write({opts.write: _readme(opts.write, checks)})
    chosen = {option.field: getattr(opts, option.field) for option in OPTIONS if option.field in opts}
    if "arguments" in chosen:
        chosen["arguments"] = tuple(chosen["arguments"])
    found = ROOMS[opts.room](checks, Settings(**chosen))
    if not opts.output:
        return 0, "\n".join(f"# ==> {name} <==\n{text}" for name, text in found.items())
    files = {opts.output / name: text for name, text in found.items()}
    others = [path for path, text in files.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    if others and not opts.force:
        raise ConfigurationError(f"{', '.join(map(str, others))} differ; nothing was written (--force replaces them)")
    return 0, _write(files)


def _all(checks: Sequence[Check], write: bool) -> tuple[int, str]:
    root = checkout()
    if not root:
        raise ConfigurationError("this is an installation, not a checkout; see testbed-checks config nrpe --help")
    files = {root / name: text for name, text in generated(checks).items()}
    files[root / "README.md"] = _readme(root / "README.md", checks)
    if write:
        return 0, _write(files)
    differ = [str(path.relative_to(root)) for path, text in files.items() if _read(path) != text]
    return (1, "".join(f"{name} differs\n" for name in differ)) if differ else (0, "")


def generated(checks: Sequence[Check]) -> dict[str, str]:
    """Return every generated file of a checkout but the README: path and text."""
    found = {
        f"{FOLDERS[room]}/{name}": text for room, make in ROOMS.items() for name, text in make(checks, DEFAULTS).items()
    }
    # Apart from the others: copied with them it would keep an NRPE without certificates from starting.
    found[f"{FOLDERS['nrpe']}/tls/nrpe_tls.cfg"] = nrpe.tls(DEFAULTS)
    # So are these: they define what the files of the checks define.
    for name in PROFILES:
        found[f"{FOLDERS['nrpe']}/seattle/{name}.cfg"] = nrpe.profile(checks, DEFAULTS._replace(profile=name))
    return found


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _readme(path: Path, checks: Sequence[Check]) -> str:
    try:
        return readme.insert(_read(path) or readme.MINIMAL, checks)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _write(files: dict[Path, str]) -> str:
    """Write what differs; return a line for each file written."""
    said = []
    for path, text in files.items():
        if _read(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            said.append(f"wrote {path}\n")
    return "".join(said) or "nothing to write: all is as it should be\n"
