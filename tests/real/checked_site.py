"""A Nagios with checks of our making and a worker beside it, for the tests and measurements of the worker."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.stack import place
from tests.stack.daemon import Daemon, wait_until
from tests.stack.nagios import BASE_OBJECTS, Nagios

MAIN = Path(__file__).resolve().parents[2] / "nagios-config" / "main" / "testbed-checks.cfg"


def _define(kind: str, directives: Mapping[str, object]) -> str:
    return f"define {kind} {{\n" + "".join(f"  {name}  {value}\n" for name, value in directives.items()) + "}\n"


class WorkerSite:
    """Nagios writes its perfdata into `perfdata`, in the generated format; the worker spools into `spool`.

    No check runs before begin().
    """

    def __init__(self, root: Path, user: str | None, name: str, main: str = "") -> None:
        self.folder = root / name
        self.folder.mkdir(parents=True)
        self.spool = self.folder / "spool"
        self.spool.mkdir()
        (self.folder / "journal").mkdir()
        self.perfdata = self.folder / "perfdata"
        self.nagios = Nagios(root, [], user, name=f"{name}-nagios")
        fields = re.findall(
            r"^(?:service|host)_perfdata_file_template=.*\n", MAIN.read_text(encoding="utf-8"), re.MULTILINE
        )
        self.nagios.main = (
            "enable_environment_macros=1\nprocess_performance_data=1\nexecute_service_checks=0\nexecute_host_checks=0\n"
            f"service_perfdata_file={self.perfdata}\nhost_perfdata_file={self.perfdata}\n"
            f"service_perfdata_file_mode=a\nhost_perfdata_file_mode=a\n{''.join(fields)}{main}"
        )
        self.worker: Daemon | None = None
        self._root, self._user, self._name = root, user, name
        self._objects = BASE_OBJECTS.format(alive="/bin/true")
        self._commands = 0
        self._read = 0
        self._seen: set[str] = set()

    def plugin(self, name: str, script: str, mode: int = 0o755) -> Path:
        """A script in the folder of plugins."""
        path = self.folder / name
        path.write_text(script, encoding="utf-8")
        path.chmod(mode)
        return path

    def add_host(self, host: str, line: str = "/bin/true", **directives: object) -> None:
        """Adds a host that is checked by a command line, every second."""
        command = self._command(line)
        self._objects += _define(
            "host",
            {
                "use": "generic-host",
                "host_name": host,
                "address": "127.0.0.1",
                "check_interval": 1,
                "max_check_attempts": 1,
                "check_command": command,
            }
            | directives,
        )

    def add_service(self, host: str, service: str, line: str, **directives: object) -> None:
        """Adds a service that is checked by a command line, every second."""
        command = self._command(line)
        self._objects += _define(
            "service",
            {
                "use": "generic-service",
                "host_name": host,
                "service_description": service,
                "check_interval": 1,
                "max_check_attempts": 1,
                "check_command": command,
            }
            | directives,
        )

    def _command(self, line: str) -> str:
        self._commands += 1
        self._objects += _define("command", {"command_name": f"c{self._commands}", "command_line": line})
        return f"c{self._commands}"

    def start(self, plugins: Sequence[str | Path] = (), *more: str) -> None:
        """Starts Nagios, and a worker for these plugins (none: Nagios is left to its own), and waits until they know each other."""
        objects = self.folder / "objects.cfg"
        objects.write_text(self._objects, encoding="utf-8")
        place.give(self.folder, self._user)
        self.nagios.add(objects)
        self.nagios.start()
        pipe = place.socket_folder(self._root) / self.nagios.name / "nagios.cmd"
        wait_until(pipe.is_fifo, 30, "Nagios makes its command file")
        if plugins:
            self.start_worker(plugins, *more)

    def start_worker(self, plugins: Sequence[str | Path], *more: str) -> None:
        """Starts the worker alone."""
        words: list[str | Path] = [place.command("testbed-checks"), "worker", "--nagios-cfg", self.nagios.config]
        words += ["--spool", self.spool, *more]
        if "--journal" not in more:
            words += ["--journal", self.folder / "journal"]
        for plugin in plugins:
            words += ["--plugin", plugin]
        log = self._root / "log" / f"{self._name}-worker.log"
        self.worker = Daemon(f"{self._name}-worker", words, log, user=self._user, root=self._root)
        before = self._registered()
        self.worker.start()
        self.worker.wait_ready(
            lambda: self._registered() - before >= len(plugins), 60, "the worker registers with Nagios"
        )

    def _registered(self) -> int:
        try:
            text = (self.nagios.folder / "nagios.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return 0
        return text.count("Registry request: name=") - text.count("Registry request: name=Core Worker")

    def begin(self) -> None:
        """Has Nagios run its checks."""
        self.nagios.submit("START_EXECUTING_HOST_CHECKS")
        self.nagios.submit("START_EXECUTING_SVC_CHECKS")

    def check_each_once(self) -> None:
        """Has Nagios check every host and service now, once; before begin() it does nothing else."""
        for host, service in self.nagios.status():
            kind, name = ("SVC", f"{host};{service}") if service else ("HOST", host)
            self.nagios.submit(f"SCHEDULE_FORCED_{kind}_CHECK;{name};{int(time.time())}")

    def end(self) -> None:
        """Has Nagios start no further checks; those that run come to their end."""
        self.nagios.submit("STOP_EXECUTING_SVC_CHECKS")
        self.nagios.submit("STOP_EXECUTING_HOST_CHECKS")

        def ended() -> bool:
            text = (self.nagios.folder / "status.dat").read_text(encoding="utf-8", errors="replace")
            head = text.split("status {", 2)[1]
            return "active_service_checks_enabled=0" in head and "active_host_checks_enabled=0" in head

        wait_until(ended, 30, "Nagios starts no more checks")

    def new_lines(self) -> Iterator[bytes]:
        """The lines of perfdata that were not there at the last call: Nagios's own, and the worker's."""
        if self.perfdata.exists():
            with self.perfdata.open("rb") as file:
                file.seek(self._read)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read += len(whole)
            yield from whole.split(b"\n")[:-1]
        for path in self.spool.glob("[!.]*"):
            if path.name not in self._seen:
                self._seen.add(path.name)
                yield from path.read_bytes().split(b"\n")[:-1]

    def stop(self) -> None:
        """Ends both; the files stay."""
        if self.worker:
            self.worker.stop(30)
        self.nagios.stop()
