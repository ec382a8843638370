"""graphios.ini: documented whole, and every mistake in it named."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphios import configuration
from graphios.configuration.options import KINDS
from graphios.configuration.settings import (
    CarbonBackend,
    FifoInput,
    InfluxBackend,
    OutputBackend,
    PrometheusBackend,
    Settings,
    SpoolInput,
    StatsdBackend,
    Tls,
)

GOOD = "[spool]\ndirectory = /var/spool/graphios\n"
INFLUX1 = GOOD + "[influxdb]\nurl = http://[::1]:8086/\ndatabase = nagios\n"
PROMETHEUS = GOOD + "[prometheus]\nurl = https://prom.example/api/v1/write\n"


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/graphios")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


def load(tmp_path: Path, text: str, **options: bool) -> Settings:
    path = tmp_path / "graphios.ini"
    path.write_text(text, encoding="utf-8")
    return configuration.load(path, carbon_conf_path=tmp_path / "carbon.conf", **options)


def secret(tmp_path: Path, text: str = "s3cret\n", mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def documented() -> dict[tuple[str, str], str]:
    """Every option of the sample with its value, those behind ; as well."""
    found = {}
    section = ""
    for line in configuration.SAMPLE.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix(";")
        if header := re.fullmatch(r"\[(\w+)\]", text):
            section = header[1]
            assert section in KINDS
        elif text and not text.startswith("#"):
            option, equals, value = text.partition(" =")
            assert equals, line
            assert (section, option) not in found, line
            found[section, option] = value.strip()
    return found


def test_the_sample_documents_every_option_with_its_default() -> None:
    found = documented()
    found = {key: value for key, value in found.items() if not KINDS[key[0]].free}
    defaults = {(kind, option.name): option.default for kind in KINDS for option in KINDS[kind].options}
    assert found.keys() == defaults.keys()
    for key, default in defaults.items():
        if default is not None:
            assert found[key] == default, key


def test_the_sample_names_every_section() -> None:
    text = configuration.SAMPLE.read_text(encoding="utf-8")
    found = re.findall(r"^;?\[(\w+)\]$", text, re.MULTILINE)
    assert sorted(found) == sorted(KINDS)


def test_the_sample_is_the_same_as_no_options_at_all(tmp_path: Path) -> None:
    conf = tmp_path / "carbon.conf"
    sample = configuration.load(configuration.SAMPLE, carbon_conf_path=conf)
    assert sample._replace(path=Path()) == load(tmp_path, GOOD)._replace(path=Path())


def test_the_defaults_are_those_of_the_settings_themselves(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    assert loaded.backends == (CarbonBackend("carbon", (("127.0.0.1", 2003),)),)
    assert loaded.spools == (SpoolInput("spool", "/var/spool/graphios"),)
    for part in (loaded.names, loaded.limits):
        assert part == type(part)()
    assert loaded.state_directory.parent == Path("/var/lib/graphios/graphios")
    assert re.fullmatch("graphios-[0-9a-f]{8}", loaded.state_directory.name)
    assert loaded.status_file == loaded.state_directory / "status.json"
    assert loaded.reject_file == Path("/var/lib/graphios/graphios-rejects.log")
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"\[spool\] directory is missing"),
        ("[spool]\ndirectory =\n", r"\[spool\] directory is missing"),
        ("[spool]\ndirectory = spool\n", r"\[spool\] directory = spool: must be an absolute path"),
        (GOOD + "directry = /x\n", r"unknown option directry in \[spool\] \(did you mean directory\?\); its options are"),
        (GOOD + "[carbn]\nport = 1\n", r"unknown section \[carbn\] \(did you mean carbon\?\); the sections are spool"),
        (GOOD + "[carbon]\nport = 70000\n", r"\[carbon\] port = 70000: must be a whole number from 1 to 65535, or auto"),
        (GOOD + "[carbon]\nport = 2003 # plaintext\n", r"\[carbon\] port = 2003 # plaintext: must be a whole number"),
        (GOOD + "[carbon]\nport = ²\n", r"\[carbon\] port = ²: must be a whole number"),
        (GOOD + "[carbon]\nack_timeout = nan\n", r"\[carbon\] ack_timeout = nan: must be a number from 0.1 to 3600"),
        (GOOD + "[carbon]\nack_timeout = inf\n", r"\[carbon\] ack_timeout = inf: must be a number"),
        (GOOD + "[carbon]\nack_timeout = 1_0\n", r"\[carbon\] ack_timeout = 1_0: must be a number"),
        (GOOD + "[limits]\nmax_bytes = inf\n", r"\[limits\] max_bytes = inf: must be a whole number from 0"),
        (GOOD + "[carbon]\ncreates_per_minute = many\n", r"creates_per_minute = many: must be .*, or auto"),
        (GOOD + "[carbon]\nhost = a b\n", r"\[carbon\] host = a b: must be a host name"),
        (GOOD + "[carbon]\nhost = a,,b\n", r"\[carbon\] host = a,,b: must be a host name"),
        (GOOD + "[carbon]\nhost = a:b\n", r"\[carbon\] host = a:b: the port of 'a:b' must be a whole number"),
        (GOOD + "[carbon]\nhost = 1:2:3\n", r"\[carbon\] host = 1:2:3: must be a host name"),
        (GOOD + "[carbon]\nhost = tcp://a\n", r"\[carbon\] host = tcp://a"),
        (GOOD + "[carbon]\nhost = a, a:2003\n", r"\[carbon\] host names a server twice"),
        (GOOD + "[carbon]\nprotocol = Pickle\n", r"protocol = Pickle: must be one of: .*did you mean pickle"),
        (GOOD + "[carbon]\ntls = ja\n", r"\[carbon\] tls = ja: must be yes or no"),
        (GOOD + "[carbon]\ntls_verify = no\n", r"\[carbon\] tls_verify needs tls = yes"),
        (GOOD + "[carbon]\ntls = yes\ntls_ca = /no/ca.pem\n", r"\[carbon\] tls_ca = /no/ca.pem: No such file"),
        (GOOD + "[carbon]\ntls = yes\ntls_key = /k\n", r"\[carbon\] tls_certificate is missing"),
        (GOOD + "[carbon]\ntls = yes\ntls_verify=no\ntls_ca = /k\n", r"\[carbon\] tls_ca .* tls_verify = no"),
        (GOOD + "[carbon]\ngraphite_url = graphite:8080\n", r"graphite_url = .*: must be a URL"),
        (GOOD + "[carbon:]\nport = 1\n", r"section \[carbon:\]: a name is"),
        (GOOD + "[carbon:a.b]\nport = 1\n", r"section \[carbon:a.b\]: a name is"),
        (GOOD + "[names:a]\nbase = 1\n", r"unknown section \[names:a\]; there is one \[names\] only"),
        (GOOD + "[stdout]\nport = 1\n", r"unknown option port in \[stdout\]; it has no options"),
        (GOOD + "[fifo]\n", r"\[fifo\] path is missing"),
        (GOOD + "[file]\npath =\n", r"\[file\] path is missing"),
        (GOOD + "[spool:b]\n", r"\[spool:b\] directory is missing"),
        (GOOD + "[spool:b]\ndirectory=/b\npoll_seconds=2\n", r"\[spool:b\] poll_seconds is for all spools"),
        (GOOD + "files = a/b\n", r"\[spool\] files = a/b: must be patterns"),
        (GOOD + "[influxdb]\ndatabase = x\n", r"\[influxdb\] url is missing"),
        (GOOD + "[influxdb]\nurl = http://a\n", r"\[influxdb\] database is missing: version = 1 needs it"),
        (GOOD + "[influxdb]\nurl = http://a\nversion = 2\n", r"\[influxdb\] bucket is missing: version = 2 needs it"),
        (INFLUX1 + "bucket = b\n", r"\[influxdb\] bucket belongs to version = 2, and this is 1"),
        (INFLUX1 + "version = 2\n", r"\[influxdb\] database belongs to version = 1, and this is 2"),
        (INFLUX1 + "version = 3\n", r"\[influxdb\] version = 3: must be one of: 1, 2"),
        (INFLUX1 + "username = u\n", r"\[influxdb\] password_file is missing"),
        (INFLUX1 + "password_file = /p\n", r"\[influxdb\] username is missing"),
        (INFLUX1 + "username = u\npassword_file = /no/p\n", r"password_file = /no/p: No such file or directory"),
        (INFLUX1 + "username = u\npassword_file = p\n", r"password_file = p: must be an absolute path"),
        (INFLUX1 + "password = p\n", r"unknown option password in \[influxdb\] \(did you mean password_file\?\)"),
        (INFLUX1 + "tls_verify = no\n", r"\[influxdb\] tls_verify needs a url that begins with https://"),
        (INFLUX1 + "measurement = {host\n", r"measurement = \{host: has a \{ or \}"),
        (GOOD + "[influxdb]\nurl = http://u:hunter2@a\n", r"must not hold user or password"),
        (GOOD + "[influxdb]\nurl = http://a/?u=x\n", r"must not hold \?"),
        (GOOD + "[influxdb]\nurl = ftp://a\n", r"must be a URL that begins with http"),
        (GOOD + "[influxdb]\nurl = http://\n", r"must be a URL such as"),
        (GOOD + "[influxdb]\nurl = http://[::\n", r"must be a URL such as"),
        (GOOD + "[influxdb]\nurl = http://a:99999\n", r"must be a URL such as"),
        (PROMETHEUS + "metric = a.b\n", r"\[prometheus\] metric = a.b: must be letters"),
        (PROMETHEUS + "username = u\ntoken_file = /t\n", r"\[prometheus\] has both token_file and username"),
        (GOOD + "[names]\ncleaning = yes\n", r"\[names\] cleaning = yes: must be one of: unique, escape, graphios"),
        (GOOD + "[names]\nscheme = tag\n", r"\[names\] scheme = tag: .*did you mean tags"),
        (GOOD + "[names]\ntemplate = {label}.x\n", r"\[names\] template needs scheme = template, and scheme is graphios"),
        (GOOD + "[names]\nreplacement = -\n", r"\[names\] replacement needs cleaning = graphios, and cleaning is unique"),
        (GOOD + "[names]\nscheme = template\ntemplate = {hots}.{label}\n", r"field \{hots\} \(did you mean host\?\)"),
        (GOOD + "[names]\nscheme = template\ntemplate = {host}\n", r"\[names\] .*\{label\} must stand there once"),
        (GOOD + "[names]\nscheme = template\ntemplate = a {label}\n", r"template = a \{label\}: may hold"),
        (GOOD + "[names]\nscheme = tags\ntags = host\n", r"tags = host: must be pairs"),
        (GOOD + "[names]\nscheme = tags\ntags = name={host}\n", r"which Graphite uses itself"),
        (GOOD + "[names]\nscheme = tags\ntags = a={host},a=b\n", r"which stands there twice"),
        (GOOD + "[names]\nscheme = tags\ntags = a;b={host}\n", r"has a tag 'a;b'"),
        (GOOD + "[names]\nscheme = tags\ntags = a=~b\n", r"has a value '~b'"),
        (GOOD + "[names]\nthresholds = warn critical\n", r"thresholds = warn critical: 'critical' is none of: warn, crit"),
        (GOOD + "[filter]\ninclude =\n  ^a\n  b(\n", r"\[filter\] include = .*'b\(' is no regular expression"),
        (GOOD + "[rewrite]\na = b\n", r"\[rewrite\] a = b: must be PATTERN -> REPLACEMENT"),
        (GOOD + "[rewrite]\na = (b) -> \\2\n", r"\[rewrite\] a = .*: the replacement .* is wrong: invalid group"),
        (GOOD + "[rewrite]\na = b( -> c\n", r"\[rewrite\] a = .*no regular expression"),
        (GOOD + "[rejects]\nfile = x\n", r"\[rejects\] file = x: must be an absolute path"),
        (GOOD + "[state]\ndirectory = x\n", r"\[state\] directory = x: must be an absolute path"),
        (GOOD + "[self]\nprefix = a..b\n", r"\[self\] prefix = a..b: must be letters"),
        (GOOD + "[log]\nlevel = loud\n", r"\[log\] level = loud: must be one of"),
        (GOOD + "[spool]\npoll_seconds = 2\n", r"section 'spool' already exists"),
        (GOOD + "directory = /y\n", r"option 'directory' in section 'spool' already exists"),
        (GOOD + "[spool:b]\ndirectory = /var/spool//graphios/\n", r"\[spool:b\] directory = .*: \[spool\] directory is the"),
        (GOOD + "[state]\ndirectory = /var/spool/graphios\n", r"\[state\] directory = .*: \[spool\] directory is the same"),
        (GOOD + "[file]\npath = /f\n[file:b]\npath = /f\n", r"\[file:b\] path = /f: \[file\] path is the same"),
        (GOOD + "[fifo]\npath = /f\n[fifo:b]\npath = /f\n", r"\[fifo:b\] path = /f: \[fifo\] path is the same"),
        (GOOD + "[file]\npath = /f\n[rejects]\nfile = /f\n", r"\[rejects\] file = /f: \[file\] path is the same"),
        (GOOD + "[file]\npath = /var/spool/graphios/service-perfdata.out\n", r"\[file\] path = .* called like its files"),
        ("directory = /x\n", r"no section headers"),
        ("[spool\n", r"no section headers"),
        (GOOD + "[DEFAULT]\nport = 1\n", r"unknown section \[DEFAULT\]"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_by_name_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(configuration.ConfigError) as refusal:
        load(tmp_path, text)
    message = str(refusal.value)
    assert re.search(complaint, message), message
    assert "graphios.ini" in message
    assert "\n" not in message


def test_a_password_in_a_url_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(configuration.ConfigError) as refusal:
        load(tmp_path, GOOD + "[influxdb]\nurl = http://u:hunter2@a\n")
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graphios.ini").write_bytes(b"[spool]\xff\n")
    with pytest.raises(configuration.ConfigError, match="not UTF-8 text"):
        configuration.load(tmp_path / "graphios.ini")


def test_what_is_no_configuration_at_all_is_refused() -> None:
    with pytest.raises(configuration.ConfigError, match="/dev/zero: longer than 1 MB, so this is no configuration"):
        configuration.load(Path("/dev/zero"))
    with pytest.raises(configuration.ConfigError, match="/dev: Is a directory"):
        configuration.load(Path("/dev"))


HEADS = ["[spool]", "[graphios]", "[carbon:x]", "[names]", "[filter]", "[rewrite]", "[influxdb]", "[DEFAULT]", "["]
WORDS = [
    "directory = /x", "enable_carbon = True", "host = [", "tags = {", "include = (", "a = b -> c", " continued", "=", "key", "# x",
    "url = http://[", "path = /a", "influxdb_extra_tags = {", "enable_influxdb09=true", "carbon_servers = ::", "%", "; y", "\\", "files = [",
]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(HEADS), st.sampled_from(WORDS), st.text(max_size=10)), max_size=12))
def test_whatever_stands_in_the_file_is_settings_or_one_line_of_complaint(lines: list[str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".ini") as file:
        file.write("\n".join(lines).encode("utf-8", "surrogatepass"))
        file.flush()
        complaint = ""
        try:
            configuration.load(Path(file.name), carbon_conf_path=Path("/none"))
        except configuration.ConfigError as error:
            complaint = str(error)
        assert "\n" not in complaint


def test_a_missing_file_is_named_together_with_the_sample(tmp_path: Path) -> None:
    with pytest.raises(configuration.ConfigError, match=r"nowhere.ini: No such file or .*; .*graphios.ini is a sample"):
        configuration.load(tmp_path / "nowhere.ini")


@pytest.mark.parametrize(
    ("host", "servers"),
    [
        ("[::1]", (("::1", 2003),)),
        ("::1", (("::1", 2003),)),
        ("a, b.example:2103,[2001:db8::1]:2203", (("a", 2003), ("b.example", 2103), ("2001:db8::1", 2203))),
        ("10.0.0.1:1\nport = 2", (("10.0.0.1", 1),)),
        ("a\nport = 7", (("a", 7),)),
        ("a\nprotocol = pickle", (("a", 2004),)),
    ],
)
def test_carbon_may_be_several_servers_that_stand_in_for_each_other(
    tmp_path: Path, host: str, servers: tuple[tuple[str, int], ...]
) -> None:
    backend = load(tmp_path, GOOD + f"[carbon]\nhost = {host}\n").backends[0]
    assert isinstance(backend, CarbonBackend)
    assert backend.servers == servers


def test_everything_can_be_set(tmp_path: Path) -> None:
    password = secret(tmp_path)
    (tmp_path / "ca.pem").touch()
    text = f"""
[spool]
directory = /spool/
files = *.perf perfdata.*
settle_seconds = 0.5
poll_seconds = .05
[spool:icinga]
directory = /icinga
[fifo:a]
path = /a.fifo
[limits]
max_bytes = 0
max_files = 7
max_age_hours = 1.5
[carbon:lab]
tls = yes
tls_ca = {tmp_path}/ca.pem
replay_minutes = 0
creates_per_minute = inf
graphite_url = https://graphite.example/
whisper_directory = /whisper/
tries = 3
[statsd]
protocol = tcp
host = ::1
[influxdb]
url = https://influx.example:8086/x/
database = d
retention_policy = r
username = u
password_file = {password}
measurement = {{service}}
tls_verify = no
[influxdb:two]
url = http://victoria:8428
version = 2
organisation = o
bucket = b
token_file = {password}
[prometheus]
url = http://prom:9090/api/v1/write
token_file = {password}
batch_bytes = 1000
[file]
path = /metrics
[stdout]
[names]
scheme = tags
metric = nagios.{{label}}
tags = host={{host}}, group={{HOSTGROUPNAME}}
cleaning = graphios
replacement =
dot = _
reverse_hostname = yes
replace_hostname = no
thresholds = warn, max
normalize = on
[filter]
include =
  ^a

  # not this
  b$
exclude = c
[rewrite]
second = ^(x)=y -> \\1
first = z ->
[state]
directory = /state
[status]
file = /run/status.json
[rejects]
file = /rejects
[self]
prefix = me.too
interval_seconds = 0
[log]
level = debug
"""
    found = load(tmp_path, text)
    assert found.spools == (
        SpoolInput("spool", "/spool", ("*.perf", "perfdata.*")),
        SpoolInput("spool:icinga", "/icinga"),
    )
    assert found.fifos == (FifoInput("fifo:a", "/a.fifo"),)
    assert (found.settle, found.poll, tuple(found.limits)) == (0.5, 0.05, (0, 7, 5400.0))
    carbon, statsd, influx1, influx2, prometheus, file, stdout = found.backends
    assert isinstance(carbon, CarbonBackend)
    assert (carbon.name, carbon.servers, carbon.tls) == (
        "carbon:lab",
        (("127.0.0.1", 2003),),
        Tls(tmp_path / "ca.pem", None, None, True),
    )
    assert (carbon.replay_seconds, carbon.creates_per_minute, carbon.delivery.tries) == (0, 0, 3)
    assert (carbon.graphite_url, carbon.whisper) == ("https://graphite.example", "/whisper")
    assert statsd == StatsdBackend("statsd", "::1", 8125, "tcp")
    assert influx1 == InfluxBackend(
        name="influxdb",
        url="https://influx.example:8086/x",
        database="d",
        retention_policy="r",
        username="u",
        password="s3cret",
        measurement="{service}",
        tls=Tls(verify=False),
    )
    assert influx2 == InfluxBackend(
        "influxdb:two", "http://victoria:8428", version=2, organisation="o", bucket="b", token="s3cret"
    )
    assert isinstance(prometheus, PrometheusBackend)
    assert (prometheus.token, prometheus.delivery.batch_bytes) == ("s3cret", 1000)
    assert (file, stdout) == (OutputBackend("file", Path("/metrics")), OutputBackend("stdout"))
    names = found.names
    assert (names.scheme, names.metric, names.cleaning, names.replacement, names.dot) == (
        "tags",
        "nagios.{label}",
        "graphios",
        "",
        "_",
    )
    assert names.tags == (("host", "{host}"), ("group", "{HOSTGROUPNAME}"))
    assert (names.reverse_hostname, names.replace_hostname, names.normalize) == (True, False, True)
    assert names.thresholds == ("warn", "max")
    assert [pattern.pattern for pattern in names.include + names.exclude] == ["^a", "b$", "c"]
    assert [(pattern.pattern, text) for pattern, text in names.rewrite] == [("^(x)=y", r"\1"), ("z", "")]
    assert [str(path) for path in (found.state_directory, found.status_file, found.reject_file)] == [
        "/state",
        "/run/status.json",
        "/rejects",
    ]
    assert (found.self_prefix, found.self_interval, found.log_level) == ("me.too", 0, "debug")


def test_a_fifo_alone_will_do_and_so_will_nothing_where_lines_come_from_elsewhere(tmp_path: Path) -> None:
    assert load(tmp_path, "[fifo]\npath = /f\n[spool]\npoll_seconds = 3\n").poll == 3
    assert load(tmp_path, "[stdout]\n", need_input=False).state_directory.name.startswith("stdin-")


def test_backends_replace_the_default_one(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "[stdout]\n").backends == (OutputBackend("stdout"),)


def test_one_carbon_in_two_sections_is_told(tmp_path: Path) -> None:
    warnings = load(tmp_path, GOOD + "[carbon]\n[carbon:b]\nhost=localhost,127.0.0.1\n").warnings
    assert len(warnings) == 1
    assert "[carbon] and [carbon:b] both send to 127.0.0.1 port 2003" in warnings[0]


def test_state_is_apart_for_each_first_input_and_the_status_where_systemd_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/graphios:/run/other")
    first, second = (load(tmp_path, f"[spool]\ndirectory = /{name}/spool\n") for name in "ab")
    assert first.state_directory != second.state_directory
    assert first.status_file == Path("/run/graphios/status.json")


@pytest.mark.parametrize(
    ("mode", "text", "complaint"),
    [
        (0o604, "x", r"mode 0604"),
        (0o666, "x", r"mode 0666"),
        (0o600, " \n", r"is empty"),
        (0o600, "a\nb", r"more than one line"),
        (0o600, "a" * 10_001, r"is longer than"),
    ],
)
def test_secrets_that_are_none_are_refused_without_repeating_them(
    tmp_path: Path, mode: int, text: str, complaint: str
) -> None:
    path = secret(tmp_path, text, mode)
    with pytest.raises(
        configuration.ConfigError, match=rf"\[prometheus\] token_file = {path}: .*{complaint}"
    ) as refusal:
        load(tmp_path, PROMETHEUS + f"token_file = {path}\n")
    assert "aaa" not in str(refusal.value)


def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = secret(tmp_path, mode=0o644)
    options = f"tls_certificate = {path}\ntls_key = {path}\n"
    with pytest.raises(configuration.ConfigError, match=r"\[prometheus\] tls_key = .*: every user"):
        load(tmp_path, PROMETHEUS + options)
    path.chmod(0o640)
    assert load(tmp_path, PROMETHEUS + options)


def test_a_directory_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(configuration.ConfigError, match="is not a regular file"):
        load(tmp_path, PROMETHEUS + f"token_file = {tmp_path}\n")


def test_commands_that_need_no_secrets_do_not_open_them(tmp_path: Path) -> None:
    text = PROMETHEUS + "token_file = /not/there\ntls_ca = /not/there\n"
    backend = load(tmp_path, text, secrets=False).backends[0]
    assert isinstance(backend, PrometheusBackend)
    assert backend.token == ""


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"STATE_DIRECTORY": "/a:/b"}, "/a"),
        ({"XDG_STATE_HOME": "/state"}, "/state/testbed-checks"),
        ({"HOME": "/home/x"}, "/home/x/.local/state/testbed-checks"),
    ],
)
def test_rejects_go_to_the_users_state_directory(
    environment: dict[str, str], directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert configuration.state_directory() == Path(directory)


def test_carbons_own_file_is_asked_unless_the_option_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "carbon.conf").write_text(f"[cache]\nMAX_CREATES_PER_MINUTE = 50\nLOCAL_DATA_DIR = {tmp_path}\n")
    for text, expected in (
        ("", (50, str(tmp_path))),
        ("[carbon]\ncreates_per_minute = 7\n", (7, str(tmp_path))),
        ("[carbon]\ncreates_per_minute = 0\nwhisper_directory =\n", (0, "")),
        ("[carbon]\nport = 2103\n", (0, "")),
    ):
        (backend,) = load(tmp_path, GOOD + text).backends
        assert isinstance(backend, CarbonBackend)
        assert (backend.creates_per_minute, backend.whisper) == expected
