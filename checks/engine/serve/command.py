"""`testbed-checks serve`: stays resident. Checks of NRPE run warm; what has an interval runs without any Nagios, and its results are handed on."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from pathlib import Path

from checks.engine import options
from checks.engine.log import log, to_stderr
from checks.engine.serve import hand_on, local_socket
from checks.options import UsageError

PREFIX = "testbed"
"""As in the configuration that is made for Nagios, so that metrics have the same names whichever way they come."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what `testbed-checks serve` takes."""
    parser.epilog = "A command with a line `# interval=60` (or 5m, 1h, 1d) above it runs that often; the others run when NRPE asks for them."
    options.add_common(parser)
    add_option = parser.add_argument
    add_option(
        "--socket",
        metavar="PATH",
        help="where installed checks ask to run warm; `off`: nowhere (default: what systemd passed, $TESTBED_CHECKS_ENGINE, "
        f"or {local_socket.DEFAULT})",
    )
    add_option("--spool", type=Path, metavar="DIR", help="spool directory of graphios, for the perfdata")
    add_option(
        "--host", default=socket.gethostname(), metavar="NAME", help="this machine's name in Nagios and Graphite"
    )
    add_option(
        "--prefix",
        default=PREFIX,
        metavar="P",
        help=f"what metric names begin with: P.HOST.COMMAND.LABEL, COMMAND without check_ (default {PREFIX})",
    )
    states = parser.add_mutually_exclusive_group()
    states.add_argument(
        "--submit",
        metavar="COMMAND",
        help='hand states to this shell line, in the format of send_nsca: "send_nsca -c /etc/send_nsca.cfg"',
    )
    states.add_argument(
        "--command-file",
        type=Path,
        metavar="FILE",
        help="write states into the command file of a Nagios on this machine",
    )


def main(opts: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Exit code 0 then; 3 where it can't begin."""
    _verify(opts)
    to_stderr()
    try:
        listening, own = _listening(opts.socket)
    except local_socket.SocketError as error:
        raise UsageError(str(error)) from None
    from checks.engine.serve.resident import Resident

    try:
        return asyncio.run(Resident(opts, listening).run())
    finally:
        if listening and own:
            local_socket.removed(own, listening)


def _verify(opts: argparse.Namespace) -> None:
    """Raises UsageError for what can't work."""
    # NRPE's own directory may come later; what is asked for has to be there.
    opts.paths = options.command_paths(opts) if opts.commands else [options.DEFAULT_COMMANDS]
    if why := hand_on.bad_name(opts.host):
        raise UsageError(f"--host {opts.host[:60]!r}: {why}")
    if why := hand_on.bad_name(opts.prefix or "-"):
        raise UsageError(f"--prefix {opts.prefix[:60]!r}: {why}")
    if opts.spool and not (opts.spool.is_dir() and os.access(opts.spool, os.W_OK | os.X_OK)):
        raise UsageError(f"--spool {opts.spool}: no directory that can be written to")
    if opts.submit is not None and not opts.submit.strip():
        raise UsageError("--submit: no command")
    if opts.html:
        from checks.engine.run import page

        if why := page.unwritable(opts.html):
            raise UsageError(f"--html {opts.html}: {why}")


def _listening(given: str | None) -> tuple[socket.socket | None, Path | None]:
    """Return the socket for warm checks, and its path where it is ours to remove. Raises SocketError."""
    if given == "off":
        return None, None
    if not given and (systemds := local_socket.passed()):
        return systemds, None
    wanted = given or os.environ.get("TESTBED_CHECKS_ENGINE") or ""
    if not given and wanted == "off":
        return None, None
    path = Path(wanted) if wanted else local_socket.DEFAULT
    try:
        return local_socket.opened(path), path
    except local_socket.SocketError as error:
        if wanted:
            raise
        log.warning("no check runs warm: %s", error)
        return None, None
