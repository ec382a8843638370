"""Writing into the spool: whole files under unique names, and nothing left behind when it fails."""

import os
import resource
from pathlib import Path

import pytest

from graphios import spool_writer
from graphios.inputs.line import LineReader, Source
from graphios.inputs.spool import Spool
from tests.unit.graphios.spool_lines import NOW


def test_what_is_written_is_what_graphios_reads(tmp_path: Path) -> None:
    line = spool_writer.service_line(
        NOW, "wéb01".encode(), b"a b", b"x=1\tHOSTNAME::victim\ny=2\0", b"OK", b"check_nrpe", b"HARD", b"mon", b"disk"
    )
    name = spool_writer.write(os.fsencode(tmp_path), line)
    assert [entry.name for entry in Spool(str(tmp_path)).scan()] == [name.decode()]
    text = (tmp_path / name.decode()).read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    line = LineReader().read(text[:-1].encode(), NOW)
    assert line.source == Source("wéb01", "a b", "mon", "disk")
    assert (line.timestamp, line.perfdata) == (NOW, "x=1 HOSTNAME::victim y=2")


@pytest.mark.slow
def test_names_never_collide(tmp_path: Path) -> None:
    names = {spool_writer.write(os.fsencode(tmp_path), b"x\n", "host") for _ in range(500)}
    assert len(names) == 500
    assert all(name.startswith(b"host-perfdata.") for name in names)


@pytest.mark.parametrize("field", [b"a\tb", b"a\nb", b"\x7f", b"a\rb"])
def test_control_characters_in_a_name_are_refused(field: bytes) -> None:
    with pytest.raises(ValueError, match="control characters"):
        spool_writer.service_line(NOW, field, b"s", b"a=1")
    with pytest.raises(ValueError, match="control characters"):
        spool_writer.service_line(NOW, b"h", b"s", b"a=1", prefix=field)


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            spool_writer.write(os.fsencode(tmp_path), b"x" * 100_000)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(tmp_path.iterdir()) == []
