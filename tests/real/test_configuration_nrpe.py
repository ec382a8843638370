"""The generated nrpe/ files in a real NRPE: every command answers, the parts are the whole, and certificates keep others out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import cli
from tests.stack import place
from tests.stack.libvirt import Libvirt
from tests.stack.nrpe import CHECK_NRPE, Nrpe

PARTS = 3


def generate(folder: Path, *words: str) -> Path:
    code, text = cli.run(
        ["config", "nrpe", "--output", str(folder), "--bindir", str(place.command("x").parent), *words]
    )
    assert code == 0, text
    return folder


def ask(server: Nrpe, command: str, *options: str) -> tuple[int, str]:
    argv = [CHECK_NRPE, "-H", "127.0.0.1", "-p", str(server.port), *options, "-t", "20:3", "-c", command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def node(
    make_stack_root: Callable[[str], Path],
    make_nrpe: Callable[..., Nrpe],
    libvirt_host: Libvirt,
    stack_user: str | None,
) -> tuple[Nrpe, list[str]]:
    """A real NRPE over the generated files, asked for real guests; and its commands."""
    folder = make_stack_root("config-nrpe")
    state = folder / "state"
    state.mkdir(mode=0o700)
    place.give(state, stack_user)
    files = generate(
        folder / "nrpe.d",
        "--parts",
        str(PARTS),
        "--monitoring-server",
        "192.0.2.10",
        "--arguments",
        f"check_virt_stats=--uri '{libvirt_host.uri_ro}'",
    )
    # Seattle's checks need servers to ask: test_seattle_pipeline.py.
    include = [files / f"{name}.cfg" for name in ("check_disk", "check_graphios", "check_virt_stats", "nrpe_local")]
    # Shorter than in the generated nrpe_local.cfg, which has to win.
    server = make_nrpe({}, tls="anonymous", include=include, command_timeout=1, env={"STATE_DIRECTORY": str(state)})
    names = [
        name
        for path in include
        for name in re.findall(r"^command\[(.+?)\]", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return server, names


def test_the_real_nrpe_answers_every_generated_command_and_the_parts_are_the_whole(
    node: tuple[Nrpe, list[str]],
) -> None:
    server, names = node
    labels: dict[str, set[str]] = {}
    for _ in range(2):  # the second run has rates
        for name in names:
            code, text = ask(server, name)
            title = re.sub("_(all|.of.)$", "", name).removeprefix("check_").upper()
            assert code in (0, 1, 2), text
            assert text.startswith(f"{title} "), text
            assert "no rates at the next run" not in text
            labels[name] = set(re.findall(r"(?:^| )([\w.-]+)=", text.partition("|")[2]))
    assert len(names) == 4 + PARTS
    parts = [labels[f"check_virt_stats_{part}of{PARTS}"] for part in range(1, PARTS + 1)]
    guests = {"web01", "db01", "plain"}
    whole = {label for label in labels["check_virt_stats_all"] if label.split(".")[0] in guests}
    assert {label.split(".")[0] for label in whole} == guests
    in_parts = [label for part in parts for label in part if label.split(".")[0] in guests]
    assert sorted(in_parts) == sorted(whole)


def test_a_host_of_two_kinds_takes_both_profiles_and_disks_have_seattles_limits(
    make_stack_root: Callable[[str], Path], make_nrpe: Callable[..., Nrpe]
) -> None:
    folder = make_stack_root("config-profiles")
    profiles = ("seattle-server", "seattle-node")
    for name in profiles:
        generate(folder / name, "--profile", name)
    include = [folder / name / f"{name}.cfg" for name in profiles]
    commands = [re.findall(r"^command\[(.+?)\]", path.read_text(encoding="utf-8"), re.MULTILINE) for path in include]
    assert {"check_disk", "check_seattle_processes_server"} == set(commands[0])
    assert {"check_disk", "check_seattle_processes_node", "check_software_update_install"} == set(commands[1])
    server = make_nrpe({}, tls="anonymous", include=include)
    for name in {name for names in commands for name in names}:
        code, text = ask(server, name)
        assert "not defined" not in text
        assert text.startswith(re.sub("_(server|node|install)$", "", name).removeprefix("check_").upper()), text
        assert name != "check_disk" or (code in (0, 1, 2) and re.search(r"\.used_percent=[0-9.]+%;90;95 ", text))


def test_certificates_as_the_recipe_makes_them_are_accepted_and_nothing_else_is(
    make_stack_root: Callable[[str], Path], make_nrpe: Callable[..., Nrpe]
) -> None:
    folder = make_stack_root("config-tls")
    tls = folder / "tls"
    tls.mkdir()
    files = generate(folder / "nrpe.d", "--tls", "--tls-dir", str(tls))
    recipe = files / "nrpe_tls.cfg"
    commands = re.findall(r"^#   \$ (openssl (?:.*\\\n)?.*)$", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        subprocess.run(
            ["/bin/sh", "-euc", command.replace("\\\n# ", "")], cwd=tls, capture_output=True, check=True, timeout=60
        )
    place.give(tls, place.daemon_user())
    server = make_nrpe({"say": "/bin/echo said"}, tls="anonymous", include=[recipe])

    def certificate(name: str) -> list[str]:
        return ["-A", f"{tls}/ca.pem", "-C", f"{tls}/{name}.pem", "-K", f"{tls}/{name}.key"]

    assert ask(server, "say", *certificate("server")) == (0, "said\n")
    for nobody in ([], ["-n"], certificate("node"), ["-A", f"{tls}/ca.pem"]):
        code, text = ask(server, "say", *nobody)
        assert code != 0
        assert "said" not in text
