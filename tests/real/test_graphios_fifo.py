"""Nagios writes its perfdata into a named pipe (mode p): every result arrives, also while graphios is restarted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.stack.daemon import wait_until
from tests.stack.nagios import BASE_OBJECTS, Nagios

ROOT = Path(__file__).resolve().parents[2]
SERVICES = 20
OBJECTS = """
define command {{
  command_name  say-the-time
  command_line  /bin/sh -c 'date "+OK | ns=%s%N" | tee -a {said}'
}}
define host {{
  use            generic-host
  host_name      node
  address        127.0.0.1
  max_check_attempts  1
  contact_groups      admins
}}
"""
SERVICE = """
define service {{
  use                  generic-service
  host_name            node
  service_description  clock {number}
  check_command        say-the-time
  check_interval       1
  retry_interval       1
  max_check_attempts   1
}}
"""
PERFDATA = r"""
process_performance_data=1
service_perfdata_file={pipe}
service_perfdata_file_mode=p
service_perfdata_file_template=DATATYPE::SERVICEPERFDATA\tTIMET::$TIMET$\tHOSTNAME::$HOSTNAME$\tSERVICEDESC::$SERVICEDESC$\tSERVICEPERFDATA::$SERVICEPERFDATA$
"""


class Shipper:
    """A graphios that reads the pipe and writes a file."""

    def __init__(self, root: Path) -> None:
        self.pipe, self.out, self._root = root / "pipe", root / "out", root
        text = f"[fifo]\npath = {self.pipe}\n[file]\npath = {self.out}\n[state]\ndirectory = {root}/state\n[self]\ninterval_seconds = 0\n"
        (root / "graphios.ini").write_text(f"{text}[rejects]\nfile = {root}/rejects\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "graphios.cli", "--config", str(self._root / "graphios.ini")]
        self._process = subprocess.Popen(words, cwd=ROOT)
        wait_until(self.pipe.exists, 30, "graphios makes the pipe")
        # Nagios runs as another user here when root runs the tests; in a site both are user nagios.
        self.pipe.chmod(0o666)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def shipped(self) -> list[str]:
        """All values, as often as they came."""
        return (
            re.findall(r"^node\.clock_\d+\.ns (\d+) \d+$", self.out.read_text(), re.MULTILINE)
            if self.out.exists()
            else []
        )

    def rejects(self) -> str:
        path = self._root / "rejects"
        return path.read_text() if path.exists() else ""


def test_every_result_of_nagios_goes_through_the_pipe(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> None:
    root = make_stack_root("fifo")
    shipper = Shipper(root)
    nagios = Nagios(root, [root / "objects.cfg"], stack_user, main=PERFDATA.format(pipe=shipper.pipe))
    said = nagios.folder / "said"
    services = "".join(SERVICE.format(number=number) for number in range(SERVICES))
    text = BASE_OBJECTS.format(alive="/bin/true") + OBJECTS.format(said=said) + services
    (root / "objects.cfg").write_text(text, encoding="utf-8")

    def results() -> set[str]:
        return set(re.findall(r"ns=(\d+)", said.read_text())) if said.exists() else set()

    shipper.start()
    try:
        nagios.start()
        wait_until(lambda: len(shipper.shipped()) >= 5 * SERVICES, 60, "results are shipped")
        shipper.end()
        before = len(results())
        # Nobody reads: what Nagios writes waits in the pipe, which Nagios itself keeps open.
        wait_until(lambda: len(results()) >= before + 2 * SERVICES, 60, "Nagios goes on")
        shipper.start()
        before = len(results())
        wait_until(lambda: len(results()) >= before + 2 * SERVICES, 60, "Nagios goes on")
        nagios.submit("STOP_EXECUTING_SVC_CHECKS")
        wait_until(lambda: results() <= set(shipper.shipped()), 60, "every result arrives")
    finally:
        nagios.stop()
        shipper.end()
    assert len(shipper.shipped()) == len(set(shipper.shipped()))
    assert shipper.rejects() == ""
