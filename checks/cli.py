"""The command `testbed-checks`: runs checks, all at once or as a service, and makes configuration for NRPE, Nagios and Graphite."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from checks.options import Asked, UsageError
from checks.version import VERSION

# Name, module, and what it does. A module has `add(parser)`, which declares its options, and `main(opts)`, which returns an exit code, or
# an exit code and a text that is still to be printed. Only the module that is asked for is imported.
SUBCOMMANDS = {
    "config": ("checks.configuration.command", "make configuration files"),
    "run": ("checks.engine.run.command", "run the configured checks once, all at the same time"),
    "serve": (
        "checks.engine.serve.command",
        "stay resident: run checks warm for NRPE, or by their intervals without Nagios",
    ),
    "worker": ("checks.engine.worker.command", "run checks for Nagios Core 4, whatever the length of their output"),
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
    """Run as a command. Exit code 3: help, version and mistakes; else the subcommand's."""
    try:
        code, text = run(sys.argv[1:])
    except KeyboardInterrupt:
        code, text = 3, "testbed-checks: interrupted\n"
    except Exception as error:  # an operator never sees a traceback
        code, text = (
            3,
            f"testbed-checks: internal error, please report it: {type(error).__name__}: {str(error)[:200]}\n",
        )
    if not sys.stdout:  # it was closed before we began
        sys.exit(3 if text else code)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except UnicodeError as error:
        print(f"testbed-checks: standard output: {error}", file=sys.stderr)
        code = 3
    except OSError as error:
        # The interpreter would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            print(f"testbed-checks: standard output: {error.strerror}", file=sys.stderr)
        code = 3
    sys.exit(code)


def run(argv: Sequence[str]) -> tuple[int, str]:
    """Return exit code and the text that is to be printed on standard output."""
    try:
        opts = _parser(argv[0] if argv else "").parse_args(argv)
        answer = opts.main(opts)
        return answer if isinstance(answer, tuple) else (answer, "")
    except Asked as asked:
        return 3, str(asked)
    except UsageError as error:
        return 3, f"testbed-checks: {error}\n"
    except OSError as error:
        return 3, f"testbed-checks: {error.filename or 'error'}: {error.strerror}\n"
    except UnicodeError as error:
        return 3, f"testbed-checks: not UTF-8 text: {error}\n"


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Return the parser, with the options of the subcommand that is wanted."""
    parser = _Parser(prog="testbed-checks", description=(__doc__ or "").rstrip())
    parser.add_argument("-V", "--version", nargs=0, action=_Say, help="show the version")
    commands = parser.add_subparsers(metavar="|".join(SUBCOMMANDS), required=True)
    for name, (where, says) in SUBCOMMANDS.items():
        one = commands.add_parser(name, help=says, description=says[0].upper() + says[1:] + ".")
        if name == wanted:
            module = importlib.import_module(where)
            module.add(one)
            one.set_defaults(main=module.main)
    return parser
