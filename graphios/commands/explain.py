"""Shows what becomes of perfdata, line by line: which names and values come out, for which backends, and what is left out and why.

Takes spool files (plain, .gz, .bz2, .xz), one line, or - for standard input. Where a line is no spool line it is taken for the output of a
plugin (`OK - fine | load=1`) or for bare perfdata (`load=1;5;10`), and explained as if a service had given it now. Sends and changes nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from graphios.commands import options as command_line
from graphios.commands.archives import lines, open_archive
from graphios.commands.explanation import Explainer, Explanation
from graphios.commands.units import many
from graphios.configuration.settings import CarbonBackend, Names
from graphios.errors import GraphiosError
from graphios.inputs.spool import Cut
from graphios.plugin_output import PluginOutput

EXIT_CODES = (
    "exit codes: 0 fine; 1 something is rejected; 3 a wrong option or configuration, or a file that can't be read"
)
_FIELD = re.compile(rb"(?:\A|\t)[A-Z][A-Z0-9_:]*?::")
_BLANKS = bytes.maketrans(b"\t\n\r\v\f", b"     ")


class Taken(NamedTuple):
    """A line as it will be explained, and what it was taken for; empty for a spool line."""

    raw: bytes | Cut
    note: str


def main(argv: list[str]) -> int:
    """Runs `graphios explain`; returns its exit code, see EXIT_CODES."""
    opts = _options(argv)
    try:
        return _explain(opts)
    except GraphiosError as error:
        print(f"graphios explain: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output went away; Python would complain when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 3


def _options(argv: list[str]) -> argparse.Namespace:
    parser = command_line.Parser("explain", __doc__ or "", EXIT_CODES)
    parser.add_config()
    parser.add_argument("--line", help="a line, in quotes")
    parser.add_argument(
        "--max-lines", type=_whole, default=1000, metavar="N", help="stop after so many lines (default 1000)"
    )
    parser.add_argument(
        "--max-items", type=_whole, default=100, metavar="N", help="show so many items of a line (default 100)"
    )
    group = parser.add_argument_group("for plugin output and bare perfdata, which say nothing of it")
    for name, default in (("host", "HOST"), ("service", "SERVICE"), ("prefix", ""), ("postfix", "")):
        group.add_argument(
            f"--{name}", default=default, help=f"the {name}" + (f" (default {default})" if default else "")
        )
    parser.add_argument("files", nargs="*", metavar="FILE", help="spool files; - is standard input")
    opts = parser.parse_args(argv)
    if (opts.line is None) == (not opts.files):
        parser.error("give spool files, or --line LINE, or - for standard input")
    if any("\t" in text or "\n" in text for text in (opts.host, opts.service, opts.prefix, opts.postfix)):
        parser.error("host, service, prefix and postfix hold no tabs and no newlines")
    return opts


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text[:9])


def _explain(opts: argparse.Namespace) -> int:
    settings = command_line.load(opts.config)
    if settings:
        names, backends = settings.names, settings.backends
        print(f"configuration: {settings.path}")
    else:
        names, backends = Names(), (CarbonBackend("carbon", (("127.0.0.1", 2003),)),)
        print("configuration: none, so the defaults")
    try:
        explainer = Explainer(names, backends, opts.max_items)
    except ValueError as error:
        raise GraphiosError(str(error)) from None
    shown = 0
    for where, raw in _lines(opts):
        if shown >= opts.max_lines:
            print(f"\nstopped after {many(shown, 'line')} (--max-lines): there are more")
            break
        taken = _taken(raw, opts)
        _show(where, taken.note, explainer.explain(taken.raw, time.time()))
        shown += 1
    said = "1 metric comes out" if explainer.metrics == 1 else f"{many(explainer.metrics, 'metric')} come out"
    print(f"\n{many(shown, 'line')}: {said}, {explainer.rejected} rejected, {explainer.skipped} not to be shipped")
    sys.stdout.flush()
    return 1 if explainer.rejected else 0


def _lines(opts: argparse.Namespace) -> Iterator[tuple[str, bytes | Cut]]:
    """Each line that is not blank, and where it stands. Raises ArchiveError."""
    if opts.line is not None:
        for number, text in enumerate(opts.line.split("\n"), 1):
            yield f"line {number}", os.fsencode(text)
        return
    for name in opts.files:
        if name == "-":
            file, shown = sys.stdin.buffer, "standard input"
        else:
            file, shown = open_archive(Path(name)), name
        for number, raw in lines(file, shown, cut=False):
            if isinstance(raw, Cut) or raw.strip():
                yield f"{shown}:{number}", raw


def _taken(raw: bytes | Cut, opts: argparse.Namespace) -> Taken:
    """What a line is: a spool line, a plugin's output, or perfdata."""
    if isinstance(raw, Cut) or _FIELD.search(raw):
        return Taken(raw, "")
    output = PluginOutput(raw)
    if output.has_perfdata:
        perfdata, note = output.perfdata, "taken for the output of a plugin; its perfdata stands behind the |"
    elif b"=" in raw:
        perfdata, note = raw.strip(), "taken for bare perfdata"
    else:
        return Taken(raw, "neither a spool line nor perfdata")
    host, service, prefix, postfix = map(os.fsencode, (opts.host, opts.service, opts.prefix, opts.postfix))
    fields = [b"DATATYPE::SERVICEPERFDATA", b"TIMET::%d" % int(time.time()), b"HOSTNAME::" + host]
    fields += [b"SERVICEDESC::" + service, b"GRAPHITEPREFIX::" + prefix, b"GRAPHITEPOSTFIX::" + postfix]
    fields.append(b"SERVICEPERFDATA::" + perfdata.translate(_BLANKS))
    if opts.host == "HOST":
        note += "; HOST and SERVICE stand for what Nagios knows (--host, --service)"
    return Taken(b"\t".join(fields), note)


def _show(where: str, note: str, found: Explanation) -> None:
    print(f"\n{where}" + (f": {found.source}" if found.source else ""))
    if note:
        print(f"  {note}")
    for line in found.lines:
        print(f"  {line}")
