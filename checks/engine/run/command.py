"""`testbed-checks run`: everything that is configured, once and in parallel, with a table worst first."""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from checks.engine.options import add_common, command_paths
from checks.options import UsageError

if TYPE_CHECKING:
    from checks.engine.commands.commands import Broken, Command, Reading
    from checks.engine.run.round import Round

_UNKNOWN = 3
_EPILOG = """\
Exit code by the plugin rules, of the worst state: 0 OK, 3 UNKNOWN, 1 WARNING, 2 CRITICAL. A broken command file counts as UNKNOWN unless
checks are named. 3 as well when it was interrupted, or could not run at all.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what `testbed-checks run` takes."""
    parser.epilog = _EPILOG
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these commands")
    add_common(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("-q", "--quiet", action="store_true", help="only what is not OK, and no progress")


def main(opts: argparse.Namespace) -> tuple[int, str]:
    """Run the checks; return the exit code, and the table or the JSON document."""
    try:
        return _main(opts)
    except (UsageError, OSError) as error:
        if not opts.json:
            raise
        # Whoever reads JSON would not find it on standard output.
        said = error if isinstance(error, UsageError) else f"{error.filename or 'error'}: {error.strerror}"
        print(f"testbed-checks: {said}", file=sys.stderr)
        return _UNKNOWN, ""


def _main(opts: argparse.Namespace) -> tuple[int, str]:
    from checks.engine.commands import commands
    from checks.engine.run import page, round

    paths = command_paths(opts)
    reading = commands.Commands(paths).read()
    chosen = _chosen(reading, opts.names, paths)
    if opts.html and (why := page.unwritable(opts.html)):
        raise UsageError(f"{opts.html}: {why}")
    environment = commands.environment()
    jobs = [commands.job(command, environment=environment, seconds=opts.timeout) for command in chosen.values()]
    done = round.run(jobs, opts.parallel, None if opts.quiet else sys.stderr)
    # Who asks for some of the commands does not ask for what is wrong elsewhere.
    broken = () if opts.names else reading.broken
    code = _code(done, broken)
    # A part of the checks is no status: the old page stays.
    if opts.html and not done.interrupted:
        try:
            _write_page(opts, done, broken, chosen)
        except OSError as error:
            code = code or _UNKNOWN
            print(f"testbed-checks: {opts.html}: {error.strerror}", file=sys.stderr)
    return code, _json(done, reading, chosen, code) if opts.json else _text(done, broken, opts.quiet)


def _chosen(reading: Reading, names: Iterable[str], paths: Iterable[Path]) -> dict[str, Command]:
    """Return the commands of these names, or all. Raises UsageError for a name that is not there."""
    found = reading.commands
    for name in names:
        if name not in found:
            near = difflib.get_close_matches(name, found, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {_listed(sorted(found))}"
            broken = f" (can't be used: {reading.broken[0]})" if reading.broken else ""
            raise UsageError(f"there is no command {name!r}; {hint}{broken}")
    if not found and not reading.broken:
        hint = "`testbed-checks config nrpe --output DIR` makes some"
        raise UsageError(f"no command[...] line in {', '.join(map(str, paths))}; {hint}")
    return {name: found[name] for name in names} or found


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:10]) or "none") + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _code(done: Round, broken: Sequence[Broken]) -> int:
    from checks.engine.results import UNKNOWN, worst

    if done.interrupted:
        return UNKNOWN
    return worst([*(result.code for result in done.results), *([UNKNOWN] if broken else [])])


def _write_page(opts: argparse.Namespace, done: Round, broken: Sequence[Broken], chosen: Mapping[str, Command]) -> None:
    from checks.engine.run import page

    text = page.render(
        done.results,
        made=time.time(),
        details=opts.details,
        title=opts.title or page.DEFAULT_TITLE,
        commands=chosen,
        broken=broken,
    )
    page.write(Path(opts.html), text)


def _text(done: Round, broken: Sequence[Broken], quiet: bool) -> str:
    """Return the table, what is broken, and the summary."""
    from checks.engine.run import table, terminal

    out = sys.stdout
    encoding = terminal.encoding_of(out)
    width = terminal.width_of(out) if terminal.is_terminal(out) else 0
    shown = [result for result in done.results if result.code or not quiet]
    lines = table.rows(shown, width, encoding, terminal.wants_colours(out))
    lines += [terminal.printable(f"broken: {one}", encoding) for one in broken]
    if done.interrupted:
        lines.append(f"interrupted: {len(done.stopped)} stopped, {len(done.not_begun)} not begun")
    if not quiet or lines:
        lines.append(table.summary(done.results, done.seconds))
    return "".join(f"{line}\n" for line in lines)


def _json(done: Round, reading: Reading, chosen: Mapping[str, Command], code: int) -> str:
    from checks.engine.run import document

    return document.render(done, reading, chosen, code)
