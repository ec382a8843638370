"""How fast spool lines become metrics and reach a receiver, against named baselines, in one run.

    python3 -m tests.bench.bench_graphios [LINES ...]         (default 10000 100000)

Each row is a process of its own on one core; CPU is its user and system time, the receiver's not included. The baselines:

- split and format: the least a shipper can do, no grammar, no quotes, no checks; what graphios is measured against
- carbon-cache: what it takes in over its plaintext port, sent by a bare sender and waited for until it has read all of it (its own CPU time)

Exits 1 if graphios parses and formats less than half of split and format, less than twice carbon-cache's intake, or needs more than 64 MB.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from graphios.configuration.settings import Names
from graphios.convert import Converter
from graphios.inputs.spool import Cut, SpoolFile
from tests.bench.spools import lines
from tests.stack.graphite import Carbon

ROOT = Path(__file__).parents[2]
FILE_LINES = 5000
CARBON_LINES = 50_000
"""carbon-cache gets at most so many lines: each of their series costs it a file."""
LEAST_OF_BARE, LEAST_OF_CARBON, MOST_MB = 0.5, 2.0, 64.0


class Row(NamedTuple):
    """One measurement: metrics, seconds of CPU and of the clock, peak memory in MB."""

    metrics: int
    cpu: float
    wall: float
    peak: float

    def __str__(self) -> str:
        per_million = self.cpu / self.metrics * 1e6
        return f"{self.metrics:>9,} {self.metrics / self.cpu:>11,.0f} {self.metrics / self.wall:>11,.0f} {per_million:>7.2f} s {self.peak:>7.1f} MB"


def write_spool(directory: Path, number: int, mixed: bool) -> None:
    """`number` lines in files of FILE_LINES."""
    file = None
    for index, line in enumerate(lines(number, mixed)):
        if index % FILE_LINES == 0:
            if file:
                file.close()
            file = (directory / f"service-perfdata.{index // FILE_LINES:06}").open("w", encoding="utf-8")
        assert file
        file.write(line)
    if file:
        file.close()


def split_and_format(raw: bytes) -> list[str]:
    """The least a shipper can do."""
    fields = {}
    for piece in raw.decode("utf-8").split("\t"):
        key, _, value = piece.partition("::")
        fields[key] = value
    head = f"{fields['GRAPHITEPREFIX']}.{fields['HOSTNAME'].replace('.', '_')}."
    end = f" {fields['TIMET']}\n"
    out = []
    for item in fields["SERVICEPERFDATA"].split():
        label, _, rest = item.partition("=")
        out.append(f"{head}{label.replace('/', '_')} {rest.partition(';')[0].rstrip('sMBKGmuc%')}{end}")
    return out


def parse(what: str, directory: Path) -> None:
    """Runs in a process of its own: reads the spool, formats every metric, and prints how many."""
    converter, metrics, now = Converter(Names()), 0, time.time()
    for path in sorted(directory.iterdir()):
        with SpoolFile(str(path), path.name) as file:
            for entry in file.lines():
                raw = entry[-1]
                assert not isinstance(raw, Cut)
                if what == "bare":
                    metrics += len(split_and_format(raw))
                else:
                    for items, _ in converter.convert(raw, now):
                        metrics += len(items)
    print(metrics)


def send(port: int, directory: Path) -> None:
    """Runs in a process of its own: the bare sender, which waits until the receiver has read everything; prints the metrics."""
    converter, now, batch, metrics = Converter(Names()), time.time(), [], 0
    for path in sorted(directory.iterdir()):
        with SpoolFile(str(path), path.name) as file:
            for entry in file.lines():
                for items, _ in converter.convert(entry[-1], now):
                    batch += items
    metrics = len(batch)
    data = "".join(map(str, batch)).encode()
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass
    print(metrics, time.monotonic() - start)


def measured(argv: list[str], known: int = 0) -> Row:
    """One run of `argv`, which prints the number of metrics unless it is `known`."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=output if not known else subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
        output.seek(0)
        metrics = known or int(output.read().split()[0])
    return Row(metrics, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def compared(me: list[str], spool: Path, runs: int) -> tuple[Row, Row, float]:
    """The best run of split and format, the best of ours, and the median of what ours is of the former, each run beside its neighbour.

    They take turns, so that what else the machine does meets both; then the ratio holds on a busy machine as well.
    """
    pairs = [(measured([*me, "bare", str(spool)]), measured([*me, "graphios", str(spool)])) for _ in range(runs)]
    bare, ours = (min(rows, key=lambda row: row.cpu) for rows in zip(*pairs, strict=True))
    ratios = [(own.metrics / own.cpu) / (least.metrics / least.cpu) for least, own in pairs]
    return bare, ours, statistics.median(ratios)


class Sink:
    """A receiver that only reads; closes when it has read everything, as carbon does."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.newlines = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            while chunk := connection.recv(1 << 18):
                self.newlines += chunk.count(b"\n")


def end_to_end(folder: Path, number: int, mixed: bool, metrics: int) -> Row:
    """`graphios --once` from a spool into a sink."""
    spool = folder / f"once-{number}-{mixed}"
    spool.mkdir()
    write_spool(spool, number, mixed)
    sink = Sink()
    config = folder / "graphios.ini"
    state = folder / f"state-{number}-{mixed}"
    config.write_text(
        f"[spool]\ndirectory = {spool}\n[state]\ndirectory = {state}\n[carbon]\nhost = 127.0.0.1\nport = {sink.port}\n"
        "[self]\ninterval_seconds = 0\n[log]\nlevel = error\n",
        encoding="utf-8",
    )
    row = measured([sys.executable, "-m", "graphios.cli", "--config", str(config), "--once"], metrics)
    if sink.newlines < metrics:
        raise SystemExit(f"graphios --once delivered {sink.newlines} of {metrics} metrics")
    return row


def carbon_intake(folder: Path, number: int) -> Row:
    """What carbon-cache takes in, by its own CPU time."""
    spool = folder / "carbon-spool"
    spool.mkdir()
    write_spool(spool, min(number, CARBON_LINES), mixed=False)
    place = folder / "carbon"
    place.mkdir()
    carbon = Carbon(place, creates_per_minute="1")
    carbon.start()
    try:
        assert carbon.daemon
        before = process_cpu(carbon.daemon.pid)
        me = [sys.executable, "-m", "tests.bench.bench_graphios", "--send", str(carbon.port), str(spool)]
        done = subprocess.run(me, cwd=ROOT, capture_output=True, check=True, text=True)
        metrics, wall = done.stdout.split()
        cpu = process_cpu(carbon.daemon.pid) - before
        status = Path(f"/proc/{carbon.daemon.pid}/status").read_text(encoding="ascii")
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    finally:
        carbon.stop()
    return Row(int(metrics), cpu, float(wall), peak)


def process_cpu(pid: int) -> float:
    """User and system time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(argv: list[str]) -> int:
    numbers = [int(text) for text in argv] or [10_000, 100_000]
    verdicts = []
    print(f"{'':44} {'metrics':>9} {'per s CPU':>11} {'per s':>11} {'CPU/10^6':>9} {'peak':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        carbon = carbon_intake(folder, max(numbers))
        print(f"{'carbon-cache, intake':44} {carbon}")
        for number in numbers:
            for mixed in (False, True):
                spool = folder / f"spool-{number}-{mixed}"
                spool.mkdir()
                write_spool(spool, number, mixed)
                me = [sys.executable, "-m", "tests.bench.bench_graphios", "--parse"]
                what = f"{number:,} lines, {'mixed' if mixed else 'clean'}"
                bare, ours, ratio = compared(me, spool, 5 if number <= 100_000 else 2)
                once = end_to_end(folder, number, mixed, ours.metrics)
                for title, row in (
                    ("split and format", bare),
                    ("graphios parses and formats", ours),
                    ("graphios --once", once),
                ):
                    print(f"{what + ': ' + title:44} {row}")
                verdicts += verdict(what, ours, once, ratio, carbon, number)
    print("\n".join(verdicts) or "all within the limits")
    return 1 if verdicts else 0


def verdict(what: str, ours: Row, once: Row, ratio: float, carbon: Row, number: int) -> list[str]:
    """What is outside of the limits; runs of few lines are mostly the start of Python, and don't count."""
    of_carbon = (ours.metrics / ours.cpu) / (carbon.metrics / carbon.cpu)
    print(f"{what}: {ratio:.2f} of split and format, {of_carbon:.2f} of carbon-cache's intake")
    found = []
    if number >= 100_000 and ratio < LEAST_OF_BARE:
        found.append(f"{what}: less than {LEAST_OF_BARE} of split and format")
    if number >= 100_000 and of_carbon < LEAST_OF_CARBON:
        found.append(f"{what}: less than {LEAST_OF_CARBON} of carbon-cache's intake")
    if max(ours.peak, once.peak) > MOST_MB:
        found.append(f"{what}: more than {MOST_MB:.0f} MB")
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--parse"]:
        parse(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--send"]:
        send(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
