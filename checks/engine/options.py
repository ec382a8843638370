"""The options that `testbed-checks run` and `testbed-checks serve` share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from checks.options import UsageError, telling

DEFAULT_COMMANDS = Path("/etc/nagios/nrpe.d")
MOST_PARALLEL = 1000
DEFAULT_TIMEOUT = 60.0


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare --commands (see command_paths()), --parallel, --timeout, --html, --title and --details."""
    parser.add_argument(
        "--commands",
        action="append",
        type=telling(_path),
        metavar="DIR",
        help="where the commands are: a directory as NRPE's include_dir takes it, or a file such as nrpe.cfg; repeatable"
        f" (default {DEFAULT_COMMANDS})",
    )
    parser.add_argument(
        "--parallel",
        type=telling(_parallel),
        default=0,
        metavar="N",
        help="how many busy checks at once; those that only wait do not count (default: eight for each core)",
    )
    parser.add_argument(
        "--timeout",
        type=telling(_seconds),
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help=f"deadline of one check (default {DEFAULT_TIMEOUT:.0f})",
    )
    page = parser.add_argument_group("status page")
    page.add_argument("--html", type=telling(_path), metavar="FILE", help="write a page with states and times there")
    page.add_argument("--title", default="", metavar="TEXT", help="its title (default: Status)")
    page.add_argument(
        "--details",
        action="store_true",
        help="show texts, commands and paths as well: not for a public web server",
    )


def command_paths(opts: argparse.Namespace) -> list[Path]:
    """Return where the commands are. Raises UsageError for what can't go together, or where nothing is there."""
    if not opts.html and (opts.details or opts.title):
        raise UsageError(f"{'--details' if opts.details else '--title'} is for the page of --html, which is not given")
    paths = opts.commands or [DEFAULT_COMMANDS]
    for path in paths:
        if not path.exists():
            hint = "" if opts.commands else "; --commands DIR says where the commands are"
            raise UsageError(f"{path} is not there{hint}")
    return paths


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a path")
    return Path(text)


def _parallel(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST_PARALLEL):
        raise ValueError(f"{text[:80]!r} is not a whole number from 1 to {MOST_PARALLEL}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86400:
        raise ValueError(f"{text[:80]!r} is not a number of seconds up to 86400")
    return seconds
