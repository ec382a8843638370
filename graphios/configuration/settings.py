"""What a configuration comes to. Times in seconds, sizes in bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class SpoolInput(NamedTuple):
    """A directory of perfdata files."""

    name: str  # the section: `spool`, `spool:icinga`
    directory: str
    files: tuple[str, ...] = ("service-perfdata.*", "host-perfdata.*")  # shell patterns of the names that are ours


class FifoInput(NamedTuple):
    """A named pipe that Nagios writes lines to."""

    name: str
    path: str


class Limits(NamedTuple):
    """What the spools may hold in all; 0 is no limit. Past it the oldest files are dropped, counted and named."""

    max_bytes: int = 10 * 1024**3
    max_files: int = 0
    max_age: float = 0.0


class Names(NamedTuple):
    """How metric names are made."""

    scheme: str = "graphios"  # graphios: prefix.host.postfix.label, or host.service.label; service: always host.service.label; template; tags
    base: str = ""
    template: str = "{host}.{service}.{label}"
    metric: str = "{label}"  # tags: the part before the first ;
    tags: tuple[tuple[str, str], ...] = (("host", "{host}"), ("service", "{service}"))
    cleaning: str = "unique"  # unique, escape, graphios (what Graphios 2 did, exactly)
    replacement: str = "_"  # graphios cleaning: what takes the place of a character
    dot: str = "."  # what a dot in a label becomes; "." opens a level
    unprefixed: bool = True  # graphios scheme: lines without prefix and postfix are shipped as host.service.label
    reverse_hostname: bool = False
    replace_hostname: bool = True  # dots of a host name become the replacement
    thresholds: tuple[str, ...] = ()  # of warn, crit, min, max
    normalize: bool = False
    include: tuple[re.Pattern[str], ...] = ()  # searched in the finished name; no include: everything
    exclude: tuple[re.Pattern[str], ...] = ()
    rewrite: tuple[tuple[re.Pattern[str], str], ...] = ()


class Timeouts(NamedTuple):
    """How long a receiver may take: for a connection; for any byte; for the acknowledgement after the last byte."""

    connect: float = 5.0
    send: float = 30.0
    acknowledge: float = 60.0


class Tls(NamedTuple):
    """`ca`: what the receiver's certificate must be signed by, None: the system's authorities. `certificate` and `key`: ours, if it asks."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


class Delivery(NamedTuple):
    """What every backend section can say."""

    batch_bytes: int = 524_288
    longest_pause: float = 30.0
    tries: int = 10  # after so many refusals of a batch that can't be split further, its file is set aside
    timeouts: Timeouts = Timeouts()


class CarbonBackend(NamedTuple):
    """carbon-cache, a relay, or what else speaks their protocols. Further servers stand in for the first."""

    name: str
    servers: tuple[tuple[str, int], ...]  # host or address, port
    protocol: str = "plaintext"  # or pickle
    tls: Tls | None = None
    delivery: Delivery = Delivery()
    replay_seconds: float = 900.0  # 0: no replay window
    replay_bytes: int = 1024**3
    creates_per_minute: int = 0  # 0: new series are not paced
    graphite_url: str = ""  # where droppedCreates is read; empty: not at all
    whisper: str = ""  # where carbon keeps its series, on this machine: those that are there are not new


class StatsdBackend(NamedTuple):
    """statsd, over UDP (nothing is acknowledged) or TCP."""

    name: str
    host: str
    port: int
    protocol: str = "udp"  # or tcp
    delivery: Delivery = Delivery()


class InfluxBackend(NamedTuple):
    """InfluxDB's line protocol over HTTP: /write (v1) or /api/v2/write (v2)."""

    name: str
    url: str
    version: int = 1
    database: str = ""  # v1
    retention_policy: str = ""  # v1
    username: str = ""  # v1
    password: str = ""  # v1, read from a file; never printed
    organisation: str = ""  # v2
    bucket: str = ""  # v2
    token: str = ""  # v2, read from a file; never printed
    measurement: str = "perfdata"  # may hold {host}, {service} and {label}
    tags: tuple[tuple[str, str], ...] = ()  # tag, template of {host}, {service}, {label}; empty: our own
    tls: Tls = Tls()
    delivery: Delivery = Delivery()
    replay_seconds: float = 120.0  # v2: VictoriaMetrics writes to the disk what it acknowledged half a minute ago
    replay_bytes: int = 256 * 1024**2


class PrometheusBackend(NamedTuple):
    """Prometheus remote write, version 1."""

    name: str
    url: str
    metric: str = "nagios_perfdata"
    username: str = ""
    password: str = ""  # from a file; never printed
    token: str = ""  # from a file; never printed
    tls: Tls = Tls()
    delivery: Delivery = Delivery()


class OutputBackend(NamedTuple):
    """Standard output, or a file that is appended to; carbon's plaintext."""

    name: str
    path: Path | None = None  # None: standard output
    delivery: Delivery = Delivery()


BackendSettings = CarbonBackend | StatsdBackend | InfluxBackend | PrometheusBackend | OutputBackend


class Settings(NamedTuple):
    """The whole configuration."""

    path: Path
    spools: tuple[SpoolInput, ...]
    fifos: tuple[FifoInput, ...]
    backends: tuple[BackendSettings, ...]
    names: Names
    limits: Limits
    state_directory: Path
    status_file: Path
    reject_file: Path
    reject_bytes: int
    settle: float  # how long a file must not have changed before a missing newline at its end counts as cut off
    poll: float
    self_prefix: str
    self_interval: float  # seconds between two reports on itself; 0: none
    log_level: str
    dry_run: bool = False  # test_mode of a Graphios 2 file: as --dry-run
    warnings: tuple[str, ...] = ()  # what the operator should know: unknown or dead options of a Graphios 2 file
