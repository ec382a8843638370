"""The command `graphios`: carries Nagios perfdata from spool directories to Graphite and others."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from graphios import configuration, notify
from graphios.configuration.settings import Settings
from graphios.delivery.shipper import Shipper
from graphios.delivery.stop import Stop
from graphios.errors import GraphiosError, Stopped
from graphios.signals import answered
from graphios.version import VERSION

log = logging.getLogger("graphios")

EXIT_CODES = """\
exit codes: 0 everything delivered (or ended by SIGTERM or SIGINT); 1 delivered, but some lines or items were rejected;
            2 not everything could be delivered, the rest is still in the spool; 3 wrong option or configuration, or the spool is in use

commands (each with its own --help): {commands}"""

COMMANDS = {
    "status": "graphios.commands.status",
    "explain": "graphios.commands.explain",
    "check-config": "graphios.commands.check_config",
    "backfill": "graphios.commands.backfill",
}
"""Subcommands, each in a module with main(argv) -> exit code."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(3, f"graphios: {message} (see graphios --help)\n")


def _options(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="graphios",
        description=__doc__,
        epilog=EXIT_CODES.format(commands=", ".join(COMMANDS)),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"configuration (default {configuration.DEFAULT_PATH}); sample: {configuration.SAMPLE}",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--once", action="store_true", help="work off what is in the spool, with one try, and end")
    way.add_argument(
        "--stdin",
        action="store_true",
        help="read perfdata lines from standard input to its end, and end when they and the spool are delivered",
    )
    way.add_argument(
        "--dry-run",
        action="store_true",
        help="print the lines carbon would get, and to standard error what would be rejected; touches nothing",
    )
    parser.add_argument("--version", action="version", version=f"graphios {VERSION}")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code, see EXIT_CODES."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0] in COMMANDS:
            return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))
        if argv and not argv[0].startswith("-"):
            raise GraphiosError(
                f"there is no command {argv[0][:40]!r}; the commands are {', '.join(COMMANDS)} (see graphios --help)"
            )
        return _main(_options(argv))
    except GraphiosError as error:
        print(f"graphios: {error}", file=sys.stderr)
        return 3
    except BrokenPipeError:
        # Whoever read our output went away; Python would complain when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        print(f"graphios: {error.strerror or error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a mistake of ours: an operator gets a line, and with [log] level = debug all of it
        log.debug("internal error", exc_info=True)
        print(f"graphios: internal error: {type(error).__name__}: {error}", file=sys.stderr)
        return 3


def _main(options: argparse.Namespace) -> int:
    path = options.config or configuration.DEFAULT_PATH
    if not options.config and not path.exists():
        raise GraphiosError(
            f"no configuration: give --config FILE or write {path}; {configuration.SAMPLE} is a sample with every option"
        )
    settings = configuration.load(path, need_input=not options.stdin)
    if options.dry_run or settings.dry_run:
        from graphios.dry_run import dry_run

        return dry_run(settings)
    _log_to_stderr(settings.log_level)
    stop = Stop()
    calls = {signal.SIGTERM: stop.end, signal.SIGINT: stop.end}
    if not (options.once or options.stdin):
        calls[signal.SIGHUP] = stop.read_again
    with answered(calls):
        shipper = Shipper(settings, stop, running=not options.once)
        shipper.open()
        if options.once:
            return _once(shipper)
        if options.stdin:
            return _stdin(shipper, stop)
        return _serve(shipper, stop)


def _introduce(settings: Settings) -> str:
    inputs = [spool.directory for spool in settings.spools] + [fifo.path for fifo in settings.fifos]
    return ", ".join(inputs)


def _serve(shipper: Shipper, stop: Stop) -> int:
    """Until told to end; SIGHUP makes it read its configuration again."""
    while True:
        said = f"{_introduce(shipper.settings)} to {shipper.receivers}"
        log.info("graphios %s: %s", VERSION, said)
        notify.ready(said)
        shipper.run()
        if stop.process.is_set():
            notify.stopping()
            shipper.close()
            return 0
        notify.reloading()
        shipper = _reloaded(shipper, stop)


def _reloaded(shipper: Shipper, stop: Stop) -> Shipper:
    old = shipper.settings
    try:
        settings = configuration.load(old.path)
    except GraphiosError as error:
        log.error("the configuration is not used, the old one stays: %s", error)
        settings = old
    shipper.close(keep=settings)
    stop.go_on()
    new = Shipper(settings, stop, running=True, before=shipper)
    try:
        new.open()
    except GraphiosError as error:
        if settings == old:
            raise
        log.error("the configuration can't be used, the old one stays: %s", error)
        new.release()
        new = Shipper(old, stop, running=True, before=shipper)
        new.open()
    else:
        logging.getLogger("graphios").setLevel(settings.log_level.upper())
    return new


def _once(shipper: Shipper) -> int:
    """One look, one try for each batch."""
    try:
        errors, unfinished = shipper.once()
    except Stopped:
        shipper.close()
        print("graphios: told to end before everything was delivered", file=sys.stderr)
        return 2
    waiting = shipper.waiting
    shipper.close()
    if errors:
        text = "; ".join(str(error) for error in errors)
        print(f"graphios: {text}; {waiting} files are still in the spool", file=sys.stderr)
        return 2
    if shipper.troubles.said:
        return 2
    if unfinished:
        print(f"graphios: {unfinished} files may still be written to; left for later", file=sys.stderr)
        return 2
    return 1 if shipper.rejects.count else 0


class _StandardInput(threading.Thread):
    """Puts it into the inbox: from there on it is as safe as any spool file."""

    def __init__(self, inbox: str, stop: Stop) -> None:
        super().__init__(name="standard input", daemon=True)
        self._inbox, self._told = inbox, stop
        self.error = ""

    def run(self) -> None:
        """Reads to the end."""
        from graphios.inputs.fifo import read_all

        try:
            read_all(sys.stdin.buffer, self._inbox, self._told.process)
        except (OSError, GraphiosError) as error:
            self.error = str(error)


def _stdin(shipper: Shipper, stop: Stop) -> int:
    """Ships while standard input is read, and until all is delivered after its end."""
    source = _StandardInput(str(shipper.inbox), stop)
    source.start()
    shipper.run(lambda: not source.is_alive())
    source.join(1)
    shipper.close()
    if source.error:
        print(f"graphios: standard input: {source.error}", file=sys.stderr)
        return 2
    if stop.process.is_set():
        print("graphios: told to end before everything was delivered", file=sys.stderr)
        return 2
    return 1 if shipper.rejects.count else 0


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a closed standard error must not become a traceback
    logger = logging.getLogger("graphios")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
