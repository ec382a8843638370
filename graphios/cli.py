"""The command `graphios`: carries Nagios perfdata from a spool directory to Graphite."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from graphios import config as configuration
from graphios.convert import convert
from graphios.delivery.rejects import escaped
from graphios.delivery.shipper import Shipper
from graphios.errors import GraphiosError, Stopped
from graphios.inputs.spool import Spool
from graphios.names import Namer
from graphios.version import VERSION

EXIT_CODES = """\
exit codes: 0 everything delivered (or ended by SIGTERM or SIGINT); 1 delivered, but some lines or items were rejected;
            2 not everything could be delivered, the rest is still in the spool; 3 wrong option or configuration, or the spool is in use"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(3, f"graphios: {message} (see graphios --help)\n")


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="graphios",
        description=__doc__,
        epilog=EXIT_CODES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"configuration (default {configuration.DEFAULT_PATH}); sample: {configuration.SAMPLE}",
    )
    parser.add_argument("--once", action="store_true", help="work off what is in the spool, with one try, and end")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the lines carbon would get, and to standard error what would be rejected; touches nothing",
    )
    parser.add_argument("--version", action="version", version=f"graphios {VERSION}")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code, see EXIT_CODES."""
    options = _options(argv)
    try:
        return _main(options)
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


def _main(options: argparse.Namespace) -> int:
    path = options.config or configuration.DEFAULT_PATH
    if not options.config and not path.exists():
        raise GraphiosError(
            f"no configuration: give --config FILE or write {path}; {configuration.SAMPLE} is a sample with every option"
        )
    config = configuration.load(path)
    if options.dry_run:
        return _dry_run(config)
    _log_to_stderr(config.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    shipper = Shipper(config, lambda seconds: void(stop.wait(seconds)), stop.is_set)
    shipper.start()
    if options.once:
        return _once(shipper)
    logging.getLogger("graphios").info(
        "graphios %s: %s to carbon %s port %d", VERSION, config.spool_directory, config.carbon_host, config.carbon_port
    )
    shipper.run()
    return 0


def void(_: object) -> None:
    """Drops a result."""


def _once(shipper: Shipper) -> int:
    try:
        shipper.once()
    except GraphiosError as error:
        print(f"graphios: {error}; {len(shipper.spool.scan())} files are still in the spool", file=sys.stderr)
        return 2
    except Stopped:
        print("graphios: told to end before everything was delivered", file=sys.stderr)
        return 2
    if shipper.trouble:
        return 2
    if shipper.unfinished:
        print(f"graphios: {shipper.unfinished} files may still be written to; left for later", file=sys.stderr)
        return 2
    return 1 if shipper.rejected else 0


def _dry_run(config: configuration.Config) -> int:
    """Needs no lock: nothing is sent, removed or written."""
    spool = Spool(config.spool_directory)
    namer = Namer(config.base, config.cleaning == "unique", lambda text: print(f"graphios: {text}", file=sys.stderr))
    rejected = 0
    trouble = 0
    for entry in spool.scan():
        try:
            with spool.open(entry.name) as file:
                for number, raw in file.lines():
                    for lines, rejects in convert(raw, namer, time.time()):
                        sys.stdout.write("".join(lines))
                        rejected += len(rejects)
                        for reject in rejects:
                            where = f"{escaped(os.fsencode(entry.name))}:{number}"
                            reason = escaped(reject.reason.encode("utf-8", "surrogateescape"))
                            print(f"rejected {where}: {reason}: {escaped(reject.raw)}", file=sys.stderr)
        except GraphiosError as error:
            print(f"graphios: {error}", file=sys.stderr)
            trouble += 1
    sys.stdout.flush()
    return 2 if trouble else 1 if rejected else 0


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
