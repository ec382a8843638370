"""The configuration of the demo's Nagios, NRPE and graphios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stack import place
from tests.stack.nagios import Nagios
from tests.stack.nrpe import Nrpe

HOST = "node1"
PREFIX = "demo"
CHECK_SECONDS = 5

OBJECTS = """\
define command {{
  command_name spool-service-perfdata
  command_line /bin/mv {folder}/service-perfdata {spool}/.moving && /bin/mv {spool}/.moving {spool}/service-perfdata.$TIMET$
}}
define command {{
  command_name up
  command_line $USER1$/check_dummy 0
}}
define command {{
  command_name tapped-nrpe
  command_line {bin}/graphios-tap --spool {spool} --host '$HOSTNAME$' --service '$SERVICEDESC$' --prefix '$_SERVICEGRAPHITEPREFIX$' --postfix '$_SERVICEGRAPHITEPOSTFIX$' -- $USER1$/check_nrpe -H $HOSTADDRESS$ {options} -t 20:3 -c $ARG1$
}}
define timeperiod {{
  timeperiod_name 24x7
  alias always
  sunday 00:00-24:00
  monday 00:00-24:00
  tuesday 00:00-24:00
  wednesday 00:00-24:00
  thursday 00:00-24:00
  friday 00:00-24:00
  saturday 00:00-24:00
}}
define contact {{
  contact_name nobody
  host_notification_commands up
  service_notification_commands up
  host_notification_period 24x7
  service_notification_period 24x7
}}
define host {{
  host_name {host}
  address 127.0.0.1
  check_command up
  max_check_attempts 1
  check_interval 1
  check_period 24x7
  contacts nobody
}}
define service {{
  name demo-service
  register 0
  host_name {host}
  max_check_attempts 3
  check_interval 1
  retry_interval 1
  check_period 24x7
  contacts nobody
  process_perf_data 0
  _GRAPHITEPREFIX {prefix}
}}
define service {{
  use demo-service
  service_description guests
  check_command tapped-nrpe!check_virt_stats
}}
define service {{
  use demo-service
  service_description disks
  check_command tapped-nrpe!check_disk
  _GRAPHITEPOSTFIX disk
}}
"""


def carbon_files() -> dict[str, Any]:
    """Carbon's arguments: the retention."""
    return {"retention": "5s:6h,1m:7d"}


def nrpe_files(root: Path, uri: str) -> list[Path]:
    """The snippets of nrpe/ as they are used here."""
    return []


def nrpe_commands(root: Path, uri: str) -> dict[str, str]:
    """Command name to command line, as on a node."""
    return {
        "check_virt_stats": f"STATE_DIRECTORY={root}/nrpe/state {place.command('check_virt_stats')} --uri '{uri}' --save-state --max-output 60000 --compress",
        "check_disk": str(place.command("check_disk")),
    }


def configure(nagios: Nagios, nrpe: Nrpe) -> None:
    """Gives Nagios its objects."""
    objects = nagios.folder / "objects.cfg"
    objects.parent.mkdir(parents=True, exist_ok=True)
    text = OBJECTS.format(
        folder=nagios.folder,
        spool=nagios.spool,
        bin=place.command("x").parent,
        options=f"-p {nrpe.port} " + " ".join(nrpe.options()),
        host=HOST,
        prefix=PREFIX,
    )
    objects.write_text(text, encoding="utf-8")
    nagios.add(objects)


def graphios_config(root: Path, spool: Path, carbon_port: int) -> Path:
    """The configuration file of graphios, in a folder of its own."""
    config = root / "graphios" / "graphios.ini"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"[spool]\ndirectory = {spool}\npoll_seconds = 1\n[carbon]\nhost = 127.0.0.1\nport = {carbon_port}\n",
        encoding="utf-8",
    )
    return config


def check_by_hand(uri: str) -> list[str]:
    """The command line of the check on the node."""
    return [str(place.command("check_virt_stats")), "--uri", uri, "-v"]
