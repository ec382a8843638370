"""Which metrics go out under which names, and what is left out when there is no room."""

import json
import random

import pytest

from checks.check_virt_stats import MEASURES
from tests.unit.virt.recorded import DATA, REAL_HOST, guest, replay, run, shut_off


def test_every_figure_of_a_guest_goes_out_in_base_units_under_the_sources_words(tmp_path):
    assert run(tmp_path, [guest("web01")], "--stats", "state,cpu,balloon,vcpu,net,block").perfdata == {
        "web01.state.state": "1",
        "web01.state.reason": "1",
        "web01.cpu.time": "100.000000c",
        "web01.cpu.user": "90.000000c",
        "web01.cpu.system": "10.000000c",
        "web01.balloon.current": "4294967296B",
        "web01.balloon.maximum": "8589934592B",
        "web01.balloon.available": "4294967296B",
        "web01.balloon.unused": "1073741824B",
        "web01.balloon.usable": "3221225472B",
        "web01.balloon.rss": "2147483648B",
        "web01.balloon.used_percent": "25%",
        "web01.balloon.last_update_age": "5s",
        "web01.vcpu.current": "2",
        "web01.vcpu.maximum": "4",
        "web01.vcpu.0.time": "10.000000c",
        "web01.vcpu.0.wait": "0.000000c",
        "web01.vcpu.0.delay": "1.000000c",
        "web01.vcpu.1.time": "10.000000c",
        "web01.vcpu.1.wait": "0.000000c",
        "web01.vcpu.1.delay": "1.000000c",
        **{f"web01.net.0.{way}_bytes": "1000c" for way in ("rx", "tx")},
        **{f"web01.net.0.{way}_pkts": "10c" for way in ("rx", "tx")},
        **{f"web01.net.0.{way}_{key}": "0c" for way in ("rx", "tx") for key in ("errs", "drop")},
        **{f"web01.block.vda.{way}_reqs": "100c" for way in ("rd", "wr")},
        **{f"web01.block.vda.{way}_bytes": "409600c" for way in ("rd", "wr")},
        **{f"web01.block.vda.{way}_times": "1.000000c" for way in ("rd", "wr")},
        "web01.block.vda.fl_reqs": "3c",
        "web01.block.vda.fl_times": "0.001000c",
        "web01.block.vda.capacity": "100B",
        "web01.block.vda.allocation": "25B",
        "web01.block.vda.physical": "30B",
        "web01.block.vda.allocation_percent": "25%",
    }


@pytest.mark.parametrize("word", ["state", "cpu-total", "balloon", "vcpu", "interface", "block"])
def test_a_family_can_be_chosen_alone(tmp_path, word):
    family = {"cpu-total": "cpu", "interface": "net"}.get(word, word)
    found = run(tmp_path, [guest("web01")], "--stats", word).perfdata
    assert found
    assert {label.split(".")[1] for label in found} == {family}


def test_a_family_that_does_not_exist_is_refused_by_name(tmp_path):
    result = run(tmp_path, [guest("web01")], "--stats", "state,ram")
    assert result.code == 3
    assert "'ram' is none of state, cpu-total, balloon" in result.first


def test_a_shut_off_guest_has_a_state_and_no_cpu_time_of_its_own(tmp_path):
    result = run(tmp_path, [shut_off("db01")], "--stats", "state,cpu,balloon,vcpu,net,block")
    assert result.perfdata == {"db01.state.state": "5", "db01.state.reason": "1"}


def test_names_that_are_cleaned_stay_apart_and_stay_readable_in_the_text(tmp_path):
    names = ["a b", "a.b", "a_b", "a'b", 'a"b', "bücher", "бд", "x|y", "a\tb", "host", "-", "a" * 200]
    result = run(tmp_path, [guest(name) for name in names], "--stats", "state", "-v")
    states = [label for label in result.perfdata if label.endswith(".state.state")]
    assert len(states) == len(names)
    assert {"a_b.state.state", "host.state.state"} <= set(states)
    assert any(line.startswith("bücher (") for line in result.lines)
    assert any(line.startswith("x?y (") for line in result.lines)
    again = run(tmp_path, [guest(name) for name in reversed(names)], "--stats", "state")
    assert set(again.perfdata) == set(result.perfdata), "a label depends on what other guests there are"


def test_disks_go_by_their_target_and_nics_by_their_number(tmp_path):
    changes = {"block__0__name": "sd.a b", "net__0__name": "vnet99"}
    labels = set(run(tmp_path, [guest("web01", **changes)]).perfdata)
    assert any(label.startswith("web01.block.sd_a_b_") for label in labels)
    assert "web01.net.0.rx_bytes" in labels


def test_labels_can_be_uuids_while_the_text_keeps_the_names(tmp_path):
    one = guest("web01", state__state=3, state__reason=1)
    result = run(tmp_path, [one], "--label", "uuid")
    assert f"{one['uuid']}.state.state" in result.perfdata
    assert "web01 is paused" in result.first


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--include", "web.*"], {"web01", "web02"}),
        (["--exclude", "web.*"], {"db01", "off"}),
        (["--include", "web.*", "--include", "db01", "--exclude", ".*2"], {"web01", "db01"}),
        (["--include-state", "running"], {"web01", "web02", "db01"}),
        (["--exclude-state", "running,paused"], {"off"}),
        (["--include", "web"], set()),
    ],
)
def test_guests_are_chosen_by_whole_name_and_by_state(tmp_path, options, left):
    result = run(tmp_path, [guest("web01"), guest("web02"), guest("db01"), shut_off("off")], *options)
    assert {label.split(".")[0] for label in result.perfdata if label.endswith("state.state")} == left
    if not left:
        assert (result.code, result.first) == (3, "VIRT_STATS UNKNOWN - no guest matches the filters, of 4")


def test_a_host_without_guests_is_ok(tmp_path):
    result = run(tmp_path, [])
    assert (result.code, result.first) == (0, "VIRT_STATS OK - REPLAY 0 of 0 guests running")


def test_list_names_every_guest_and_judges_nothing(tmp_path):
    one = guest("web01", state__state=6)
    result = run(tmp_path, [one], "--list")
    assert result.code == 0
    assert result.lines == [f"web01  {one['uuid']}  crashed (panicked)"]
    assert not result.perfdata


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_parts_together_are_the_whole_with_the_same_names_and_the_host_once(tmp_path, parts):
    guests = [guest(f"guest{number}") for number in range(40)]
    document = {"host": {"cpus": 4, "memory": 1 << 34}, "pools": [], "autostart_missing": []}
    whole = run(tmp_path, guests, **document)
    found = [run(tmp_path, guests, "--part", f"{part}/{parts}", **document) for part in range(1, parts + 1)]
    items = [tuple(item) for result in found for item in result.items]
    assert sorted(items) == sorted(tuple(item) for item in whole.items)
    assert "host.guests.total" in found[0].perfdata
    assert f"REPLAY part {parts}/{parts}: " in found[-1].first


def test_a_guest_stays_in_its_part_when_others_come(tmp_path):
    few = run(tmp_path, [guest(f"g{number}") for number in range(5)], "--part", "2/3", "--stats", "state")
    many = run(tmp_path, [guest(f"g{number}") for number in range(50)], "--part", "2/3", "--stats", "state")
    assert set(few.perfdata) <= set(many.perfdata)


@pytest.mark.parametrize("wrong", ["0/8", "9/8", "1", "1/", "/8", "a/b", "1/8/9", "-1/8", "1/1001"])
def test_a_part_that_is_none_is_refused(tmp_path, wrong):
    assert "K" in run(tmp_path, [guest("web01")], f"--part={wrong}").first


def test_essentials_of_every_guest_come_before_detail_of_any(tmp_path):
    result = run(tmp_path, [guest(f"guest{number:02}") for number in range(20)], "--max-output", "4000")
    assert len(result.text.encode()) <= 4000
    for number in range(20):
        for metric in ("state.state", "balloon.used_percent"):
            assert f"guest{number:02}.{metric}" in result.perfdata
    fit, _, every = result.first.partition("[")[2].partition("]")[0].removesuffix(" metrics fit").partition(" of ")
    assert int(fit) == len(result.perfdata)
    assert int(every) == len(run(tmp_path, [guest(f"guest{number:02}") for number in range(20)]).perfdata)


@pytest.mark.slow
def test_no_value_is_truncated_at_any_budget(tmp_path):
    guests = [guest(f"guest{number:02}") for number in range(12)]
    whole = run(tmp_path, guests).perfdata
    for budget in random.Random(1).sample(range(300, 20000), 60):
        part = run(tmp_path, guests, "--max-output", str(budget))
        assert len(part.text.encode()) <= budget
        assert part.perfdata.items() <= whole.items()


def test_one_guest_with_text_where_others_have_numbers_costs_that_value_only(tmp_path):
    result = run(tmp_path, [guest("a"), guest("b", cpu__time="many"), guest("c")])
    assert "b.cpu.time" not in result.perfdata
    assert {"a.cpu.time", "c.cpu.time", "b.cpu.user", "b.balloon.current"} <= set(result.perfdata)


@pytest.mark.parametrize("form", ["list", "by-name", "pairs"])
def test_a_recording_may_be_a_bare_list_or_stats_by_name(tmp_path, form):
    recorded = [guest("web01"), guest("db01")]
    document = {
        "list": recorded,
        "by-name": {g["name"]: g["stats"] for g in recorded},
        "pairs": [[g["name"], g["stats"]] for g in recorded],
    }[form]
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(document))
    result = replay(path)
    assert "REPLAY 2 of 2 guests running" in result.first
    assert "web01.balloon.used_percent" in result.perfdata


def test_the_text_of_virsh_domstats_is_a_recording(tmp_path):
    result = replay(DATA / "virsh_domstats.txt")
    assert "REPLAY 4 of 6 guests running" in result.first
    assert result.perfdata.keys() >= {
        label for label in replay(REAL_HOST, "--stats", "cpu,block").perfdata if "_percent" not in label
    }


def test_what_is_recorded_can_be_replayed(tmp_path):
    copy = tmp_path / "copy.json"
    from checks.virt import recording

    recording.write(copy, recording.read(REAL_HOST))
    assert replay(copy).text == replay(REAL_HOST).text


BAD = {
    "empty": b"",
    "binary": bytes(range(256)),
    "cut": REAL_HOST.read_bytes()[:5000],
    "deep": b"[" * 100_000,
    "number": b"[1]",
    "no-stats": b'{"guests": [{"name": "a"}]}',
    "nested": b'{"guests": [{"name": "a", "stats": {"cpu.time": {"x": 1}}}]}',
    "float": b'{"guests": [{"name": "a", "stats": {"cpu.time": 1e400}}]}',
    "name-is-a-list": b'{"guests": [{"name": [], "stats": {}}]}',
    "guests-is-a-number": b'{"guests": 5}',
    "huge-number": b'{"guests": [{"name": "a", "stats": {"cpu.time": ' + b"9" * 10_000 + b"}}]}",
    "pools": b'{"guests": [], "pools": [{"name": "x"}]}',
    "time": b'{"guests": [], "time": "noon"}',
    "virsh-cut": b"Domain: 'a'\n  state.state=1\n  cpu.ti",
    "virsh-html": b"Domain: 'a'\n<html>",
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_recording_is_one_unknown_line(tmp_path, name):
    path = tmp_path / "bad"
    path.write_bytes(BAD[name])
    result = replay(path)
    assert result.code == 3
    assert result.text.count("\n") == 1
    assert "internal error" not in result.text


@pytest.mark.parametrize("value", [-1, 0, 2**63, 2**70, True])
def test_numbers_that_no_counter_holds_are_carried_or_left_out_but_break_nothing(tmp_path, value):
    keys = (
        "cpu__time",
        "balloon__available",
        "balloon__last-update",
        "block__0__capacity",
        "vcpu__current",
        "state__reason",
    )
    for key in keys:
        result = run(tmp_path, [guest("a", **{key: value}), guest("b")], "-v", "--save-state")
        assert result.code in (0, 1, 2), result.text
        assert "b.cpu.time" in result.perfdata


def test_every_metric_is_declared():
    labels = [measure.label for measure in MEASURES]
    assert len(labels) == len(set(labels))
    assert all(measure.meaning and measure.kind in ("gauge", "counter") for measure in MEASURES)
    assert all((measure.unit == "c") == (measure.kind == "counter") for measure in MEASURES)
