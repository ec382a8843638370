"""When check_virt_stats alerts, and how it says so."""

import pytest

from tests.unit.virt.recorded import NOW, REAL_HOST, guest, replay, run, shut_off

POOL = {"name": "default", "autostart": True, "state": 2, "capacity": 1000, "allocation": 100, "available": 900}


@pytest.mark.parametrize(
    ("code", "state", "reason", "said"),
    [
        pytest.param(0, 1, 1, "", id="ok-running"),
        pytest.param(0, 2, 0, "", id="ok-blocked"),
        pytest.param(0, 3, 2, "", id="ok-paused-migrating"),
        pytest.param(0, 3, 3, "", id="ok-paused-saving"),
        pytest.param(0, 3, 9, "", id="ok-paused-snapshot"),
        pytest.param(0, 5, 1, "", id="ok-shutoff"),
        pytest.param(0, 5, 2, "", id="ok-shutoff-destroyed"),
        pytest.param(0, 7, 0, "", id="ok-pmsuspended"),
        pytest.param(1, 3, 1, "web01 is paused (user)", id="warn-paused-user"),
        pytest.param(1, 3, 0, "web01 is paused (unknown)", id="warn-paused-unknown"),
        pytest.param(1, 3, 99, "web01 is paused (unknown)", id="warn-paused-reason-of-a-newer-libvirt"),
        pytest.param(2, 3, 5, "web01 is paused (ioerror)", id="crit-paused-ioerror"),
        pytest.param(2, 3, 6, "web01 is paused (watchdog)", id="crit-paused-watchdog"),
        pytest.param(2, 3, 10, "web01 is paused (crashed)", id="crit-paused-crashed"),
        pytest.param(2, 5, 3, "web01 is shutoff (crashed)", id="crit-shutoff-crashed"),
        pytest.param(2, 5, 6, "web01 is shutoff (failed)", id="crit-shutoff-failed"),
        pytest.param(2, 6, 1, "web01 is crashed (panicked)", id="crit-crashed"),
        pytest.param(3, 0, 0, "web01 is nostate (unknown)", id="unknown-nostate"),
    ],
)
def test_the_state_of_a_guest(tmp_path, code, state, reason, said):
    result = run(tmp_path, [guest("web01", state__state=state, state__reason=reason)])
    assert result.code == code
    assert said in result.first
    assert result.perfdata["web01.state.state"] == str(state)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--severity", "paused=ok"], 0),
        (["--severity", "paused=critical"], 2),
        (["--severity", "paused:ioerror=ok"], 0),
        (["--severity", "paused=ok", "--severity", "paused:ioerror=warning"], 1),
        (["--severity", "paused:ioerror=unknown"], 3),
    ],
)
def test_the_operator_says_what_a_state_means_and_a_reason_beats_its_state(tmp_path, options, code):
    assert run(tmp_path, [guest("web01", state__state=3, state__reason=5)], *options).code == code


@pytest.mark.parametrize(
    "wrong", ["asleep=ok", "paused=fine", "paused", "paused:rebooting=ok", "=ok", "running:user=ok", "stuck:user=ok"]
)
def test_a_severity_that_means_nothing_is_refused_by_name(tmp_path, wrong):
    result = run(tmp_path, [guest("web01")], "--severity", wrong)
    assert result.code == 3
    assert "--severity" in result.first
    assert "there are" in result.first


def test_the_worst_guest_leads_and_every_problem_has_a_line(tmp_path):
    result = run(
        tmp_path,
        [
            guest("a", state__state=3, state__reason=1),
            guest("b", state__state=0),
            guest("c", state__state=6),
            guest("d"),
        ],
    )
    assert result.code == 2
    assert result.first == "VIRT_STATS CRITICAL - c is crashed (panicked), 2 more; REPLAY 1 of 4 guests running"
    assert result.lines[:3] == [
        "CRITICAL: c is crashed (panicked)",
        "WARNING: a is paused (user)",
        "UNKNOWN: b is nostate (unknown)",
    ]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param(["-c", "3:"], 2, "guests running 2 (< 3)", id="crit-too-few"),
        pytest.param(["-w", "3:"], 1, "guests running 2 (< 3)", id="warn-too-few"),
        pytest.param(["-w", ":1"], 1, "guests running 2 (> 1)", id="warn-too-many"),
        pytest.param(["-w", "2:2"], 0, "", id="ok-as-many-as-wanted"),
        pytest.param(["--running-critical", "@2"], 2, "guests running 2 (inside 0..2)", id="crit-inside"),
    ],
)
def test_the_number_of_running_guests(tmp_path, options, code, said):
    result = run(tmp_path, [guest("a"), guest("b"), shut_off("c")], *options)
    assert result.code == code
    assert said in result.first


def test_memory_counts_caches_as_free_and_has_a_threshold(tmp_path):
    result = run(tmp_path, [guest("web01")], "--memory-warning", "20", "--memory-critical", "30")
    assert (
        result.perfdata["web01.balloon.used_percent"] == "25%;20;30"
    )  # (4 - 3) / 4 GiB, although 3 of 4 are not "unused"
    assert result.first.startswith("VIRT_STATS WARNING - web01 memory 25% (> 20)")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"balloon__last-update": NOW - 301}, "reported 301 s ago", id="stale"),
        pytest.param({"balloon__last-update": 0}, "the guest reports none", id="never"),
        pytest.param(
            {"balloon__last-update": None, "balloon__available": None}, "the guest reports none", id="no-driver"
        ),
        pytest.param({"balloon__usable": None}, "reported 5 s ago", id="no-usable"),
        pytest.param({"balloon__available": 0}, "reported 5 s ago", id="available-is-0"),
        pytest.param({"balloon__usable": 5 << 20}, "reported 5 s ago", id="more-usable-than-available"),
    ],
)
def test_memory_without_fresh_balloon_statistics_is_unknown_never_0_or_100_percent(tmp_path, changes, why):
    result = run(tmp_path, [guest("web01", **changes)], "--memory-critical", "1", "-v")
    assert result.code == 0
    assert "web01.balloon.used_percent" not in result.perfdata
    assert "memory unknown, no fresh balloon statistics: web01" in result.lines
    assert any(f"use unknown ({why})" in line for line in result.lines)
    assert result.perfdata["web01.balloon.current"] == f"{4 << 30}B"


def test_stale_balloon_figures_are_not_reported_but_their_age_is(tmp_path):
    result = run(tmp_path, [guest("web01", **{"balloon__last-update": NOW - 400})])
    assert result.perfdata["web01.balloon.last_update_age"] == "400s"
    assert not {"web01.balloon.usable", "web01.balloon.available", "web01.balloon.unused"} & set(result.perfdata)
    patient = run(tmp_path, [guest("web01", **{"balloon__last-update": NOW - 400})], "--balloon-max-age", "500")
    assert patient.perfdata["web01.balloon.usable"] == f"{3 << 30}B"


def test_allocation_of_a_disk_has_a_threshold(tmp_path):
    result = run(tmp_path, [guest("web01")], "--disk-allocation-warning", "20")
    assert result.first.startswith("VIRT_STATS WARNING - web01 vda allocation 25% (> 20)")
    assert result.perfdata["web01.block.vda.allocation_percent"] == "25%;20"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_the_most_specific_exception_wins_in_whatever_order(tmp_path, order):
    rules = ["90", "db.*=20", "db01=60"]
    options = [word for number in order for word in ("--memory-warning", rules[number])]
    result = run(tmp_path, [guest("web01"), guest("db02"), guest("db01")], *options)
    assert result.first.startswith("VIRT_STATS WARNING - db02 memory 25% (> 20); ")
    assert [result.perfdata[f"{name}.balloon.used_percent"] for name in ("web01", "db02", "db01")] == [
        "25%;90",
        "25%;20",
        "25%;60",
    ]


def test_an_exception_can_take_a_threshold_away(tmp_path):
    result = run(tmp_path, [guest("db01"), guest("web01")], "--memory-warning", "20", "--memory-warning", "db.*=")
    assert result.first.startswith("VIRT_STATS WARNING - web01 memory 25% (> 20); ")


def test_an_expression_must_match_the_whole_name(tmp_path):
    assert run(tmp_path, [guest("mydb01")], "--memory-warning", "db.*=20").code == 0


def test_guests_marked_autostart_that_do_not_run_are_a_warning(tmp_path):
    result = run(tmp_path, [guest("web01"), shut_off("db01")], autostart_missing=["db01"])
    assert result.first.startswith("VIRT_STATS WARNING - db01 is marked autostart and does not run; ")
    assert result.perfdata["host.guests.autostart_missing"] == "1"
    assert run(tmp_path, [guest("web01")], "--severity", "autostart=ok", autostart_missing=["db01"]).code == 0
    assert run(tmp_path, [guest("web01")], "--exclude", "db.*", autostart_missing=["db01"]).code == 0


@pytest.mark.parametrize(
    ("code", "changes", "said"),
    [
        pytest.param(0, {}, "", id="ok"),
        pytest.param(0, {"state": 0, "autostart": False}, "", id="ok-inactive-on-purpose"),
        pytest.param(1, {"state": 0}, "storage pool default is inactive", id="warn-inactive-but-autostart"),
        pytest.param(1, {"state": 3}, "storage pool default is degraded", id="warn-degraded"),
        pytest.param(1, {"allocation": 910}, "default storage pool used 91% (> 90)", id="warn-full"),
        pytest.param(2, {"allocation": 960}, "default storage pool used 96% (> 95)", id="crit-full"),
        pytest.param(2, {"state": 4, "capacity": 0}, "storage pool default is inaccessible", id="crit-inaccessible"),
    ],
)
def test_storage_pools(tmp_path, code, changes, said):
    result = run(tmp_path, [guest("web01")], pools=[POOL | changes])
    assert result.code == code
    assert said in result.first
    assert result.perfdata["default.pool.available"] == "900B"


def test_a_recorded_real_host(tmp_path):
    result = replay(REAL_HOST)
    assert result.code == 1
    assert "4 of 6 guests running" in result.first
    assert result.perfdata["host.vcpu.allocated"] == "6"
    assert result.perfdata["host.vcpu.overcommit_percent"] == "300%"
    assert 0 < result.number("db_1_example_org_9312c4b9.balloon.used_percent") < 100
    assert {f"wide.net.{nic}.rx_bytes" for nic in range(8)} <= set(result.perfdata)
    assert {f"wide.block.vd{letter}.capacity" for letter in "abcdefghijkl"} <= set(result.perfdata)


def test_overcommit_is_left_out_where_a_guest_did_not_report_its_share(tmp_path):
    host = {"cpus": 4, "memory": 16 << 30}
    whole = run(tmp_path, [guest("a"), guest("b")], host=host)
    assert whole.perfdata["host.vcpu.overcommit_percent"] == "100%"
    assert whole.perfdata["host.memory.overcommit_percent"] == "100%"
    partly = run(tmp_path, [guest("a"), guest("b", vcpu__current=None)], host=host)
    assert "host.vcpu.allocated" not in partly.perfdata
    assert partly.perfdata["host.memory.allocated"] == f"{16 << 30}B"
