"""Figures that need two runs: percent, latency and error rates, and what must not look like a spike."""

import pytest

from tests.unit.virt.recorded import guest, run

SECOND = 1_000_000_000


@pytest.fixture
def twice(tmp_path, clock):
    """Runs the check over two readings, a minute apart; returns the second result."""

    def measure(before, after, *argv, seconds=60.0):
        first = run(tmp_path, [before], "--save-state", *argv)
        assert "no rates: first run" in first.lines
        clock.now += seconds
        return run(tmp_path, [after], "--save-state", *argv)

    return measure


def test_cpu_percent_is_of_the_guests_own_vcpus_since_the_last_run(twice):
    result = twice(guest("web01"), guest("web01", cpu__time=160 * SECOND), "--cpu-warning", "40")
    assert result.perfdata["web01.cpu.percent"] == "50%;40"  # 60 s of 2 vCPUs in 60 s
    assert result.first.startswith("VIRT_STATS WARNING - web01 CPU 50% (> 40); ")
    assert "no rates" not in result.text


def test_steal_is_the_mean_of_the_vcpus(twice):
    result = twice(guest("web01"), guest("web01", vcpu__0__delay=13 * SECOND), "--steal-critical", "5")
    assert result.perfdata["web01.vcpu.steal_percent"] == "10%;;5"
    assert result.first.startswith("VIRT_STATS CRITICAL - web01 steal 10% (> 5); ")


def test_disk_latency_is_per_request_of_the_interval(twice):
    after = guest("web01", block__0__rd__reqs=200, block__0__rd__times=11 * SECOND)
    result = twice(guest("web01"), after, "--disk-latency-warning", "0.05")
    assert result.perfdata["web01.block.vda.rd_latency"] == "0.1s;0.05"
    assert "web01.block.vda.wr_latency" not in result.perfdata  # no request, no latency
    assert result.first.startswith("VIRT_STATS WARNING - web01 vda rd latency 0.1 s (> 0.05); ")


@pytest.mark.parametrize(("key", "option", "said"), [("errs", "net-errors", "errors"), ("drop", "net-drops", "drops")])
def test_errors_and_drops_of_a_nic_count_both_ways(twice, key, option, said):
    after = guest("web01", **{f"net__0__rx__{key}": 90, f"net__0__tx__{key}": 30})
    result = twice(guest("web01"), after, f"--{option}-critical", "1")
    assert result.first.startswith(f"VIRT_STATS CRITICAL - web01 NIC 0 {said} 2/s (> 1); ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"id": 2, "cpu__time": 900 * SECOND}, id="started-anew"),
        pytest.param(
            {}, {"identity": "11111111-2222-4333-8444-555555555555", "cpu__time": 900 * SECOND}, id="name-reused"
        ),
        pytest.param({}, {"cpu__time": SECOND}, id="counter-began-anew"),
        pytest.param({"vcpu__current": 1}, {"cpu__time": 160 * SECOND}, id="vcpu-added"),
        pytest.param({"cpu__time": None}, {}, id="was-not-reported"),
        pytest.param({}, {"cpu__time": None}, id="is-not-reported"),
    ],
)
def test_no_percentage_where_the_two_readings_are_not_of_one_thing(twice, before, after):
    result = twice(guest("web01", **before), guest("web01", **after), "--cpu-warning", "1")
    assert result.code == 0
    assert "web01.cpu.percent" not in result.perfdata


def test_percent_never_exceeds_100_although_qemu_works_besides_the_vcpus(twice):
    assert twice(guest("web01"), guest("web01", cpu__time=1000 * SECOND)).perfdata["web01.cpu.percent"] == "100%"


def test_a_run_by_hand_reads_the_state_and_leaves_it(tmp_path, clock):
    run(tmp_path, [guest("web01")], "--save-state")
    clock.now += 30
    by_hand = run(tmp_path, [guest("web01", cpu__time=130 * SECOND)])
    assert by_hand.perfdata["web01.cpu.percent"] == "50%"
    clock.now += 30
    regular = run(tmp_path, [guest("web01", cpu__time=130 * SECOND)], "--save-state")
    assert regular.perfdata["web01.cpu.percent"] == "25%"  # over the whole minute


def test_without_saved_counters_the_text_says_why_there_are_no_rates(tmp_path):
    result = run(tmp_path, [guest("web01")])
    assert "no rates: first run; --save-state keeps counters for the next" in result.lines
    assert not (tmp_path / "state").exists()


def test_state_that_cannot_be_written_costs_the_rates_by_name(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    result = run(tmp_path, [guest("web01")], "--save-state")
    assert result.code == 0
    assert any(line.startswith("no rates at the next run: ") and "file" in line for line in result.lines)
    assert result.perfdata["web01.state.state"] == "1"


def test_a_part_that_no_longer_runs_is_named_by_the_first(tmp_path, clock, monkeypatch):
    guests = [guest(f"g{number}") for number in range(9)]
    for part in ("1/3", "2/3"):
        assert run(tmp_path, guests, "--save-state", "--part", part).code == 0
    clock.now += 60
    from checks import check_virt_stats

    ages = {"2/3": 1200.0}
    monkeypatch.setattr(
        check_virt_stats, "last_saved", lambda _, target, key: ages.get(target[-3:], None if "3/3" in target else 0.0)
    )
    result = run(tmp_path, guests, "--save-state", "--part", "1/3")
    assert result.first.startswith("VIRT_STATS WARNING - part 2/3 has not run for 20 min; REPLAY part 1/3: ")
