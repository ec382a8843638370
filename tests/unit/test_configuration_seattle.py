"""The generated configuration of a Seattle testbed: complete, explained in its guide, and patient where one service depends on another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checks import cli
from checks.configuration import nagios, seattle
from checks.configuration.declared import all_checks
from checks.configuration.settings import DEFAULTS, Settings

ROOT = Path(__file__).resolve().parents[2]
CHECKS = all_checks()
KNOWN = seattle.commands_of(CHECKS)
STANDARD = {seattle.PING, seattle.HTTP, seattle.NRPE}
GUIDE = (ROOT / "nagios-config/seattle/README.md").read_text(encoding="utf-8")
# Of other hosts of one kind: overlays and grids.
ELSEWHERE = ("check_ipop_links", "check_tahoe")
SEATTLES = [
    command
    for check in CHECKS
    if all(one.special for one in check.commands) and check.name not in ELSEWHERE
    for command in check.commands
]


def definitions(text: str, kind: str) -> list[dict[str, str]]:
    """Every object of a kind."""
    bodies = re.findall(rf"^define {kind} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    return [dict(line.split(None, 1) for line in body.splitlines()) for body in bodies]


def made(settings: Settings = DEFAULTS) -> str:
    """All object files of the monitoring server."""
    found = nagios.files(CHECKS, settings)
    return "\n".join(text for name, text in found.items() if "/" not in name)


def test_every_command_for_seattle_has_a_role_and_every_name_of_a_role_is_a_command() -> None:
    named = {name for role in seattle.ROLES for name in (*role.direct, *role.nrpe)}
    assert {command.name for command in SEATTLES} == named - STANDARD - {"check_disk"}
    assert named <= set(KNOWN) | STANDARD
    for dependence in seattle.DEPENDENCES:
        assert {dependence.master, *dependence.dependents} <= named | STANDARD
    over_nrpe = {name for role in seattle.ROLES for name in role.nrpe}
    for command in SEATTLES:
        assert (command.name in over_nrpe) != bool(command.network)


def test_the_guide_has_every_group_service_profile_and_variable() -> None:
    text = made()
    for role in seattle.ROLES:
        assert f"`{role.name}`" in GUIDE
        assert f"testbed-seattle-{role.name}\n" in text
    for profile in seattle.PROFILES:
        assert f"`{profile}.cfg`" in GUIDE
    for command in SEATTLES:
        assert re.search(rf"\b{command.name}\b|_{command.name.rpartition('_')[2]}`", GUIDE), command.name
    template = next(entry for entry in definitions(text, "host") if entry.get("name") == "testbed-seattle-host")
    variables = {name for command in SEATTLES for name in re.findall(r"\$_HOST(\w+)\$", command.network)}
    assert {f"_{name}" for name in variables} <= {name for name in template if name.startswith("_")} | {"_BUILD_ID"}
    for name in {*variables, "WEB_OPTIONS"}:
        assert f"`_{name}`" in GUIDE
    for dependence in seattle.DEPENDENCES:
        assert any(f"`{dependence.master}`" in line for line in GUIDE.partition("nobody is told of |")[2].splitlines())


@pytest.mark.parametrize("interval", [10, 60, 300])
def test_a_dependent_is_not_called_dead_before_what_it_depends_on_has_been_looked_at(interval: int) -> None:
    text = made(DEFAULTS._replace(interval=interval))
    every = definitions(text, "service")
    templates = {entry["name"]: entry for entry in every if "name" in entry}
    described = {
        entry["service_description"]: entry for entry in every if "testbed-seattle" in entry.get("hostgroup_name", "")
    }

    def of(service: str, directive: str) -> float:
        entry = described[service]
        while directive not in entry:
            entry = templates[entry["use"]]
        return float(entry[directive])

    # One look at it is enough then: it need not have failed for good.
    assert "\nsoft_state_dependencies=1\n" in nagios.files(CHECKS, DEFAULTS)["main/testbed-checks.cfg"]
    dependencies = definitions(text, "servicedependency")
    assert len(dependencies) == len(seattle.DEPENDENCES)
    for dependency in dependencies:
        for dependent in dependency["dependent_service_description"].split(","):
            patience = (of(dependent, "max_check_attempts") - 1) * of(dependent, "retry_interval")
            assert patience > of(dependency["service_description"], "check_interval"), dependency


def test_while_nodes_advertise_anew_nobody_is_told_that_they_are_not_found() -> None:
    text = made()
    blind = [entry for entry in definitions(text, "servicedependency") if "execution_failure_criteria" in entry]
    names = {entry["dependent_service_description"] for entry in blind}
    assert names == {"check_advertise_server_states", "check_seattle_node_advertised"}
    for entry in definitions(text, "service"):
        if "testbed-seattle" in entry.get("hostgroup_name", ""):
            waits = float(entry.get("first_notification_delay", 0))
            assert (waits > seattle.BACK_AFTER / 60) == (entry["service_description"] in names)


def test_a_profile_has_what_its_hosts_are_asked_for_and_nothing_else(tmp_path: Path) -> None:
    for role in seattle.ROLES:
        if role.profile:
            assert cli.run(["config", "nrpe", "--profile", role.profile, "--output", str(tmp_path / role.name)])[0] == 0
            files = {path.name: path for path in (tmp_path / role.name).iterdir()}
            assert set(files) == {f"{role.profile}.cfg", "nrpe_local.cfg"}
            text = files[f"{role.profile}.cfg"].read_text(encoding="utf-8")
            assert re.findall(r"^command\[(.*?)\]", text, re.MULTILINE) == list(role.nrpe)
            assert text == (ROOT / "nrpe/seattle" / f"{role.profile}.cfg").read_text(encoding="utf-8")
            assert re.search(r"^command\[check_disk\]=\S+/check_disk -w 90 -c 95$", text, re.MULTILINE)


def test_arguments_go_to_one_command_or_to_all_of_a_check() -> None:
    words = ["config", "nrpe", "--profile", "seattle-node"]
    code, text = cli.run([*words, "--arguments", "check_software_update_install=--install-dir /a/b"])
    assert code == 0
    assert re.search(r"^command\[check_software_update_install\].* --install-dir /a/b$", text, re.MULTILINE)
    code, text = cli.run(["config", "nrpe", "--arguments", "check_software_update=--lock-dir /a"])
    assert code == 0
    assert [line.partition("]")[0] for line in text.splitlines() if line.endswith(" --lock-dir /a")] == [
        "command[check_software_update",
        "command[check_software_update_install",
    ]
    assert len(re.findall(r" --lock-dir /a$", text, re.MULTILINE)) == 2


def test_without_its_checks_there_is_nothing_of_seattle() -> None:
    disk = [check for check in CHECKS if check.name == "check_disk"]
    assert not any("seattle" in name for name in nagios.files(disk, DEFAULTS))
