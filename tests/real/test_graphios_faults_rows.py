"""Where other shippers lose data, and which test proves that this one does not.

Behind a relay that lives the promise ends at the relay, as the README says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.shipping_site import Ledger, MakeSite
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.stack.relay import Relay

pytest_plugins = ("tests.real.shipping_fixtures",)

ROWS = {
    # What was measured with Graphios 2 and its peers.
    "reset in the middle of a file": (
        "faults_network::test_connections_cut_at_any_byte",
        "faults_carbon::test_carbon_killed_in_the_middle_of_a_batch_ten_times",
    ),
    "receiver dies exactly between files": ("faults_carbon::test_carbon_dies_exactly_between_files",),
    "receiver stalls, is killed, restarts": ("faults_carbon::test_carbon_stopped_then_killed_then_started",),
    "listener never accepts, many files or a large one": (
        "faults_carbon::test_a_listener_that_never_accepts_gets_nothing_removed",
    ),
    "receiver down: backlog parsed again, no back-off": (
        "faults_carbon::test_while_carbon_is_down_nothing_is_read_again_and_the_tries_become_rare",
    ),
    "shipper killed while it sends a file": (
        "faults_kills::test_a_long_file_is_not_begun_anew_after_a_kill",
        "faults_kills::test_killed_at_random_moments",
        "faults_kills::test_killed_when",
    ),
    "the second of two carbon servers never reached": (
        "faults_backends::test_the_second_server_stands_in_for_the_first",
    ),
    "a dead backend makes the healthy one get copies": (
        "faults_backends::test_a_dead_backend_neither_stops_nor_duplicates_the_other_and_gets_everything_later",
        "receivers_shipped::test_the_healthy_one_gets_each_point_once_and_the_dead_one_all_of_them_later",
    ),
    "a dead backend that is not essential loses all": (
        "faults_backends::test_a_dead_backend_neither_stops_nor_duplicates_the_other_and_gets_everything_later",
    ),
    "database away for a while, data parked until the next start": (
        "faults_network::test_a_flapping_network",
        "receivers::test_influxdb_and_prometheus_killed_after_they_acknowledged_lose_nothing",
    ),
    "file cut anywhere: wrong values, wrong names": ("spool_faults::test_a_file_cut_at_every_position",),
    "writer still appending after the rename": (
        "spool_faults::test_a_file_that_is_appended_to_after_it_came_into_the_spool",
        "spool_faults::test_files_that_come_by_a_slow_copy_from_another_file_system",
    ),
    "line longer than the read buffer": (
        "spool_faults::test_lines_longer_than_any_read_buffer",
        "spool_faults::test_a_line_of_100_mb_without_an_end_is_rejected_in_bounded_memory",
    ),
    "malformed lines": (
        "faults_odd_input::test_odd_values",
        "faults_odd_input::test_odd_timestamps_are_rejected",
        "faults_odd_input::test_lines_that_are_no_perfdata",
    ),
    "a field named __class__ ends it": ("faults_odd_input::test_forged_fields_reach_nobody",),
    "a forged HOSTNAME writes to another host's series": ("faults_odd_input::test_forged_fields_reach_nobody",),
    "dangling link ends it, foreign files are deleted": ("spool_faults::test_what_is_not_perfdata_stays_untouched",),
    "bad byte, crash loop": ("spool_faults::test_binary_and_empty_files_among_good_ones",),
    "Ctrl-C while it parses": (
        "spool_faults::test_ctrl_c_while_a_long_file_is_parsed",
        "faults_network::test_a_signal_ends_graphios_within_5_seconds_whatever_hangs",
    ),
    "several shippers on one spool": (
        "spool_faults::test_a_second_graphios_on_the_same_spool_says_who_is_in_the_way",
        "spool_faults::test_two_started_at_once_again_and_again",
    ),
    # What receivers do with odd input.
    "two fields, empty value, 1,5, 1-05, 0x10, timestamp N": (
        "faults_odd_input::test_odd_values",
        "faults_odd_input::test_odd_timestamps_are_rejected",
    ),
    "nan, inf, 1_000": ("faults_odd_input::test_odd_values",),
    "timestamp -1, in milliseconds": ("faults_odd_input::test_odd_timestamps_are_rejected",),
    "older than the retention, an hour ahead": (
        "faults_odd_input::test_timestamps_that_graphite_does_not_show_cost_nobody_else",
    ),
    "a byte that is not UTF-8, NUL, slash, dots at either end, ..": (
        "faults_odd_input::test_odd_labels_never_reach_a_series_of_another",
        "faults_odd_input::test_odd_host_names",
    ),
    "a line of 20,000 bytes, an element of 300": (
        "faults_odd_input::test_odd_labels_never_reach_a_series_of_another",
        "faults_odd_input::test_odd_host_names",
    ),
    "no newline at the end": (
        "faults_network::test_a_batch_is_kept_when_the_connection_is_cut_just_before_its_last_line_ends",
    ),
    "tags, empty tag": ("faults_odd_input::test_tags_without_a_value",),
    "pickle frame over 1 MiB, values": (
        "faults_odd_input::test_pickle_frames_stay_below_what_carbon_takes",
        "carbon::test_a_batch_of_many_frames_arrives_whole",
    ),
    "more new series than carbon creates": (
        "carbon::test_with_pacing_no_new_series_is_dropped",
        "carbon::test_dropped_series_are_read_from_graphite_and_sent_again",
    ),
    "a relay whose target is dead or slow drops": ("faults_rows::test_a_relay_that_dies_costs_nothing",),
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_test(row: str) -> None:
    for test in ROWS[row]:
        file, _, name = test.partition("::")
        text = (Path(__file__).parent / f"test_graphios_{file}.py").read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), test


@pytest.fixture
def relay(make_stack_root: Callable[[str], Path], carbon: Carbon, stack_user: str | None) -> Iterator[Relay]:
    """carbon-c-relay before the shared carbon."""
    daemon = Relay(make_stack_root("faults-relay"), carbon.port, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


def test_a_relay_that_dies_costs_nothing(make_site: MakeSite, relay: Relay, graphite: GraphiteWeb) -> None:
    # What it had queued is gone: the window is sent again, as with carbon.
    ledger = Ledger("relayed", series=100)
    site = make_site(port=relay.port)
    site.start()
    for number in range(3):
        site.write(f"service-perfdata.{number}", ledger.text(20))
        site.wait_until_empty()
        assert relay.daemon
        relay.daemon.kill()
        relay.start()
    ledger.check_readable(graphite)
    site.stop()
