"""Which checks can run warm: ours and those of other packages, and that nobody else's command is taken for one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.engine.commands import catalog
from checks.engine.commands.commands import Commands, environment, job
from checks.engine.forks.client import ForkServer
from checks.engine.jobs import Ended
from checks.engine.pool import Pool

OUR_COMMANDS = Path(sys.prefix, "bin")
FOREIGN = "/usr/lib/nagios/plugins/check_disk"
MODULE = """\
import os, sys

def main():
    print("THING OK -", *sys.argv[1:], os.environ["COLOUR"], "| x=1")
    return 1

class CHECK:
    @staticmethod
    def main():
        sys.exit(2)
"""


class Site:
    """A folder on sys.path, where packages are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lib" / "site-packages"
        self.folder.mkdir(parents=True)
        self.bin = folder / "bin"
        self.bin.mkdir()

    def install(self, name: str, entry_points: str | bytes, commands: tuple[str, ...] = ()) -> Path:
        """As pip does it: the module, its description, its commands. Returns the description's folder."""
        (self.folder / f"{name}.py").write_text(MODULE)
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        text = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (info / "entry_points.txt").write_bytes(b"[testbed_checks]\n" + text)
        for command in commands:
            program = self.bin / command
            program.write_text(f"#!{sys.executable} -P\nimport sys, {name}\nsys.exit({name}.main())\n")
            program.chmod(0o755)
        (info / "RECORD").write_text("".join(f"../../bin/{command},,\n" for command in commands) + f"{name}.py,,\n")
        # A second within which nothing else is installed goes by; nobody waits for it here.
        catalog._catalog.cache_clear()
        return info


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path)
    monkeypatch.syspath_prepend(str(made.folder))
    yield made
    catalog._catalog.cache_clear()


def test_ours_are_the_modules_named_check() -> None:
    names = {path.stem for path in Path(catalog.__file__).parents[2].glob("check_*.py")}
    assert "check_virt_stats" in names
    found = catalog.catalog()
    assert {name: found.entries[name] for name in names} == {name: f"checks.{name}:main" for name in names}


def test_a_package_offers_checks(site: Site) -> None:
    site.install("thing", "check_thing = thing:main\ncheck_other = thing\ncheck_deep = thing:CHECK.main [extra]\n")
    found = catalog.entries()
    assert found["check_thing"] == "thing:main"
    assert found["check_other"] == "thing:main"
    assert found["check_deep"] == "thing:CHECK.main"
    assert not catalog.catalog().troubles


def test_a_package_installed_later_is_seen(site: Site) -> None:
    assert "check_thing" not in catalog.entries()
    site.folder.joinpath("thing-1.0.dist-info").mkdir()
    site.folder.joinpath("thing-1.0.dist-info", "entry_points.txt").write_text("[testbed_checks]\ncheck_thing=thing\n")
    os.utime(site.folder, ns=(1, 1))
    assert catalog.entries()["check_thing"] == "thing:main"


def test_nobody_takes_the_name_of_another(site: Site) -> None:
    site.install("thing", "check_disk = thing:main\ncheck_thing = thing:main\n", ("check_disk", "check_thing"))
    site.install("zthing", "check_thing = zthing:main\n")
    found = catalog.catalog()
    assert found.entries["check_disk"] == "checks.check_disk:main"
    assert found.entries["check_thing"] in ("thing:main", "zthing:main")
    assert len(found.troubles) == 2
    assert all("another package has check_" in trouble for trouble in found.troubles)
    assert catalog.entry_for(f"{site.bin}/check_disk") == ""


@pytest.mark.parametrize(
    "text",
    [
        "check_x\n",
        "check_x = \n",
        "check_x = a b\n",
        "check_x = a;b:c\n",
        "../x = thing:main\n",
        b"check_x = \xff:main\n",
        "a b = thing\n",
    ],
)
def test_a_broken_entry_point_is_named_and_costs_only_itself(site: Site, text: str | bytes) -> None:
    broken = site.install("broken", text)
    site.install("thing", "check_thing = thing:main\n")
    found = catalog.catalog()
    assert found.entries["check_thing"] == "thing:main"
    assert "check_x" not in found.entries
    assert [str(broken) in trouble for trouble in found.troubles] == [True]
    assert "\n" not in found.troubles[0]


def test_an_installed_command_is_ours_also_through_links(site: Site, tmp_path: Path) -> None:
    site.install("thing", "check_thing = thing:main\ncheck_x = thing:CHECK.main\n", ("check_thing", "check_x"))
    (tmp_path / "link").symlink_to(site.bin)
    (tmp_path / "check_disk").symlink_to("link/check_x")
    assert catalog.entry_for(f"{site.bin}/check_thing") == "thing:main"
    assert catalog.entry_for(f"{site.bin}/../bin/./check_thing") == "thing:main"
    assert catalog.entry_for(f"{tmp_path}/link/check_thing") == "thing:main"
    assert catalog.entry_for(f"{tmp_path}/check_disk") == "thing:CHECK.main"


def test_commands_that_are_links_to_one_launcher_are_told_apart(site: Site) -> None:
    site.install("thing", "check_thing = thing:main\ncheck_x = thing:CHECK.main\n", ("check_thing", "check_x"))
    for name in ("check_thing", "check_x"):
        (site.bin / name).unlink()
        (site.bin / name).symlink_to("launcher")
    (site.bin / "launcher").write_text("#!/bin/sh\n")
    assert catalog.entry_for(f"{site.bin}/check_thing") == "thing:main"
    assert catalog.entry_for(f"{site.bin}/check_x") == "thing:CHECK.main"
    assert catalog.entry_for(f"{site.bin}/launcher") == ""


def test_another_check_disk_is_not_ours(site: Site) -> None:
    (site.bin / "check_disk").write_text("#!/bin/sh\n")
    (site.bin / "check_disk").chmod(0o755)
    (site.bin / "loop").symlink_to("loop")
    assert Path(FOREIGN).exists()
    for program in (
        FOREIGN,
        f"{site.bin}/check_disk",
        f"{site.bin}/loop",
        "./check_disk",
        "bin/check_disk",
        "/" + "x" * 300,
    ):
        assert catalog.entry_for(program) == ""
    assert catalog.entry_for("check_disk", str(site.bin)) == ""
    assert catalog.entry_for("check_disk", str(Path(FOREIGN).parent)) == ""


def test_a_bare_name_is_ours_where_path_finds_ours_or_nothing(site: Site) -> None:
    site.install("thing", "check_thing = thing:main\n", ("check_thing",))
    assert catalog.entry_for("check_thing", str(site.bin)) == "thing:main"
    assert catalog.entry_for("check_thing", "/nonexistent") == "thing:main"
    assert catalog.entry_for("check_disk", "/nonexistent") == "checks.check_disk:main"
    assert catalog.entry_for("sh", "/bin") == ""
    assert catalog.entry_for("", "/bin") == ""


def test_the_commands_of_this_installation_are_ours() -> None:
    installed = [name for name in catalog.entries() if (OUR_COMMANDS / name).exists()]
    assert "check_disk" in installed
    assert {name: catalog.entry_for(f"{OUR_COMMANDS}/{name}") for name in installed} == {
        name: f"checks.{name}:main" for name in installed
    }


@pytest.mark.parametrize(
    ("variables", "warm"),
    [
        ({}, True),
        ({"LANG": "C"}, True),
        ({"LANG": "de_DE.UTF-8", "HOME": "/"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE.ISO-8859-1", "LC_ALL": "C.utf8"}, True),
        ({"LC_ALL": "", "LANG": "ja_JP.eucJP"}, False),
        ({"PYTHONPATH": "/x"}, False),
        ({"LD_PRELOAD": "/x.so"}, False),
        ({"OPENSSL_CONF": "/x"}, False),
        ({"XPYTHONPATH": "/x"}, True),
    ],
)
def test_what_python_reads_at_its_start_has_to_be_as_it_was(variables: dict[str, str], warm: bool) -> None:
    assert catalog.can_be_warm(variables) is warm


def test_a_check_of_another_package_runs_warm_and_gives_what_its_command_gives(site: Site) -> None:
    site.install("thing", "check_thing = thing:main\n", ("check_thing",))
    folder = site.folder.parent
    (folder / "a.cfg").write_text(
        f"command[warm]=COLOUR=red {site.bin}/check_thing -w 'a b'\n"
        f"command[cold]=COLOUR=red PYTHONPATH={site.folder} {site.bin}/check_thing -w 'a b'\n"
    )
    found = Commands([folder]).read().commands
    jobs = {name: job(command, environment=environment()) for name, command in found.items()}
    assert (jobs["warm"].entry, jobs["cold"].entry) == ("thing:main", "")

    async def run() -> dict[str, Ended]:
        server = ForkServer(catalog.entries().values())
        await server.start()
        pool = Pool(server, 2)
        try:
            return {name: await pool.run(one) for name, one in jobs.items()}
        finally:
            await pool.close(1)
            await server.close()

    ends = asyncio.run(run())
    for ended in ends.values():
        assert (ended.code, ended.output, ended.errors) == (1, b"THING OK - -w a b red | x=1\n", b"")
