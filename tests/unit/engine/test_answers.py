"""What Nagios is told of a run, and what goes to graphios: each value on one road."""

from __future__ import annotations

import base64
import time
import zlib
from pathlib import Path

import pytest

from checks.engine.jobs import DEADLINE, ERRORS_FLOOD, FLOOD, LOST, NOT_STARTED, Ended
from checks.engine.worker.answers import answer, failed, helper_answer
from checks.engine.worker.macros import Whose
from checks.engine.worker.messages import TIMED_OUT, Answer, Work
from checks.engine.worker.nagios_config import OwnPerfdata, read
from graphios.inputs.line import Line, LineReader, Source
from graphios.perfdata import items, perhaps_cut
from graphios.plugin_output import LONGEST_RAW, PluginOutput

NOW = time.time()
SERVICE = Whose(b"web01", b"disk", b"mon", b"post", b"check_nrpe!check_disk")
HOST = Whose(b"web01", b"", b"hosts", b"", b"check-host-alive")
WORK = Work(7, 0, 60, b"/usr/lib/nagios/plugins/check_nrpe -H x")
LARGE = " ".join(f"vm{number}.cpu.percent={number}.5%;90;95" for number in range(1000))


def own(folder: Path, written: bool) -> OwnPerfdata:
    path = folder / "nagios.cfg"
    path.write_text(
        f"process_performance_data={int(written)}\nservice_perfdata_file=/p\nhost_perfdata_file=/p\nstatus_file={folder}/none\n"
        f"object_cache_file={folder}/objects.cache\n"
    )
    (folder / "objects.cache").write_text("define host {\n\thost_name\tother\n\t}\n")
    return OwnPerfdata(read(path))


@pytest.fixture
def writes(tmp_path: Path) -> OwnPerfdata:
    return own(tmp_path, True)


@pytest.fixture
def silent(tmp_path: Path) -> OwnPerfdata:
    return own(tmp_path, False)


def ended(output: str | bytes, code: int | None = 0, signal: int = 0, trouble: str = "", reason: str = "") -> Ended:
    raw = output.encode() if isinstance(output, str) else output
    return Ended(code, signal, raw, b"", trouble, reason, NOW - 2, 1.5, 0.25, 0.125)


def spooled(found: Answer) -> list[Line]:
    assert found.spool == b"" or found.spool.endswith(b"\n")
    return [LineReader().read(line, NOW) for line in found.spool.split(b"\n")[:-1]]


def labels(perfdata: str | memoryview) -> list[str]:
    text = perfdata if isinstance(perfdata, str) else str(perfdata, "utf-8")
    found, wrong, _ = items(text)
    assert not wrong
    return [item[0] for item in found]


def everything(found: Answer, nagios_writes: bool) -> list[str]:
    """The labels that graphios gets, by both roads."""
    own_road = labels(PluginOutput(found.output).perfdata.decode()) if nagios_writes else []
    return own_road + [label for line in spooled(found) for label in labels(line.perfdata)]


def test_small_output_goes_through_and_nagios_writes_it(writes: OwnPerfdata) -> None:
    found = answer(WORK, ended("OK | a=1 b=2\nmore\n", 1), SERVICE, writes)
    assert found == Answer(
        7, NOW - 2, NOW - 0.5, 256, 0, 0.25, 0.125, b"OK | a=1 b=2\nmore\n", b"", b"", "service", b"web01", b"disk"
    )


def test_where_nagios_writes_nothing_all_is_spooled(silent: OwnPerfdata) -> None:
    found = answer(WORK, ended("OK | a=1 b=2\n", 2), SERVICE, silent)
    (line,) = spooled(found)
    assert found.output == b"OK | a=1 b=2\n"
    assert line == Line(Source("web01", "disk", "mon", "post"), int(NOW - 0.5), "a=1 b=2")
    assert b"\tSERVICECHECKCOMMAND::check_nrpe!check_disk\tSERVICESTATE::CRITICAL\t" in found.spool


@pytest.mark.parametrize("nagios_writes", [True, False])
@pytest.mark.parametrize("whose", [SERVICE, HOST], ids=["service", "host"])
def test_each_value_takes_one_road(tmp_path: Path, nagios_writes: bool, whose: Whose) -> None:
    found = answer(WORK, ended(f"OK - many | {LARGE}\ntext\nmore | z=1\n"), whose, own(tmp_path, nagios_writes))
    assert 3900 < len(found.output) <= 4000
    assert found.spool_kind == ("service" if whose.service else "host")
    assert sorted(everything(found, nagios_writes)) == sorted([*labels(LARGE), "z"])
    (line,) = spooled(found)
    assert line.source == (
        Source("web01", "disk", "mon", "post") if whose.service else Source("web01", None, "hosts", "")
    )


@pytest.mark.parametrize("whose", [SERVICE, HOST], ids=["service", "host"])
@pytest.mark.parametrize("code", [3, 4, 126, 127, 200, 255])
def test_values_that_nagios_drops_for_the_exit_code_are_spooled(writes: OwnPerfdata, whose: Whose, code: int) -> None:
    # Measured: see answers.py.
    keeps = code < 4 or (whose is SERVICE and code not in (126, 127))
    found = answer(WORK, ended("TEXT | a=1\n", code), whose, writes)
    assert found.wait_status == code << 8
    assert [labels(line.perfdata) for line in spooled(found)] == ([] if keeps else [["a"]])


def test_a_run_ended_by_a_signal(writes: OwnPerfdata) -> None:
    found = answer(WORK, ended("OK | a=1 b=12", None, 9), SERVICE, writes)
    assert (found.wait_status, found.error_code) == (9, 0)
    assert found.output == b"OK (last perfdata item not shipped: the command was ended by signal 9) | a=1\n"
    assert found.spool == b""
    silent = answer(WORK, ended("", None, 11), SERVICE, writes)
    assert silent.output == b"UNKNOWN: /usr/lib/nagios/plugins/check_nrpe was ended by signal 11\n"


def test_a_timeout_is_left_to_nagios_to_tell(silent: OwnPerfdata) -> None:
    found = answer(WORK, ended("started | a=1\n", None, 9, DEADLINE), SERVICE, silent)
    assert (found.error_code, found.output, found.spool) == (TIMED_OUT, b"", b"")
    assert (found.host, found.service) == (b"web01", b"disk")


@pytest.mark.parametrize(
    ("trouble", "code", "text"),
    [
        (NOT_STARTED, 2, b"CRITICAL: /usr/lib/nagios/plugins/check_nrpe can't be started: No such file\n"),
        (
            FLOOD,
            3,
            b"UNKNOWN: /usr/lib/nagios/plugins/check_nrpe wrote more than %d bytes to standard error, it was ended\n"
            % ERRORS_FLOOD,
        ),
        (LOST, 3, b"UNKNOWN: /usr/lib/nagios/plugins/check_nrpe: its process was lost\n"),
    ],
)
def test_a_run_without_an_end_is_named(silent: OwnPerfdata, trouble: str, code: int, text: bytes) -> None:
    found = answer(WORK, ended("junk | a=1", None, 0, trouble, "No such file"), SERVICE, silent)
    assert (found.wait_status, found.output, found.spool) == (code << 8, text, b"")


def test_a_flood_is_named(silent: OwnPerfdata) -> None:
    found = answer(WORK, ended(b"x" * LONGEST_RAW, None, 9, FLOOD), SERVICE, silent)
    assert (
        found.output == b"UNKNOWN: /usr/lib/nagios/plugins/check_nrpe printed more than 25165824 bytes, it was ended\n"
    )


def test_where_it_is_not_certain_whose_it_is_nothing_is_shipped_and_the_text_says_so(silent: OwnPerfdata) -> None:
    found = answer(WORK, ended("OK | a=1\n"), "Nagios sent no macros", silent)
    assert found.output == b"OK (perfdata not spooled: Nagios sent no macros) | a=1\n"
    assert (found.spool, found.host, found.service) == (b"", b"", b"")
    assert answer(WORK, ended("OK\n"), "Nagios sent no macros", silent).output == b"OK\n"


@pytest.mark.parametrize(
    ("command", "spools"),
    [
        (b"/opt/bin/graphios-tap --spool x -- check_nrpe", False),
        (b"sh -c '/opt/bin/graphios-tap x'", False),
        (b"'/opt/graphios-tap' x", False),
        (b"graphios-tap", False),
        (b"check_nrpe -c graphios-tapped", True),
        (b"check_nrpe -c my-graphios-tap", True),
    ],
)
def test_what_the_tap_spools_is_not_spooled_again(silent: OwnPerfdata, command: bytes, spools: bool) -> None:
    found = answer(WORK._replace(command=command), ended("OK | a=1\n"), SERVICE, silent)
    assert bool(found.spool) == spools
    assert found.output == b"OK | a=1\n"


def test_compressed_output_is_expanded(writes: OwnPerfdata) -> None:
    text = f"OK - many | {LARGE}\n".encode()
    packed = b"OK - many\nCOMPRESSED deflate base64 %d\n" % len(text) + base64.encodebytes(zlib.compress(text))
    found = answer(WORK, ended(packed), SERVICE, writes)
    assert found.output.startswith(b"OK - many | vm0.cpu.percent=0.5%;90;95 vm1.")
    assert sorted(everything(found, True)) == sorted(labels(LARGE))


@pytest.mark.parametrize("length", [4001, 4096, 7168, 8192])
def test_the_rest_is_never_taken_for_cut_by_nagios_which_did_not_see_it(writes: OwnPerfdata, length: int) -> None:
    begin = " ".join(f"m{number:05}=1" for number in range(length // 9 + 400))
    kept = PluginOutput(answer(WORK, ended(f"OK | {begin}\n"), SERVICE, writes).output).perfdata
    printed = f"{begin} {'x' * (length - (len(begin) - len(kept)) - 2)}=1"
    assert perhaps_cut(printed[len(kept) + 1 :]), "the test is of no use otherwise"
    found = answer(WORK, ended(f"OK | {printed}\n"), SERVICE, writes)
    (line,) = spooled(found)
    assert isinstance(line.perfdata, str)
    assert not perhaps_cut(line.perfdata)
    assert everything(found, True) == labels(printed)


def test_standard_error_is_bounded_and_without_nul(writes: OwnPerfdata) -> None:
    found = answer(WORK, ended("", 1)._replace(errors=b"a\0b" + b"x" * 60_000), SERVICE, writes)
    assert found.output == b""
    assert found.errors.startswith(b"a bxx")
    assert len(found.errors) <= 4000


def test_a_job_that_is_no_check_is_answered_and_ships_nothing() -> None:
    work = WORK._replace(kind=2)
    assert helper_answer(work, ended("done | a=1\n", 1))[3:9] == (256, 0, 0.25, 0.125, b"done | a=1\n", b"")
    assert helper_answer(work, ended("x", None, 9, DEADLINE)).error_code == TIMED_OUT
    assert helper_answer(work, ended("done | a=1\n", 1)).spool == b""


def test_a_fault_of_our_own_is_unknown() -> None:
    found = failed(WORK, "internal error\x1b|")
    assert (found.wait_status, found.output) == (768, b"UNKNOWN: internal error??\n")
