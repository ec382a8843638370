"""Which checks Nagios waits for in vain, read from its own files (recorded from 4.4.6, shortened)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.engine.worker.stranded import Files, check_now, find

OBJECTS = """\
########################################
define command {
\tcommand_name\tcheck_nrpe
\tcommand_line\t$USER1$/check_nrpe -H $HOSTADDRESS$ -c $ARG1$
\t}

define command {
\tcommand_name\tlocal
\tcommand_line\t/usr/lib/nagios/plugins/check_load -w 5
\t}

define host {
\thost_name\tnode
\t}
"""


def status(kind: str, service: str, command: str, due: int, active: int = 1) -> str:
    described = f"\tservice_description={service}\n" if service else ""
    return (
        f"{kind}status {{\n\thost_name=node\n{described}\tmodified_attributes=0\n\tcheck_command={command}\n"
        f"\tlast_check=900\n\tnext_check={due}\n\tplugin_output=next_check=1\n\tactive_checks_enabled={active}\n\t}}\n\n"
    )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path / "objects.cache", tmp_path / "status.dat", tmp_path / "nagios.cmd")
    made.objects.write_text(OBJECTS, encoding="ascii")
    made.status.write_text(
        "info {\n\tcreated=1000\n\t}\n\n"
        + status("host", "", "check_nrpe!alive", 990)
        + status("service", "due since", "check_nrpe!disk", 1000)
        + status("service", "due later", "check_nrpe!disk", 1001)
        + status("service", "of another plugin", "local", 900)
        + status("service", "passive", "check_nrpe!disk", 900, 0)
        + status("service", "never", "check_nrpe!disk", 0),
        encoding="ascii",
    )
    os.mkfifo(made.commands)
    return made


@pytest.mark.parametrize("plugin", ["check_nrpe", "/usr/lib/nagios/plugins/check_nrpe"])
def test_only_what_was_due_by_these_plugins_is_found(files: Files, plugin: str) -> None:
    assert find(files, [plugin], 1000.5) == [(b"node", b""), (b"node", b"due since")]
    assert find(files, ["check_disk"], 1000.5) == []


def test_nagios_is_told_to_check_them_now(files: Files) -> None:
    reader = os.open(files.commands, os.O_RDONLY | os.O_NONBLOCK)
    assert check_now(files, [(b"node", b""), (b"node", b"due since")]) == 2
    lines = os.read(reader, 4096).decode().splitlines()
    os.close(reader)
    assert [line.partition("] ")[2].rpartition(";")[0] for line in lines] == [
        "SCHEDULE_FORCED_HOST_CHECK;node",
        "SCHEDULE_FORCED_SVC_CHECK;node;due since",
    ]


def test_what_nagios_does_not_take_now_is_left(files: Files) -> None:
    reader = os.open(files.commands, os.O_RDONLY | os.O_NONBLOCK)
    many = [(b"node", b"service %d" % number) for number in range(5000)]
    count = check_now(files, many)
    os.close(reader)
    assert 0 < count < 5000


def test_without_nagios_it_says_so(files: Files) -> None:
    with pytest.raises(OSError, match="No such device"):
        check_now(files, [(b"node", b"")])
    files.status.unlink()
    with pytest.raises(FileNotFoundError):
        find(files, ["check_nrpe"], 1.0)
