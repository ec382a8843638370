"""check_graphios on recorded status documents, on hostile ones, and from one run to the next."""

import copy
import json
import os
import time
from pathlib import Path

import pytest

from checks import counters
from checks.check_graphios import CHECK, duration

RECORDED = Path(__file__).parent / "data" / "check_graphios"
CALM, TROUBLE = (json.loads((RECORDED / f"{name}.json").read_text()) for name in ("calm", "trouble"))


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def check(tmp_path):
    """Runs the check on a document as if it had been written just now."""
    path = tmp_path / "status.json"

    def run(document, *argv):
        text = document if isinstance(document, bytes) else json.dumps(now(document)).encode()
        path.write_bytes(text)
        outcome = CHECK.run(["--status", str(path), *argv])
        assert "internal error" not in outcome.text
        return outcome.code, outcome.text

    return run


def now(document):
    document = copy.deepcopy(document)
    by = time.time() - document["time"]
    document["time"] += by
    for part in [*document["backends"], *document["spools"]]:
        for key in ("error_since", "last_success", "oldest"):
            if isinstance(part.get(key), float):
                part[key] += by
    return document


def with_backend(**fields):
    return CALM | {"backends": [CALM["backends"][0] | fields]}


def test_ok_a_graphios_that_keeps_up(check):
    code, text = check(CALM)
    assert code == 0
    assert text.startswith("GRAPHIOS OK - lag 7.5 s, 2 files waiting, 1 backend | lag=7.5s;300;1800 age=")
    for item in (
        "spool.files=2 ",
        "spool.bytes=48213B",
        "backend.carbon.acknowledged=1204311c",
        "backend.carbon.lag=7.5s;300;1800",
        "skipped.U=12c",
    ):
        assert item in text


def test_crit_what_is_wrong_is_listed_the_worst_first(check):
    code, text = check(TROUBLE)
    assert code == 2
    lines = text.splitlines()
    assert lines[0].startswith(
        "GRAPHIOS CRITICAL - carbon delivers nothing (carbon 127.0.0.1:2003: Connection refused) for 2 h (> 10 min), 3 more; "
    )
    for line in (
        "CRITICAL: carbon lag 2 h (> 30 min)",
        "WARNING: spool files set aside: 1 (> 0)",
        "WARNING: spool /var/spool/icinga2/perfdata: not writable, so delivered files could not be removed",
    ):
        assert line in lines


def test_verbose_lists_backends_spools_and_rejects(check):
    _, text = check(TROUBLE, "-v", "--max-output", "20000")
    assert "influxdb:lab to https://influx.example:8086 database nagios: idle, lag 0 s" in text
    assert "spool /var/spool/graphios: 1893 files, 884219311 bytes, oldest 2 h" in text
    assert "rejected 61: perfdata 40, time 12, line 9; see /var/lib/graphios/graphios-rejects.log" in text


def test_crit_absent_ended_and_silent(check, tmp_path):
    outcome = CHECK.run(["--status", str(tmp_path / "none.json")])
    assert (outcome.code, outcome.text) == (
        2,
        f"GRAPHIOS CRITICAL - graphios does not run: {tmp_path}/none.json is not there\n",
    )
    code, text = check(CALM | {"running": False})
    assert code == 2
    assert text == "GRAPHIOS CRITICAL - graphios does not run: it ended 0 s ago\n"
    silent = now(CALM)
    silent["time"] -= 200
    code, text = check(json.dumps(silent).encode())
    assert code == 2
    assert text.startswith("GRAPHIOS CRITICAL - graphios is silent (process 4711): status of 3.")
    assert "|" not in text, "what a silent graphios said is not how things are"


def test_the_states_of_not_running_and_trouble_are_choices(check, tmp_path):
    outcome = CHECK.run(["--status", str(tmp_path / "none.json"), "--not-running-severity", "ok"])
    assert outcome.code == 0
    assert "does not run" in outcome.text
    trouble = CALM | {"trouble": ["spool x: not writable"]}
    assert check(trouble)[0] == 1
    assert check(trouble, "--trouble-severity", "critical")[0] == 2
    assert check(trouble, "--trouble-severity", "ok")[0] == 0


@pytest.mark.parametrize(
    ("fields", "argv", "code"),
    [
        ({"lag_seconds": 300.0}, [], 0),
        ({"lag_seconds": 301.0}, [], 1),
        ({"lag_seconds": 1801.0}, [], 2),
        ({"lag_seconds": 1801.0}, ["-w", "car.*=7200", "-c", "car.*=7200"], 0),
        ({"lag_seconds": 1801.0}, ["-w", "other=7200"], 2),
        ({"lag_seconds": 99.0}, ["-w", "", "-c", "carbon=50"], 2),
        ({"waiting_bytes": 3 << 20}, [], 0),
        ({"waiting_bytes": 3 << 20}, ["--bytes-warning", "2M"], 1),
        ({"waiting_bytes": 3 << 20}, ["--bytes-critical", "carbon=2M"], 2),
        ({"error": "no route", "error_since": CALM["time"] - 30}, [], 0),
        ({"error": "no route", "error_since": CALM["time"] - 90}, [], 1),
        ({"error": "no route", "error_since": CALM["time"] - 900}, [], 2),
        ({"error": "no route", "error_since": CALM["time"] - 900}, ["--error-warning", "", "--error-critical", ""], 0),
        ({"parked_series": 900}, [], 0),
        ({"parked_series": 900}, ["--parked-warning", "500"], 1),
    ],
)
def test_thresholds_of_a_backend(check, fields, argv, code):
    assert check(with_backend(**fields), *argv)[0] == code


@pytest.mark.parametrize(
    ("fields", "argv", "code"),
    [
        ({}, ["--files-warning", "1"], 1),
        ({}, ["--files-critical", "1"], 2),
        ({"set_aside": {"files": 1, "directory": "/x"}}, [], 1),
        ({"set_aside": {"files": 1, "directory": "/x"}}, ["--set-aside-warning", "", "--set-aside-critical", "0"], 2),
        ({"lag_seconds": 4000.0, "backends": []}, [], 2),
    ],
)
def test_thresholds_of_the_whole(check, fields, argv, code):
    assert check(CALM | fields, *argv)[0] == code


@pytest.fixture
def later(monkeypatch):
    """Lets seconds pass for the counters."""
    passed = [0.0]
    real = time.clock_gettime
    monkeypatch.setattr(counters.time, "clock_gettime", lambda clock: real(clock) + passed[0])

    def wait(seconds):
        passed[0] += seconds

    return wait


def rejected(total, **more):
    return CALM | {"rejected": {"total": total, "by_reason": {"line": total}, "file": "/x"}} | more


def test_what_was_rejected_or_dropped_counts_since_the_last_run(check, later):
    code, text = check(rejected(50), "--save-state")
    assert code == 0
    assert "since the last run are not known: first run" in text
    later(60)
    assert check(rejected(50), "--save-state")[0] == 0
    later(60)
    code, text = check(rejected(53))
    assert code == 1
    assert "rejected since the last run: 3 (> 0)" in text
    assert check(rejected(53), "--rejected-warning", "10")[0] == 0
    assert check(rejected(53), "--rejected-critical", "2")[0] == 2
    code, text = check(rejected(50, dropped={"files": 2, "bytes": 10, "lines": 3}))
    assert code == 2
    assert "spool files dropped since the last run: 2 (> 0)" in text


def test_a_graphios_that_was_started_anew_counts_from_its_start(check, later):
    check(rejected(50), "--save-state")
    later(60)
    code, text = check(rejected(4, pid=4712, started=CALM["started"] + 5))
    assert code == 1
    assert "rejected since the last run: 4 (> 0)" in text


def test_what_carbon_itself_drops_counts_since_the_last_run(check, later):
    assert check(with_backend(dropped_creates=55), "--save-state")[0] == 0
    later(60)
    assert check(with_backend(dropped_creates=55))[0] == 0
    code, text = check(with_backend(dropped_creates=58))
    assert code == 1
    assert "carbon dropped new series since the last run: 3 (> 0)" in text
    assert check(with_backend(dropped_creates=58), "--dropped-creates-warning", "carbon=10")[0] == 0


def test_the_rate_of_delivery_is_on_the_first_line(check, later):
    check(CALM, "--save-state")
    later(60)
    _, text = check(with_backend(acknowledged=CALM["backends"][0]["acknowledged"] + 60_000))
    rate = int(text.partition(" metrics/s")[0].rpartition(" ")[2])
    assert 900 < rate <= 1000  # 60 s and the time between the runs


def test_state_that_can_not_be_written_is_named(check, tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/dev/null/state")
    code, text = check(CALM, "--save-state")
    assert code == 0
    assert "will not be known at the next run" in text


def test_a_thousand_backends_fit_and_a_sick_one_is_named(check):
    backends = [CALM["backends"][0] | {"name": f"carbon:{number}"} for number in range(1000)]
    backends[789] |= {"error": "Connection refused", "error_since": CALM["time"] - 5000}
    code, text = check(CALM | {"backends": backends}, "-v")
    assert code == 2
    assert len(text.encode()) <= 4000
    assert "carbon:789 delivers nothing (Connection refused)" in text.splitlines()[0]
    assert "metrics fit]" in text


HOSTILE = {
    "empty": b"",
    "cut": (RECORDED / "calm.json").read_bytes()[:700],
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "deep inside": b'{"version": 1, "backends": ' + b"[" * 100_000,
    "NaN": b'{"version": 1, "running": true, "time": NaN}',
    "infinity": b'{"version": 1, "running": true, "time": -Infinity}',
    "overflow": b'{"version": 1, "running": true, "time": 1e999}',
    "twice": b'{"version": 1, "running": true, "running": false, "time": 1}',
    "list": b"[]",
    "another version": b'{"version": 2}',
    "digits": b'{"version": 1, "running": true, "time": ' + b"9" * 10_000 + b"}",
    "control": b'{"version": 1, "running": "\\u001b[2J|\\n", "time": 1}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_unknown_a_document_that_can_not_be_read_is_one_line(check, content):
    code, text = check(content)
    assert code == 3
    assert text.startswith("GRAPHIOS UNKNOWN - ")
    assert text.count("\n") == 1
    assert len(text) < 300
    assert text.rstrip("\n").isprintable()


def test_unknown_what_is_no_file_or_too_large_is_refused_at_once(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10**12)
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("huge", "larger than"), ("pipe", "not a regular file"), (".", "not a regular file")):
        outcome = CHECK.run(["--status", str(tmp_path / name)])
        assert (outcome.code, outcome.text.count("\n")) == (3, 1)
        assert said in outcome.text


def test_unknown_a_status_from_the_future(check):
    ahead = now(CALM)
    ahead["time"] += 7200
    code, text = check(json.dumps(ahead).encode())
    assert code == 3
    assert "in the future" in text


WRONG = [True, -1.5, 1e300, "\x1b[2J\n|", [None], [[]], {"a": []}, {"\x1b|": 1}]


@pytest.mark.slow
def test_no_field_of_a_wrong_type_is_more_than_unknown(check):
    judged = 0
    for whole in (CALM, TROUBLE):
        for key in whole:
            for wrong in (*WRONG, None):
                code, text = check(json.dumps(now(whole) | {key: wrong}).encode())
                judged += 1
                assert code in (0, 1, 2, 3)
                assert "\x1b" not in text
        for key in whole["backends"][0]:
            for wrong in (*WRONG, None):
                code, text = check(whole | {"backends": [whole["backends"][0] | {key: wrong}]})
                assert code in (0, 1, 2, 3)
                assert "\x1b" not in text
    assert judged > 200


def test_two_backends_of_one_name_are_unknown(check):
    code, text = check(CALM | {"backends": CALM["backends"] * 2})
    assert code == 3
    assert "two backends of one name" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (-3, "0 s"), (7.53, "7.5 s"), (119, "119 s"), (150, "2.5 min"), (7200, "2 h"), (200_000, "2.3 d")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said
