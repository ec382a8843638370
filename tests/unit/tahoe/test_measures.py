"""What Tahoe-LAFS's statistics are called in perfdata, against documents of real nodes."""

import re

from checks.plugin import COUNTER, GAUGE
from checks.tahoe import measures, statistics
from checks.tahoe.records import Statistics
from tests.tahoe.documents import recorded

# Plugin's name and key, as the table of the Munin plugin has them.
MUNIN = {
    "runtime_load_avg": "load_monitor.avg_load",
    "runtime_load_peak": "load_monitor.max_load",
    "storage_consumed": "storage_server.consumed",
    "storage_allocated": "storage_server.allocated",
    "storage_bytes_added": "storage_server.bytes_added",
    "storage_bytes_freed": "storage_server.bytes_freed",
    "storage_operations_allocate": "storage_server.allocate",
    "storage_operations_get": "storage_server.get",
    "storage_operations_writev": "storage_server.writev",
    "storage_operations_readv": "storage_server.readv",
    "helper_incoming_files": "chk_upload_helper.incoming_count",
    "helper_incoming_filesize": "chk_upload_helper.incoming_size",
    "helper_incoming_files_old": "chk_upload_helper.incoming_size_old",
    "helper_encoding_files": "chk_upload_helper.encoding_count",
    "helper_encoding_filesize": "chk_upload_helper.encoding_size",
    "helper_encoding_files_old": "chk_upload_helper.encoding_size_old",
    "helper_active_uploads": "chk_upload_helper.active_uploads",
    "helper_upload_requests": "chk_upload_helper.upload_requests",
    "helper_upload_already_present": "chk_upload_helper.upload_already_present",
    "helper_upload_need_upload": "chk_upload_helper.upload_need_upload",
    "helper_encoded_bytes": "chk_upload_helper.encoded_bytes",
    "helper_fetched_bytes": "chk_upload_helper.fetched_bytes",
    "uploader_bytes_uploaded": "uploader.bytes_uploaded",
    "uploader_files_uploaded": "uploader.files_uploaded",
    "mutable_files_published": "mutable.files_published",
    "mutable_files_retrieved": "mutable.files_retrieved",
}
# Those of the table that it reads from `counters`.
COUNTED = {"storage_bytes_added", "storage_bytes_freed"} | {
    name
    for name in MUNIN
    if name.startswith(
        ("storage_operations", "uploader", "mutable", "helper_upload_", "helper_encoded", "helper_fetched")
    )
}


def node(name):
    return statistics.parse(recorded(f"{name}/statistics"), name)


def test_all_26_statistics_of_the_munin_plugin_are_there_under_its_names_and_kinds():
    found = {re.search(r"\(tahoe_(\w+)\)$", one.meaning)[1]: one for one in measures.MUNIN}
    assert {name: one.key for name, one in found.items()} == MUNIN
    assert {name for name, one in found.items() if one.kind == COUNTER} == COUNTED
    assert list(found) == list(MUNIN)
    assert set(measures.MUNIN) <= set(measures.STATISTICS)
    assert len({one.label for one in measures.STATISTICS}) == len({one.key for one in measures.STATISTICS})


def test_the_six_of_the_first_plugins_come_first():
    assert [one.label for one in measures.STATISTICS[:6]] == [
        *("load.average", "load.peak", "storage.consumed", "storage.allocated"),
        *("storage.bytes_added", "storage.bytes_freed"),
    ]


def test_bytes_are_called_sizes_and_not_files():
    for one in measures.STATISTICS:
        if one.unit == "B" or one.rate == "B":
            assert not one.label.endswith("files"), one
            assert "files" not in one.label, one


def test_every_value_is_declared_with_its_unit():
    declared = {measure.label: (measure.unit, measure.kind) for measure in measures.measures()}
    for one in measures.STATISTICS:
        assert declared[one.label] == (one.unit, one.kind)
        assert one.kind == (COUNTER if one.unit == "c" else GAUGE)
        if one.rate is not None:
            assert declared[one.rate_label] == (one.rate, GAUGE)
    assert len(declared) == len(measures.measures())


def test_everything_a_real_storage_node_reports_has_a_label():
    document = recorded("storage/statistics")
    found = statistics.parse(document, "it")
    told = {one.key: value for one, value in measures.reported(found)}
    reported = {**document["counters"], **document["stats"]}
    latencies = {key for key in reported if ".latencies." in key}
    assert set(reported) - latencies == set(told)
    assert told["storage_server.bytes_added"] == reported["storage_server.bytes_added"]
    numbers = {key for key in latencies if reported[key] is not None}
    assert len(numbers) == len(measures.latencies(found))
    assert {latency.label for latency in measures.latencies(found)} >= {"latency.write.p50", "latency.write.samples"}


def test_everything_a_real_client_reports_has_a_label():
    document = recorded("client/statistics")
    told = {one.key for one, _ in measures.reported(statistics.parse(document, "it"))}
    assert told == {*document["counters"], *document["stats"]}


def test_shares_of_a_cpu_are_percentages():
    found = {one.label: value for one, value in measures.reported(Statistics({}, {"cpu_monitor.1min_avg": 0.25}))}
    assert found == {"cpu.1min_percent": 25}


def test_percentiles_go_by_their_short_names():
    keys = ("01_0", "10_0", "50_0", "90_0", "95_0", "99_0", "99_9")
    stats = {f"storage_server.latencies.add-lease.{key}_percentile": 0.5 for key in keys}
    stats |= {"storage_server.latencies.add-lease.mean": 0.1, "storage_server.latencies.add-lease.samplesize": 7}
    found = measures.latencies(Statistics({}, stats))
    assert [latency.what for latency in found] == ["p1", "p10", "p50", "p90", "p95", "p99", "p99_9", "mean", "samples"]
    assert {latency.label for latency in found if latency.unit == ""} == {"latency.add-lease.samples"}


def test_what_is_no_latency_makes_no_label():
    keys = (
        "wr|ite.mean",
        "write.mode",
        "write.50_percentile",
        ".mean",
        "a.b.mean",
        "write.mean\n",
        "_x.mean",
        "write.\u0665\u0660_0_percentile",
    )
    assert not measures.latencies(Statistics({}, {f"storage_server.latencies.{key}": 1.0 for key in keys}))


def test_what_a_version_does_not_report_is_named_but_not_what_only_waits():
    missing = [one.label for one in measures.missing(node("storage"))]
    assert missing == ["load.average", "load.peak", "storage.consumed", "storage.bytes_freed"]
    assert [one.label for one in measures.missing(node("client"))] == ["load.average", "load.peak"]
    old = statistics.parse(recorded("gatherer").popitem()[1]["stats"], "it")
    assert [one.label for one in measures.missing(old)] == ["storage.consumed", "storage.bytes_freed"]


def test_a_helper_that_lacks_something_is_told():
    found = Statistics({}, {"chk_upload_helper.incoming_count": 0})
    assert "helper.encoding_files" in [one.label for one in measures.missing(found)]
    assert "helper.incoming_files" not in [one.label for one in measures.missing(found)]
