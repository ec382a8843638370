"""Shows how the running graphios is doing: what waits, what each backend took, and what is wrong.

Reads the status document that graphios writes every 2 seconds; asks the process nothing, so it works whatever hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from graphios.commands import options as command_line
from graphios.commands.status_document import Document, Process, StatusError, process, read
from graphios.commands.status_progress import Progress
from graphios.commands.status_table import lines, problems
from graphios.configuration.settings import Settings
from graphios.errors import GraphiosError

RUN_FILE = Path("/run/graphios/status.json")
"""Where graphios.service has it."""

_EVERY = 2.0
EXIT_CODES = "exit codes: 0 fine; 2 something is wrong, or graphios does not run; 3 no usable status, or a wrong option"


class Look(NamedTuple):
    """What was found at one moment: a document or why there is none, and the exit code it comes to."""

    code: int
    document: Document | None
    process: Process
    problems: list[str]
    now: float


def main(argv: list[str]) -> int:
    """Runs `graphios status`; returns its exit code, see EXIT_CODES."""
    parser = command_line.Parser("status", __doc__ or "", EXIT_CODES)
    parser.add_config()
    parser.add_argument("--file", metavar="STATUS", type=Path, help="the status document itself")
    parser.add_argument("--watch", action="store_true", help="again every 2 s, with rates and progress, until Ctrl-C")
    parser.add_argument(
        "--json", action="store_true", help="the document as JSON, with what is wrong; a line each time with --watch"
    )
    opts = parser.parse_args(argv)
    try:
        return _watch(opts) if opts.watch else _once(opts)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output went away; Python would complain when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 3


def _once(opts: argparse.Namespace) -> int:
    look = look_at(opts)
    if opts.json:
        print(_json(look, indent=2))
    elif look.document is None:
        print(f"graphios status: {look.problems[0]}", file=sys.stderr)
    else:
        print("\n".join(lines(look.document, look.process, look.now)))
    sys.stdout.flush()
    return look.code


def look_at(opts: argparse.Namespace) -> Look:
    """What there is now, where `opts` (file, config) say."""
    now = time.time()
    try:
        document = _find(opts.file, opts.config)
    except GraphiosError as error:
        return Look(3, None, Process("unknown", None), [str(error)], now)
    found = process(document, now)
    wrong = problems(document, found, now)
    code = 3 if found.state == "unknown" else 2 if wrong else 0
    return Look(code, document, found, wrong, now)


def running_now(settings: Settings) -> bool:
    """Whether a graphios with this configuration runs, as far as its status tells."""
    try:
        document = _find(None, settings.path)
    except GraphiosError:
        return False
    return process(document, time.time()).state == "running"


def _find(file: Path | None, config: Path | None) -> Document:
    """The document in `file`; else the newest where the configuration says or the service has it. Raises GraphiosError."""
    if file:
        return read(file)
    settings, complaint = None, ""
    try:
        settings = command_line.load(config)
    except GraphiosError as error:
        if config:
            raise
        complaint = f"; {error}"
    found: list[Document] = []
    reasons: list[str] = []
    for path in dict.fromkeys([settings.status_file, RUN_FILE] if settings else [RUN_FILE]):
        try:
            document = read(path)
        except StatusError as error:
            reasons.append(str(error))
            continue
        # Another graphios, with another configuration, may have the service's place.
        if config and document.text("config") and Path(document.text("config")).resolve() != config.resolve():
            reasons.append(f"{path} is of the configuration {document.text('config')}")
        else:
            found.append(document)
    if not found:
        raise StatusError(
            f"no status: {'; '.join(reasons)}{complaint}; does graphios run? (--file says where else to look)"
        )
    return max(found, key=lambda document: document.number("time") or 0)


def _json(look: Look, indent: int | None = None) -> str:
    document = dict(look.document.raw) if look.document else {}
    age = look.process.age
    document["seen"] = {
        "code": look.code,
        "process": look.process.state,
        "age_seconds": None if age is None else round(age, 1),
        "problems": look.problems,
        "file": str(look.document.path) if look.document else None,
    }
    return json.dumps(document, indent=indent, ensure_ascii=True)


def _watch(opts: argparse.Namespace) -> int:
    """Shows it until Ctrl-C or SIGTERM; returns the exit code of what was seen last."""
    progress = Progress()
    screen = sys.stdout.isatty() and not opts.json
    code = 3
    with contextlib.suppress(KeyboardInterrupt), _ended_by_sigterm():
        while True:
            look = look_at(opts)
            code = look.code
            if look.document:
                progress.add(look.document)
            if screen:
                _draw(_screen(look, progress))
            else:
                print(_json(look) if opts.json else _plain(look, progress), flush=True)
            time.sleep(_EVERY)
    if screen:
        print(flush=True)
    return code


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _screen(look: Look, progress: Progress) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(look.now))
    if not look.document:
        return [f"{when}  {look.problems[0]}"]
    table = lines(look.document, look.process, look.now, progress.rates())
    return [f"{when}  (every 2 s, Ctrl-C ends)", *table, "", *progress.lines()]


def _draw(text: list[str]) -> None:
    """Puts the lines on the screen without clearing it first, which would flicker."""
    columns, rows = shutil.get_terminal_size()
    shown = text[: max(1, rows - 1)]
    if len(shown) < len(text):
        shown[-1] = f"... {len(text) - len(shown) + 1} more lines: this terminal is too low"
    body = "".join(f"{_coloured(line[:columns])}\x1b[K\r\n" for line in shown)
    sys.stdout.write(f"\x1b[H{body}\x1b[J")
    sys.stdout.flush()


def _coloured(line: str) -> str:
    return f"\x1b[1;31m{line}\x1b[0m" if line.startswith("TROUBLE") and not os.environ.get("NO_COLOR") else line


def _plain(look: Look, progress: Progress) -> str:
    """One line for a log."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(look.now))
    if not look.document:
        return f"{when} {look.problems[0]}"
    said = [look.process.state, *progress.lines()]
    if look.problems:
        said.append(f"TROUBLE: {look.problems[0]}" + (f" ({len(look.problems) - 1} more)" if look.problems[1:] else ""))
    return f"{when} {'; '.join(said)}"
