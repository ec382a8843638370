"""bin/demo: the real pipeline, from QEMU guests to Graphite, started, shown and ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from tests.stack import place, processes
from tests.stack.daemon import StackError
from tests.stack.pipeline import Pipeline
from tests.stack.progress import Progress

PATIENCE = 120.0


class Interrupted(Exception):
    """Ctrl-C, or a request to end from elsewhere."""


def root() -> Path:
    """The folder of the demo's stack."""
    return place.base() / "demo"


def start() -> int:
    """Starts the demo, or says that it runs; returns the exit code."""
    with lock() as free:
        if not free:
            print("demo: it is being started or stopped right now", file=sys.stderr)
            return 1
        if running():
            print("The demo is already running.")
            print(ending())
            return 0
        try:
            place.clean(root())
            _start()
        except BaseException as error:
            ignore_signals()
            keep_logs()
            place.clean(root())
            if isinstance(error, Interrupted):
                print("\ndemo: interrupted; nothing is left running", file=sys.stderr)
                return 130
            print(f"demo: {one_line(error)}", file=sys.stderr)
            return 1
        print(ending())
        return 0


def _start() -> None:
    print("Starting the pipeline.", flush=True)
    stack = place.make_root("demo")
    progress = Progress()
    pipeline = Pipeline(stack)
    for what, action in pipeline.steps():
        with progress.step(what):
            action()
    began = time.monotonic()
    found: dict[str, dict[str, float]] = {}
    while missing := [family for family in pipeline.families() if family not in found]:
        progress.show(f"waiting for points in Graphite of: {', '.join(missing)}")
        for family in missing:
            if points := pipeline.points(family):
                found[family] = points
                progress.done(f"points in Graphite: {family} ({len(points)} series)", time.monotonic() - began)
        if time.monotonic() - began > PATIENCE:
            raise StackError(f"no points of {', '.join(missing)} in {PATIENCE:g} s. {pipeline.diagnosis()}")
        time.sleep(0.2)
    (stack / "ending").write_text(pipeline.ending(found), encoding="utf-8")


def stop() -> int:
    """Ends the demo; returns the exit code."""
    with lock() as free:
        if not free:
            print("demo: it is being started or stopped right now (Ctrl-C there ends it)", file=sys.stderr)
            return 1
        was_there = root().exists()
        ignore_signals()
        place.clean(root())
        print("demo: stopped, nothing is left running" if was_there else "demo: it was not running")
        return 0


def status() -> int:
    """Tells whether the demo runs, and which of its parts do; returns the exit code."""
    if running():
        print("The demo is running.")
        print(ending())
        return 0
    with lock() as free:
        if not free:
            print("demo: it is being started or stopped right now")
        elif dead := dead_daemons():
            print(f"demo: it does not run whole: {', '.join(dead)} ended; see {root() / 'log'}, then bin/demo stop")
        else:
            print("demo: not running")
    return 1


def running() -> bool:
    """Whether it was started completely and all of its daemons still run."""
    return (root() / "ending").exists() and not dead_daemons()


def dead_daemons() -> list[str]:
    """Names of the daemons that were started and are no longer there."""
    dead = []
    for record in sorted((root() / "pids").glob("*")):
        pid, started = record.read_text(encoding="ascii").split()
        if str(processes.start_time(int(pid))) != started:
            dead.append(record.name)
    return dead


def ending() -> str:
    """What a complete start showed at its end."""
    return (root() / "ending").read_text(encoding="utf-8")


@contextlib.contextmanager
def lock() -> Iterator[IO[str] | None]:
    """Held by whoever starts or stops the demo, None for the others; the kernel lets go of it when its holder is killed."""
    place.VAR.mkdir(exist_ok=True)
    with (place.VAR / "demo.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def keep_logs() -> None:
    """Moves the logs of a start that failed to where the next start does not remove them."""
    kept = place.VAR / "log" / "demo"
    with contextlib.suppress(OSError):
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(root() / "log", kept)


def one_line(error: BaseException) -> str:
    """The error in one line that names the log to read."""
    if isinstance(error, StackError):
        return str(error).replace(str(root() / "log"), str(place.VAR / "log" / "demo"))
    log = place.VAR / "log" / "demo-error.log"
    with contextlib.suppress(OSError):
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; see {log}"


def ignore_signals() -> None:
    """From here on everything is ended, which a second Ctrl-C must not stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main(argv: list[str]) -> int:
    """Runs `start`, `stop` or `status`; returns the exit code."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        owner = root().stat().st_uid if root().exists() else os.geteuid()
        if owner != os.geteuid():
            raise StackError(f"{root()} belongs to user id {owner}; call bin/demo as that user")
        return {"start": start, "stop": stop, "status": status}[argv[0]]()
    except Interrupted:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    except (StackError, OSError) as error:
        print(f"demo: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
