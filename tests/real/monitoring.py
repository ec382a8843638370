"""A monitored node and a monitoring server for the end-to-end tests, as an administrator gets them from `testbed-checks config`.

On the node whatever a check prints is kept before NRPE takes it, so that a test can compare what was printed, run by run, with the points that
are in Graphite: one point for each metric and run, with that value.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.error
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.stack import place, processes
from tests.stack.daemon import Daemon, wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.nagios import BASE_OBJECTS, Nagios
from tests.stack.nrpe import Nrpe

PREFIX = "testbed"
# Between the ends of two runs, in seconds: their results take a different time to get from the node to the monitoring server.
SAME_SECOND = 2.0

KEEP = """\
#!/bin/sh
# keep FOLDER COMMAND...: runs the command, keeps what it printed as a file of FOLDER, prints it and exits as the command did.
folder=$1
shift
run=$(date +%s%N)
"$@" > "$folder/.$run" 2> "$folder/.errors.$run"
code=$?
mv "$folder/.$run" "$folder/$run"
cat "$folder/$run"
exit $code
"""


class Output(NamedTuple):
    """What a check printed in one run, expanded where it was compressed."""

    first: str
    perfdata: dict[str, float]
    """The number of each label."""
    text: str
    """All of it, as printed."""
    ended: float
    """When, in seconds since the epoch."""


def read_output(printed: str, ended: float = 0) -> Output:
    """Takes plugin output apart that holds perfdata of our checks: labels without quotes and blanks."""
    text = printed
    lines = printed.split("\n")
    if len(lines) > 1 and lines[1].startswith("COMPRESSED deflate base64 "):
        text = zlib.decompress(base64.b64decode("".join(lines[2:]))).decode()
        assert len(text.encode()) == int(lines[1].split()[-1])
    first, _, perfdata = text.split("\n")[0].partition(" | ")
    items = [item.partition("=")[::2] for item in perfdata.split()]
    values = {label: float(re.match(r"-?[0-9]+(\.[0-9]+)?(?![0-9.])", value)[0]) for label, value in items}  # type: ignore[index]
    assert len(values) == len(items), "a label occurs twice"
    return Output(first, values, printed, ended)


class Node:
    """A node: NRPE with mutual TLS, whose commands keep what they print."""

    def __init__(self, root: Path, user: str | None, name: str) -> None:
        self.nrpe = Nrpe(root, {}, True, user, name=f"nrpe-{name}")
        self._kept = self.nrpe.folder / "kept"
        self._kept.mkdir(parents=True)
        self._keep = self.nrpe.folder / "keep"
        self._keep.write_text(KEEP, encoding="utf-8")
        self._keep.chmod(0o755)

    def add(self, command: str, check: str, *arguments: str | Path) -> None:
        """Gives NRPE a command; each has a state of its own. Before start()."""
        folder = self._kept / command
        folder.mkdir()
        line = shlex.join([str(self._keep), str(folder), str(place.command(check)), *map(str, arguments)])
        self.nrpe.commands[command] = f"STATE_DIRECTORY={self.nrpe.state} {line} --state-key {command}"

    def runs(self, command: str) -> int:
        """How many runs of a command have ended."""
        return len(self._files(command))

    def outputs(self, command: str) -> list[Output]:
        """What each run printed, the first run first. No run wrote to standard error."""
        errors = "".join(path.read_text() for path in (self._kept / command).glob(".errors.*"))
        assert errors == ""
        return [read_output(path.read_text(encoding="utf-8"), path.stat().st_mtime) for path in self._files(command)]

    def _files(self, command: str) -> list[Path]:
        return sorted(path for path in (self._kept / command).iterdir() if not path.name.startswith("."))


class Shipping:
    """A spool, the graphios that empties it, and the carbon and graphite-web behind."""

    def __init__(self, root: Path, user: str | None, minutes: int) -> None:
        """Points are kept for so many minutes, one a second."""
        self.root, self.user = root, user
        self._seconds = minutes * 60 - 30
        self.carbon = Carbon(root, user, retention=f"1s:{minutes}m", sparse=True)
        self.graphite = GraphiteWeb(root, self.carbon, user)
        self.spool = root / "spool"
        self.graphios: Daemon | None = None

    def start(self) -> None:
        """Starts all of it."""
        self.spool.mkdir()
        place.give(self.spool, self.user)
        self.carbon.start()
        self.graphite.start()
        self.start_graphios()

    def start_graphios(self) -> None:
        """Starts the shipper, again where it was killed."""
        self.graphios = self.shipper(self.spool, "graphios")
        self.graphios.start()

    def shipper(self, spool: Path, name: str, *options: str) -> Daemon:
        """graphios for any spool, not started."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        config = folder / "graphios.ini"
        text = f"[spool]\ndirectory = {spool}\npoll_seconds = 0.2\n[carbon]\nport = {self.carbon.port}\nlongest_pause = 1\n"
        config.write_text(text, encoding="utf-8")
        place.give(folder, self.user)
        argv: list[str | Path] = [place.command("graphios"), "--config", config, *options]
        log = self.root / "log" / f"{name}.log"
        return Daemon(name, argv, log, {"STATE_DIRECTORY": str(folder)}, folder, self.user, self.root)

    def rejected(self) -> str:
        """What graphios could not ship, in its own words."""
        file = self.root / "graphios" / "graphios-rejects.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def stop(self) -> None:
        """Ends all of it."""
        for daemon in (self.graphios, self.graphite, self.carbon):
            if daemon:
                daemon.stop()

    def values(self, target: str, seconds: int = 0) -> dict[str, list[float]]:
        """Every value (of the last `seconds`), the oldest first, of every series that `target` matches."""
        query = {
            "target": target,
            "from": f"-{seconds or self._seconds}s",
            "format": "json",
            "noNullPoints": "true",
            "noCache": "1",
        }

        def ask() -> bytes | None:
            try:
                return self.graphite.get("/render", **query)
            except urllib.error.HTTPError as error:
                if error.code != 500:  # it meets a file that carbon is just creating
                    raise
                return None

        body = wait_until(ask, 10, f"an answer of graphite-web for {target}") or b""
        return {
            series["target"]: [point[0] for point in series["datapoints"]]
            for series in json.loads(body)
            if series["datapoints"]
        }

    def wait_for_series(self, host: str, labels: Iterable[str], seconds: float) -> None:
        """Waits until graphios has emptied the spool and carbon has a file for each label: it makes a thousand a second, or fewer."""
        wait_until(lambda: not any(self.spool.iterdir()), seconds, "graphios has shipped all of the spool")
        folder = self.carbon.whisper / PREFIX / host / "virt_stats"
        missing = {folder / f"{label.replace('.', '/')}.wsp" for label in labels}

        def all_there() -> bool:
            while missing:
                if not (path := missing.pop()).exists():
                    missing.add(path)
                    return False
            return True

        wait_until(all_there, seconds, f"carbon has made the files of {host}")

    def metrics_of(self, host: str, instances: str = "*", seconds: int = 0) -> dict[str, list[float]]:
        """Every value of check_virt_stats on a host, by label; of the instances (guests, pools, `host`) that a pattern matches."""
        begin = f"{PREFIX}.{host}.virt_stats."
        targets = ",".join(f"{begin}{instances}.{rest}" for rest in ("*.*", "*.*.*"))
        found = self.values(f"group({targets})", seconds)
        return {name.removeprefix(begin): values for name, values in found.items()}


class MonitoringServer:
    """Nagios with the generated commands, templates and perfdata processing, asking one node."""

    def __init__(self, root: Path, user: str | None, node: Node, spool: Path, interval: int, name: str) -> None:
        self.nagios = Nagios(root, [], user, interval_seconds=60, name=name)
        self._root = root
        folder = root / f"{name}-config"
        folder.mkdir()
        self._last: dict[tuple[str, str], dict[str, str]] = {}
        self._objects = folder / "objects.cfg"
        options: list[str | Path] = ["--bindir", place.command("x").parent, "--tls", "--tls-dir", node.nrpe.folder]
        options += ["--nrpe-port", str(node.nrpe.port), "--nagios-dir", self.nagios.folder, "--spool", spool]
        options += ["--prefix", PREFIX, "--interval", str(interval), "--output", folder / "generated"]
        place.run([place.command("testbed-checks"), "config", "nagios", *options], "testbed-checks config nagios")
        self._text = BASE_OBJECTS.format(alive="$USER1$/check_dummy 0")
        for file in (self._objects, *sorted((folder / "generated").glob("*.cfg"))):
            self.nagios.add(file)
        main = (folder / "generated" / "main" / "testbed-checks.cfg").read_text(encoding="utf-8")
        self.nagios.main = main.replace("_processing_interval=15", "_processing_interval=2")

    def add_host(self, host: str, hostgroup: str = "") -> None:
        """Adds a host, with the services of a generated hostgroup."""
        directives = {"use": "generic-host", "host_name": host, "address": "127.0.0.1", "max_check_attempts": "1"}
        self._text += _define("host", directives | ({"hostgroups": hostgroup} if hostgroup else {}))

    def add_service(self, host: str, template: str, ask: str, command: str) -> None:
        """Adds a service called like its NRPE command, of one of the generated templates and commands."""
        directives = {
            "use": template,
            "host_name": host,
            "service_description": command,
            "check_command": f"{ask}!{command}",
        }
        self._text += _define("service", directives)

    def start(self) -> None:
        """Starts Nagios."""
        self._objects.write_text(self._text, encoding="utf-8")
        self.nagios.start()

    def finish(self) -> None:
        """Has Nagios start no further checks, waits until those that run have ended and it has written their results, and ends it.

        status() then tells what it last knew.
        """
        self.nagios.submit("STOP_EXECUTING_SVC_CHECKS")

        def stopped() -> bool:
            text = self._status_file().read_text(encoding="utf-8", errors="replace")
            return bool(
                re.search("^\tactive_service_checks_enabled=0$", text.split("servicestatus {")[0], re.MULTILINE)
            )

        wait_until(stopped, 10, "Nagios starts no more checks")
        wait_until(lambda: not self._running(), 30, "the running checks end")
        written = self._status_file().stat().st_mtime_ns
        # It reads results every second and writes its status every second: the second new status has all of them.
        for _ in range(2):
            wait_until(lambda: self._status_file().stat().st_mtime_ns != written, 10, "Nagios writes its status")  # noqa: B023
            written = self._status_file().stat().st_mtime_ns
        perfdata = self.nagios.folder / "service-perfdata"
        wait_until(lambda: not (perfdata.exists() and perfdata.stat().st_size), 30, "Nagios moves its perfdata")
        wait_until(lambda: not list(self.nagios.folder.glob(".claimed.*")), 30, "its perfdata is in the spool")
        self._last = self.nagios.status()
        self.nagios.stop()

    def _status_file(self) -> Path:
        return self.nagios.folder / "status.dat"

    def _running(self) -> bool:
        words = [processes.command_line(pid).split(b"\0") for pid in processes.processes_of(self._root)]
        return any(b"check_nrpe" in word or b"graphios-tap" in word for line in words for word in line[:3])

    def status(self, host: str, service: str) -> dict[str, str]:
        """What Nagios knows of a service; empty before its first check."""
        fields = (self._last or self.nagios.status()).get((host, service), {})
        return fields if fields.get("has_been_checked") == "1" else {}


def _define(kind: str, directives: dict[str, str]) -> str:
    return f"define {kind} {{\n" + "".join(f"  {name}  {value}\n" for name, value in directives.items()) + "}\n"


def columns(outputs: Iterable[Output]) -> dict[str, list[float]]:
    """The values of each label, one for each run that printed it."""
    found: dict[str, list[float]] = {}
    for output in outputs:
        for label, value in output.perfdata.items():
            found.setdefault(label, []).append(value)
    return found


def differences(outputs: Sequence[Output], stored: dict[str, list[float]]) -> list[str]:
    """Where the points in Graphite are not exactly what these runs printed: nothing, when each run's every value is there once.

    Graphite keeps one point a second here: of runs so close together that their points may share one, the later has to be there.
    """
    printed: dict[str, list[tuple[float, bool]]] = {}
    for output, following in zip(outputs, [*outputs[1:], None], strict=True):
        for label, value in output.perfdata.items():
            close = following is not None and following.ended - output.ended < SAME_SECOND
            printed.setdefault(label, []).append((value, close))
    wrong = [f"{label}: in Graphite, not printed" for label in stored.keys() - printed.keys()]
    for label, values in printed.items():
        left = list(stored.get(label, ()))
        for value, close in reversed(values):
            if left and left[-1] == value:
                left.pop()
            elif not close:
                wrong.append(
                    f"{label}: {value} is not in Graphite: {stored.get(label)} of {[value for value, _ in values]}"
                )
                break
        else:
            wrong += [f"{label}: {left} in Graphite, not printed"] if left else []
    return [*sorted(wrong)[:5], *([f"and {len(wrong) - 5} more"] if len(wrong) > 5 else [])]
