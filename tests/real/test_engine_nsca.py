"""States of a machine without Nagios reach one: by the real send_nsca and nsca-ng over TLS, into the real command file of the real Nagios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.stack.daemon import wait_until
from tests.stack.nagios import BASE_OBJECTS, Nagios
from tests.stack.nsca import Nsca
from tests.stack.place import socket_folder
from tests.stack.resident import PATIENCE, Resident, scheduled

SERVICES = ("fine", "awkward", "refused", "late", "engine")

PASSIVE = """\
define host {{
  use                    generic-host
  host_name              node
  address                127.0.0.1
  check_command          check-host-alive
  max_check_attempts     1
  active_checks_enabled  0
}}
""" + "".join(
    f"""\
define service {{{{
  use                     generic-service
  host_name               node
  service_description     {name}
  check_command           check-host-alive
  max_check_attempts      1
  active_checks_enabled   0
  passive_checks_enabled  1
}}}}
"""
    for name in SERVICES
)


class Site(NamedTuple):
    """A monitoring server with Nagios and nsca-ng, and a machine with an engine."""

    nagios: Nagios
    nsca: Nsca
    engine: Resident

    def state(self, service: str) -> dict[str, str]:
        """What Nagios knows of the service; empty before its first result."""
        found = self.nagios.status().get(("node", service), {})
        return found if found.get("has_been_checked") == "1" else {}

    def wait(self, service: str, **fields: str) -> dict[str, str]:
        """Waits until Nagios has these fields for the service."""
        self.engine.wait(
            lambda: fields.items() <= self.state(service).items() and self.state(service), f"{service} in Nagios"
        )
        return self.state(service)


@pytest.fixture
def site(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Site]:
    root = make_stack_root("nsca")
    objects = root / "objects.cfg"
    objects.write_text((BASE_OBJECTS + PASSIVE).format(alive="/bin/true"), encoding="utf-8")
    nagios = Nagios(root, [objects], stack_user)
    nsca = Nsca(
        root, socket_folder(root) / nagios.name / "nagios.cmd", stack_user, services="(fine|awkward|late|engine)@node"
    )
    found = Site(nagios, nsca, Resident(root, stack_user))
    yield found
    found.engine.close()
    nsca.stop()
    nagios.stop()


def test_states_reach_nagios_as_they_are(site: Site) -> None:
    site.nagios.start()
    site.nsca.start()
    awkward = (
        r"""printf 'CRITICAL: a\\b; c\td "e" \303\251 \001\027x | v=1\n%s\n' 'second \n line; $HOSTNAME$'; exit 2"""
    )
    site.engine.write("a.cfg", scheduled("fine", "/bin/echo 'OK: all is well | v=1'"), scheduled("awkward", awkward))
    site.engine.start("--submit", site.nsca.submit, "--spool", site.engine.spool)
    fine = site.wait("fine", current_state="0")
    # Perfdata has gone into the spool, and takes no second road.
    assert (fine["plugin_output"], fine["performance_data"]) == ("OK: all is well", "")
    bad = site.wait("awkward", current_state="2")
    # Nagios itself makes a colon of a semicolon.
    assert bad["plugin_output"] == r'CRITICAL: a\b: c d "e" é   x'
    assert bad["long_plugin_output"] == r"second \\n line; $HOSTNAME$"
    assert site.wait("engine")["plugin_output"].startswith(("OK:", "WARNING:"))
    site.engine.stop()


def test_a_refused_result_costs_only_itself(site: Site) -> None:
    site.nagios.start()
    site.nsca.start()
    names = ("fine", "refused", "late", "awkward")
    site.engine.write("a.cfg", *(scheduled(name, f"/bin/echo 'OK: {name}'") for name in names))
    site.engine.start("--submit", site.nsca.submit)
    for name in ("fine", "late", "awkward"):
        site.wait(name, plugin_output=f"OK: {name}")
    site.engine.wait(lambda: "the result of refused is refused" in site.engine.log, "the refused one to be named")
    assert "not authorized" in site.engine.log
    checked = site.state("fine")["last_check"]
    site.engine.wait(lambda: site.state("fine").get("last_check", "") > checked, "the others to go on")
    assert not site.state("refused")
    site.engine.stop()


def test_a_server_that_is_down_gets_the_newest_result_when_it_is_back(site: Site) -> None:
    site.nagios.start()
    site.nsca.prepare()
    counter = site.engine.state / "counter"
    counter.write_text("", encoding="ascii")
    counter.chmod(0o666)
    site.engine.write("a.cfg", scheduled("late", f"echo x >> {counter}; echo OK: $(wc -l < {counter})"))
    site.engine.start("--submit", site.nsca.submit)
    site.engine.wait(lambda: "results can't be handed on" in site.engine.log, "the trouble to be named")
    site.engine.wait(lambda: counter.read_text(encoding="ascii").count("x") >= 2, "checks to go on")
    site.nsca.start()
    first = int(site.wait("late")["plugin_output"].removeprefix("OK: "))
    assert first >= 2, "an old result"
    taken = [
        line.rpartition(";")[2] for line in site.nsca.log.splitlines() if "Queuing data" in line and ";late;" in line
    ]
    assert len(taken) == len(set(taken)), "a result came twice"
    # Nagios is away for a while: nsca-ng itself keeps what comes.
    site.nagios.stop()
    count = counter.read_text(encoding="ascii").count("x")
    wait_until(lambda: counter.read_text(encoding="ascii").count("x") > count, PATIENCE, "checks to go on")
    site.nagios.start()
    site.engine.wait(
        lambda: int(site.state("late").get("plugin_output", "OK: 0").removeprefix("OK: ")) > count, "new results"
    )
    site.engine.stop()


def test_without_nsca_into_the_command_file(site: Site) -> None:
    site.nagios.start()
    pipe = socket_folder(site.nagios.folder.parent) / site.nagios.name / "nagios.cmd"
    long = "printf 'WARNING: first | v=1\\n'; i=0; while [ $i -lt 3000 ]; do echo 'a long \\\\ line'; i=$((i+1)); done; exit 1"
    site.engine.write("a.cfg", scheduled("fine", "/bin/echo 'OK: all is well | v=1 w=2'"), scheduled("awkward", long))
    site.engine.start("--command-file", pipe)
    fine = site.wait("fine", current_state="0")
    # Without a spool Nagios gets the perfdata that fits.
    assert (fine["plugin_output"], fine["performance_data"]) == ("OK: all is well", "v=1 w=2")
    found = site.wait("awkward", current_state="1")
    assert (found["plugin_output"], found["performance_data"]) == ("WARNING: first", "v=1")
    lines = found["long_plugin_output"].split(r"\n")
    assert len(lines) > 50
    assert set(lines) <= {r"a long \\ line", ""}
    site.engine.stop()
