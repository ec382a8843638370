"""A private Prometheus (Debian's prometheus) on loopback that takes remote write and scrapes nothing."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort, wait_until
from tests.stack.place import free_port, give

CONFIG = """\
global:
  scrape_interval: 1h
storage:
  tsdb:
    out_of_order_time_window: {window}
"""


class Prometheus(OnFreePort):
    """Its port stays the same over stop() and start()."""

    def __init__(self, root: Path, user: str | None = None, window: str = "0s", name: str = "prometheus") -> None:
        """`window`: how late a sample may be, storage.tsdb.out_of_order_time_window."""
        self.folder = root / name
        self._root, self._user, self._window, self._name = root, user, window, name
        self.port = 0
        self.daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def write_url(self) -> str:
        """Where remote write goes."""
        return f"{self.url}/api/v1/write"

    def _start(self) -> None:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "prometheus.yml").write_text(CONFIG.format(window=self._window), encoding="ascii")
        give(self.folder, self._user)
        argv = [
            "/usr/bin/prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
        ]
        daemon = self.daemon = Daemon(
            self._name, argv, self._root / "log" / f"{self._name}.log", user=self._user, root=self._root
        )
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 30, "Prometheus accepts connections", (self.port,))
        wait_until(self._ready, 30, f"{self.url} is ready")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except (OSError, urllib.error.HTTPError):
            return False

    def series(self, selector: str, first: int, last: int) -> list[tuple[dict[str, str], dict[int, float]]]:
        """Labels and values by second of every series that matches `selector`, from second `first` to `last`."""
        fields = {"query": f"{selector}[{last - first + 1}s]", "time": str(last)}
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/query", data, timeout=90) as answer:
            result = json.load(answer)["data"]["result"]
        return [
            (one["metric"], {round(float(moment)): float(value) for moment, value in one["values"]}) for one in result
        ]

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop(patience=20)

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Ends it without a warning."""
        if self.daemon:
            self.daemon.kill(sig)
