"""The generated nagios-config/ files in a real Nagios Core, with Debian's own objects beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks import cli
from tests.stack import place
from tests.stack.daemon import StackError, wait_until
from tests.stack.libvirt import Libvirt
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = (
    "".join(
        f"cfg_file=/etc/nagios4/objects/{name}.cfg\n" for name in ("commands", "contacts", "timeperiods", "templates")
    )
    # The last two are overruled by our lines, which stand below.
    + """\
cfg_dir=/etc/nagios-plugins/config
illegal_macro_output_chars=`~$&|'"<>
allow_empty_hostgroup_assignment=0
process_performance_data=0
"""
)
PARTS = 3


def copied(source: Path, root: Path) -> Path:
    """The folder's files where the user of the daemons can read them."""
    for path in source.rglob("*.cfg"):
        target = root / "files" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return root / "files"


def configured(root: Path, user: str | None, folder: Path, *more: Path, minute: int = 60) -> Nagios:
    """A Nagios over the files in `folder`; `minute` is how many seconds it takes for one."""
    main = (folder / "main" / "testbed-checks.cfg").read_text(encoding="utf-8")
    return Nagios(root, [*sorted(folder.glob("*.cfg")), *more], user, main=DEBIAN + main, interval_seconds=minute)


def test_nagios_accepts_the_files_as_shipped_with_debians_own_and_the_example_hosts(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    root = make_stack_root("config-shipped")
    folder = copied(ROOT / "nagios-config", root)
    nagios = configured(root, stack_user, folder, *sorted((folder / "examples").glob("*.cfg")))
    nagios.prepare()
    said = nagios.verify()
    assert "Total Warnings: 0" in said, said
    assert "Checked 13 hosts." in said
    assert "Checked 0 service dependencies" not in said


def test_nagios_accepts_the_files_where_there_is_nothing_of_seattle(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    root = make_stack_root("config-no-seattle")
    folder = copied(ROOT / "nagios-config", root)
    nagios = configured(root, stack_user, folder, folder / "examples" / "hosts.cfg")
    nagios.prepare()
    said = nagios.verify()
    assert "Total Warnings: 0" in said, said
    assert "Checked 2 hosts." in said
    assert "Checked 0 service dependencies" in said


def test_a_duplicate_of_debians_command_would_have_been_noticed(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    root = make_stack_root("config-duplicate")
    folder = copied(ROOT / "nagios-config", root)
    (folder / "more.cfg").write_text("define command {\n  command_name check_nrpe\n  command_line /bin/true\n}\n")
    nagios = configured(root, stack_user, folder, folder / "examples" / "hosts.cfg")
    nagios.prepare()
    with pytest.raises(StackError, match=r"check_nrpe\.cfg"):
        nagios.verify()


HOSTS = """\
define host {
  use            testbed-host
  host_name      node1
  address        127.0.0.1
  check_command  check_dummy!0
  hostgroups     testbed-check_disk,testbed-check_virt_stats,testbed-check_virt_stats_all,testbed-check_virt_stats_parts
}
define command {
  command_name  check_dummy
  command_line  /usr/lib/nagios/plugins/check_dummy $ARG1$ 'here|rta=1ms'
}
"""


@pytest.fixture
def monitored(
    make_stack_root: Callable[[str], Path],
    stack_user: str | None,
    libvirt_host: Libvirt,
    make_nrpe: Callable[..., Nrpe],
) -> Iterator[Nagios]:
    """A real Nagios over generated files, with one host in all hostgroups, and the real NRPE it asks, both with certificates."""
    root = make_stack_root("config-nagios")
    bindir = ["--bindir", str(place.command("x").parent), "--parts", str(PARTS)]
    made = root / "nrpe.d"
    arguments = ["--arguments", f"check_virt_stats=--uri '{libvirt_host.uri_ro}'"]
    assert cli.run(["config", "nrpe", "--output", str(made), *bindir, *arguments])[0] == 0
    state = root / "state"
    state.mkdir(mode=0o700)
    place.give(state, stack_user)
    server = make_nrpe({}, include=sorted(made.glob("*.cfg")), env={"STATE_DIRECTORY": str(state)})
    folder = root / "files"
    nagios = Nagios(root, [], stack_user)
    options = ["--tls", "--tls-dir", str(server.folder), "--nrpe-port", str(server.port)]
    options += ["--nagios-dir", str(nagios.folder), "--spool", str(nagios.spool)]
    code, text = cli.run(["config", "nagios", "--output", str(folder), *bindir, *options])
    assert code == 0, text
    (folder / "hosts.cfg").write_text(HOSTS, encoding="utf-8")
    nagios = configured(root, stack_user, folder, minute=4)
    nagios.main = nagios.main.replace("processing_interval=15", "processing_interval=1")
    nagios.start()
    yield nagios
    nagios.stop()


LABELS = {
    "virt_stats": ("web01.cpu.time", "db01.cpu.time", "plain.cpu.time", "host.guests.total"),
    "disk": ("root.used_percent",),
    "ping": ("rta",),
}


def spooled(spool: Path) -> list[dict[str, str]]:
    """The fields of every line that graphios would read."""
    texts = [path.read_text(encoding="utf-8") for path in spool.glob("[hs]*-perfdata.*")]
    return [dict(field.split("::", 1) for field in line.split("\t")) for text in texts for line in text.splitlines()]


def points(lines: list[dict[str, str]]) -> Counter[tuple[str, str, str]]:
    """How often there is a point of each postfix, label and time."""
    found: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        for label in re.findall(r"(\S+)=", line.get("SERVICEPERFDATA", line.get("HOSTPERFDATA", ""))):
            found[line["GRAPHITEPOSTFIX"], label, line["TIMET"]] += 1
    return found


def test_each_value_takes_one_road_through_the_real_nagios_into_the_spool(monitored: Nagios) -> None:
    def complete() -> bool:
        arrived = Counter((postfix, label) for postfix, label, _ in points(spooled(monitored.spool)))
        return all(arrived[postfix, label] >= 2 for postfix, labels in LABELS.items() for label in labels)

    wait_until(complete, 120, "two points of every kind in the spool")
    services = {"check_disk", *(f"check_virt_stats_{part}of{PARTS}" for part in range(1, PARTS + 1))}
    status = monitored.status()
    assert {service for _, service in status if service} == services
    for service in services:
        fields = status["node1", service]
        assert fields["current_state"] in "012", fields["plugin_output"]
    found = spooled(monitored.spool)
    assert {(line["HOSTNAME"], line["GRAPHITEPREFIX"]) for line in found} == {("node1", "testbed")}
    assert {line["GRAPHITEPOSTFIX"] for line in found} == set(LABELS)
    assert set(points(found).values()) == {1}
