"""Sends archived spool files (plain, .gz, .bz2, .xz; directories with all below them) once more, or for the first time.

Oldest file first, only lines whose TIMET lies in the range, converted as the configuration says, at a bounded rate. Each backend takes its own
pass, acknowledged and tried again as by the running graphios, which it does not disturb: it reads the archives and nothing else.

TIME is ISO 8601 (local time where it names no zone), epoch seconds, or an age such as 90min, 36h, 2d or 1w. --until is not included.

A backfill that was ended goes on where it was when the same command is given again. carbon drops points that are older than its longest
retention without a word, keeps one value for each step of an archive, and holds what it took in memory for a while: a carbon that is killed
shortly after the end, or between two parts of an interrupted backfill, needs --restart.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from graphios import configuration
from graphios.backends.make import make
from graphios.commands import backfill_journal
from graphios.commands import options as command_line
from graphios.commands.backfill_delivery import Task
from graphios.commands.backfill_files import Found, find
from graphios.commands.backfill_pass import Pass
from graphios.commands.backfill_progress import Show, summary
from graphios.commands.status import running_now
from graphios.commands.times import parse_time, shown
from graphios.commands.units import many, size
from graphios.configuration.settings import BackendSettings, CarbonBackend, Settings, StatsdBackend
from graphios.delivery.pacing import Pacer, whisper_file
from graphios.delivery.rejects import RejectFile
from graphios.delivery.status import plain
from graphios.errors import GraphiosError
from graphios.signals import answered

EXIT_CODES = """exit codes: 0 everything delivered; 1 delivered, but some lines or items were rejected; 2 not everything was delivered (ended before,
            or a file can't be read); 3 a wrong option or configuration"""


def main(argv: list[str]) -> int:
    """Runs `graphios backfill`; returns its exit code, see EXIT_CODES."""
    opts = _options(argv)
    stop = threading.Event()
    try:
        with answered({signal.SIGTERM: stop.set, signal.SIGINT: stop.set}):
            return _backfill(opts, argv, stop)
    except GraphiosError as error:
        print(f"graphios backfill: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"graphios backfill: {error.filename or ''} {error.strerror or error}", file=sys.stderr)
        return 3


def _options(argv: list[str]) -> argparse.Namespace:
    parser = command_line.Parser("backfill", __doc__ or "", EXIT_CODES)
    parser.add_config()
    parser.add_argument("--since", required=True, metavar="TIME", help="nothing older")
    parser.add_argument("--until", metavar="TIME", help="nothing from then on (default now)")
    parser.add_argument(
        "--rate",
        type=_rate,
        default=10_000.0,
        metavar="N",
        help="metrics a second, at most, for each backend (default 10000)",
    )
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="only this one; repeatable (default all but statsd)",
    )
    parser.add_argument("--restart", action="store_true", help="begin anew, whatever was delivered before")
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="archived spool files, and directories of them"
    )
    return parser.parse_args(argv)


def _rate(text: str) -> float:
    if text.isascii() and text.isdigit() and 0 < int(text[:12]) <= 10**9:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000000")


def _backfill(opts: argparse.Namespace, argv: Sequence[str], stop: threading.Event) -> int:
    settings = command_line.load(opts.config, secrets=True)
    if settings is None:
        raise GraphiosError(f"no configuration: give --config FILE or write {configuration.DEFAULT_PATH}")
    backends = _backends(settings, opts.backend)
    since, until = _range(opts)
    found = find(opts.paths, _own(settings))
    if not found.archives:
        raise GraphiosError("; ".join(["nothing to read", *found.unreadable[:3], *found.left_out[:3]]))
    folder = settings.state_directory / "backfill"
    rejects = RejectFile(folder / "rejects.log", settings.reject_bytes)
    rejects.check()
    show = Show(sum(archive.size for archive in found.archives))
    words = [opts.since, opts.until or "", *sorted(os.path.realpath(path) for path in opts.paths)]
    passes = []
    for backend in backends:
        journal = backfill_journal.Journal(
            folder / f"{plain(backend.name)}-{backfill_journal.key([*words, backend.name])}.db", opts.restart
        )
        # An age means another moment each time it is read: what it meant at first holds.
        begun, ended = journal.fact("since"), journal.fact("until")
        if isinstance(begun, float) and isinstance(ended, float):
            since, until = begun, ended
            show.say(f"{backend.name}: going on with what was begun before (--restart begins anew)")
        else:
            journal.keep_fact("since", since)
            journal.keep_fact("until", until)
        task = Task(
            found.archives,
            since,
            until,
            opts.rate,
            settings.names,
            rejects,
            stop.is_set,
            lambda s: void(stop.wait(s)),
            show.say,
        )
        passes.append(
            Pass(task, backend, make(backend, stop.is_set), journal, _pacer(settings, backend, journal, show))
        )
    _announce(show, found, since, until)
    code = _run(passes, show, stop)
    if found.unreadable:
        show.say(f"{many(len(found.unreadable), 'path')} could not be read")
        code = 2
    if code == 2 and stop.is_set():
        show.say(
            f"ended before everything was delivered; the same command goes on from here: graphios backfill {shlex.join(argv)}"
        )
    if rejects.count:
        show.say(f"what was rejected, with the reasons, is in {rejects.path}")
    return code


def void(_: object) -> None:
    """Drops a result."""


def _backends(settings: Settings, names: Sequence[str]) -> list[BackendSettings]:
    by_name = {backend.name: backend for backend in settings.backends}
    for name in names:
        if name not in by_name:
            raise GraphiosError(f"--backend {name}: {settings.path} has {', '.join(by_name)}")
        if isinstance(by_name[name], StatsdBackend):
            raise GraphiosError(f"--backend {name}: statsd knows no timestamps, so it can't be given history")
    chosen = [by_name[name] for name in dict.fromkeys(names)] or [
        backend for backend in settings.backends if not isinstance(backend, StatsdBackend)
    ]
    if not chosen:
        raise GraphiosError("statsd is the only backend, and it knows no timestamps")
    return chosen


def _range(opts: argparse.Namespace) -> tuple[float, float]:
    now = time.time()
    try:
        since = parse_time(opts.since, now)
        until = parse_time(opts.until, now) if opts.until else now
    except ValueError as error:
        raise GraphiosError(str(error)) from None
    if until <= since:
        raise GraphiosError(f"--until {shown(until)} is not after --since {shown(since)}")
    return since, until


def _own(settings: Settings) -> list[Path]:
    """Directories that the running graphios works in."""
    own = [Path(spool.directory) for spool in settings.spools] + [settings.state_directory]
    return [Path(os.path.realpath(path)) for path in own]


def _pacer(settings: Settings, backend: BackendSettings, journal: backfill_journal.Journal, show: Show) -> Pacer | None:
    """Paces new series as the running graphios does, whose knowledge of series it begins with, and whose share it leaves to it."""
    if not (isinstance(backend, CarbonBackend) and backend.creates_per_minute):
        return None
    creates = backend.creates_per_minute
    path = journal.path.with_suffix(".pacing")
    if not path.exists():
        _copy(settings.state_directory / f"pacing-{plain(backend.name)}.db", path)
    if running_now(settings):
        creates = max(1, creates // 2)
        show.say(f"{backend.name}: {creates} new series a minute, as much is left to the graphios that runs")
    if backend.whisper:
        return Pacer(path, creates, backend.replay_seconds, whisper_file(Path(backend.whisper)))
    return Pacer(path, creates, backend.replay_seconds)


def _copy(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite file that may be in use; none where that can't be had."""
    if not source.exists():
        return
    try:
        with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as old, sqlite3.connect(target) as new:
            old.backup(new)
    except sqlite3.Error:
        target.unlink(missing_ok=True)


def _announce(show: Show, found: Found, since: float, until: float) -> None:
    total = sum(archive.size for archive in found.archives)
    show.say(f"{many(len(found.archives), 'file')}, {size(total)}; from {shown(since)} until {shown(until)}")
    for why, texts in (("can't be read", found.unreadable), ("left out", found.left_out)):
        for text in texts[:20]:
            show.say(f"{why}: {text}")
        if len(texts) > 20:
            show.say(f"{why}: {len(texts) - 20} more")


def _run(passes: Sequence[Pass], show: Show, stop: threading.Event) -> int:
    """Runs all passes side by side; the exit code."""
    threads = [threading.Thread(target=one.run, name=one.name, daemon=True) for one in passes]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stop.is_set():
        show.progress(passes)
        next(thread for thread in [*threads, threads[0]] if thread.is_alive() or thread is threads[0]).join(0.5)
    deadline = time.monotonic() + 5
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) if stop.is_set() else None)
    show.clear()
    for one in passes:
        print(summary(one))
        if one.finished:
            one.journal.finish()
            for end in ("", "-journal", "-wal", "-shm"):
                Path(f"{one.journal.path.with_suffix('.pacing')}{end}").unlink(missing_ok=True)
        else:
            one.journal.close()
    sys.stdout.flush()
    if not all(one.finished for one in passes):
        return 2
    return 1 if any(one.counts["rejected"] for one in passes) else 0
