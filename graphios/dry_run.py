"""`graphios --dry-run`: what carbon would get, on standard output. Needs no lock: nothing is sent, removed or written."""

from __future__ import annotations

import os
import sys
import time

from graphios.configuration.settings import Settings
from graphios.convert import Converter
from graphios.delivery.rejects import escaped
from graphios.errors import GraphiosError
from graphios.inputs.spool import Spool


def dry_run(settings: Settings) -> int:
    """Prints the lines, and to standard error what would be rejected; the exit code."""
    converter = Converter(settings.names, warn=lambda text: print(f"graphios: {text}", file=sys.stderr))
    rejected = trouble = 0
    spools = [Spool(spool.directory, spool.files) for spool in settings.spools]
    for place, entry in [(spool, entry) for spool in spools for entry in spool.scan()]:
        try:
            rejected += _print(place, entry.name, converter)
        except GraphiosError as error:
            print(f"graphios: {error}", file=sys.stderr)
            trouble += 1
    sys.stdout.flush()
    return 2 if trouble else 1 if rejected else 0


def _print(spool: Spool, name: str, converter: Converter) -> int:
    rejected = 0
    with spool.open(name) as file:
        for number, _, raw in file.lines():
            for lines, rejects in converter.convert(raw, time.time()):
                sys.stdout.write("".join([line for line in lines if isinstance(line, str)]))
                rejected += len(rejects)
                for reject in rejects:
                    where = f"{escaped(os.fsencode(name))}:{number}"
                    reason = escaped(reject.reason.encode("utf-8", "surrogateescape"))
                    print(f"rejected {where}: {reason}: {escaped(reject.raw)}", file=sys.stderr)
    return rejected
