"""The worker beside a real Nagios: no output is cut, each value arrives exactly once, and Nagios sees the states that its own workers would give."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphios.inputs.line import Line, LineReader
from graphios.perfdata import items
from tests.real.checked_site import WorkerSite
from tests.soak import count
from tests.stack import place
from tests.stack.daemon import wait_until

LABELS = 700
ALL = (1 << LABELS) - 1
# Each value of a run is the run's own number, so that every point tells where it comes from.
LARGE = """\
#!/bin/sh
# check_large FOLDER NAME: notes the run, and prints many values of it.
number=$(date +%s%N)
echo "$number" >> "$1/$2"
sed "s/@/$number/g" "$0.output"
"""


class Points:
    """What has arrived of each run (host, service or "" for the host itself, number): a bit for each of its labels."""

    def __init__(self, site: WorkerSite) -> None:
        self._site = site
        self._reader = LineReader()
        self.runs: dict[tuple[str, str, str], int] = {}
        self.twice: list[str] = []

    def read(self) -> int:
        """Take what is new; return how many runs are complete."""
        for raw in self._site.new_lines():
            line = self._reader.read(raw, time.time())
            text = line.perfdata if isinstance(line.perfdata, str) else str(line.perfdata, "utf-8")
            values, wrong, _ = items(text)
            assert not wrong, wrong
            source = line.source
            assert source.prefix == ("hosts" if source.service is None else "mon")
            for label, value, *_ in values:
                run = (source.host, source.service or "", str(value))
                bit = 1 << int(label.removeprefix("label"))
                if self.runs.get(run, 0) & bit:
                    self.twice.append(f"{run}: {label}")
                self.runs[run] = self.runs.get(run, 0) | bit
        return sum(found == ALL for found in self.runs.values())


@pytest.fixture
def make_site(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Callable[..., WorkerSite]]:
    sites: list[WorkerSite] = []

    def make(name: str, main: str = "") -> WorkerSite:
        sites.append(WorkerSite(make_stack_root(f"worker-{name}"), stack_user, name, main))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


def test_no_output_is_cut_and_each_value_arrives_exactly_once(make_site: Callable[..., WorkerSite]) -> None:
    site = make_site("outputs")
    runs = site.folder / "runs"
    runs.mkdir()
    plugin = site.plugin("check_large", LARGE)
    labels = [f"label{number:03}" for number in range(LABELS)]
    text = f"OK - run @ | {' '.join(f'{label}=@' for label in labels[:300])}\nmore text\n| "
    text += "\n".join(f"{label}=@" for label in labels[300:]) + "\n"
    assert len(text.replace("@", str(time.time_ns()))) > 12_000
    site.plugin("check_large.output", text, 0o644)
    services = count(20, 100)
    for number in range(services):
        host = f"h{number % 5}"
        if number < 5:
            switched_off = number % 2
            site.add_host(host, f"{plugin} {runs} {host}", _GRAPHITEPREFIX="hosts", process_perf_data=1 - switched_off)
        site.add_service(
            host,
            f"s{number}",
            f"{plugin} {runs} {host},s{number}",
            _GRAPHITEPREFIX="mon",
            process_perf_data=number // 5 % 2,
        )
    site.start([plugin])
    site.begin()
    points = Points(site)

    def printed() -> set[tuple[str, str, str]]:
        found = set()
        for file in runs.iterdir():
            host, _, service = file.name.partition(",")
            found |= {(host, service, number) for number in file.read_text(encoding="ascii").split()}
        return found

    wait_until(lambda: points.read() >= count(200, 10_000), count(120, 3000), "the checks run")
    site.end()
    wait_until(lambda: points.read() >= len(printed()), 60, "every value of every run arrives")
    assert points.twice[:5] == []
    assert points.runs.keys() == printed()
    status = site.nagios.status()
    for number in range(services):
        fields = status[f"h{number % 5}", f"s{number}"]
        assert fields["plugin_output"].startswith("OK - run ")
        assert len(fields["plugin_output"] + fields["performance_data"]) < 4000


CASE = """\
#!/bin/sh
case $1 in
code) echo "TEXT $2 | a=1"; exit "$2" ;;
kill) echo 'TEXT before | a=1'; kill -"$2" $$ ;;
silent-kill) kill -"$2" $$ ;;
errors) echo 'on standard error | a=1' >&2; exit "$2" ;;
nothing) exit "$2" ;;
hang) echo 'begun | a=1'; trap '' TERM; sleep 1000; sleep 1000 ;;
child) sleep 1000 & echo 'TEXT and a child | a=1'; exit "$2" ;;
blank) printf '\\n\\n  TEXT after blanks | a=1\\n'; exit "$2" ;;
nul) printf 'TEXT\\000more | a=1\\n'; exit "$2" ;;
words) shift; printf '[%s]' "$@"; exit 1 ;;
large) printf 'TEXT '; head -c 5000 /dev/zero | tr '\\000' x; exit "$2" ;;
environment) echo "$NAGIOS_HOSTNAME,$NAGIOS_SERVICEDESC,$NAGIOS__SERVICEODD,$NAGIOS_ARG1."; exit 1 ;;
esac
"""
CASES = {
    **{f"code {code}": f"code {code}" for code in (0, 1, 2, 3, 4, 126, 127, 200, 255)},
    **{f"kill {number}": f"kill {number}" for number in (9, 11, 15)},
    "silent kill": "silent-kill 9",
    **{f"errors {code}": f"errors {code}" for code in (0, 1)},
    **{f"nothing {code}": f"nothing {code}" for code in (0, 2)},
    "hang": "hang 0",
    "child": "child 1",
    "blank": "blank 2",
    "nul": "nul 1",
    "large": "large 2",
    "environment": "environment 1",
    "quoted": "words 'a b' \"c d\" e\\ f '' x=y [z] ~ 'a|b;c'",
    "shell": "words a | cat; exit 2",
    "variable": 'words "$NAGIOS_HOSTNAME" `echo back`',
    "unfinished": "words 'a",
}
# Of these Nagios shows the very same text, whoever ran it.
SAME_TEXT = {name for name in CASES if name.startswith(("code", "errors", "nothing", "kill"))}
SAME_TEXT |= {"child", "blank", "environment", "quoted", "shell", "variable"}


def test_states_are_those_that_nagios_own_workers_lead_to(make_site: Callable[..., WorkerSite]) -> None:
    found = {}
    lines: dict[bool, list[str]] = {}
    sites = [make_site("ours"), make_site("theirs")]
    for site in sites:
        site.nagios.main += "service_check_timeout=3\nhost_check_timeout=3\n"
        case = site.plugin("check_case", CASE)
        site.plugin("check_noexec", CASE, 0o644)
        site.plugin("check_noshebang", CASE.partition("\n")[2])
        every = {name: f"{case} {line}" for name, line in CASES.items()}
        every["assigned"] = f"NAGIOS_ARG1=changed {case} environment"
        every["no permission"] = f"{site.folder}/check_noexec code 0"
        every["no interpreter line"] = f"{site.folder}/check_noshebang code 1"
        every["missing"] = "/nonexistent/check_missing -w 1"
        site.add_host("h", _GRAPHITEPREFIX="hosts")
        for number, (name, line) in enumerate(every.items()):
            site.add_service("h", name, line, _GRAPHITEPREFIX="mon", _ODD="odd one")
            if number % 3 == 0 or name == "hang":
                site.add_host(f"host {name}", line, _GRAPHITEPREFIX="hosts")
        plugins = ["check_case", "check_noexec", "check_noshebang", "check_missing"] if site is sites[0] else []
        site.start(plugins)
    for site in sites:
        site.check_each_once()
    for site in sites:
        wait_until(lambda: _all_checked(site), 60, "Nagios has checked everything")  # noqa: B023
        found[site is sites[0]] = site.nagios.status()
        lines[site is sites[0]] = sorted(
            f"{line.source}: {line.perfdata!s}" for line in map(read, site.new_lines()) if line.perfdata
        )
    ours, theirs = found[True], found[False]
    states = {key: (ours[key]["current_state"], theirs[key]["current_state"]) for key in theirs}
    assert {key: pair for key, pair in states.items() if pair[0] != pair[1]} == {}
    texts = {name: (ours["h", name]["plugin_output"], theirs["h", name]["plugin_output"]) for name in SAME_TEXT}
    assert {name: pair for name, pair in texts.items() if pair[0] != pair[1]} == {}
    assert ours["h", "hang"]["plugin_output"].startswith("(Service check timed out after ")
    assert ours["host hang", ""]["plugin_output"].startswith("(Host check timed out after ")
    assert "check_missing" in ours["h", "missing"]["plugin_output"]
    assert "SIGNAL" in ours["h", "silent kill"]["plugin_output"].upper()
    # No value that Nagios's own workers deliver is missing, and none comes twice.
    assert len(lines[True]) == len(set(lines[True]))
    assert set(lines[False]) - set(lines[True]) == set()


def read(raw: bytes) -> Line:
    return LineReader().read(raw, time.time())


def _all_checked(site: WorkerSite) -> bool:
    status = site.nagios.status()
    return bool(status) and all(fields["has_been_checked"] == "1" for fields in status.values())


def test_the_worker_refuses_a_nagios_that_does_not_say_whose_a_check_is(
    make_site: Callable[..., WorkerSite], stack_user: str | None
) -> None:
    site = make_site("macros", "enable_environment_macros=0\n")
    site.add_host("h")
    site.nagios.prepare()
    command = f"'{place.command('testbed-checks')}' worker --nagios-cfg '{site.nagios.config}' --spool '{site.spool}' --journal '{site.folder}'"
    said = place.run(["/bin/sh", "-c", f"{command} 2>&1; echo code $?"], "testbed-checks worker", stack_user)
    assert "enable_environment_macros=1" in said
    assert said.rstrip().endswith("code 3")
    assert "Traceback" not in said
