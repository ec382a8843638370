"""The configuration file of Graphios 2: the same lines, the same names, the same receivers; what is dead or unknown is named."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphios import configuration
from graphios.configuration import graphios2
from graphios.configuration.graphios2_options import BELONGS_TO, NO_EFFECT
from graphios.configuration.paths import default_path
from graphios.configuration.settings import (
    CarbonBackend,
    InfluxBackend,
    OutputBackend,
    Settings,
    StatsdBackend,
)
from graphios.convert import Converter
from tests.unit.graphios.peers import Peer, read_all

FULL = Path(__file__).parents[1] / "data/graphios2.cfg"
CARBON = "[graphios]\nspool_directory = /spool\nenable_carbon = True\n"


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/graphios")


def load(tmp_path: Path, text: str, mode: int = 0o600) -> Settings:
    path = tmp_path / "graphios.cfg"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(mode)
    return configuration.load(path, carbon_conf_path=tmp_path / "carbon.conf")


def names(settings: Settings, line: str) -> list[str]:
    """The metric names that come out of a spool line."""
    found: list[str] = []
    for items, _ in Converter(settings.names).convert(line.encode(), time.time()):
        found += [str(item).rsplit(" ", 2)[0] for item in items]
    return found


def line(**fields: str) -> str:
    known = {
        "DATATYPE": "SERVICEPERFDATA",
        "TIMET": str(int(time.time())),
        "HOSTNAME": "web.example",
        "SERVICEDESC": "Disk /",
    }
    return "\t".join(f"{key}::{value}" for key, value in (known | fields).items())


def test_the_full_file_holds_every_option_there_was() -> None:
    text = FULL.read_text()
    for option in [*BELONGS_TO, *NO_EFFECT]:
        assert f"\n{option} = " in text


def test_every_option_of_the_full_file_comes_to_something(tmp_path: Path) -> None:
    found = load(tmp_path, FULL.read_text())
    assert [(spool.name, spool.directory) for spool in found.spools] == [("spool", "/var/spool/nagios/graphios")]
    assert (found.poll, found.log_level, found.dry_run) == (20, "warning", False)
    assert (found.names.scheme, found.names.cleaning, found.names.unprefixed) == ("graphios", "graphios", False)
    assert (found.names.base, found.names.replacement) == ("site.nagios", "_")
    assert (found.names.reverse_hostname, found.names.replace_hostname) == (True, True)
    tags = (("check", "{label}"), ("host", "{host}"), ("location", "lab"))
    influx = InfluxBackend(
        "influxdb:influx-example-8087", "https://influx.example:8087", database="perfdata", username="nagios",
        password="50%hunter2", measurement="{service}", tags=tags,
    )  # fmt: skip
    assert found.backends == (
        CarbonBackend("carbon:127-0-0-1-2103", (("127.0.0.1", 2103),)),
        CarbonBackend("carbon:carbon-example-2003", (("carbon.example", 2003),)),
        CarbonBackend("carbon:10-0-0-7-2003", (("10.0.0.7", 2003),)),
        StatsdBackend("statsd:127-0-0-1-8126", "127.0.0.1", 8126),
        StatsdBackend("statsd:stats-example-8125", "stats.example", 8125),
        influx,
        influx._replace(name="influxdb:influx2-example-9999", url="https://influx2.example:9999"),
        OutputBackend("stdout"),
    )


def test_what_is_dead_or_unsupported_is_named_without_secrets(tmp_path: Path) -> None:
    warnings = "\n".join(load(tmp_path, FULL.read_text()).warnings)
    for option in [*NO_EFFECT, "enable_librato", "enable_influxdb", "enable_stdout"]:
        assert f"graphios.cfg: {option}" in warnings
    for option in BELONGS_TO:
        if option not in ("enable_librato", "enable_influxdb", "enable_stdout"):
            assert f"graphios.cfg: {option} " not in warnings
    for secret in ("hunter2", "0123456789abcdef"):
        assert secret not in warnings


def test_options_of_backends_that_are_off_are_not_worth_a_word(tmp_path: Path) -> None:
    text = FULL.read_text()
    for backend in ("statsd", "librato", "influxdb", "influxdb09", "stdout"):
        text = text.replace(f"enable_{backend} = True", f"enable_{backend} = False")
    warnings = load(tmp_path, text).warnings
    assert not [
        warning for warning in warnings if any(word in warning for word in ("librato", "influx", "stat", "stdout"))
    ]


def test_the_least_that_worked(tmp_path: Path) -> None:
    found = load(tmp_path, "[graphios]\nenable_carbon = true\n")
    assert found.spools[0].directory == "/var/spool/nagios/graphios"
    assert found.backends == (CarbonBackend("carbon", (("127.0.0.1", 2004),), "pickle"),)
    assert (found.poll, found.log_level) == (15, "info")
    assert found.names.replace_hostname
    assert not found.names.reverse_hostname
    assert found.warnings == ()


PERFDATA = {"SERVICEPERFDATA": "a b=1 /var=2"}
PREFIXED = line(GRAPHITEPREFIX="pre.fix", GRAPHITEPOSTFIX="post", SERVICEPERFDATA="load1=1;2;3 /var=2")


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ("", PREFIXED, ["pre.fix.web_example.post.load1", "pre.fix.web_example.post._var"]),
        ("", line(SERVICEPERFDATA="load1=1"), []),
        ("", line(GRAPHITEPREFIX="$_SERVICEGRAPHITEPREFIX$", SERVICEPERFDATA="load1=1"), []),
        ("replace_hostname = False", PREFIXED, ["pre.fix.web.example.post.load1", "pre.fix.web.example.post._var"]),
        ("reverse_hostname = True", PREFIXED, ["pre.fix.example_web.post.load1", "pre.fix.example_web.post._var"]),
        ("replacement_character = -", PREFIXED, ["pre.fix.web-example.post.load1", "pre.fix.web-example.post.-var"]),
        ("metric_base_path = me", PREFIXED, ["me.pre.fix.web_example.post.load1", "me.pre.fix.web_example.post._var"]),
        ("use_service_desc = True", line(SERVICEPERFDATA="load1=1"), ["web_example.Disk_.load1"]),
        (
            "use_service_desc = True",
            PREFIXED,
            ["pre.fix.web_example.Disk_.post.load1", "pre.fix.web_example.Disk_.post._var"],
        ),
        (
            "",
            line(DATATYPE="HOSTPERFDATA", GRAPHITEPOSTFIX="ping", HOSTPERFDATA="rta=1ms"),
            ["web_example.ping.rta"],
        ),
    ],
)
def test_names_are_those_of_graphios_2(tmp_path: Path, options: str, text: str, expected: list[str]) -> None:
    assert names(load(tmp_path, f"{CARBON}{options}\n"), text) == expected


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("spool_dir = /x", "spool_dir = /x: is not known (did you mean spool_directory?)"),
        ("statsd_server = /x", "(did you mean statsd_servers?)"),
        ("enable_statsd = yes", "enable_statsd = yes: only True is yes in this file; this counts as False"),
        ("replace_hostname = no", "replace_hostname = no: only False is no in this file; this counts as True"),
        ("sleep_time = often", "sleep_time = often: must be a number"),
        ("log_level = loud", "log_level = loud: is no level"),
        ("replacement_character = *", "replacement_character = *: "),
        ("carbon_servers = a:b, 127.0.0.1", "'a:b' the port of 'a:b' must be a whole number"),
        ("carbon_servers = a, a:2004", "a:2004 stands there twice"),
        ("test_mode = True", "test_mode = True: what would be sent is printed"),
        ("enable_influxdb09 = True\ninfluxdb_extra_tags = [", "influxdb_extra_tags = [: is no dictionary"),
        ("enable_influxdb09 = True\ninfluxdb_extra_tags = {'a': '{b}'}", "can't be a tag"),
        ("nerf_carbon = True", "nerf_carbon = True: has no effect"),
    ],
)
def test_the_rest_is_a_warning_by_name(tmp_path: Path, options: str, complaint: str) -> None:
    warnings = load(tmp_path, f"{CARBON}{options}\n").warnings
    assert len(warnings) == 1
    assert complaint in warnings[0]
    assert "graphios.cfg: " in warnings[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[graphios]\n", "no backend that can be used is enabled"),
        ("[graphios]\nenable_carbon = 1\n", "enable_carbon = 1: only True is yes"),
        ("[graphios]\nenable_librato = True\n", "Librato is not supported"),
        ("[graphios]\nenable_carbon = True\ncarbon_servers = ,\n", "no backend that can be used"),
        (CARBON + "spool_directory = spool\n", "spool_directory = spool: must be an absolute path"),
        (CARBON + "what\n", "contains parsing errors"),
    ],
)
def test_only_what_leaves_nothing_to_do_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(configuration.ConfigError) as refusal:
        load(tmp_path, text)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_test_mode_is_a_dry_run(tmp_path: Path) -> None:
    assert load(tmp_path, CARBON + "test_mode = True\n").dry_run


def test_a_password_everybody_can_read_is_told_not_refused(tmp_path: Path) -> None:
    text = CARBON + "enable_influxdb09 = True\ninfluxdb_user = a\ninfluxdb_password = hunter2\n"
    assert load(tmp_path, text).warnings == ()
    (warning,) = load(tmp_path, text, 0o644).warnings
    assert "every user of this machine can read it" in warning
    assert "hunter2" not in warning


def test_bytes_that_are_no_utf_8_and_repeated_options_are_taken_as_python_2_did(tmp_path: Path) -> None:
    found = load(
        tmp_path, CARBON + "# caf\udce9\nsleep_time = 1\nsleep_time: 2 ; seconds\n[more]\nREVERSE_HOSTNAME=True\n"
    )
    assert (found.poll, found.names.reverse_hostname, found.warnings) == (2, True, ())


def test_carbons_own_limit_is_kept_for_each_server(tmp_path: Path) -> None:
    (tmp_path / "carbon.conf").write_text("[cache]\nMAX_CREATES_PER_MINUTE = 50\n")
    found = load(tmp_path, CARBON + "carbon_servers = 127.0.0.1,192.0.2.1\n").backends
    assert [b.creates_per_minute for b in found if isinstance(b, CarbonBackend)] == [50, 0]


def test_files_that_graphios_2_took_and_that_are_left_alone_are_found(tmp_path: Path) -> None:
    ours = ["service-perfdata.1", "host-perfdata.1", "perfdata.1", "nagios2-perfdata-3", "nagios_service-perfdata.1"]
    others = ["README", "core", "data.1"]
    for name in [*ours, *others, "service-perfdata", "host-perfdata", "_x", ".service-perfdata.1"]:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert sorted(graphios2.left_alone(str(tmp_path))) == sorted(others)


def test_a_site_is_shipped_with_its_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    first, second = Peer("127.0.0.1", read_all), Peer("127.0.0.1", read_all)
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "service-perfdata.1416300000").write_text(PREFIXED + "\n" + line(SERVICEPERFDATA="load1=1") + "\n")
    servers = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    text = FULL.read_text().replace("127.0.0.1:2103, carbon.example, 10.0.0.7:2003", servers)
    for backend in ("statsd", "librato", "influxdb", "influxdb09", "stdout"):
        text = text.replace(f"enable_{backend} = True", f"enable_{backend} = False")
    (tmp_path / "graphios.cfg").write_text(text.replace("/var/spool/nagios/graphios/", f"{spool}/"))
    try:
        words = [sys.executable, "-m", "graphios.cli", "--config", str(tmp_path / "graphios.cfg"), "--once"]
        done = subprocess.run(words, cwd=FULL.parents[3], stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    finally:
        first.close()
        second.close()
    now = PREFIXED.partition("TIMET::")[2].partition("\t")[0]
    expected = "".join(f"site.nagios.pre.fix.example_web.post.{label} {now}\n" for label in ("load1 1", "_var 2"))
    for carbon in (first, second):
        assert b"".join(carbon.received).decode() == expected
    assert not list(spool.glob("service-perfdata.*"))


def test_the_file_is_found_where_it_lay(tmp_path: Path) -> None:
    assert default_path(tmp_path) == tmp_path / "graphios.ini"
    (tmp_path / "graphios.cfg").touch()
    assert default_path(tmp_path) == tmp_path / "graphios.cfg"
    (tmp_path / "graphios.ini").touch()
    assert default_path(tmp_path) == tmp_path / "graphios.ini"
