"""`testbed-checks config`: makes configuration files and documentation out of what the checks declare."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from checks.configuration import graphite, nagios, nrpe, readme
from checks.configuration.declared import ConfigurationError, all_checks, checkout
from checks.configuration.seattle import PROFILES
from checks.configuration.settings import DEFAULTS, OPTIONS, Settings
from checks.options import telling
from checks.plugin import Check

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


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what `testbed-checks config` takes."""
    rooms = parser.add_subparsers(metavar="|".join(_SAYS), required=True)
    for room, says in _SAYS.items():
        one = rooms.add_parser(room, help=says, description=says[0].upper() + says[1:] + ".")
        one.set_defaults(room=room)
        _add_options(one, room)


def main(opts: argparse.Namespace) -> tuple[int, str]:
    """Return exit code (1: `all --check` found differences) and text; files are written where the options say so."""
    try:
        return _make(opts)
    except ConfigurationError as error:
        return 3, f"testbed-checks: {error}\n"


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
