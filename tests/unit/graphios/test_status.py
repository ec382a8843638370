"""`graphios status`: what an operator reads, its exit codes, and documents that are none."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphios.commands import status, status_document
from graphios.commands.status_document import Document
from graphios.commands.status_progress import Progress
from graphios.commands.units import duration, size

RECORDED = Path(__file__).parents[1] / "data" / "check_graphios"
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from graphios.commands import status; status._EVERY = 0.2; sys.exit(status.main(sys.argv[1:]))",
]


def recorded(name="calm.json"):
    return json.loads((RECORDED / name).read_text())


def shifted(value, by):
    """The document as if it had been written `by` seconds later."""
    if isinstance(value, dict):
        return {key: shifted(entry, by) for key, entry in value.items()}
    if isinstance(value, list):
        return [shifted(entry, by) for entry in value]
    return value + by if isinstance(value, float) and value > 1e9 else value


@pytest.fixture
def live(tmp_path):
    """Writes a recorded document as if this process had just written it; more fields replace its own."""

    def write(name="calm.json", **fields):
        document = recorded(name)
        document = shifted(document, time.time() - document["time"]) | {"pid": os.getpid()} | fields
        path = tmp_path / "status.json"
        new = tmp_path / "new"
        new.write_text(json.dumps(document))
        new.rename(path)
        return path

    return write


def run(capsys, *argv):
    code = status.main([str(word) for word in argv])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, said.err


def test_a_healthy_one_is_exit_0_and_says_what_there_is(live, capsys):
    code, out, err = run(capsys, "--file", live())
    assert (code, err) == (0, "")
    assert "TROUBLE" not in out
    assert out.splitlines()[1] == "All is well: the oldest waiting file is 7 s old."
    for fact in (
        "/var/spool/graphios",
        "127.0.0.1:2003",
        "delivering",
        "1,204,311",
        "240,112 lines",
        "running for 3 d 2 h",
        "U 12",
    ):
        assert fact in out


def test_trouble_is_exit_2_and_comes_first(live, capsys):
    code, out, _ = run(capsys, "--file", live("trouble.json"))
    assert code == 2
    trouble = [line for line in out.splitlines() if line.startswith("TROUBLE: ")]
    assert out.splitlines()[1] == trouble[0]
    for said in (
        "dropped since the start",
        "not writable",
        "Connection refused",
        "2 h 2 min old",
        "set aside",
    ):
        assert sum(said in line for line in trouble) == 1
    assert "new series that carbon says it dropped: 55" in out
    assert "812 new series with 40,211 points" in out
    assert "perfdata 40, time 12, line 9" in out
    assert "unprefixed 1,207" in out


def test_an_error_of_a_moment_is_shown_but_no_trouble(live, capsys):
    backend = recorded()["backends"][0] | {
        "state": "retrying",
        "error": "carbon: Connection refused",
        "error_since": time.time() - 5,
    }
    code, out, _ = run(capsys, "--file", live(backends=[backend]))
    assert code == 0
    assert "carbon: error: carbon: Connection refused" in out


def test_a_process_that_is_gone_is_told_from_one_that_hangs_and_one_that_ended(live, capsys, monkeypatch):
    ended = subprocess.Popen(["true"])
    ended.wait()
    code, out, _ = run(capsys, "--file", live(pid=ended.pid, time=time.time() - 10))
    assert code == 2
    assert f"process {ended.pid} is gone" in out
    with monkeypatch.context() as patch:
        patch.setattr(status_document, "STALE", 0.1)  # this process is older than such a document
        code, out, _ = run(capsys, "--file", live(time=time.time() - 1))
    assert code == 2
    assert f"process {os.getpid()} has written no status" in out
    code, out, _ = run(capsys, "--file", live("ended.json"))
    assert code == 2
    assert "it ended at" in out


def test_a_number_that_another_process_got_since_is_not_taken_for_graphios(live, capsys):
    other = subprocess.Popen(["sleep", "60"])
    try:
        _, out, _ = run(capsys, "--file", live(pid=other.pid, time=time.time() - 3600))
        assert f"process {other.pid} is gone" in out
    finally:
        other.kill()
        other.wait()


def test_a_clock_that_was_set_back_is_unknown(live, capsys):
    code, out, _ = run(capsys, "--file", live(time=time.time() + 7200))
    assert code == 3
    assert "the clock was set back" in out


def test_none_is_exit_3_and_says_where_it_looked(capsys, tmp_path):
    code, out, err = run(capsys, "--file", tmp_path / "none.json")
    assert (code, out) == (3, "")
    assert f"{tmp_path}/none.json is not there" in err
    assert err.count("\n") == 1


def test_a_document_of_a_later_graphios_is_shown_as_far_as_it_is_known(live, capsys):
    code, out, _ = run(capsys, "--file", live("future.json"))
    assert code == 0
    assert "version 2" in out
    assert "dreaming" in out


HOSTILE = {
    "empty": b"",
    "cut": (RECORDED / "calm.json").read_bytes()[:700],
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "NaN": b'{"version": 1, "time": NaN}',
    "infinity": b'{"version": 1, "time": Infinity}',
    "twice": b'{"version": 1, "pid": 1, "pid": 2}',
    "list": b"[]",
    "number": b"7",
    "other": b'{"name": "package.json"}',
    "digits": b'{"version": 1, "time": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_document_is_one_line_and_exit_3(content, capsys, tmp_path):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    code, out, err = run(capsys, "--file", path)
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert str(path) in err


def test_a_huge_file_a_directory_and_a_pipe_are_refused_at_once(capsys, tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(10**12)
    os.mkfifo(tmp_path / "pipe")
    for path in (huge, tmp_path, tmp_path / "pipe"):
        code, _, err = run(capsys, "--file", path)
        assert code == 3
        assert err.count("\n") == 1


WRONG = [None, True, -1, 1e300, 10**400, "text", "\x1b[2J\n\t", [], [1, None, [[]]], {}, {"a": {"b": []}}]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("trouble.json", []), ("calm.json", ["--json"])])
def test_no_field_of_a_wrong_type_is_more_than_a_field_less(live, capsys, name, options):
    whole = recorded(name)
    for key in whole:
        for wrong in WRONG:
            code, out, err = run(capsys, "--file", live(name, **{key: wrong}), *options)
            assert code in (0, 2, 3)
            assert "\x1b" not in out + err
    for key in whole["backends"][0]:
        for wrong in WRONG:
            code, out, _ = run(capsys, "--file", live(name, backends=[whole["backends"][0] | {key: wrong}]), *options)
            assert code in (0, 2)
            assert "\x1b" not in out


def test_json_is_the_document_and_what_was_seen(live, capsys):
    code, out, _ = run(capsys, "--file", live("trouble.json"), "--json")
    document = json.loads(out)
    assert document["backends"][0]["retries"] == 251
    assert document["seen"]["code"] == code == 2
    assert document["seen"]["process"] == "running"
    assert any("Connection refused" in problem for problem in document["seen"]["problems"])
    code, out, _ = run(capsys, "--file", "/nonexistent", "--json")
    assert (code, json.loads(out)["seen"]["problems"]) == (3, ["/nonexistent is not there"])


@pytest.mark.parametrize("argv", [["--nonsense"], ["extra"], ["--js"], ["--file"]])
def test_a_mistake_is_one_line_and_exit_3(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        status.main(argv)
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


def seen(at, acknowledged, waiting, lag, files=3):
    backend = {"name": "carbon", "state": "delivering", "acknowledged": acknowledged, "waiting_bytes": waiting}
    backend |= {"waiting_files": files, "lag_seconds": lag}
    return Document(Path("x"), {"version": 1, "time": at, "backends": [backend]})


def test_progress_of_a_backlog():
    progress = Progress()
    progress.add(seen(100.0, 0, 10_000_000, 900))
    assert "0% of 10.0 MB" in progress.lines()[0]
    progress.add(seen(110.0, 500_000, 5_000_000, 600))
    assert progress.rates() == {"carbon": 50_000}
    line = progress.lines()[0]
    for said in (
        "50,000 metrics/s",
        "50% of 10.0 MB done",
        "3 files (5.0 MB) left",
        "500 kB/s",
        "about 10 s to go",
        "[##########..........]",
    ):
        assert said in line
    progress.add(seen(120.0, 900_000, 0, 0, files=0))
    assert progress.lines() == ["carbon: delivering, 45,000 metrics/s, no backlog"]


def test_a_growing_backlog_and_a_restart():
    progress = Progress()
    progress.add(seen(100.0, 100, 1000, 60))
    progress.add(seen(102.0, 100, 3000, 62))
    assert "growing by 1.0 kB/s" in progress.lines()[0]
    progress.add(seen(104.0, 100, 3000, 62))
    progress.add(seen(106.0, 5, 3000, 66))
    assert progress.rates() == {}


def test_what_is_written_now_is_no_backlog():
    progress = Progress()
    progress.add(seen(100.0, 0, 4000, 3))
    progress.add(seen(102.0, 100, 4000, 3))
    assert progress.lines() == ["carbon: delivering, 50 metrics/s, no backlog"]


def test_watch_without_a_terminal_is_plain_lines_until_sigterm(live):
    path = live("trouble.json")
    running = subprocess.Popen(
        [*COMMAND, "--watch", "--file", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    first = running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (2, b"")
    assert b"TROUBLE: dropped since the start" in first
    assert b"\x1b" not in first + out


def test_watch_on_a_terminal_is_redrawn_and_ends_with_ctrl_c(live):
    path = live()
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*COMMAND, "--watch", "--file", str(path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: _own_terminal(theirs),
    )
    os.close(theirs)
    text = _read_until(ours, b"Kept for a carbon")
    live("trouble.json")
    text = _read_until(ours, b"TROUBLE: dropped since the start")
    os.write(ours, b"\x03")
    assert running.wait(30) == 2
    rest = _read_until(ours, b"\0")
    os.close(ours)
    assert b"\x1b[H" in text
    assert b"Traceback" not in text + rest


def _own_terminal(descriptor):
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _read_until(descriptor, wanted):
    """What came until `wanted` did, or the terminal closed; fails after 30 s."""
    text, deadline = b"", time.monotonic() + 30
    while wanted not in text:
        ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        assert ready, text
        try:
            new = os.read(descriptor, 65536)
        except OSError:
            break
        if not new:
            break
        text += new
    return text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (-3, "0 s"),
        (59.9, "59 s"),
        (119, "119 s"),
        (125, "2 min"),
        (3600, "1 h"),
        (12000, "3 h 20 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (999, "999 B"), (48213, "48.2 kB"), (884219311, "884 MB"), (2e15, "2000 TB")]
)
def test_sizes(number, said):
    assert size(number) == said
