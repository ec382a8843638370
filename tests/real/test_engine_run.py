"""`testbed-checks run` and its engine with checks that misbehave: each is named, the others say what they always say, and nothing is left behind."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.real import hostile_checks
from tests.real.drill import OK, UNKNOWN
from tests.soak import count
from tests.stack import place
from tests.stack.daemon import wait_until

# What the output says of each kind. A signal that a shell was told of is an exit code to us.
CRASHES = {
    "crash_segfault": "SIGSEGV|exit code 139",
    "crash_abort": "SIGABRT|exit code 134",
    "crash_killed": "SIGKILL|exit code 137",
    "crash_group": "SIGKILL",
    "crash_raises": "RuntimeError: nobody foresaw this|printed nothing, exit code 1",
    "crash_exit_200": "exit code 200 .* it printed: OK - with exit code 200",
    "crash_exit_text": "printed nothing, exit code 1; on standard error: no exit code at all",
    "crash_silent": "printed nothing, exit code 0",
    "crash_closed": "printed nothing, exit code 0",
    "flood": "printed more than 1048576 bytes",
    "flood_line": "printed more than 1048576 bytes",
    "flood_both": "printed more than 1048576 bytes",
    "flood_errors": "wrote more than 16777216 bytes to standard error",
}
WELL = {
    "well": "OK - well",
    "grandchildren": "OK - with grandchildren",
    "bomb": "OK - with a bomb",
    "pipe_held": "OK - pipe held",
    "pipe_held_away": "OK - pipe held from elsewhere",
    "daemon": "OK - with a daemon",
    "descriptors": "OK - with descriptors",
    "limits": "OK - without limits",
    "memory": "OK - took 200 MiB",
    "thread": "OK - with a thread",
    "reads_input": "OK - read 0 bytes",
    "errors_then_ok": "OK - after its errors",
}
HUNG = [kind for kind in hostile_checks.KINDS if kind.startswith("hung")]


class Site(NamedTuple):
    """A folder with the hostile package and commands for the engine, which runs as a user without privileges."""

    root: Path
    user: str | None

    def environment(self) -> dict[str, str]:
        """The engine's: it finds the package, and everything it starts can be found again."""
        return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.root / "package")}

    def configure(self, kinds: Iterable[str]) -> None:
        """Command warm_KIND and cold_KIND for each of these."""
        lines = []
        for kind in kinds:
            lines.append(f"command[warm_{kind}]=check_hostile_{kind}\n")
            lines.append(f"command[cold_{kind}]=/usr/bin/python3 {self.root}/package/hostile_checks.py {kind}\n")
        (self.root / "nrpe.d" / "hostile.cfg").write_text("".join(lines), encoding="ascii")

    def run(self, *options: str, descriptors: int = 1024) -> tuple[int, dict[str, Any]]:
        """Exit code and document of one run that begins with this soft limit of descriptors; nothing is written to standard error."""
        account = pwd.getpwnam(self.user) if self.user else None
        done = subprocess.run(
            [
                *("/bin/sh", "-c", f'ulimit -Sn {descriptors} && exec "$@"', "sh"),
                *(place.command("testbed-checks"), "run", "--commands", self.root / "nrpe.d", "--json", *options),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=240,
            check=False,
            cwd="/",
            env=self.environment(),
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[account.pw_gid] if account else None,
        )
        assert done.stderr == b""
        return done.returncode, json.loads(done.stdout)

    def left(self) -> list[str]:
        """Command lines of the processes that have this folder in their environment or among their words."""
        found = []
        for folder in Path("/proc").glob("[1-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
                if os.fsencode(self.root) in words + (folder / "environ").read_bytes():
                    found.append(words.replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                pass
        return found


@pytest.fixture
def site(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Site:
    """A fresh one."""
    found = Site(make_stack_root("hostile"), stack_user)
    (found.root / "package").mkdir()
    (found.root / "nrpe.d").mkdir()
    hostile_checks.install(found.root / "package")
    return found


def _wrong(results: Iterable[Mapping[str, Any]], code: int, expected: Mapping[str, str]) -> dict[str, Any]:
    """The results, by their kind, that are not of this code and text."""
    wrong = {}
    for result in results:
        kind = result["name"].partition("_")[2]
        if kind in expected and (
            result["code"] != code or not re.search(expected[kind], result["output"].partition("\n")[0])
        ):
            wrong[result["name"]] = result["output"][:300]
    return wrong


def test_checks_that_crash_flood_or_have_bad_manners_are_named_and_touch_no_other(site: Site) -> None:
    site.configure([*CRASHES, *WELL, "binary", "flood_family"])
    code, document = site.run()
    results = document["results"]
    assert len(results) == 2 * (len(CRASHES) + len(WELL) + 2)
    assert code == UNKNOWN
    assert _wrong(results, UNKNOWN, CRASHES) == {}
    assert _wrong(results, OK, WELL) == {}
    by_name = {result["name"]: result for result in results}
    for how in ("warm", "cold"):
        text = by_name[f"{how}_binary"]["text"]
        assert text.startswith("OK - ")
        assert text.isprintable()
    wait_until(lambda: not site.left(), 30, "nothing is left of the run")


def test_checks_that_hang_are_named_and_ended_whatever_they_do_about_it(site: Site) -> None:
    site.configure(HUNG)
    code, document = site.run("--timeout", "2")
    assert code == UNKNOWN
    assert {result["name"] for result in document["results"]} == {
        f"{how}_{kind}" for how in ("warm", "cold") for kind in HUNG
    }
    assert _wrong(document["results"], UNKNOWN, dict.fromkeys(HUNG, "no end within 2 s")) == {}
    assert document["figures"]["checks.killed"] == 2 * len(HUNG)
    wait_until(lambda: not site.left(), 30, "nothing is left of the run")


def test_a_check_that_kills_the_process_it_was_forked_from_costs_at_most_what_ran_then(site: Site) -> None:
    site.configure(["kills_parent", *WELL])
    _, document = site.run("--parallel", "2")
    unlucky = {result["name"]: result["output"] for result in document["results"] if result["code"] != OK}
    assert re.search("lost|can't be started", unlucky.pop("warm_kills_parent"))
    assert "SIGKILL" in unlucky.pop("cold_kills_parent")  # its parent was a shell
    # What ran beside it runs again, with it; nothing that began after it.
    assert all(re.search("lost|can't be started", output) for output in unlucky.values())
    assert len(unlucky) <= 4
    assert document["figures"]["forks.restarts"] >= 1
    wait_until(lambda: not site.left(), 30, "nothing is left of the run")


def test_a_package_that_can_not_be_loaded_ahead_costs_only_itself(site: Site) -> None:
    imports = {
        "exits": "import os; os._exit(0)",
        "crashes": "import ctypes; ctypes.string_at(0)",
        "opens": "file = open('/etc/passwd')",
        "prints": "print('noise')",
        "fails": "import nowhere",
    }
    folder = site.root / "package"
    information = folder / "unwelcome-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unwelcome\nVersion: 1.0\n", encoding="ascii")
    entries = "".join(f"check_{name} = unwelcome_{name}\n" for name in imports)
    (information / "entry_points.txt").write_text(f"[testbed_checks]\n{entries}", encoding="ascii")
    for name, text in imports.items():
        (folder / f"unwelcome_{name}.py").write_text(f"{text}\ndef main():\n    print('OK')\n", encoding="ascii")
    site.configure(["well"])
    lines = "".join(f"command[{name}]=check_{name}\n" for name in imports)
    (site.root / "nrpe.d" / "unwelcome.cfg").write_text(lines, encoding="ascii")
    _, document = site.run()
    codes = {result["name"]: result["code"] for result in document["results"]}
    well = ("warm_well", "cold_well", "opens", "prints")
    assert codes == dict.fromkeys([*imports], UNKNOWN) | dict.fromkeys(well, OK)
    # On a busy machine the run may end before all of them were tried.
    named = {trouble.partition(":")[0] for trouble in document["not_warmed"]}
    assert named <= {f"unwelcome_{name}" for name in imports}


def test_more_checks_than_the_usual_limit_of_descriptors_run_at_once(site: Site) -> None:
    commands = "".join(f"command[wait_{number}]=sleep 1; ulimit -Sn\n" for number in range(100))
    (site.root / "nrpe.d" / "waits.cfg").write_text(commands, encoding="ascii")
    code, document = site.run("--parallel", "50", descriptors=60)
    assert code == OK
    # And they are started with the limit that they would have without the engine.
    assert {result["output"] for result in document["results"]} == {"60\n"}


def test_a_hundred_checks_round_after_round_leave_nothing_in_the_engine(site: Site) -> None:
    """Of the hundred five hang, five crash and five flood."""
    rounds = count(6, 1000)
    package = site.root / "package"
    done = subprocess.run(
        [place.command("python3"), "-m", "tests.real.engine_rounds", package, str(rounds)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60 + 30 * rounds,
        check=False,
        cwd=place.CLONE,
        env=site.environment(),
    )
    assert done.stderr == b""
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(seen) == rounds
    assert [(one["round"], one["wrong"]) for one in seen if one["wrong"]] == []
    # The first rounds load what they need and find their size.
    first, later = seen[2], seen[3:]
    for what in ("descriptors", "children", "tasks", "restarts"):
        assert {json.dumps(one[what]) for one in later} == {json.dumps(first[what])}
    for process in ("engine", "fork server"):
        # It goes up and down by what floods; what each run left behind would only go up.
        memory = [one["memory"][process] for one in seen[len(seen) // 10 :]]
        third = len(memory) // 3
        # It finds its size over some dozens of rounds; keeping what one round floods would be 20 MB in the few of bin/test.
        room = 4 if rounds >= 100 else 16
        assert min(memory[-third:]) < min(memory[:third]) + (room << 20)
    wait_until(lambda: not site.left(), 30, "nothing is left of the rounds")


def test_what_config_makes_runs_as_it_is_and_a_broken_file_costs_only_itself(site: Site) -> None:
    """A new user's first minutes: NRPE's files, without any NRPE."""
    folder = site.root / "nrpe.d"
    bindir = place.command("x").parent
    place.run(
        [place.command("testbed-checks"), "config", "nrpe", "--bindir", bindir, "--output", folder], "config nrpe"
    )
    _, document = site.run()
    names = {result["name"] for result in document["results"]}
    assert {"check_disk", "check_virt_stats", "check_tahoe_client"} <= names
    assert document["broken"] == []
    assert document["not_warmed"] == []
    disk = next(result for result in document["results"] if result["name"] == "check_disk")
    assert disk["code"] in (0, 1, 2)
    assert disk["output"].startswith("DISK ")
    assert not disk["trouble"]
    (folder / "mine.cfg").write_text("# interval=5m\ncommand[mine]=echo 'OK - mine'\n", encoding="ascii")
    (folder / "broken.cfg").write_text("command[]=\ncommand[half]=echo half\n", encoding="ascii")
    code, document = site.run()
    assert {result["name"] for result in document["results"]} == names | {"mine", "half"}
    assert [(Path(one["source"]).name, one["line"]) for one in document["broken"]] == [("broken.cfg", 1)]
    assert site.run("mine")[0] == OK
    assert code != OK
