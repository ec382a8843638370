"""A private VictoriaMetrics (Debian's victoria-metrics) on loopback, which takes InfluxDB 2's /api/v2/write and Prometheus remote write."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.stack.daemon import Daemon, OnFreePort
from tests.stack.place import free_port, give


class VictoriaMetrics(OnFreePort):
    """Its port stays the same over stop() and start()."""

    def __init__(self, root: Path, user: str | None = None) -> None:
        self.folder = root / "victoriametrics"
        self._root, self._user = root, user
        self.port = 0
        self.daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        give(self.folder, self._user)
        argv = [
            "/usr/bin/victoria-metrics",
            f"-storageDataPath={self.folder}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=256MiB",
        ]
        daemon = self.daemon = Daemon(
            "victoriametrics", argv, self._root / "log" / "victoriametrics.log", user=self._user, root=self._root
        )
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 30, "VictoriaMetrics accepts connections", (self.port,))

    def series(self, selector: str) -> list[tuple[dict[str, str], dict[int, float]]]:
        """Labels and values by second of every series that matches `selector`, also what arrived a moment ago."""
        self._get("/internal/force_flush")
        found = []
        for line in self._get("/api/v1/export", {"match[]": selector}).splitlines():
            one: dict[str, Any] = json.loads(line)
            points = zip(one["timestamps"], one["values"], strict=True)
            found.append((one["metric"], {round(moment / 1000): float(value) for moment, value in points}))
        return found

    def _get(self, path: str, query: dict[str, str] | None = None) -> str:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query or {})}", timeout=90) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """Ends it without a chance to write what it has in memory."""
        if self.daemon:
            self.daemon.kill()

    def stop(self) -> None:
        """Ends it; what it had in memory is written first."""
        if self.daemon:
            self.daemon.stop(patience=20)
