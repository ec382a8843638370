"""Tahoe-LAFS's statistics: what each is called in perfdata, its unit, whether it is a counter, and what it means.

The first 26 are those of Tahoe's own Munin plugin (misc/operations_helpers/munin/tahoe_stats), its name in the meaning. Several of its names
mislead: `..._files_old` are bytes, and what only grows is drawn as a gauge. Keys and their meaning: docs/stats.rst of Tahoe-LAFS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from checks.plugin import COUNTER, GAUGE, Measure
from checks.tahoe.records import Statistics


class Statistic(NamedTuple):
    """One of Tahoe's statistics: its own name, the label in perfdata, and the unit there ("c": a counter)."""

    key: str
    label: str
    unit: str
    meaning: str
    rate: str | None = None
    """unit of its rate ("B" or ""), None where it has none"""
    factor: float = 1

    @property
    def kind(self) -> str:
        """COUNTER or GAUGE."""
        return COUNTER if self.unit == "c" else GAUGE

    @property
    def counted(self) -> bool:
        """Whether it is one of Tahoe's own `counters`, which begin to be reported when they are first counted."""
        return self.rate is not None

    @property
    def rate_label(self) -> str:
        """The label of its rate."""
        return f"{self.label}_per_second"


class Latency(NamedTuple):
    """How long one operation of a storage server took, of its last 1,000: `what` is samples, mean, p50, p99_9 ...; seconds, or samples."""

    operation: str
    what: str
    value: float

    @property
    def label(self) -> str:
        """Its label in perfdata."""
        return f"latency.{self.operation}.{self.what}"

    @property
    def unit(self) -> str:
        """Its unit in perfdata."""
        return "" if self.what == "samples" else "s"


def _gauge(key: str, label: str, unit: str, meaning: str, munin: str = "") -> Statistic:
    return Statistic(key, label, unit, _with(meaning, munin))


def _counter(key: str, label: str, meaning: str, munin: str = "", rate: str = "") -> Statistic:
    return Statistic(key, label, "c", _with(meaning, munin), rate)


def _with(meaning: str, munin: str) -> str:
    return f"{meaning} (tahoe_{munin})" if munin else meaning


_HELPER = "chk_upload_helper"
_SEED = (
    _gauge("load_monitor.avg_load", "load.average", "s", "how late a timer ran, mean of a minute", "runtime_load_avg"),
    _gauge("load_monitor.max_load", "load.peak", "s", "how late a timer ran, worst of a minute", "runtime_load_peak"),
    _gauge("storage_server.consumed", "storage.consumed", "B", "size of all shares, before 1.3", "storage_consumed"),
    _gauge("storage_server.allocated", "storage.allocated", "B", "reserved by uploads that go on", "storage_allocated"),
    _counter(
        "storage_server.bytes_added", "storage.bytes_added", "size of shares taken in", "storage_bytes_added", "B"
    ),
    _counter(
        "storage_server.bytes_freed", "storage.bytes_freed", "size of shares given up", "storage_bytes_freed", "B"
    ),
)
_MUNIN_STORAGE = tuple(
    _counter(f"storage_server.{name}", f"storage.operations.{name}", meaning, f"storage_operations_{name}")
    for name, meaning in (
        ("allocate", "uploads of a share asked for"),
        ("get", "questions for shares of a file"),
        ("writev", "changes of a mutable share"),
        ("readv", "reads of a mutable share"),
    )
)
_MUNIN_HELPER = (
    _gauge(f"{_HELPER}.incoming_count", "helper.incoming_files", "", "files being received", "helper_incoming_files"),
    _gauge(f"{_HELPER}.incoming_size", "helper.incoming_size", "B", "their size", "helper_incoming_filesize"),
    _gauge(
        f"{_HELPER}.incoming_size_old",
        "helper.incoming_old_size",
        "B",
        "of these, older than 48 hours",
        "helper_incoming_files_old",
    ),
    _gauge(f"{_HELPER}.encoding_count", "helper.encoding_files", "", "files being encoded", "helper_encoding_files"),
    _gauge(f"{_HELPER}.encoding_size", "helper.encoding_size", "B", "their size", "helper_encoding_filesize"),
    _gauge(
        f"{_HELPER}.encoding_size_old",
        "helper.encoding_old_size",
        "B",
        "of these, older than 48 hours",
        "helper_encoding_files_old",
    ),
    _gauge(f"{_HELPER}.active_uploads", "helper.active_uploads", "", "uploads that go on", "helper_active_uploads"),
    _counter(f"{_HELPER}.upload_requests", "helper.upload_requests", "uploads asked for", "helper_upload_requests"),
    _counter(
        f"{_HELPER}.upload_already_present",
        "helper.upload_already_present",
        "of these, already in the grid",
        "helper_upload_already_present",
    ),
    _counter(
        f"{_HELPER}.upload_need_upload",
        "helper.upload_need_upload",
        "of these, not yet in the grid",
        "helper_upload_need_upload",
    ),
    _counter(f"{_HELPER}.encoded_bytes", "helper.encoded_bytes", "encoded and uploaded", "helper_encoded_bytes", "B"),
    _counter(f"{_HELPER}.fetched_bytes", "helper.fetched_bytes", "received from clients", "helper_fetched_bytes", "B"),
)
_MUNIN_CLIENT = (
    _counter("uploader.bytes_uploaded", "uploader.bytes_uploaded", "uploaded", "uploader_bytes_uploaded", "B"),
    _counter("uploader.files_uploaded", "uploader.files_uploaded", "files uploaded", "uploader_files_uploaded"),
    _counter("mutable.files_published", "mutable.files_published", "mutable files written", "mutable_files_published"),
    _counter("mutable.files_retrieved", "mutable.files_retrieved", "mutable files read", "mutable_files_retrieved"),
)
MUNIN = (*_SEED, *_MUNIN_STORAGE, *_MUNIN_HELPER, *_MUNIN_CLIENT)
"""The 26 statistics of the Munin plugin, in its order."""

_DISK = (
    _gauge("storage_server.disk_avail", "disk.available", "B", "what shares may still take, 0 where it is read-only"),
    _gauge("storage_server.disk_total", "disk.total", "B", "size of the filesystem of the shares"),
    _gauge("storage_server.disk_used", "disk.used", "B", "used of it, by whatever"),
    _gauge("storage_server.disk_free_for_nonroot", "disk.free", "B", "free of it, for other users than root"),
    _gauge("storage_server.disk_free_for_root", "disk.free_for_root", "B", "free of it, for root"),
    _gauge("storage_server.reserved_space", "disk.reserved", "B", "to be kept free, by its configuration"),
)
_NODE = (
    _gauge("storage_server.accepting_immutable_shares", "accepting_shares", "", "1 while it takes shares, else 0"),
    _gauge("node.uptime", "uptime", "s", "time since the node was started"),
    Statistic("cpu_monitor.1min_avg", "cpu.1min_percent", "%", "used of one CPU in the last minute", factor=100),
    Statistic("cpu_monitor.5min_avg", "cpu.5min_percent", "%", "used of one CPU in the last 5 minutes", factor=100),
    Statistic("cpu_monitor.15min_avg", "cpu.15min_percent", "%", "used of one CPU in the last 15 minutes", factor=100),
    Statistic("cpu_monitor.total", "cpu.total", "c", "CPU time used since it was started, in seconds"),
    _gauge("storage_server.total_bucket_count", "buckets", "", "files of which it holds shares, counted every hour"),
)
_MORE_OPERATIONS = tuple(
    _counter(f"storage_server.{name}", f"storage.operations.{name}", meaning)
    for name, meaning in (
        ("write", "writes of an immutable share"),
        ("read", "reads of an immutable share"),
        ("close", "uploads of a share finished"),
        ("abort", "uploads of a share given up"),
        ("add-lease", "leases added or renewed"),
        ("renew", "leases renewed"),
        ("cancel", "leases cancelled, by old versions"),
    )
)
_MORE_CLIENT = (
    _counter("downloader.bytes_downloaded", "downloader.bytes_downloaded", "downloaded", rate="B"),
    _counter("downloader.files_downloaded", "downloader.files_downloaded", "files downloaded"),
    _counter("mutable.bytes_published", "mutable.bytes_published", "written to mutable files", rate="B"),
    _counter("mutable.bytes_retrieved", "mutable.bytes_retrieved", "read from mutable files", rate="B"),
    _counter(f"{_HELPER}.resumes", "helper.resumes", "uploads taken up again"),
)
STATISTICS = (*_SEED, *_DISK, *_NODE, *_MUNIN_STORAGE, *_MUNIN_CLIENT, *_MORE_CLIENT, *_MORE_OPERATIONS, *_MUNIN_HELPER)
"""Everything a node may report but latencies, the most important first."""

_LATENCY = r"storage_server\.latencies\.([A-Za-z0-9][A-Za-z0-9_-]{0,39})\.(samplesize|mean|[0-9]{2}_[0-9]_percentile)"
LATENCIES = (
    Measure("latency.<operation>.mean", "s", GAUGE, "mean time of an operation of the storage server, its last 1,000"),
    Measure("latency.<operation>.<percentile>", "s", GAUGE, "time that 50 % of them kept below (p50), p90, p99, p99_9"),
    Measure("latency.<operation>.samples", "", GAUGE, "how many operations these times are of, 1,000 at most"),
)
SHARES = (
    Measure("shares.count", "", GAUGE, "shares it holds, counted by its lease checker twice a day"),
    Measure("shares.size", "B", GAUGE, "what they take on disk: what `storage.consumed` once was"),
    Measure("shares.corrupt", "", GAUGE, "shares beside these that could not be read"),
    Measure("shares.checked_age", "s", GAUGE, "time since all shares had been looked at"),
)


def measures() -> tuple[Measure, ...]:
    """Return what is to be declared for one node: every statistic, the rates of its counters, and latencies."""
    own = tuple(Measure(one.label, one.unit, one.kind, one.meaning) for one in STATISTICS)
    rates = tuple(
        Measure(one.rate_label, one.rate, GAUGE, f"{one.label} since the last run, in a second")
        for one in STATISTICS
        if one.rate is not None
    )
    return (*own, *rates, *LATENCIES)


def reported(statistics: Statistics) -> Iterator[tuple[Statistic, float]]:
    """Yield what the node reports, in units of perfdata, the most important first."""
    for one in STATISTICS:
        value = (statistics.counters if one.counted else statistics.stats).get(one.key)
        if value is not None:
            yield one, value * one.factor if one.factor != 1 else value


def latencies(statistics: Statistics) -> list[Latency]:
    """Return the latencies the node reports, by operation; too few samples for a percentile: it is not there."""
    named = ((_operation(key), value) for key, value in statistics.stats.items())
    return [Latency(*name, value) for name, value in named if name]


@lru_cache(4096)
def _operation(key: str) -> tuple[str, str] | None:
    """Return of which operation a key is what latency: mean, samples, p50 for 50_0_percentile, p99_9, p1; None where it is no latency."""
    match = re.fullmatch(_LATENCY, key)
    if not match:
        return None
    operation, what = match.groups()
    if what == "samplesize":
        return operation, "samples"
    if what == "mean":
        return operation, what
    whole, tenth, _ = what.split("_")
    return operation, f"p{int(whole)}" + (f"_{tenth}" if tenth != "0" else "")


# Reported only after their time: minutes of running, or a first full count of the buckets.
_LATER = {one.key for one in _NODE if one.key.startswith("cpu_monitor.") or one.label == "buckets"}
# A counter begins with its first event; that of freed bytes has had none since leases are no more cancelled.
_ALWAYS = tuple(
    one for one in STATISTICS if one.key not in _LATER and (not one.counted or one.label == "storage.bytes_freed")
)


def missing(statistics: Statistics) -> list[Statistic]:
    """Return what this node's version or configuration does not report.

    Counters that only wait for their first event, and what belongs to a service the node does not run, are not among it.
    """
    runs = {
        "load_monitor": True,
        "node": True,
        "storage_server": statistics.stores,
        _HELPER: any(key.startswith(_HELPER) for key in statistics.stats),
    }
    return [
        one
        for one in _ALWAYS
        if one.key not in statistics.stats and one.key not in statistics.counters and runs[one.key.partition(".")[0]]
    ]
