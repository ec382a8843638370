"""Which tincan must not be asked: told by the operator, by what runs, by what its port is bound to, by what is installed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from checks.deadline import CheckError
from checks.ipop import generation
from checks.ipop.generation import TincanTooNew, Version, refuse_newer
from tests.unit.processes.tree import Tree

OLD = {
    "CFx": {"xmpp_username": "u", "xmpp_password": "p", "vpn_type": "GroupVPN"},
    "TincanDispatcher": {"dependencies": ["Logger"]},
    "LinkManager": {"dependencies": ["Logger"]},
}
V20 = {"CFx": {"Model": "Default", "Overlays": ["101000F"]}, "Logger": {}, "LinkManager": {"Dependencies": ["Logger"]}}
V17 = {"CFx": {"Model": "GroupVPN"}, "VirtualNetworkInitializer": {"Vnets": []}}
EVIO = {"Broker": {"Overlays": ["X"]}}
# As the kernel shows them on this machine, be it little-endian or not.
LOOPBACK = f"{int.from_bytes((127, 0, 0, 1), sys.byteorder):08X}:16A8"
LOOPBACK6 = f"{'0' * 24}{int.from_bytes((0, 0, 0, 1), sys.byteorder):08X}:16A8"
RUNNING_OLD = (
    ("./ipop-tincan",),
    ("./ipop-tincan-x86_64",),
    ("python", "-m", "controller.Controller", "-c", "/opt/ipop/config/config.json"),
    ("python", "./gvpn_controller.py", "-c", "config.json"),
    ("/usr/bin/python2", "CFx.py", "-c", "config.json"),
)


class Machine:
    """A root directory with a procfs, sockets and files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes = Tree(root / "proc")

    def write(self, path: str, content: Any = "") -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content))

    def bind(self, name: str, *addresses: str) -> None:
        """Write /proc/net/udp or udp6 with sockets at these local addresses."""
        head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        rows = (
            f"  {row}: {address} 00:0000 07 00000000:00000000 00:00000000\n" for row, address in enumerate(addresses)
        )
        self.write(f"proc/net/{name}", head + "".join(rows))

    def refuses(self, host: str = "127.0.0.1", port: int = 5800, version: Version | None = None) -> str:
        """Return why the tincan must not be asked, or ""."""
        try:
            refuse_newer(host, port, version, self.root)
        except TincanTooNew as error:
            return str(error)
        return ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST."])
def test_a_machine_without_anything_newer(machine: Machine, host: str) -> None:
    machine.write("/opt/ipop/config/config.json", OLD)
    for number, words in enumerate(RUNNING_OLD):
        machine.processes.add(100 + number, *words)
    machine.bind("udp", LOOPBACK, "00000000:0044")
    machine.bind("udp6", LOOPBACK6)
    assert machine.refuses(host) == ""


@pytest.mark.parametrize(
    ("version", "newer"),
    [
        ("14.01.1", False),
        ("14.07", False),
        ("v16.01.0", False),
        ("16", False),
        ("16.1", False),
        ("16.08", True),
        ("17", True),
        ("20.2.20", True),
        ("v24.1.2.1061", True),
    ],
)
def test_what_the_operator_says(machine: Machine, version: str, newer: bool) -> None:
    said = machine.refuses(version=generation.read_version(version))
    assert bool(said) == newer
    if newer:
        assert "nothing is sent to it" in said
        assert "--controller-json" in said


@pytest.mark.parametrize("text", ["", "v", "latest", "16.", ".5", "16.01-beta", "-16", "1" * 7, "16\n", "١٦"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version such as"):
        generation.read_version(text)


@pytest.mark.parametrize("host", ["192.0.2.1", "node7.example", "::2", "0.0.0.0", "localhost.example", "a\x1b[2Jb"])
def test_elsewhere_somebody_has_to_say_what_it_is(machine: Machine, host: str) -> None:
    said = machine.refuses(host)
    assert "say what it is with --tincan-version" in said
    assert "\x1b" not in said
    assert machine.refuses(host, version=(16, 1)) == ""
    assert "is newer than 16 by --tincan-version" in machine.refuses(host, version=(20, 2))


def test_this_machine_says_nothing_of_another(machine: Machine) -> None:
    machine.processes.add(100, "./tincan", "-s", "ab", "-t", "cd")
    assert machine.refuses("192.0.2.1", version=(16, 1)) == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("./tincan", "-s", "0a1b", "-t", "d8e3", "-l", "{}"), "a tincan of EdgeVPN"),
        (("/opt/edge-vpnio/tincan",), "a tincan of EdgeVPN"),
        (("./ipop-tincan", "-p=5800"), "a tincan with an option of IPOP 18"),
        (("/opt/ipop-vpn/ipop-tincan",), "a tincan in /opt/ipop-vpn/"),
        (("/snap/ipopvpn/12/ipop-tincan",), "a tincan in /snap/ipopvpn/"),
        (("python", "evio_controller.py", "-c", "/etc/opt/evio/config.json"), "a controller of EdgeVPN"),
        (
            ("python3", "-m", "controller.Controller", "-c", "/etc/opt/ipop-vpn/config.json"),
            "a controller of /opt/ipop-vpn/",
        ),
        (("python", "Controller.py", "-c", "/etc/opt/edge-vpnio/config.json"), "a controller of /opt/edge-vpnio/"),
        (("/opt/ipop-vpn/ipop-venv/bin/python3", "-m", "controller.Controller"), "a controller of /opt/ipop-vpn/"),
    ],
)
def test_what_runs(machine: Machine, words: tuple[str, ...], said: str) -> None:
    pid = machine.processes.add(4321, *words)
    told = machine.refuses()
    assert f"is newer than 16 by process {pid}, {said}" in told
    assert "nothing is sent to it" in told
    assert machine.refuses(version=(16, 1)) == told, "what runs outweighs what an operator wrote once"
    machine.processes.remove(pid)
    assert machine.refuses() == ""


@pytest.mark.parametrize(
    ("configuration", "section"),
    [
        (V20, "CFx.Overlays"),
        (V17, "VirtualNetworkInitializer"),
        (EVIO, "Broker"),
        ({"TincanInterface": {}}, "TincanInterface"),
    ],
)
@pytest.mark.parametrize("option", ["-c", "--config"])
def test_a_controller_is_known_by_its_configuration(
    machine: Machine, configuration: Any, section: str, option: str
) -> None:
    machine.write("/home/u/config.json", configuration)
    machine.processes.add(9, "python3", "-m", "controller.Controller", option, "/home/u/config.json")
    assert f"process 9, a controller whose configuration has {section}" in machine.refuses()


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(OLD),
        "",
        "{",
        "[]",
        "5",
        '{"CFx": []}',
        '{"CFx": {"Overlays"',
        "[" * 100000,
        '{"Broker": 1, "Broker": 2}',
        None,
    ],
    ids=["old", "empty", "cut", "list", "number", "odd", "cut later", "deep", "doubled", "missing"],
)
def test_a_configuration_that_says_nothing(machine: Machine, content: str | None) -> None:
    if content is not None:
        machine.write("/home/u/config.json", content)
    machine.processes.add(9, "python3", "-m", "controller.Controller", "-c", "/home/u/config.json")
    machine.processes.add(10, "python3", "-m", "controller.Controller", "-c")
    machine.processes.add(11, "python3", "-m", "controller.Controller", "-c", "relative.json")
    assert machine.refuses() == ""


def test_what_is_no_file_is_not_even_opened(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may start a process with such an argument."""
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **named: opened.append(str(path)) or real(path, *more, **named))
    os.mkfifo(machine.root / "pipe")
    machine.write("/home/u/config.json", V20)
    machine.processes.add(9, "python3", "-m", "controller.Controller", "-c", "/pipe")
    assert machine.refuses() == ""
    assert str(machine.root / "pipe") not in opened
    machine.processes.add(10, "python3", "-m", "controller.Controller", "-c", "/home/u/config.json")
    assert "process 10" in machine.refuses()
    assert str(machine.root / "home/u/config.json") in opened


@pytest.mark.parametrize(
    "words",
    [
        ("vi", "/etc/opt/ipop-vpn/config.json", "evio_controller.py", "tincan"),
        ("python3", "editor.py", "evio_controller.py"),
        ("python3", "-m", "tests.ipop.tincan", "-p=5800"),
        ("grep", "-p=5800", "ipop-tincan"),
        ("python3", "controller_backup.py", "-c", "/etc/opt/ipop-vpn/config.json"),
        ("/usr/bin/kube-controller-manager",),
        (),
    ],
)
def test_what_only_has_such_a_name_in_its_arguments(machine: Machine, words: tuple[str, ...]) -> None:
    machine.processes.add(9, *words)
    assert machine.refuses() == ""


def test_a_tincan_of_another_port_says_nothing(machine: Machine) -> None:
    machine.processes.add(9, "./ipop-tincan", "-p=6000")
    assert machine.refuses(port=5800) == ""
    assert "an option of IPOP 18" in machine.refuses(port=6000)
    machine.processes.add(10, "/opt/ipop-vpn/ipop-tincan")
    machine.processes.add(11, "python3", "-m", "controller.Controller", "-c", "/etc/opt/ipop-vpn/config.json")
    assert machine.refuses(port=5805) == ""
    assert "process 10" in machine.refuses(port=5800)


@pytest.mark.parametrize("odd", ["-p=", "-p=x", "-p=999999999999", "-p=-1", "-p=٥"])
def test_a_port_that_is_none_is_the_usual_one(machine: Machine, odd: str) -> None:
    machine.processes.add(9, "./ipop-tincan", odd)
    assert "process 9" in machine.refuses(port=5800)


def test_an_old_tincan_takes_its_port_as_second_argument(machine: Machine) -> None:
    machine.processes.add(9, "/opt/ipop-vpn/ipop-tincan", "looptap", "5805")
    assert machine.refuses(port=5800) == ""
    assert "process 9" in machine.refuses(port=5805)


def test_a_port_bound_as_newer_tincans_bind_it(machine: Machine) -> None:
    machine.bind("udp6", LOOPBACK6)
    machine.bind("udp", LOOPBACK.replace(":16A8", ":16A9"), "00000000:16A8")
    said = machine.refuses("::1")
    assert "port 5800, which is bound to ::1 alone (if it is not, say so: --tincan-version 16)" in said
    assert machine.refuses("::1", version=(16,)) == ""
    assert machine.refuses("::1", port=5805) == ""
    machine.bind("udp", LOOPBACK)
    assert machine.refuses("::1") == ""
    machine.bind("udp")
    (machine.root / "proc/net/udp6").unlink()
    assert machine.refuses("::1") == "", "a machine without IPv6"


@pytest.mark.parametrize("table", ["", "junk", "a b\n\x00\xff c d\n", f"  0: {LOOPBACK6}0 x y\n"])
def test_tables_that_say_nothing(machine: Machine, table: str) -> None:
    machine.write("proc/net/udp6", table)
    assert machine.refuses() == ""


@pytest.mark.parametrize("path", generation._INSTALLED)
def test_what_is_installed(machine: Machine, path: str) -> None:
    machine.write(path)
    said = machine.refuses()
    assert f"is newer than 16 by /{path} (if it is not, say so: --tincan-version 16)" in said
    assert machine.refuses(version=(16, 1)) == ""
    assert machine.refuses(port=5805) == "", "what is installed says nothing of another port"


def test_hidden_processes_say_nothing(tmp_path: Path) -> None:
    refuse_newer("127.0.0.1", 5800, root=tmp_path)
    (tmp_path / "proc").mkdir()
    refuse_newer("127.0.0.1", 5800, root=tmp_path)


def test_it_is_a_check_error(machine: Machine) -> None:
    """So that nothing that is asked in vain is called down."""
    with pytest.raises(CheckError):
        refuse_newer("192.0.2.1", 5800, root=machine.root)


def test_this_machine() -> None:
    """The tests' own processes look like no newer tincan; another port than the usual one tells of nothing else."""
    refuse_newer("127.0.0.1", 45800)
