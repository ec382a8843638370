"""A site whose perfdata one graphios ships, started as an operator starts it, and a ledger of every point that was spooled.

Used by the fault suite: a test spools points, does harm, and asks the ledger which of them Graphite can't show, or shows wrong.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.stack.daemon import StackError
from tests.stack.graphite import GraphiteWeb
from tests.stack.proxy import Proxy
from tests.unit.graphios.spool_lines import service_line

T = TypeVar("T")
METRICS = 5
"""Items in a spool line of a ledger."""
Options = Mapping[str, Mapping[str, object]]


class Ledger:
    """The points of `series` series that a test spools: every point has a time and a value of its own."""

    def __init__(self, prefix: str, series: int = 50, moments: int = 100) -> None:
        """Of each series at most `moments` points, one a second; the last of them was a minute ago."""
        self.prefix = prefix
        self.points: dict[str, dict[int, float]] = {}
        self._services = series // METRICS
        self._first = self._next = int(time.time()) - moments - 60
        self._last = self._first + moments
        self._value = 0

    def __len__(self) -> int:
        return sum(len(points) for points in self.points.values())

    def text(self, moments: int = 1) -> str:
        """A spool file with a point of every series for each of the next `moments` seconds."""
        rows = []
        for _ in range(moments):
            for service in range(self._services):
                items = []
                for metric in range(METRICS):
                    self._value += 1
                    items.append(f"m{metric}={self._value}.{metric}")
                    series = self.points.setdefault(f"{self.prefix}.s{service}.m{metric}", {})
                    series[self._next] = float(f"{self._value}.{metric}")
                rows.append(service_line(" ".join(items), host=self.prefix, service=f"s{service}", timet=self._next))
            self._next += 1
        assert self._next <= self._last, "more moments than planned for"
        return "".join(rows)

    def add(self, series: str, when: int, value: float) -> None:
        """Writes down a point whose line the test made itself."""
        self.points.setdefault(series, {})[when] = value

    def compare(self, web: GraphiteWeb) -> tuple[int, list[str]]:
        """How many points Graphite does not show, and what it shows that was never sent, or with another value."""
        found: dict[str, dict[int, float]] = {}
        for group in self._targets():
            for name, points in web.render(group, int(time.time()) - self._first + 5).items():
                found[name] = {when: value for value, when in points if value is not None}
        lost = sum(when not in found.get(name, {}) for name, expected in self.points.items() for when in expected)
        wrong = [
            f"{name} {value} {when} for {self.points.get(name, {}).get(when)}"
            for name, points in found.items()
            for when, value in points.items()
            if self.points.get(name, {}).get(when) != value
        ]
        return lost, wrong

    def _targets(self) -> list[str]:
        """Every series of the ledger's prefix, in questions that graphite-web answers in a second."""
        if self._services * METRICS <= 200:
            return [f"{self.prefix}.*.*"]
        return [
            f"{self.prefix}.s{{{','.join(map(str, range(i, min(i + 20, self._services))))}}}.*"
            for i in range(0, self._services, 20)
        ]

    def check_readable(self, web: GraphiteWeb, seconds: float = 60) -> None:
        """Waits until Graphite shows every point; nothing is missing, nothing wrong."""
        deadline = time.monotonic() + seconds
        while (counted := self.compare(web))[0] and time.monotonic() < deadline:
            time.sleep(0.3)
        lost, wrong = counted
        assert (lost, wrong) == (0, []), f"of {len(self)} points {lost} lost, {len(wrong)} wrong: {wrong[:5]}"


class Site:
    """Spool, state and configuration of one graphios; `inside` puts it into a namespace (a prefix of the command line)."""

    def __init__(
        self,
        root: Path,
        carbon_port: int,
        options: Options | None = None,
        inside: Sequence[str] = (),
        seen: Path = Path("/"),
    ) -> None:
        """`options` are added to the INI file, by section and option; an empty section is left out. `seen`: below what the test finds its root."""
        self.root = root
        self._outside = seen
        self._inside = list(inside)
        self.spool = root / "spool"
        self.state = root / "state"
        self.config = root / "graphios.ini"
        self.env = {
            key: value for key, value in os.environ.items() if key not in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY")
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = root / "graphios.log"
        for folder in (self.spool, self.state):
            self.outside(folder).mkdir(exist_ok=True)
        self.sections: dict[str, dict[str, object]] = {
            "spool": {"directory": self.spool, "poll_seconds": 0.1, "settle_seconds": 1},
            "state": {"directory": self.state},
            "rejects": {"file": root / "rejects.log"},
            "self": {"interval_seconds": 0},
            "carbon": {
                "port": carbon_port,
                **{
                    "connect_timeout": 2,
                    "send_timeout": 2,
                    "ack_timeout": 3,
                    "longest_pause": 0.4,
                    "batch_bytes": 50000,
                },
            },
        }
        self.configure(options or {})

    def outside(self, path: Path) -> Path:
        """Where the test sees a path that graphios sees as `path`."""
        return self._outside / path.relative_to("/")

    def configure(self, options: Options) -> None:
        """Adds options to the configuration file and writes it."""
        for section, values in options.items():
            if values:
                self.sections.setdefault(section, {}).update(values)
            else:
                self.sections.pop(section, None)
        lines = []
        for section, values in self.sections.items():
            lines += [f"[{section}]", *(f"{option} = {value}" for option, value in values.items())]
        self.outside(self.config).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write(self, name: str, data: str | bytes, age: float = 0, spool: Path | None = None) -> Path:
        """Puts a file into the spool at once, as Nagios's `mv` does; it was changed last `age` seconds ago."""
        folder = self.outside(spool or self.spool)
        path = folder / f".{name}"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        if age:
            os.utime(path, (time.time() - age, time.time() - age))
        return path.rename(folder / name)

    def command(self, *words: str) -> list[str]:
        """The command line of graphios with this configuration."""
        return [*self._inside, sys.executable, "-m", "graphios.cli", "--config", str(self.config), *words]

    def once(self, seconds: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        """`graphios --once`, whatever its exit code."""
        done = subprocess.run(
            self.command("--once"),
            capture_output=True, text=True, errors="replace", timeout=seconds, check=False, env=self.env | env,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, **env: str) -> None:
        """Starts it; whether it is ready shows in what it does."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stderr=log, stdout=log, env=self.env | env
            )

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Ends it with a signal; its exit code."""
        code = None
        if self.process:
            self.process.send_signal(number)
            code = self.process.wait(30)
            self.process = None
        assert "Traceback" not in self.log, self.log[-3000:]
        return code

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    @property
    def log(self) -> str:
        """What it said, over all its lives."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def wait(self, predicate: Callable[[], T], what: str, seconds: float = 60) -> T:
        """The first true answer of `predicate`. Raises StackError, with the end of the log, when none comes or graphios ends."""
        deadline = time.monotonic() + seconds
        while not (answer := predicate()):
            dead = self.process is not None and self.process.poll() is not None
            if dead or time.monotonic() > deadline:
                why = (
                    f"graphios ended with {self.process.returncode}"
                    if dead and self.process
                    else f"not within {seconds:g} s"
                )
                raise StackError(f"{what}: {why}; {len(self.waiting())} files wait; its last words: {self.log[-1500:]}")
            time.sleep(0.02)
        return answer

    def wait_until_empty(self, seconds: float = 60) -> None:
        """Waits until the spool is worked off."""
        self.wait(self.empty, "the spool to be worked off", seconds)

    def waiting(self) -> list[str]:
        """Names of the files in the spool; what begins with a dot is nobody's input."""
        return sorted(path.name for path in self.outside(self.spool).iterdir() if not path.name.startswith("."))

    def empty(self) -> bool:
        """Whether nothing waits in the spool."""
        return not self.waiting()

    def status(self) -> dict[str, Any]:
        """The status document; empty before there is one."""
        try:
            found: dict[str, Any] = json.loads(self.outside(self.state / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def running_status(self) -> dict[str, Any]:
        """The status document of the process that runs now; empty before it wrote one."""
        status = self.status()
        return status if self.process and status.get("pid") == self.process.pid else {}

    def backend(self, name: str = "carbon") -> dict[str, Any]:
        """What the status document of the running process says about one backend; empty before it does."""
        return next((entry for entry in self.running_status().get("backends", []) if entry["name"] == name), {})

    def rejects(self) -> str:
        """The reject file."""
        path = self.outside(self.root / "rejects.log")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def tries(self, proxy: Proxy, more: int, seconds: float = 60) -> None:
        """Waits until it opened so many more connections to the proxy."""
        enough = proxy.connections + more
        self.wait(lambda: proxy.connections >= enough, f"{more} more tries", seconds)

    def peak_memory(self) -> int:
        """Highest resident size of the running process so far, in bytes (VmHWM of proc(5))."""
        assert self.process
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert found
        return int(found[1]) * 1024


MakeSite = Callable[..., Site]
"""make_site(options=None, port=None): makes a site, whose graphios ends with the test."""
