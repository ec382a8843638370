"""What the worker reads of Nagios's files."""

from pathlib import Path

import pytest

from checks.engine.worker.nagios_config import BadConfig, NagiosConfig, OwnPerfdata, read

SERVICE = "define service {{\n\thost_name\t{}\n\tservice_description\t{}\n\tcheck_command\tx\n\tprocess_perf_data\t{}\n\tnotes\ta }}\n\t}}\n\n"
HOST = "define host {{\n\thost_name\t{}\n\tprocess_perf_data\t{}\n\t}}\n\n"


def config(folder: Path, text: str = "") -> NagiosConfig:
    path = folder / "nagios.cfg"
    path.write_text(
        f"process_performance_data=1\nservice_perfdata_file=/p\nhost_perfdata_command=x\nobject_cache_file={folder}/objects.cache\n"
        f"status_file={folder}/status.dat\n{text}"
    )
    return read(path)


def objects(folder: Path, *definitions: str) -> None:
    (folder / "objects.cache").write_text("# made by Nagios\n" + "".join(definitions), encoding="utf-8")


def test_the_last_of_equal_names_wins_and_comments_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "nagios.cfg"
    path.write_bytes(
        b"# a comment\n;query_socket=/wrong\n  query_socket = /first \nquery_socket=/run/nagios.qh\nenable_environment_macros=1\n"
        b"command_file=rw/nagios.cmd\ncfg_file=/a\ncfg_file=/b\nodd line\n\xff=\xff\n"
    )
    found = read(path)
    assert found.query_socket == Path("/run/nagios.qh")
    assert found.command_file == tmp_path / "rw" / "nagios.cmd"
    assert found.check_result_path == Path("/var/lib/nagios4/spool/checkresults")
    assert (found.environment_macros, found.performance_data, found.service_perfdata) == (True, False, False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"", "nothing is set in it"),
        (b"\x7fELF\0=", "not a main configuration file"),
        (b"enable_environment_macros=yes\n", "enable_environment_macros is 'yes', not 0 or 1"),
    ],
)
def test_a_file_of_no_use_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "nagios.cfg").write_bytes(content)
    with pytest.raises(BadConfig, match=f"nagios.cfg.*{complaint}"):
        read(tmp_path / "nagios.cfg")


def test_nagios_writes_what_is_not_switched_off(tmp_path: Path) -> None:
    objects(
        tmp_path,
        SERVICE.format("h", "on", 1),
        SERVICE.format("h", "off ö", 0),
        HOST.format("h", 0),
        HOST.format("i", 1),
    )
    own = OwnPerfdata(config(tmp_path))
    assert own.written(b"h", b"on")
    assert not own.written(b"h", "off ö".encode())
    assert not own.written(b"h", b"")
    assert own.written(b"i", b"")


@pytest.mark.parametrize(
    ("text", "service", "host"),
    [
        ("", True, True),
        ("process_performance_data=0\n", False, False),
        ("service_perfdata_file=\n", False, True),
        ("host_perfdata_command=\n", True, False),
    ],
)
def test_nagios_writes_only_where_it_is_told_to(tmp_path: Path, text: str, service: bool, host: bool) -> None:
    objects(tmp_path, SERVICE.format("h", "on", 1), HOST.format("h", 1))
    own = OwnPerfdata(config(tmp_path, text))
    assert (own.written(b"h", b"on"), own.written(b"h", b"")) == (service, host)


def test_an_operator_can_switch_it_off_while_nagios_runs(tmp_path: Path) -> None:
    objects(tmp_path, SERVICE.format("h", "on", 1))
    own = OwnPerfdata(config(tmp_path))
    for switch in ("0", "1"):
        status = (
            f"info {{\n\t}}\n\nprogramstatus {{\n\tnagios_pid={switch * 5}\n\tprocess_performance_data={switch}\n\t}}\n"
        )
        (tmp_path / "status.dat").write_text(status + "x" * int(switch))
        assert own.written(b"h", b"on") == (switch == "1")


def test_another_configuration_is_seen_and_a_half_written_one_is_not(tmp_path: Path) -> None:
    objects(tmp_path, SERVICE.format("h", "s", 0))
    own = OwnPerfdata(config(tmp_path))
    assert not own.written(b"h", b"s")
    (tmp_path / "objects.cache").write_text("define service {\n\thost_name\th\n\tser")
    assert not own.written(b"h", b"s")
    objects(tmp_path, SERVICE.format("h", "s", 1))
    assert own.written(b"h", b"s")
    (tmp_path / "objects.cache").unlink()
    assert own.written(b"h", b"s")


def test_where_nagios_can_not_be_asked_nothing_is_left_to_it(tmp_path: Path) -> None:
    own = OwnPerfdata(config(tmp_path))
    assert not own.written(b"h", b"s")
    assert (
        own.trouble == f"{tmp_path}/objects.cache can't be read: perfdata that Nagios writes itself is shipped as well"
    )
    objects(tmp_path, SERVICE.format("h", "s", 1))
    assert own.written(b"h", b"s")
    assert own.trouble == ""
