"""A private InfluxDB 1 (Debian's influxdb) on loopback: plain or HTTPS, open or with users."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.stack.daemon import Daemon, OnFreePort, StackError, wait_until
from tests.stack.nrpe import make_certificates
from tests.stack.place import free_port, give

CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"

[meta]
dir = "{folder}/meta"

[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false

[monitor]
store-enabled = false

[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
auth-enabled = {auth}
https-enabled = {tls}
https-certificate = "{folder}/node.pem"
https-private-key = "{folder}/node.key"
"""

ADMIN = ("admin", "throwaway")


class InfluxDb(OnFreePort):
    """With one database, `nagios`; its port stays the same over stop() and start()."""

    def __init__(
        self, root: Path, user: str | None = None, tls: bool = False, auth: bool = False, name: str = "influxdb"
    ) -> None:
        """`tls`: with a certificate for 127.0.0.1 that `ca` has signed. `auth`: ADMIN may do everything, nobody else anything."""
        self.folder = root / name
        self.ca = self.folder / "ca.pem"
        self._root, self._user, self._tls, self._auth, self._name = root, user, tls, auth, name
        self.port = 0
        self.daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def _start(self) -> None:
        rpc_port = free_port()
        if not self.port:
            self.port = free_port()
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._tls and not self.ca.exists():
                make_certificates(self.folder)
        text = CONFIG.format(
            folder=self.folder,
            port=self.port,
            rpc_port=rpc_port,
            auth=str(self._auth).lower(),
            tls=str(self._tls).lower(),
        )
        (self.folder / "influxdb.conf").write_text(text, encoding="utf-8")
        give(self.folder, self._user)
        argv = ["/usr/bin/influxd", "-config", f"{self.folder}/influxdb.conf"]
        daemon = self.daemon = Daemon(
            self._name, argv, self._root / "log" / f"{self._name}.log", user=self._user, root=self._root
        )
        daemon.start()
        daemon.wait_ready(lambda: daemon.listens(self.port), 30, "InfluxDB accepts connections", (self.port, rpc_port))
        wait_until(self._set_up, 30, f"{self.url} takes commands")

    def _set_up(self) -> bool:
        try:
            if self._auth:
                self.query(f"CREATE USER {ADMIN[0]} WITH PASSWORD '{ADMIN[1]}' WITH ALL PRIVILEGES")
            self.query("CREATE DATABASE nagios")
        except StackError:
            return False
        return True

    def query(self, text: str, database: str = "nagios", login: tuple[str, str] = ADMIN) -> list[dict[str, Any]]:
        """The rows of a query as columns and values, the times in seconds. Raises StackError."""
        fields = {"q": text, "db": database, "epoch": "s"}
        request = urllib.request.Request(f"{self.url}/query", urllib.parse.urlencode(fields).encode())
        if self._auth:
            words = base64.b64encode(":".join(login).encode()).decode()
            request.add_header("Authorization", f"Basic {words}")
        context = ssl.create_default_context(cafile=str(self.ca)) if self._tls else None
        try:
            with urllib.request.urlopen(request, timeout=90, context=context) as answer:
                document = json.load(answer)
        except (OSError, urllib.error.HTTPError, ValueError) as error:
            raise StackError(f"InfluxDB: {text}: {error}") from error
        result = document["results"][0]
        if "error" in result:
            raise StackError(f"InfluxDB: {text}: {result['error']}")
        return [
            dict(zip(series["columns"], row, strict=True))
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Ends it without a warning."""
        if self.daemon:
            self.daemon.kill(sig)
