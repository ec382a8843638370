"""Reads a configuration and prints what it comes to: inputs, backends, names, where state goes, limits.

Looks whether directories and files around it are as they must be for the user that runs it: run it as the user of the service, such as
`sudo -u nagios graphios check-config`. With --connect every backend is tried as well. Sends and changes nothing; never prints a secret.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from graphios import configuration
from graphios.commands import options as command_line
from graphios.commands.check_connections import attempts
from graphios.commands.check_paths import Finding, Level, look_around
from graphios.commands.describe import describe
from graphios.configuration.settings import Settings
from graphios.errors import GraphiosError

EXIT_CODES = "exit codes: 0 fine; 1 there are warnings; 3 something is wrong, or a wrong option"


def main(argv: list[str]) -> int:
    """Runs `graphios check-config`; returns its exit code, see EXIT_CODES."""
    parser = command_line.Parser("check-config", __doc__ or "", EXIT_CODES)
    parser.add_config()
    parser.add_argument("--connect", action="store_true", help="connect to every backend, with TLS where it has it")
    opts = parser.parse_args(argv)
    path = opts.config or configuration.DEFAULT_PATH
    try:
        settings = configuration.load(path)
    except GraphiosError as error:
        print(f"graphios check-config: {error}", file=sys.stderr)
        return 3
    for title, rows in describe(settings):
        _table(title, rows)
    findings = [Finding(Level.WARNING, text) for text in settings.warnings]
    findings += look_around(settings)
    if opts.connect:
        findings += _try(settings)
    code = _conclude(findings)
    sys.stdout.flush()
    return code


def _table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    print(f"{title}:")
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"  {name:<{width}}  {text}".rstrip())


def _try(settings: Settings) -> list[Finding]:
    tried = attempts(settings.backends)
    _table("connections", [(attempt.backend, f"{attempt.address}: {attempt.outcome}") for attempt in tried])
    reached = {attempt.backend for attempt in tried if attempt.fine}
    return [
        # One of several servers is enough.
        Finding(
            Level.WARNING if attempt.backend in reached else Level.WRONG,
            f"[{attempt.backend}] {attempt.address}: {attempt.outcome}",
        )
        for attempt in tried
        if not attempt.fine
    ]


def _conclude(findings: Sequence[Finding]) -> int:
    for finding in sorted(findings, key=lambda found: found.level):
        print(f"{finding.level.name.lower()}: {finding.text}")
    worst = max((finding.level for finding in findings), default=Level.NOTE)
    print({Level.NOTE: "fine", Level.WARNING: "usable, see the warnings", Level.WRONG: "not usable as it is"}[worst])
    return {Level.NOTE: 0, Level.WARNING: 1, Level.WRONG: 3}[worst]
