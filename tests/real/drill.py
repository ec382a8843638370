"""Doubles of servers as processes of their own, and the checks as an operator meets them: by hand, and through a real NRPE."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.stack import place
from tests.stack.daemon import Daemon
from tests.stack.nrpe import Nrpe

OK, WARNING, CRITICAL, UNKNOWN = range(4)


class Answer(NamedTuple):
    """What a run of a check said: exit code, first line of output without the perfdata, all of the output, and standard error."""

    code: int
    first: str
    output: str
    errors: str

    @property
    def shape(self) -> str:
        """The first line without its numbers, which differ from run to run."""
        return re.sub(r"\d+(\.\d+)?", "N", self.first)


class Row(NamedTuple):
    """One kind of server: its double (a module of tests.seattle, or one with dots, and options), and the check that watches it.

    `{port}` in the check's command line is the double's.
    """

    name: str
    double: str
    check: str

    def argv(self, port: int) -> list[str]:
        """The check's command line."""
        return self.check.format(port=port).split()


class Double:
    """A double in a process of its own; started again it has the same port."""

    def __init__(self, root: Path, row: Row) -> None:
        self._root, self._row = root, row
        self._starts = 0
        self.port = 0
        self.daemon: Daemon | None = None

    def start(self) -> None:
        """Start it, and wait until it serves. Raises StackError."""
        module, *words = self._row.double.split()
        self._starts += 1
        name = re.sub(r"\W+", "-", f"{self._row.name}-{self._starts}")
        module = module if "." in module else f"tests.seattle.{module}"
        argv = [sys.executable, "-m", module, "--port", str(self.port), *words]
        log = self._root / "log" / f"{name}.log"
        self.daemon = daemon = Daemon(name, argv, log, cwd=place.CLONE, root=self._root)
        daemon.start()
        said = daemon.wait_ready(lambda: re.match(r"(\d+)\n", log.read_text(encoding="utf-8")), 30, "the double serves")
        assert said
        self.port = int(said[1])

    def stop(self) -> None:
        """End it, also where it is paused or gone."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.stop()


def by_hand(argv: Iterable[str], env: dict[str, str] | None = None) -> Answer:
    """Run a check by its console script, as on a shell, from another folder and without an environment."""
    name, *words = argv
    return _run([str(place.command(name)), *words], env or {})


def over_nrpe(server: Nrpe, command: str) -> Answer:
    """Run a command of a real NRPE."""
    return _run(server.check_argv(command), {})


def _run(argv: list[str], env: dict[str, str]) -> Answer:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
        env=env,
        cwd="/",
    )
    first = done.stdout.partition("\n")[0].partition("|")[0].strip()
    return Answer(done.returncode, first, done.stdout, done.stderr)


class Drill:
    """What each check says, by hand and over NRPE, while its server is healthy, hung, back, gone, and started again."""

    STAGES = ("healthy", "hung", "back", "gone", "again")

    def __init__(self, rows: Iterable[Row], doubles: dict[str, Double], server: Nrpe) -> None:
        self._doubles, self._server = doubles, server
        with ThreadPoolExecutor(8) as pool:
            self._answers = dict(zip((row.name for row in rows), pool.map(self._one, rows), strict=True))

    def said(self, row: Row, stage: str) -> tuple[Answer, Answer]:
        """The answers by hand and over NRPE."""
        return self._answers[row.name][stage]

    def _one(self, row: Row) -> dict[str, tuple[Answer, Answer]]:
        double = self._doubles[row.name]
        answers = {}
        for stage in self.STAGES:
            assert double.daemon
            if stage == "hung":
                double.daemon.pause()
            elif stage == "back":
                double.daemon.resume()
            elif stage == "gone":
                double.daemon.kill()
            elif stage == "again":
                double.start()
            # One after the other: Zenodotus drops queries of an address that has one in work.
            answers[stage] = (by_hand(row.argv(double.port)), over_nrpe(self._server, row.name))
        return answers


@contextlib.contextmanager
def started(root: Path, rows: Iterable[Row]) -> Iterator[dict[str, Double]]:
    """The double of each row, by the row's name, for the length of a with statement."""
    doubles = {row.name: Double(root, row) for row in rows}
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Double.start, doubles.values()))
        yield doubles
    finally:
        for double in doubles.values():
            double.stop()


@contextlib.contextmanager
def drilled(
    root: Path, rows: Sequence[Row], doubles: dict[str, Double], user: str | None, name: str
) -> Iterator[Drill]:
    """A drill of all rows, with an NRPE of that name for the length of a with statement; all servers are there again at its end."""
    commands = {}
    for row in rows:
        check, *words = row.argv(doubles[row.name].port)
        commands[row.name] = " ".join([str(place.command(check)), *words])
    server = Nrpe(root, commands, "anonymous", user, name=f"nrpe-{name}")
    server.start()
    try:
        yield Drill(rows, doubles, server)
    finally:
        server.stop()
