"""`graphios backfill`: what it reads, in which order, how fast, and how it goes on after it was ended."""

import bz2
import gzip
import lzma
import os
import time
from collections import Counter
from datetime import datetime

import pytest

from graphios import configuration
from graphios.backends.base import LINES, ClosedEarly, DeliveryError, Refused
from graphios.commands import backfill
from graphios.commands.times import parse_time
from graphios.errors import Stopped

START = 1_700_000_000


def line(moment, label="a", value=1, host="web01"):
    return f"DATATYPE::SERVICEPERFDATA\tTIMET::{moment}\tHOSTNAME::{host}\tSERVICEDESC::s\tSERVICEPERFDATA::{label}={value}\n"


class Receiver:
    """A carbon in memory; `trouble` is asked before each batch."""

    takes, forgets, name, address = LINES, True, "carbon", "memory"

    def __init__(self):
        self.batches, self.stamps = [], []
        self.trouble = lambda items: None
        self.lost = False
        self.stopping = lambda: False

    @property
    def lines(self):
        return [item.rstrip("\n") for batch in self.batches for item in batch]

    def deliver(self, items):
        if self.stopping():
            raise Stopped
        self.trouble(items)
        self.batches.append(list(items))
        self.stamps.append(time.monotonic())

    def lost_memory(self):
        lost, self.lost = self.lost, False
        return lost

    def report(self):
        return {}

    def close(self):
        pass


@pytest.fixture
def receiver(monkeypatch):
    found = Receiver()

    def make(settings, stopping, heartbeat=""):
        found.stopping = stopping
        return found

    monkeypatch.setattr(backfill, "make", make)
    return found


@pytest.fixture
def site(tmp_path):
    """A configuration, and a folder of archives."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "archive").mkdir()
    write_config(tmp_path)
    return tmp_path


def write_config(folder, more=""):
    (folder / "graphios.ini").write_text(
        f"[spool]\ndirectory = {folder}/spool\n[state]\ndirectory = {folder}/state\n[carbon]\nhost = 127.0.0.1\ncreates_per_minute = 0\n"
        f"longest_pause = 0.1\n{more}"
    )


@pytest.fixture
def run(site, capsys):
    def run(*argv, since=str(START), code=None):
        words = ["--config", str(site / "graphios.ini"), "--since", since, *map(str, argv)]
        found = backfill.main(words)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert code is None or found == code, said.err
        return found, said.out, said.err

    return run


def test_archives_of_every_kind_are_sent_oldest_first(site, run, receiver):
    packed = {"new": bytes, "middle.gz": gzip.compress, "old.bz2": bz2.compress, "below/oldest.xz": lzma.compress}
    (site / "archive" / "below").mkdir()
    for number, (name, pack) in enumerate(packed.items()):
        (site / "archive" / name).write_bytes(pack(line(START + 100 - number).encode() * 2))
    _, out, _ = run(site / "archive", code=0)
    assert receiver.lines == [f"web01.s.a 1 {START + 100 - number}" for number in (3, 3, 2, 2, 1, 1, 0, 0)]
    assert (
        out
        == "carbon: 4 files, 8 lines in the range (0 outside), 8 metrics delivered, 0 rejected, 0 not to be shipped\n"
    )
    assert sorted(path.name for path in (site / "archive").rglob("*")) == [
        "below",
        "middle.gz",
        "new",
        "old.bz2",
        "oldest.xz",
    ]


def test_only_lines_of_the_range_are_sent(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START + n) for n in range(10)))
    _, out, _ = run(site / "archive", "--until", START + 7, since=str(START + 3), code=0)
    assert [int(text.split()[-1]) - START for text in receiver.lines] == [3, 4, 5, 6]
    assert "4 lines in the range (6 outside)" in out


def test_rejects_are_named_and_exit_1(site, run, receiver):
    (site / "archive" / "a").write_text(
        line(START) + "no perfdata at all\n" + line(START, "b", "x") + line(START, "c", "U")
    )
    _, out, err = run(site / "archive", code=1)
    assert receiver.lines == [f"web01.s.a 1 {START}"]
    assert "1 metric delivered, 2 rejected, 1 not to be shipped" in out
    rejects = site / "state" / "backfill" / "rejects.log"
    assert str(rejects) in err
    assert "a:2\t" in rejects.read_text()


def test_what_is_no_archive_is_left_out_and_named(site, run, receiver):
    (site / "archive" / "a").write_text(line(START))
    (site / "archive" / "README").write_text("hello\n")
    (site / "archive" / ".hidden").write_text(line(START, "hidden"))
    (site / "archive" / "bad.gz").write_text(line(START))
    (site / "archive" / "link").symlink_to("a")
    _, _, err = run(site / "archive", code=2)
    assert len(receiver.lines) == 1
    assert f"left out: {site}/archive/README: holds no perfdata" in err
    assert f"can't be read: {site}/archive/bad.gz" in err
    (site / "archive" / "bad.gz").unlink()
    run(site / "archive", code=0)


def test_the_spool_and_the_state_are_refused(site, run, receiver):
    (site / "spool" / "service-perfdata.1").write_text(line(START))
    for path in (site / "spool", site / "spool" / "service-perfdata.1", site / "state"):
        _, _, err = run(path, code=3)
        assert "where graphios works" in err
    run(site, code=3)  # all that is left there is graphios.ini
    assert receiver.lines == []


def test_a_damaged_archive_is_named_and_exit_2_and_the_others_are_sent(site, run, receiver):
    whole = gzip.compress("".join(line(START + n, f"m{n}", os.urandom(4)[0]) for n in range(5_000)).encode())
    (site / "archive" / "a.gz").write_bytes(whole[: len(whole) // 2])
    (site / "archive" / "b").write_text(line(START + 50_000, "last"))
    _, out, err = run(site / "archive", code=2)
    assert receiver.lines[-1].startswith("web01.s.last")
    assert len(receiver.lines) > 100
    assert f"{site}/archive/a.gz" in err
    assert "not finished" in out


def test_the_rate_is_kept(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START, f"m{n}") for n in range(120)))
    run(site / "archive", "--rate", "400", code=0)
    assert max(map(len, receiver.batches)) <= 100
    # The second batch may not go before the first one's time has passed.
    assert receiver.stamps[1] - receiver.stamps[0] >= 0.24


def test_trouble_is_tried_again_with_the_same_batch(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START + n) for n in range(5)))
    tried = []

    def refuse_twice(items):
        tried.append(list(items))
        if len(tried) < 3:
            raise DeliveryError("memory: Connection refused")

    receiver.trouble = refuse_twice
    _, _, err = run(site / "archive", code=0)
    assert tried[0] == tried[1] == tried[2]
    assert len(receiver.lines) == 5
    assert "Connection refused; trying again" in err
    assert "takes data again" in err


@pytest.mark.slow
def test_what_the_receiver_never_takes_is_a_reject(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START + n, f"m{n}") for n in range(9)))

    def refuse(items):
        if any(".m4 " in item for item in items):
            raise Refused(
                "memory: bad",
                [(next(n for n, item in enumerate(items) if ".m4 " in item), "bad")] if len(items) > 1 else [],
            )

    receiver.trouble = refuse
    _, out, _ = run(site / "archive", code=1)
    assert "8 metrics delivered, 1 rejected" in out
    receiver.batches.clear()

    def hang_up(items):
        if any(".m4 " in item for item in items):
            raise ClosedEarly("memory: closed the connection early")

    receiver.trouble = hang_up
    _, out, _ = run(site / "archive", "--restart", code=1)
    assert len(set(receiver.lines)) == 8
    assert "1 rejected" in out


@pytest.mark.slow
def test_an_interrupted_one_goes_on_where_it_was(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START + n, f"m{n}") for n in range(200)))
    (site / "archive" / "b").write_text("".join(line(START + 1000 + n, f"n{n}") for n in range(200)))
    argv = [site / "archive", "--rate", "400"]

    def end_after_the_first(items):
        if receiver.batches:
            os.kill(os.getpid(), 15)
            raise DeliveryError("memory: too late")

    receiver.trouble = end_after_the_first
    _, out, err = run(*argv, code=2)
    first = receiver.lines
    assert len(first) == 100
    assert "not finished" in out
    assert "the same command goes on from here" in err
    receiver.trouble = lambda items: None
    receiver.batches.clear()
    _, out, err = run(*argv, code=0)
    assert "going on with what was begun before" in err
    assert len(receiver.lines) == 300
    assert len(set(first + receiver.lines)) == 400
    assert "2 files, 400 lines in the range (0 outside), 400 metrics delivered" in out


def test_restart_begins_anew_and_a_finished_one_is_forgotten(site, run, receiver):
    (site / "archive" / "a").write_text(line(START))
    run(site / "archive", code=0)
    run(site / "archive", code=0)
    assert len(receiver.lines) == 2
    left = {path.suffix for path in (site / "state" / "backfill").iterdir()}
    assert left <= {".log"}


def test_an_age_means_what_it_meant_when_it_was_begun(site, run, receiver, monkeypatch):
    now = int(time.time())
    (site / "archive" / "a").write_text(line(now - 7000, "m0") + line(now - 10, "m1"))

    def end_at_once(items):
        os.kill(os.getpid(), 15)
        raise DeliveryError("memory: too late")

    receiver.trouble = end_at_once
    run(site / "archive", since="2h", code=2)
    receiver.trouble = lambda items: None
    real = time.time
    monkeypatch.setattr(backfill.time, "time", lambda: real() + 3600)
    run(site / "archive", since="2h", code=0)
    assert len(receiver.lines) == 2


def test_a_file_that_changed_meanwhile_is_read_from_its_start(site, run, receiver):
    archive = site / "archive" / "a"
    archive.write_text("".join(line(START + n, f"m{n}") for n in range(150)))

    def end_at_the_second(items):
        if receiver.batches:
            os.kill(os.getpid(), 15)
            raise DeliveryError("memory: too late")

    receiver.trouble = end_at_the_second
    run(archive, "--rate", "400", code=2)
    archive.write_text("".join(line(START + n, f"n{n}") for n in range(150)))
    receiver.trouble = lambda items: None
    run(archive, "--rate", "400", code=0)
    assert {f"web01.s.n{n} 1 {START + n}" for n in range(150)} <= set(receiver.lines)


def test_a_receiver_that_loses_its_memory_gets_it_again(site, run, receiver):
    (site / "archive" / "a").write_text("".join(line(START + n, f"m{n}") for n in range(25)))

    def lose(items):
        if len(receiver.batches) == 1 and not lost:
            lost.append(True)
            receiver.batches.clear()  # it died, with all it held
            receiver.lost = True
            raise DeliveryError("memory: Connection refused")

    lost = []
    receiver.trouble = lose
    _, out, err = run(site / "archive", "--rate", "80", code=0)
    assert Counter(receiver.lines) == Counter(f"web01.s.m{n} 1 {START + n}" for n in range(25))
    assert "25 metrics delivered" in out
    assert "lost its memory" in err


def test_the_same_backfill_twice_at_once_is_refused(site, run, receiver):
    (site / "archive" / "a").write_text(line(START))
    from graphios.commands.backfill_journal import Journal, key

    words = [str(START), "", os.path.realpath(site / "archive"), "carbon"]
    journal = Journal(site / "state" / "backfill" / f"carbon-{key(words)}.db", False)
    _, _, err = run(site / "archive", code=3)
    assert "runs already" in err
    journal.close()
    run(site / "archive", code=0)


def test_statsd_gets_no_history_and_backends_are_chosen_by_name(site, run, receiver):
    write_config(site, "[statsd]\nhost = 127.0.0.1\n[carbon:two]\nport = 2103\n")
    (site / "archive" / "a").write_text(line(START))
    _, _, err = run(site / "archive", "--backend", "statsd", code=3)
    assert "no timestamps" in err
    _, _, err = run(site / "archive", "--backend", "none", code=3)
    assert "carbon:two" in err
    _, out, _ = run(site / "archive", "--backend", "carbon:two", code=0)
    assert out.startswith("carbon:two: 1 file,")
    _, out, _ = run(site / "archive", code=0)
    assert [text.partition(" ")[0] for text in out.splitlines()] == ["carbon:", "carbon:two:"]


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1700000000", 1_700_000_000),
        ("1700000000.5", 1_700_000_000.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2d", 1_800_000_000 - 172_800),
        ("36h", 1_800_000_000 - 129_600),
        ("90min", 1_800_000_000 - 5400),
        ("1.5 w", 1_800_000_000 - 907_200),
        ("2023-11-14", datetime(2023, 11, 14).astimezone().timestamp()),
        ("2023-11-14T22:13", datetime(2023, 11, 14, 22, 13).astimezone().timestamp()),
    ],
)
def test_times(text, epoch):
    assert parse_time(text, 1_800_000_000) == epoch


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2d ago", "2m", "12", "-2d", "2023-13-01", "9" * 40, "1e9", "nan", "٣d"]
)
def test_what_is_no_time(text, site, run, receiver):
    with pytest.raises(ValueError, match="is no time"):
        parse_time(text, 1_800_000_000)
    _, _, err = run(site, since=text.replace("-", "=-") or " ", code=3)
    assert err.count("\n") == 1


def test_times_are_told_with_their_zone(site, run, receiver, monkeypatch):
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        (site / "archive" / "a").write_text(line(START))
        _, _, err = run(site / "archive", since="2023-11-14T23:13:20", code=0)
        assert "from 2023-11-14 23:13:20 CET (2023-11-14 22:13:20 UTC) until" in err
        assert len(receiver.lines) == 1
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "argv", [[], ["x"], ["--since", "2d"], ["--since", "2d", "--rate", "0", "x"], ["--since", "2d", "--nonsense", "x"]]
)
def test_a_mistake_is_one_line_and_exit_3(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        backfill.main(argv)
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_no_configuration_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(configuration, "DEFAULT_PATH", tmp_path / "none.ini")
    assert backfill.main(["--since", "2d", str(tmp_path)]) == 3
    assert "no configuration" in capsys.readouterr().err


def test_an_empty_range_and_nothing_to_read_are_told(site, run, receiver):
    _, _, err = run(site / "archive", "--until", START - 5, code=3)
    assert "is not after" in err
    _, _, err = run(site / "archive", code=3)
    assert "nothing to read" in err
    _, _, err = run(site / "none", code=3)
    assert "No such file" in err


@pytest.mark.slow
def test_new_series_are_paced_and_none_is_lost(site, run, receiver):
    config = site / "graphios.ini"
    config.write_text(config.read_text().replace("creates_per_minute = 0", "creates_per_minute = 240"))
    (site / "archive" / "a").write_text("".join(line(START + n // 10, f"m{n % 10}") for n in range(50)))
    _, out, _ = run(site / "archive", code=0)
    assert sorted(receiver.lines) == sorted(f"web01.s.m{n % 10} 1 {START + n // 10}" for n in range(50))
    assert len(receiver.batches) > 1, "carbon would have got all its new series at once"
    assert "50 metrics delivered" in out
    assert {path.suffix for path in (site / "state" / "backfill").iterdir()} <= {".log"}
    for name in {text.split()[0] for text in receiver.lines}:
        stamps = [int(text.split()[2]) for text in receiver.lines if text.startswith(f"{name} ")]
        assert stamps == sorted(stamps)
