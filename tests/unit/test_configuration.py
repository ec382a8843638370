"""The generated configuration: checked in as it is made, coherent between node, monitoring server and Graphite, and safe to write."""

from __future__ import annotations

import configparser
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from checks import cli
from checks.configuration import declared, graphite, nagios, nrpe, readme
from checks.configuration.command import generated
from checks.configuration.settings import DEFAULTS
from checks.engine.commands.commands import Commands
from checks.plugin import COUNTER, GAUGE, Check, Command, Measure, Options, Resource

ROOT = Path(__file__).resolve().parents[2]
CHECKS = declared.all_checks()


def run(*words: str) -> tuple[int, str]:
    return cli.run(["config", *words])


def nrpe_commands(folder: Path = ROOT / "nrpe") -> dict[str, str]:
    """Command name to command line of every snippet."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.cfg")):
        for name, line in re.findall(r"^command\[(.+?)\]=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name not in found, f"{name} is defined twice"
            found[name] = line
    return found


def objects(folder: Path = ROOT / "nagios-config") -> list[dict[str, str]]:
    """Every object definition, with its kind under "kind"."""
    found = []
    for path in sorted([*folder.glob("*.cfg"), *folder.glob("examples/*.cfg")]):
        for kind, body in re.findall(
            r"^define (\w+) \{\n(.*?)^\}", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            found.append({"kind": kind} | dict(line.split(None, 1) for line in body.splitlines()))
    return found


def services(folder: Path = ROOT / "nagios-config", *, passive: bool = False) -> list[dict[str, str]]:
    """Every registered service with what it inherits from our templates: those that Nagios checks, or those of which it is told."""
    every = [entry for entry in objects(folder) if entry["kind"] == "service"]
    templates = {entry["name"]: entry for entry in every if "name" in entry}

    def inherited(entry: dict[str, str]) -> dict[str, str]:
        base = templates.get(entry.get("use", ""))
        return (inherited(base) if base else {}) | entry

    found = [inherited(entry) for entry in every if "register" not in entry]
    return [entry for entry in found if passive == (entry.get("active_checks_enabled") == "0")]


def test_a_machine_with_an_engine_has_a_passive_service_for_each_command_that_runs_there_by_itself() -> None:
    made = run("nrpe", "--engine-interval", "60")[1]
    with_interval = set(re.findall(r"^# interval=\d+\ncommand\[(\w+)\]", made, re.MULTILINE))
    found = services(passive=True)
    assert {service["service_description"] for service in found} == {*with_interval, "engine"}
    for service in found:
        # It goes into the spool there; and silence is not taken for health.
        assert (service["process_perf_data"], service["check_freshness"], service["freshness_threshold"]) == (
            "0",
            "1",
            "300",
        )
        assert service["check_command"] == "testbed-no-result"


def test_generated_files_are_checked_in_as_they_are_made() -> None:
    assert run("all", "--check") == (0, "")


def test_no_file_is_left_of_a_check_that_is_gone() -> None:
    made = set(generated(CHECKS)) | {"nagios-config/spool-perfdata", "nagios-config/seattle/README.md"}
    there = {
        str(path.relative_to(ROOT))
        for room in ("nrpe", "nagios-config")
        for path in (ROOT / room).rglob("*")
        if path.is_file()
    }
    assert there == made


def test_every_check_of_setup_cfg_is_in_every_list() -> None:
    scripts = re.findall(
        r"^    checks/launchers/(check_\w+)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert scripts
    assert [check.name for check in CHECKS] == sorted(scripts)
    for check in CHECKS:
        assert check.commands
        assert f"### {check.name}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
        for command in check.commands:
            assert nrpe_commands()[command.name].split()[0].endswith(f"/{check.name}")
            assert any(service["service_description"] == command.name for service in services())


def test_timeouts_grow_from_the_check_over_nrpe_and_check_nrpe_to_nagios() -> None:
    plugins = []
    for line in nrpe_commands().values():
        path, *arguments = shlex.split(line)
        check = next(check for check in CHECKS if check.name == path.rpartition("/")[2])
        plugins.append(check.parse(arguments).timeout)
    command_timeout = int(
        re.findall(r"^command_timeout=(\d+)$", (ROOT / "nrpe/nrpe_local.cfg").read_text(), re.MULTILINE)[0]
    )
    asking = [entry["command_line"] for entry in objects() if "check_nrpe" in entry.get("command_line", "")]
    clients = [int(re.findall(r" -t (\d+):3\b", line)[0]) for line in asking]
    main = (ROOT / "nagios-config/main/testbed-checks.cfg").read_text(encoding="utf-8")
    core = int(re.findall(r"^service_check_timeout=(\d+)$", main, re.MULTILINE)[0])
    assert len(asking) == 6
    assert max(plugins) < command_timeout < min(clients)
    assert max(clients) < core
    direct = [check.parse(words).timeout for check, words in asked_directly()]
    assert not direct or max(direct) < core


def test_nagios_asks_only_for_commands_that_there_are_and_for_all_of_them() -> None:
    known = {entry["command_name"] for entry in objects() if entry["kind"] == "command"}
    asked = [(service["check_command"].partition("!"), service["service_description"]) for service in services()]
    assert {command for (command, _, _), _ in asked} <= known
    over_nrpe = {name for (command, _, name), _ in asked if "nrpe!" in f"{command}!" and name}
    assert over_nrpe <= set(nrpe_commands())
    direct = {said for (command, _, _), said in asked if command == f"testbed-{said}"}
    assert over_nrpe | direct == set(nrpe_commands())
    assert not over_nrpe & direct


def asked_directly() -> list[tuple[Check, list[str]]]:
    """The check and its words, of every command line that the monitoring server runs itself, for a host with the defaults of the template."""
    template = next(entry for entry in objects() if entry.get("name") == "testbed-seattle-host")
    found = []
    for entry in objects():
        line = entry.get("command_line", "")
        check = next((check for check in CHECKS if line.startswith(f"{DEFAULTS.bindir}/{check.name} ")), None)
        if check:
            line = line.replace("$HOSTADDRESS$", "192.0.2.1").replace("$ARG1$", "")
            line = line.replace("$_HOSTBUILD_ID$", "0123456789" * 4)
            line = re.sub(r"\$_HOST(\w+)\$", lambda match: template[f"_{match[1]}"], line)
            found.append((check, shlex.split(line)[1:]))
    return found


def test_checks_take_the_arguments_that_nagios_gives_them() -> None:
    assert {check.name for check, _ in asked_directly()} == {
        check.name for check in CHECKS if any(command.network for command in check.commands)
    }
    for check, words in asked_directly():
        check.parse(words)


def test_names_and_values_of_hosts_stand_in_quotes_for_the_shell() -> None:
    for entry in objects():
        line = entry.get("command_line", "")
        for macro in re.findall(r"\$(?:HOST\w+|SERVICE\w+|_\w+)\$", line):
            assert f"'{macro}'" in line or macro.endswith("_OPTIONS$"), line


def test_perfdata_takes_one_road_the_taps_or_nagioss() -> None:
    for service in services():
        command, _, name = service["check_command"].partition("!")
        tapped = "-tap-" in command
        assert service["process_perf_data"] == ("0" if tapped else "1")
        assert tapped == ("--compress" in nrpe_commands().get(name, ""))
    of_one_host = {(service["service_description"], service["_GRAPHITEPOSTFIX"]) for service in services()}
    special = {command.name for check in CHECKS for command in check.commands if command.special}
    postfixes = [postfix for name, postfix in of_one_host if name in special]
    assert len(postfixes) == len(set(postfixes)) == len(special)
    assert not set(postfixes) & {postfix for name, postfix in of_one_host if name not in special}


def test_no_name_of_ours_could_be_debians_and_no_hostgroup_line_is_empty() -> None:
    for entry in objects():
        for directive in ("command_name", "hostgroup_name", "name"):
            if directive in entry and "service_description" not in entry:
                assert entry[directive].startswith("testbed-")
        assert all(value.strip() for value in entry.values())


def test_the_spool_template_has_what_plugins_print_last() -> None:
    main = (ROOT / "nagios-config/main/testbed-checks.cfg").read_text(encoding="utf-8")
    for kind in ("SERVICE", "HOST"):
        template = re.findall(rf"^{kind.lower()}_perfdata_file_template=(.*)$", main, re.MULTILINE)[0]
        fields = template.split(r"\t")
        assert fields[0] == f"DATATYPE::{kind}PERFDATA"
        assert fields[-1] == f"{kind}PERFDATA::${kind}PERFDATA$"
        assert "OUTPUT" not in template
        assert {"TIMET::$TIMET$", "HOSTNAME::$HOSTNAME$", f"GRAPHITEPREFIX::$_{kind}GRAPHITEPREFIX$"} <= set(fields)


@pytest.mark.parametrize("number", [2, 3, 12])
def test_the_number_of_parts_is_the_administrators_choice_and_the_same_on_both_sides(
    number: int, tmp_path: Path
) -> None:
    for room in ("nrpe", "nagios"):
        assert run(room, "--parts", str(number), "--output", str(tmp_path / room))[0] == 0
    parts = {name: line for name, line in nrpe_commands(tmp_path / "nrpe").items() if re.search(r"_\d+of\d+$", name)}
    assert list(parts) == [f"check_virt_stats_{part}of{number}" for part in range(1, number + 1)]
    for part, line in enumerate(parts.values(), 1):
        assert f"--part {part}/{number}" in line
        assert "--save-state" in line
    of_parts = [service for service in services(tmp_path / "nagios") if service["service_description"] in parts]
    assert len(of_parts) == number
    assert len({(service["_GRAPHITEPREFIX"], service["_GRAPHITEPOSTFIX"]) for service in of_parts}) == 1


def test_a_new_check_appears_in_every_file_without_being_told_of_anywhere_else() -> None:
    class Thing(Resource):
        pass

    def options(parser: Options) -> None:
        parser.range("-w", "--warning", help="a|b", default="5")

    thing = Check(
        Thing,
        (Measure("n.a", "c", COUNTER, "x"), Measure("n.b", "B", GAUGE, "y")),
        options,
        commands=(Command("check_thing", "-w 3", "it; all"),),
    )
    thing.name = "check_thing"
    assert (
        "command[check_thing]=/opt/testbed-checks/bin/check_thing -w 3\n"
        in nrpe.files([thing], DEFAULTS)["check_thing.cfg"]
    )
    nagios_file = nagios.files([thing], DEFAULTS)["check_thing.cfg"]
    assert "testbed-nrpe!check_thing\n" in nagios_file
    assert r"it\; all" in nagios_file  # a bare ; would begin a comment
    assert r"\.thing\.n\.(a)$" in graphite.files([thing], DEFAULTS)["storage-aggregation.conf"]
    assert r"| `-w, --warning RANGE` | `5` | a\|b |" in readme.tables([thing])


def test_what_must_not_run_often_or_only_on_special_hosts_does_not(tmp_path: Path) -> None:
    class Thing(Resource):
        pass

    commands = (
        Command("check_thing", "-w 3", "it", network="-H '$HOSTADDRESS$' -w 4", special=True, interval=300),
        Command("check_thing_daily", "", "it again", special=True, interval=86400),
        Command("check_thing_all", "--compress", "all of it", special=True, tap=True),
    )
    thing = Check(Thing, (Measure("n.a", "c", COUNTER, "x"),), commands=commands)
    thing.name = "check_thing"
    found = nagios.files([thing], DEFAULTS)
    assert "check_thing" not in found["examples/hosts.cfg"]
    text = found["check_thing.cfg"]
    assert "command_line  /opt/testbed-checks/bin/check_thing -H '$HOSTADDRESS$' -w 4 $ARG1$\n" in text
    assert re.findall(r"^  check_command +(.*)", text, re.MULTILINE) == [
        "testbed-check_thing",
        "testbed-nrpe!check_thing_daily",
        "testbed-tap-nrpe!check_thing_all",
    ]
    assert re.findall(r"(?:check|retry)_interval +(.*)", text) == ["5", "1", "1440", "15"]
    assert re.findall(r"hostgroup_name +(\S+)\n}", text) == [f"testbed-{one.name}" for one in commands]
    schemas = graphite.files([thing], DEFAULTS)["storage-schemas.conf"]
    kept = re.findall(r"^pattern = (.*)\nretentions = (.*)$", schemas, re.MULTILINE)
    assert [next(kept for pattern, kept in kept if re.match(pattern, f"testbed.h.{postfix}.n.a")) for postfix in (
        "thing", "thing_daily", "disk")] == ["300s:30d,3600s:730d", "86400s:730d", "60s:7d,600s:90d,3600s:730d"]  # fmt: skip
    aggregation = graphite.files([thing], DEFAULTS)["storage-aggregation.conf"]
    assert r"\.(thing|thing_daily|thing_all)\.n\.(a)$" in aggregation


def test_a_file_says_how_to_make_it_again() -> None:
    arguments = r"check_virt_stats=--cpu-warning 'db.*=95' --uri 'qemu+unix:///system?socket=/run/a'"
    words = [
        "nrpe",
        "--parts",
        "3",
        "--arguments",
        arguments,
        "--arguments",
        "check_disk=-w 80",
        "--monitoring-server",
        "192.0.2.1,2001:db8::1",
    ]
    code, text = run(*words)
    assert code == 0
    said = re.findall(r"^# Made by: testbed-checks (.*)$", text, re.MULTILINE)[0]
    assert cli.run(shlex.split(said)) == (code, text)
    assert "allowed_hosts=127.0.0.1,::1,192.0.2.1,2001:db8::1\n" in text


def test_arguments_reach_the_check_as_they_were_given_through_nrpes_shell(tmp_path: Path) -> None:
    run(
        "nrpe",
        "--bindir",
        "/bin",
        "--output",
        str(tmp_path),
        "--arguments",
        "check_disk=--exclude-path '/a b|$(x).*;' -w 80",
    )
    line = nrpe_commands(tmp_path)["check_disk"].replace("/bin/check_disk", "printf '%s\\n'")
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["--exclude-path", "/a b|$(x).*;", "-w", "80"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nrpe|nagios|graphite|readme|all"),
        (["nrpe", "--part", "3"], "--part 3"),
        (["nrpe", "--parts", "1"], "from 2 to 1000"),
        (["nrpe", "--parts", "²"], "from 2 to 1000"),
        (["nrpe", "--bindir", "bin"], "absolute path"),
        (["nagios", "--spool", "/a b"], "absolute path"),
        (["nagios", "--spool", "/a'$(x)"], "absolute path"),
        (["nagios", "--prefix", "a..b"], "letters"),
        (["nagios", "--nrpe-port", "70000"], "65535"),
        (["graphite", "--interval", "0"], "3600"),
        (["nrpe", "--monitoring-server", "monitor"], "not an IP address"),
        (["nrpe", "--monitoring-server", "192.0.2.1\nx=1"], "not an IP address"),
        (["nrpe", "--profile", "seattle"], "none of seattle-server"),
        (["nrpe", "--engine-interval", "0"], "from 1 to 86400"),
        (["nrpe", "--arguments", "check_disk"], "check_disk"),
        (["nrpe", "--arguments", "check_nothing=-w 3"], "the checks are check_"),
        (["nrpe", "--arguments", "check_disk=--wrong"], "--wrong"),
        (["nrpe", "--arguments", "check_disk=-w '3"], "quotation"),
        (["nrpe", "--arguments", "check_disk=--help"], "runs no check"),
        (["nrpe", "--arguments", "check_disk=-w 80\ncommand[x]=y"], "check_disk"),
        (["nrpe", "--arguments", "check_disk=" + "-w /a=80 " * 200], "longer than"),
        (["all"], "--write --check"),
        (["readme", "--write", "/dev/null/README.md"], "/dev/null"),
        (["nrpe", "--output", "/dev/null"], "/dev/null"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_3(words: Sequence[str], said: str) -> None:
    code, text = run(*words)
    assert code == 3
    assert text.startswith("testbed-checks: ")
    assert text.count("\n") == 1
    assert said in text


def test_files_of_the_administrators_are_replaced_only_when_asked_to(tmp_path: Path) -> None:
    words = ["nrpe", "--output", str(tmp_path)]
    run(*words)
    mine = tmp_path / "nrpe_local.cfg"
    mine.write_text("allowed_hosts=192.0.2.7\n")
    (tmp_path / "check_disk.cfg").unlink()
    code, text = run(*words)
    assert code == 3
    assert str(mine) in text
    assert mine.read_text() == "allowed_hosts=192.0.2.7\n"
    assert not (tmp_path / "check_disk.cfg").exists()
    assert run(*words, "--force")[0] == 0
    assert "command_timeout" in mine.read_text()
    assert run(*words) == (0, "nothing to write: all is as it should be\n")


def test_only_what_stands_between_the_markers_of_the_readme_changes(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"# é\nbefore\n{readme.BEGIN}\nwhat stood there\n{readme.END}\nafter\n", encoding="utf-8")
    assert run("readme", "--write", str(path)) == (0, f"wrote {path}\n")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# é\nbefore\n{readme.BEGIN}\n")
    assert text.endswith(f"{readme.END}\nafter\n")
    assert "what stood there" not in text
    assert run("readme", "--write", str(path))[1].startswith("nothing to write")


@pytest.mark.parametrize(
    "text", ["nothing", readme.BEGIN, f"{readme.END}\n{readme.BEGIN}", f"{readme.BEGIN}{readme.BEGIN}{readme.END}"]
)
def test_a_readme_without_proper_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    code, said = run("readme", "--write", str(path))
    assert code == 3
    assert str(path) in said
    assert path.read_text(encoding="utf-8") == text


def test_the_readme_has_a_row_for_every_option_and_metric() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(readme.BEGIN)[2].partition(readme.END)[0]
    for check in CHECKS:
        for option in check.options().declared:
            cell = f"`{option.flags}`".replace("|", r"\|")
            assert f"| {cell} |" in text
        for measure in check.measures:
            assert f"| `{measure.label}` |" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) in (4, 5)


@pytest.mark.parametrize("name", ["check_ipop_links", "check_tahoe"])
def test_the_readme_says_for_which_hosts_each_command_is_and_what_it_asks_there(name: str) -> None:
    prose = (ROOT / "README.md").read_text(encoding="utf-8").partition(readme.BEGIN)[0]
    for command in next(check.commands for check in CHECKS if check.name == name):
        row = next(line for line in prose.splitlines() if f"| `{command.name}` |" in line)
        asked = re.findall(r"/var/lib/\S+|(?<=127\.0\.0\.1:)\d+", command.arguments)
        assert asked
        assert all(source in row for source in asked), row


def test_points_are_kept_at_the_interval_of_the_checks_and_thinned_out_by_their_kind() -> None:
    schemas = configparser.ConfigParser(interpolation=None)
    schemas.read(ROOT / "nagios-config/graphite/storage-schemas.conf")
    assert schemas.sections()[-1] == "testbed"  # the first that matches counts
    assert schemas["testbed"]["retentions"].split(":")[0] == "60s"
    intervals = {
        nagios.postfix(check, command): max(command.interval, 60) for check in CHECKS for command in check.commands
    }
    for postfix, interval in intervals.items():
        kept = next(
            schemas[name] for name in schemas.sections() if re.match(schemas[name]["pattern"], f"testbed.h.{postfix}.a")
        )
        assert kept["retentions"].split(":")[0] == f"{interval}s"
    assert {entry.get("check_interval") for entry in objects() if entry.get("name") == "testbed-service"} == {"1"}

    aggregation = configparser.ConfigParser(interpolation=None)
    aggregation.read(ROOT / "nagios-config/graphite/storage-aggregation.conf")
    rules = [aggregation[name] for name in aggregation.sections()]
    assert {rule["xFilesFactor"] for rule in rules} == {"0"}
    for check in CHECKS:
        for measure in check.measures:
            series = f"testbed.node1.{nagios.postfix(check, check.commands[-1])}." + re.sub(
                "<[^>]+>", "a-1", measure.label
            )
            assert re.match(schemas["testbed"]["pattern"], series)
            method = next(rule["aggregationMethod"] for rule in rules if re.search(rule["pattern"], series))
            code = measure.label.rpartition(".")[2] in ("state", "reason", "connection")
            assert method == ("last" if measure.kind == COUNTER or code else "average"), series


@pytest.mark.parametrize("interval", [1, 5, 60, 300, 3600])
def test_archives_of_any_interval_are_ones_that_whisper_takes(interval: int) -> None:
    settings = DEFAULTS._replace(interval=interval)
    archives = [
        tuple(int(part.rstrip("sd")) for part in archive.split(":"))
        for archive in graphite.retentions(settings).split(",")
    ]
    for (step, days), (coarser, more_days) in itertools.pairwise(archives):
        assert coarser % step == 0
        assert more_days > days
        assert days * 86400 // step >= coarser // step  # points enough for one of the coarser step


def test_in_an_installation_all_says_that_it_is_for_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(declared, "PACKAGE", tmp_path / "checks")
    code, text = run("all", "--check")
    assert (code, text.count("\n")) == (3, 1)
    assert "not a checkout" in text


def test_output_that_can_not_be_written_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from checks.cli import main; main()", "config", "nrpe"],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "testbed-checks: standard output: No space left on device\n"


def test_settings_that_need_certificates_are_made_only_when_asked_for(tmp_path: Path) -> None:
    run("nrpe", "--output", str(tmp_path / "without"))
    run("nrpe", "--tls", "--output", str(tmp_path / "with"))
    for name, expected in (("without", False), ("with", True)):
        texts = [path.read_text(encoding="utf-8") for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert any(re.search("^ssl_", text, re.MULTILINE) for text in texts) == expected


@pytest.mark.parametrize("interval", [1, 3, 5, 7, 20, 50, 60, 90, 3599, 3600])
def test_nagios_which_drops_fractions_of_a_second_checks_at_the_interval_that_was_asked_for(interval: int) -> None:
    text = nagios.files(declared.all_checks(), DEFAULTS._replace(interval=interval))["templates.cfg"]
    found = re.findall(r"(?:check|retry)_interval +([0-9.]+)", text)
    assert {int(float(minutes) * 60) for minutes in found} == {interval}


def test_the_engine_reads_what_is_generated_and_runs_nothing_of_it_by_itself_unless_it_is_told_to(
    tmp_path: Path,
) -> None:
    there = Commands([ROOT / "nrpe"]).read()
    assert there.commands.keys() >= nrpe_commands().keys()
    assert not there.broken
    assert not any(command.interval for command in there.commands.values())
    assert run("nrpe", "--engine-interval", "600", "--output", str(tmp_path / "any"))[0] == 0
    found = Commands([tmp_path / "any"]).read()
    assert {name: command.line for name, command in found.commands.items()} == nrpe_commands()
    # Not what hosts of one kind have, not what Nagios is asked in parts or in a short form.
    intervals = {name: command.interval for name, command in found.commands.items() if command.interval}
    assert intervals == {"check_disk": 600, "check_virt_stats_all": 600}
    profile = ["--profile", "seattle-node", "--engine-interval", "60"]
    assert run("nrpe", *profile, "--output", str(tmp_path / "node"))[0] == 0
    node = Commands([tmp_path / "node"]).read().commands
    assert {command.interval for command in node.values()} == {60, 1800}
