"""`testbed-checks worker`: runs checks for Nagios Core 4, with the whole of their output, whatever its length.

An outside worker of Nagios's query handler, for the plugins that are named to it. Nagios's object configuration stays as it is; nagios.cfg needs
enable_environment_macros=1. While no worker runs, Nagios's own run everything.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from checks.engine.log import to_stderr
from checks.options import UsageError, telling

_NAGIOS_CFG = Path("/etc/nagios4/nagios.cfg")
_SPOOL = Path("/var/spool/graphios")


def _plugin(text: str) -> str:
    from checks.engine.worker.query_handler import registration

    registration(text, 1)
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 100_000):
        raise ValueError(f"{text[:40]} is not a number from 1 to 100000")
    return int(text)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 200 <= int(text[:9]) <= 60_000):
        raise ValueError(f"{text[:40]} is not a number from 200 to 60000")
    return int(text)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what `testbed-checks worker` takes."""
    parser.epilog = "A plugin whose command line has no arguments is matched by Nagios only when --plugin is the whole of that line."
    add_option = parser.add_argument
    add_option(
        "--nagios-cfg",
        type=Path,
        default=_NAGIOS_CFG,
        metavar="FILE",
        help=f"Nagios's main file (default {_NAGIOS_CFG})",
    )
    add_option(
        "--plugin",
        action="append",
        type=telling(_plugin),
        metavar="NAME",
        help="plugin to run for Nagios: the name of the program, or its whole path; repeatable (default check_nrpe)",
    )
    add_option(
        "--spool", type=Path, default=_SPOOL, metavar="DIR", help=f"spool directory of graphios (default {_SPOOL})"
    )
    add_option(
        "--journal",
        type=Path,
        metavar="DIR",
        help="where the jobs are noted that Nagios waits for, best in memory (default $RUNTIME_DIRECTORY, or $STATE_DIRECTORY)",
    )
    add_option(
        "--max-jobs",
        type=telling(_count),
        default=2000,
        metavar="N",
        help="jobs Nagios may have running here (default 2000)",
    )
    add_option(
        "--parallel",
        type=telling(_count),
        metavar="N",
        help="checks that run at the same time (default: by the processors)",
    )
    add_option("--max-output", type=telling(_size), metavar="BYTES", help="of the short form for Nagios (default 4000)")


def main(opts: argparse.Namespace) -> int:
    """Serve Nagios until SIGTERM or SIGINT. Exit code 0 then; 3 where it can't begin."""
    from checks.engine.worker import nagios_config
    from checks.engine.worker.broker import Broker, Settings, handle_signals
    from checks.engine.worker.hand_in import usable
    from checks.engine.worker.journal import InUse
    from checks.engine.worker.stranded import Files

    try:
        config = nagios_config.read(opts.nagios_cfg)
    except nagios_config.BadConfig as error:
        raise UsageError(str(error)) from None
    if not config.environment_macros:
        raise UsageError(
            f"{opts.nagios_cfg}: the worker needs enable_environment_macros=1: without it Nagios does not say whose check a job is"
        )
    usable(config.check_result_path)
    usable(opts.spool)
    # A name given twice would get each job of that plugin by two connections.
    plugins = tuple(dict.fromkeys(opts.plugin or ["check_nrpe"]))
    to_stderr()
    try:
        broker = Broker(
            Settings(
                config.query_socket,
                config.check_result_path,
                plugins,
                _journal(opts.journal),
                opts.spool,
                _executor(opts),
                opts.max_jobs,
                files=Files(config.object_cache_file, config.status_file, config.command_file),
            )
        )
    except InUse as error:
        raise UsageError(str(error)) from None
    handle_signals(broker)
    broker.run()
    return 0


def _journal(given: Path | None) -> Path:
    if given:
        return given
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        if folder := os.environ.get(name, "").split(":")[0]:
            return Path(folder) / "journal"
    raise UsageError("--journal is missing: there is no $RUNTIME_DIRECTORY and no $STATE_DIRECTORY")


def _executor(opts: argparse.Namespace) -> tuple[str, ...]:
    argv = [
        sys.executable,
        "-P",
        "-m",
        "checks.engine.worker.executor",
        "--nagios-cfg",
        str(opts.nagios_cfg.absolute()),
    ]
    if opts.max_output:
        argv += ["--max-output", str(opts.max_output)]
    if opts.parallel:
        argv += ["--parallel", str(opts.parallel)]
    return tuple(argv)
