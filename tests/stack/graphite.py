"""A private carbon-cache and graphite-web (Debian's graphite-carbon, graphite-web and gunicorn) on loopback."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.stack.daemon import Daemon, OnFreePort, StackError, clean_environment, wait_until
from tests.stack.place import free_port, give, run

CARBON_CONF = """\
[cache]
ENABLE_TAGS = False
STORAGE_DIR = {folder}
CONF_DIR = {folder}/conf
LOG_DIR = {folder}/log
PID_DIR = {folder}/run
LOCAL_DATA_DIR = {folder}/whisper
USER =
ENABLE_LOGROTATION = False
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = {creates}
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
LOG_UPDATES = False
LOG_CREATES = False
LOG_CACHE_HITS = False
WHISPER_AUTOFLUSH = False
CARBON_METRIC_INTERVAL = {metrics}
WHISPER_SPARSE_CREATE = {sparse}
"""

# One second for fifteen minutes is 10.8 kB a series: 25,000 of them take 270 MB.
SCHEMAS = """\
[stack]
pattern = .*
retentions = {retention}
"""

AGGREGATION = """\
[default]
pattern = .*
xFilesFactor = 0
aggregationMethod = average
"""

WEB_SETTINGS = """\
SECRET_KEY = "loopback only"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
TIME_ZONE = "UTC"
LOG_ROTATION = False
LOG_DIR = {folder!r} + "/log"
GRAPHITE_ROOT = "/usr/share/graphite-web"
CONF_DIR = {folder!r} + "/conf"
STORAGE_DIR = {folder!r}
STATIC_ROOT = "/usr/share/graphite-web/static"
INDEX_FILE = {folder!r} + "/index"
WHISPER_DIR = {whisper!r}
STANDARD_DIRS = [{whisper!r}]
CARBONLINK_HOSTS = ["127.0.0.1:{query}:a"]
CARBONLINK_TIMEOUT = 10.0
CARBONLINK_QUERY_BULK = True
FIND_TIMEOUT = 60.0
FETCH_TIMEOUT = 60.0
MEMCACHE_HOSTS = []
DEFAULT_CACHE_DURATION = 0
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/graphite.db"}}}}
FUNCTION_PLUGINS = []
DEBUG = False
"""


class Carbon(OnFreePort):
    """carbon-cache with the plaintext, pickle and query ports on 127.0.0.1; the ports stay the same over stop() and
    start().
    """

    def __init__(
        self,
        root: Path,
        user: str | None = None,
        retention: str = "1s:15m",
        creates_per_minute: str = "inf",
        schemas: Path | None = None,
        aggregation: Path | None = None,
        sparse: bool = False,
        metric_interval: int = 0,
    ) -> None:
        """`schemas` and `aggregation` are storage-*.conf files to use instead of one `retention` for everything.

        `sparse` files take only the room of the points that are there. `metric_interval`: seconds between carbon's reports on itself; 0: none.
        """
        self.folder = root / "carbon"
        self.whisper = self.folder / "whisper"
        self._root = root
        self._user = user
        self._creates = creates_per_minute
        self._sparse = sparse
        self._metric_interval = metric_interval
        self._schemas = schemas.read_text(encoding="utf-8") if schemas else SCHEMAS.format(retention=retention)
        self._aggregation = aggregation.read_text(encoding="utf-8") if aggregation else AGGREGATION
        self.port = self.query_port = self.pickle_port = 0
        self._killed = False
        self.daemon: Daemon | None = None

    def _start(self) -> None:
        if not self.port:
            self.port, self.pickle_port, self.query_port = free_port(), free_port(), free_port()
            for name in ("conf", "log", "run", "whisper"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "conf" / "storage-schemas.conf").write_text(self._schemas, encoding="utf-8")
            (self.folder / "conf" / "storage-aggregation.conf").write_text(self._aggregation, encoding="utf-8")
            text = CARBON_CONF.format(
                folder=self.folder,
                creates=self._creates,
                sparse=self._sparse,
                metrics=self._metric_interval,
                line=self.port,
                pickle=self.pickle_port,
                query=self.query_port,
            )
            (self.folder / "conf" / "carbon.conf").write_text(text, encoding="utf-8")
            give(self.folder, self._user)
        if self._killed:
            self._remove_half_made_files()
        # carbon refuses to start over the pid file of one that was killed.
        (self.folder / "run" / "carbon-cache-a.pid").unlink(missing_ok=True)
        argv = [
            "/usr/bin/carbon-cache",
            f"--config={self.folder}/conf/carbon.conf",
            "--instance=a",
            "--nodaemon",
            "start",
        ]
        daemon = self.daemon = Daemon(
            "carbon", argv, self._root / "log" / "carbon.log", user=self._user, root=self._root
        )
        daemon.start()
        daemon.wait_ready(
            lambda: daemon.listens(self.port) and daemon.listens(self.query_port),
            20,
            "carbon-cache accepts connections",
            (self.port, self.pickle_port, self.query_port),
        )

    def stop(self) -> None:
        """Ends it; what it had in memory is written first."""
        if self.daemon:
            self.daemon.stop(patience=20)

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Ends it without a chance to write what it has in memory."""
        if self.daemon:
            self._killed = True
            self.daemon.kill(sig)

    def _remove_half_made_files(self) -> None:
        """A carbon that was killed while it made a file can never write to it again (CorruptWhisperFile in its log): its operator deletes it.

        whisper's format: 16 bytes (the last four: number of archives), then 12 for each archive, then its points of 12 bytes each.
        """
        self._killed = False
        for path in self.whisper.rglob("*.wsp"):
            with path.open("rb") as file:
                head = file.read(1024)
            archives = int.from_bytes(head[12:16], "big")
            sizes = [int.from_bytes(head[at + 8 : at + 12], "big") for at in range(16, 16 + 12 * archives, 12)]
            if (
                len(head) < 16 + 12 * archives
                or path.stat().st_size < 16 + 12 * (archives + sum(sizes))
                or not archives
            ):
                path.unlink()


class GraphiteWeb(OnFreePort):
    """graphite-web over one carbon's files and memory."""

    def __init__(self, root: Path, carbon: Carbon, user: str | None = None) -> None:
        self.folder = root / "graphite-web"
        self._root = root
        self._carbon = carbon
        self._user = user
        self.port = 0
        self.daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        self.port = self.port or free_port()
        for name in ("conf", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = WEB_SETTINGS.format(
            folder=str(self.folder), whisper=str(self._carbon.whisper), query=self._carbon.query_port
        )
        (self.folder / "conf" / "stack_settings.py").write_text(text, encoding="utf-8")
        give(self.folder, self._user)
        settings = {
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.folder / "conf"),
            "GRAPHITE_SETTINGS_MODULE": "stack_settings",
            "DJANGO_SETTINGS_MODULE": "graphite.settings",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if not (self.folder / "graphite.db").exists():
            env = clean_environment(self._root, self._user) | settings
            argv: list[str | Path] = [
                "/usr/bin/python3",
                "/usr/bin/graphite-manage",
                "migrate",
                "--run-syncdb",
                "-v",
                "0",
            ]
            run(argv, "graphite-manage migrate", self._user, env, self.folder)
        argv = ["/usr/bin/gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "4"]
        argv += ["--worker-tmp-dir", self.folder, "graphite.wsgi:application"]
        daemon = self.daemon = Daemon(
            "graphite-web", argv, self._root / "log" / "graphite-web.log", settings, self.folder, self._user, self._root
        )
        daemon.start()
        daemon.wait_ready(
            lambda: daemon.listens(self.port) and self._answers(), 30, "graphite-web answers", (self.port,)
        )

    def stop(self) -> None:
        """Ends it."""
        if self.daemon:
            self.daemon.stop()

    def get(self, path: str, **query: str) -> bytes:
        """The body of the answer to GET. Raises OSError (of which HTTPError is one)."""
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}" if query else self.url + path
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def render(self, target: str, seconds: int = 300) -> dict[str, list[tuple[float | None, int]]]:
        """The points (value or None, epoch second) of the last `seconds` of every series that `target` matches.

        Raises StackError.
        """
        query = {"target": target, "from": f"-{seconds}s", "format": "json", "noCache": "1", "maxDataPoints": "100000"}
        for attempt in range(10):
            try:
                body = self.get("/render", **query)
                break
            except OSError as error:
                # graphite-web answers 500 when it meets a file that carbon is just creating.
                if attempt == 9 or not (isinstance(error, urllib.error.HTTPError) and error.code == 500):
                    raise StackError(
                        f"{self.url}/render: {error}; see {self.folder / 'log' / 'exception.log'}"
                    ) from error
                time.sleep(0.2)
        return {
            series["target"]: [(point[0], int(point[1])) for point in series["datapoints"]]
            for series in json.loads(body)
        }

    def latest(self, target: str, seconds: int = 300) -> dict[str, float]:
        """The newest value of every series that `target` matches and that has one."""
        newest = {}
        for name, points in self.render(target, seconds).items():
            values = [value for value, _ in points if value is not None]
            if values:
                newest[name] = values[-1]
        return newest

    def wait_for(self, target: str, seconds: float = 30) -> dict[str, float]:
        """As latest(), as soon as there is a value. Raises StackError when none comes within `seconds`."""
        return wait_until(lambda: self.latest(target), seconds, f"a point of {target} in {self.url}")

    def _answers(self) -> bool:
        try:
            return bool(self.get("/metrics/find", query="*"))
        except OSError:
            return False
