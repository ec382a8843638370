"""States on their way to a server: the newest of each check, one batch at a time, whatever is down, full or refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.engine.jobs import DEADLINE, Ended, Job
from checks.engine.results import Result
from checks.engine.serve.command_file import LONGEST_LINE, CommandFile, escaped, line
from checks.engine.serve.hand_on import bad_name, hand_on, postfix, short_form
from checks.engine.serve.perfdata_spool import PerfdataSpool
from checks.engine.serve.submit import LARGEST_BATCH, Handed, Report, Submitter
from checks.engine.serve.submit_command import SubmitCommand, record
from graphios.plugin_output import PluginOutput


def report(name: str, text: str = "OK", code: int = 0) -> Report:
    return Report(name.encode(), code, text.encode(), 1_700_000_000)


class Server:
    """Takes what it is handed, as send_nsca does: up to the first one it refuses, and then says nothing was taken."""

    longest_delay = 60.0

    def __init__(self, *refused: str) -> None:
        self.refused = {name.encode() for name in refused}
        self.down = ""
        self.got: list[str] = []
        self.batches: list[list[str]] = []

    async def hand(self, reports: Sequence[Report]) -> Handed:
        self.batches.append([one.service.decode() for one in reports])
        if self.down:
            return Handed(0, self.down, refusing=True)
        for one in reports:
            if one.service in self.refused:
                return Handed(0, "not authorized", refusing=True)
            self.got.append(f"{one.service.decode()} {one.text.decode()}")
        return Handed(len(reports))


async def work(submitter: Submitter, most: int = 100) -> list[float]:
    """Steps until nothing is left, without waiting; returns the waits."""
    waits: list[float] = []
    for _ in range(most):
        seconds = await submitter.step()
        if seconds is None:
            return waits
        waits.append(seconds)
    return waits


def test_all_go_in_batches_in_their_order() -> None:
    server = Server()
    submitter = Submitter(server)
    names = [f"check{number}" for number in range(LARGEST_BATCH + 5)]
    for name in names:
        submitter.add(report(name))
    asyncio.run(work(submitter))
    assert [len(batch) for batch in server.batches] == [LARGEST_BATCH, 5]
    assert [got.split()[0] for got in server.got] == names
    assert (submitter.waiting, submitter.taken, submitter.dropped) == (0, len(names), 0)


def test_while_the_server_is_down_only_the_newest_of_each_waits_and_the_others_are_counted() -> None:
    server = Server()
    server.down = "connection refused"
    submitter = Submitter(server)

    async def story() -> list[float]:
        waits = []
        for number in range(12):
            for name in ("a", "b", "c"):
                submitter.add(report(name, f"number {number}"))
            waits.append(await submitter.step() or 0.0)
        assert submitter.trouble == "connection refused"
        assert submitter.waiting == 3
        server.down = ""
        await work(submitter)
        return waits

    waits = asyncio.run(story())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]
    assert sorted(server.got) == ["a number 11", "b number 11", "c number 11"]
    assert (submitter.dropped, submitter.trouble, submitter.waiting, submitter.refused) == (33, "", 0, [])


def test_a_server_that_was_down_refused_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.down = "down"
    submitter = Submitter(server)

    async def story() -> None:
        submitter.add(report("a"))
        await submitter.step()
        submitter.add(report("b"))
        server.down = ""
        await work(submitter)

    asyncio.run(story())
    assert sorted(server.got) == ["a OK", "b OK"]
    assert submitter.refused == []
    assert "refused" not in caplog.text


@pytest.mark.parametrize("place", [0, 7, 63])
def test_one_that_is_refused_is_found_and_the_others_go_on_without_it(place: int) -> None:
    server = Server(f"check{place}")
    submitter = Submitter(server)

    async def story() -> None:
        for round_ in range(4):
            for number in range(64):
                submitter.add(report(f"check{number}", f"round{round_}"))
            await work(submitter)

    asyncio.run(story())
    assert submitter.refused == [f"check{place}"]
    assert {got for got in server.got if got.endswith("round3")} == {
        f"check{number} round3" for number in range(64) if number != place
    }
    # Once it is known, it is never again among others.
    last = next(position for position, batch in reversed(list(enumerate(server.batches))) if len(batch) == 63)
    assert not any(f"check{place}" in batch and len(batch) > 1 for batch in server.batches[last:])
    assert submitter.figures()["submit.refused"] == 1


def test_a_refused_one_that_is_taken_later_is_one_like_the_others_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("b")
    submitter = Submitter(server)

    async def story() -> None:
        for name in ("a", "b", "c"):
            submitter.add(report(name))
        await work(submitter)
        submitter.add(report("a"))
        await work(submitter)
        assert submitter.refused == ["b"]
        assert server.batches[-1] == ["a"]
        server.refused.clear()
        monkeypatch.setattr("time.monotonic", lambda: 1e9)
        await work(submitter)

    asyncio.run(story())
    assert (submitter.refused, submitter.waiting) == ([], 0)
    assert server.got[-1] == "b OK"


def test_a_new_result_that_comes_while_the_old_one_is_on_its_way_is_not_lost() -> None:
    class Slow(Server):
        async def hand(self, reports: Sequence[Report]) -> Handed:
            submitter.add(report("a", "new")) if not self.batches else None
            return await super().hand(reports)

    server = Slow()
    submitter = Submitter(server)
    submitter.add(report("a", "old"))
    asyncio.run(work(submitter))
    assert server.got == ["a old", "a new"]
    server.batches.clear()
    server.got.clear()
    server.down = "down"
    submitter.add(report("a", "old"))

    async def story() -> None:
        await submitter.step()
        server.down = ""
        await work(submitter)

    asyncio.run(story())
    assert server.got == ["a new"]
    assert submitter.dropped == 1


def test_run_hands_on_what_comes_and_ends_when_it_is_told_to() -> None:
    server = Server()
    submitter = Submitter(server)

    async def story() -> None:
        running = asyncio.create_task(submitter.run())
        await asyncio.sleep(0)
        submitter.add(report("a"))
        while not server.got:
            await asyncio.sleep(0)
        submitter.add(report("b"))
        submitter.finish()
        await asyncio.wait_for(running, 20)

    asyncio.run(story())
    assert server.got == ["a OK", "b OK"]


def test_finish_does_not_wait_for_a_server_that_is_down() -> None:
    server = Server()
    server.down = "down"
    submitter = Submitter(server)

    async def story() -> None:
        running = asyncio.create_task(submitter.run())
        submitter.add(report("a"))
        while not submitter.failed:
            await asyncio.sleep(0)
        submitter.finish()
        await asyncio.wait_for(running, 20)

    asyncio.run(story())
    assert submitter.waiting == 1


def test_a_command_that_is_gone_takes_its_result_along() -> None:
    submitter = Submitter(Server())
    submitter.add(report("a"))
    submitter.forget(b"a")
    assert (submitter.waiting, submitter.dropped) == (0, 1)


class FakePool:
    """Remembers the job and what its input was."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended
        self.job = Job("", ())
        self.given = b""

    async def run(self, job: Job) -> Ended:
        self.job = job
        self.given = Path(job.argv[3]).read_bytes()
        return self.ended


@pytest.mark.parametrize(
    ("ended", "handed"),
    [
        (Ended(0), Handed(2)),
        (
            Ended(1, errors=b"noise\nsend_nsca: FAIL\n"),
            Handed(0, "the submit command failed, exit code 1: send_nsca: FAIL", True),
        ),
        (Ended(127), Handed(0, "the submit command failed, exit code 127")),
        (Ended(None, 9), Handed(0, "the submit command: ended by SIGKILL", True)),
        (
            Ended(None, 15, trouble=DEADLINE),
            Handed(0, "the submit command: no end within 30 s, it was stopped"),
        ),
    ],
    ids=["taken", "failed", "absent", "killed", "hung"],
)
def test_the_submit_command(ended: Ended, handed: Handed) -> None:
    pool = FakePool(ended)
    way = SubmitCommand(pool, "send_nsca", b"node", {"PATH": "/bin"})  # type: ignore[arg-type]
    assert asyncio.run(way.hand([report("a", "one\ntwo"), report("b", "x", 2)])) == handed
    assert pool.given == b"node\ta\t0\tone\ntwo\n\x17node\tb\t2\tx\n"
    assert (pool.job.argv[:2], pool.job.environment) == (("/bin/sh", "-c"), {"PATH": "/bin"})
    assert not Path(pool.job.argv[3]).exists()


def test_a_result_can_not_forge_another() -> None:
    assert record(b"node", report("a", "x\x17other\tb\t0\tfine")) == b"node\ta\t0\tx other b 0 fine\n"
    assert (
        line(b"node", report("a", "x\n[1] STOP"))
        == b"[1700000000] PROCESS_SERVICE_CHECK_RESULT;node;a;0;x\\n[1] STOP\n"
    )


@pytest.mark.parametrize("name", ["", " ", "a;b", "a\tb", "a\nb", " a", "x" * 256])
def test_names_that_neither_nagios_nor_the_spool_can_take(name: str) -> None:
    assert bad_name(name)


def test_names_that_can_be_taken() -> None:
    assert not any(bad_name(name) for name in ("check_disk", "Disk on /srv", "größe", "a=b"))


@given(st.binary(max_size=300), st.integers(1, 200), st.integers(2, 300))
def test_the_short_form_fits_into_one_line_and_is_clean(text: bytes, times: int, names: int) -> None:
    made = short_form(PluginOutput(text * times), names)
    assert made.strip()
    assert not set(made) & set(range(32)) - {10}
    assert len(line(b"h" * (names // 2), Report(b"s" * (names - names // 2), 0, made, 9_999_999_999))) <= LONGEST_LINE


def test_what_is_short_stays_as_it_is() -> None:
    assert short_form(PluginOutput(b"OK: fine | v=1;2;3\nmore\n"), 20) == b"OK: fine | v=1;2;3\nmore"
    assert escaped(b"a\\b\nc") == rb"a\\b\nc"


def result(output: bytes, code: int = 0) -> Result:
    return Result("disk", code, output, began=1.0)


def test_with_a_spool_the_perfdata_takes_that_road_only() -> None:
    made = hand_on(result(b"WARNING: x | a=1\nmore | b=2\n", 1), b"node", 1_700_000_000, spool=True, prefix=b"p")
    assert made.line.endswith(b"\tGRAPHITEPREFIX::p\tGRAPHITEPOSTFIX::disk\tSERVICEPERFDATA::a=1 b=2\n")
    assert b"\tHOSTNAME::node\tSERVICEDESC::disk\tSERVICECHECKCOMMAND::disk\tSERVICESTATE::WARNING\t" in made.line
    assert made.report == Report(b"disk", 1, b"WARNING: x\nmore", 1_700_000_000)


def test_metrics_have_the_names_they_have_through_nagios() -> None:
    from checks.configuration import objects
    from checks.configuration.declared import all_checks, parts, splits
    from checks.configuration.settings import DEFAULTS
    from checks.engine.serve.command import PREFIX

    assert DEFAULTS.prefix == PREFIX
    for check in all_checks():
        for command in check.commands:
            wanted = objects.postfix(check, command)
            names = [
                command.name,
                *([part.name for part in parts(check, command, 12)] if splits(check, command) else []),
            ]
            assert {postfix(name) for name in names} == {wanted}, command.name
    assert [postfix(name) for name in ("load", "check_ping_all", "check_", "check_disk")] == [
        "load",
        "ping_all",
        "check_",
        "disk",
    ]


def test_without_a_spool_nagios_gets_the_perfdata_that_fits() -> None:
    made = hand_on(result(b"OK | a=1\n"), b"node", 1, spool=False)
    assert (made.line, made.report.text) == (b"", b"OK | a=1")


def test_compressed_output_is_expanded_and_a_damaged_one_is_named() -> None:
    import base64
    import zlib

    whole = b"OK: all | " + b" ".join(b"m%d=%d" % (number, number) for number in range(2000)) + b"\n"
    packed = base64.encodebytes(zlib.compress(whole))
    made = hand_on(result(b"OK: all\nCOMPRESSED deflate base64 %d\n%s" % (len(whole), packed)), b"node", 1, spool=True)
    assert (made.line.count(b"="), made.report.text, made.not_shipped) == (2000, b"OK: all", "")
    made = hand_on(
        result(b"OK: all\nCOMPRESSED deflate base64 %d\n%s" % (len(whole), packed[:90])), b"node", 1, spool=True
    )
    assert made.line == b""
    assert made.report.text.startswith(b"OK: all (perfdata not shipped: compressed output is ")
    assert made.not_shipped


@pytest.mark.parametrize("length", [4096, 8000])
def test_a_last_value_is_whole_whatever_the_length(length: int) -> None:
    from graphios.perfdata import parse

    perfdata = (b"abc=1 " * 2000)[: length - 5] + b" last=2"
    perfdata = perfdata[-length:]
    made = hand_on(result(b"OK | " + perfdata + b"\n"), b"node", 1, spool=True)
    text = made.line.rpartition(b"SERVICEPERFDATA::")[2].decode().strip()
    assert parse(text)[0][-1].value == "2"


def test_the_spool_gets_everything_once_it_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = PerfdataSpool(folder, limit=100)
    spool.add(b"one\n")
    spool.flush()
    assert (spool.trouble, spool.failed, spool.figures()["spool.waiting"]) == ("No such file or directory", 1, 4)
    spool.add(b"two\n")
    folder.mkdir()
    spool.flush()
    assert [path.read_bytes() for path in folder.iterdir()] == [b"one\ntwo\n"]
    assert (spool.trouble, spool.written, spool.dropped) == ("", 2, 0)
    spool.flush()
    assert len(list(folder.iterdir())) == 1


def test_past_its_limit_the_oldest_perfdata_is_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = PerfdataSpool(tmp_path / "none", limit=20)
    for number in range(10):
        spool.add(b"line %d\n" % number)
    assert (spool.dropped, spool.figures()["spool.waiting"]) == (8, 14)
    assert len([entry for entry in caplog.records if "dropped" in entry.message]) == 1
    (tmp_path / "none").mkdir()
    spool.flush()
    assert [path.read_bytes() for path in (tmp_path / "none").iterdir()] == [b"line 8\nline 9\n"]


def test_a_pipe_that_is_full_takes_whole_lines_only(tmp_path: Path) -> None:
    pipe = tmp_path / "nagios.cmd"
    os.mkfifo(pipe)
    way = CommandFile(pipe, b"node")
    many = [report(f"check{number}", "x" * 3000) for number in range(100)]
    assert asyncio.run(way.hand(many)) == Handed(0, f"{pipe}: no Nagios reads it")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        handed = asyncio.run(way.hand(many))
        assert 0 < handed.taken < 100
        assert (handed.reason, handed.refusing) == (f"{pipe}: Nagios does not read it fast enough", False)
        text = os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    assert text == b"".join(line(b"node", one) for one in many[: handed.taken])


def test_a_command_file_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "nagios.cmd"
    assert asyncio.run(CommandFile(path, b"n").hand([report("a")])) == Handed(0, f"{path}: No such file or directory")
    path.write_bytes(b"mine")
    assert asyncio.run(CommandFile(path, b"n").hand([report("a")])) == Handed(0, f"{path}: no named pipe")
    assert path.read_bytes() == b"mine"
