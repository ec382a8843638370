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

from tests.stack import place, processes
from tests.stack.daemon import StackError
from tests.stack.pipeline import Pipeline
from tests.stack.progress import Progress

PATIENCE = 120.0
# The tests run a demo of their own beside yours.
NAME = os.environ.get("TESTBED_DEMO", "demo")


class Interrupted(Exception):
    """Ctrl-C, or a request to end from elsewhere."""


def root() -> Path:
    """The folder of the demo's stack."""
    return place.base() / NAME


def start() -> int:
    """Starts the demo, or says that it runs; returns the exit code."""
    with lock() as free:
        if not free:
            print("demo: it is being started or stopped right now", file=sys.stderr)
            return 1
        if running():
            print("The demo is already running.")
            print(ending(), end="")
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
        print(ending(), end="")
        return 0


def _start() -> None:
    print("Starting the pipeline.", flush=True)
    stack = place.make_root(NAME)
    progress = Progress()
    pipeline = Pipeline(stack)
    for what, action in pipeline.steps():
        with progress.step(what):
            action()
    began = time.monotonic()
    missing = pipeline.families()
    while missing:
        progress.show(f"waiting for points in Graphite of: {', '.join(missing)}")
        for family in [family for family in missing if pipeline.points(family)]:
            progress.done(f"points in Graphite: {family}", time.monotonic() - began)
            missing.remove(family)
        if time.monotonic() - began > PATIENCE:
            raise StackError(f"no points of {', '.join(missing)} in {PATIENCE:g} s. {pipeline.diagnosis()}")
        time.sleep(0.2)
    with progress.step("the second check, for rates and percentages"):
        pipeline.wait_for_rates()
    found = {family: pipeline.points(family) for family in pipeline.families()}
    (stack / "ending").write_text(pipeline.ending(found) + "\n", encoding="utf-8")


def stop() -> int:
    """Ends the demo, also one that is being started; returns the exit code."""
    end_starter()
    with lock(patience=30) as free:
        if not free:
            print(f"demo: process {starter()} starts or stops it, and does not end", file=sys.stderr)
            return 1
        was_there = root().exists()
        ignore_signals()
        place.clean(root())
        print("demo: stopped, nothing is left running" if was_there else "demo: it was not running")
        return 0


def status() -> int:
    """Tells whether the demo runs, and which of its parts do; returns the exit code."""
    with lock() as free:
        if not free:
            print("demo: it is being started or stopped right now")
        elif running():
            print("The demo is running.")
            print(ending(), end="")
            return 0
        elif dead := dead_daemons():
            print(
                f"demo: it does not run whole: {', '.join(dead)} ended; see {root() / 'log'}; bin/demo stop ends the rest"
            )
        elif left := processes.processes_of(root()):
            print(f"demo: its start was killed and left {len(left)} processes; bin/demo stop ends them")
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
def lock(patience: float = 0) -> Iterator[bool]:
    """Whether we are the one who starts, stops or looks, after `patience` seconds at most; the kernel takes it from a killed process."""
    place.VAR.mkdir(exist_ok=True)
    deadline = time.monotonic() + patience
    with lock_file().open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.05)
            else:
                break
        file.truncate(0)
        file.write(f"{os.getpid()} {processes.start_time(os.getpid())}\n")
        file.flush()
        yield True
        file.truncate(0)


def lock_file() -> Path:
    """Holds the process id and start time of whoever holds the lock."""
    return place.VAR / f"{NAME}.lock"


def starter() -> int | None:
    """Process id of whoever starts, stops or looks just now."""
    try:
        pid, started = lock_file().read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(pid) if str(processes.start_time(int(pid))) == started else None


def end_starter() -> None:
    """Asks a start that is under way to end as Ctrl-C does."""
    if (pid := starter()) and pid != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def keep_logs() -> None:
    """Moves the logs of a start that failed to where the next start does not remove them."""
    kept = place.VAR / "log" / NAME
    with contextlib.suppress(OSError):
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(root() / "log", kept)


def one_line(error: BaseException) -> str:
    """The error in one line that names the log to read."""
    if isinstance(error, BrokenPipeError):
        return "standard output was closed; nothing is left running"
    if isinstance(error, StackError):
        return str(error).replace(str(root() / "log"), str(place.VAR / "log" / NAME))
    log = place.VAR / "log" / f"{NAME}-error.log"
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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 1
    except (StackError, OSError) as error:
        print(f"demo: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
