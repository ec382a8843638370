"""The configuration of the demo: what `testbed-checks config` makes for an administrator, with the demo's paths and ports.

Beyond that only what Debian's own Nagios configuration would provide, and a check_virt_stats that knows the private libvirt.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.stack import place
from tests.stack.daemon import StackError
from tests.stack.graphite import Carbon
from tests.stack.nagios import BASE_OBJECTS, Nagios
from tests.stack.nrpe import Nrpe

HOST = "node1"
PREFIX = "demo"
CHECK_SECONDS = 5
SERIES = f"{PREFIX}.{HOST}.virt_stats"

NODE = """\
define host {{
  use         testbed-host
  host_name   {host}
  alias       the node of the demo: this machine
  address     127.0.0.1
  hostgroups  testbed-check_disk,testbed-check_virt_stats_all
}}
"""

GRAPHIOS = """\
[spool]
directory = {spool}

[carbon]
host = 127.0.0.1
port = {port}
"""


def generate(root: Path, room: str, *options: str | Path) -> Path:
    """The folder into which `testbed-checks config ROOM` wrote its files. Raises StackError."""
    folder = root / "config" / room
    run = place.command("testbed-checks")
    place.run([run, "config", room, "--output", folder, *options], f"testbed-checks config {room}")
    return folder


def make_bin(root: Path, uri: str, state: Path) -> Path:
    """A folder with the commands that the generated files call; check_virt_stats asks the private libvirtd, and keeps its counters in `state`."""
    folder = root / "bin"
    folder.mkdir()
    for name in ("check_disk", "graphios", "graphios-tap", "spool-perfdata"):
        (folder / name).symlink_to(place.command(name))
    check = folder / "check_virt_stats"
    command = shlex.join([str(place.command("check_virt_stats")), "--uri", uri])
    check.write_text(f'#!/bin/sh\nSTATE_DIRECTORY={shlex.quote(str(state))} exec {command} "$@"\n', encoding="utf-8")
    check.chmod(0o755)
    return folder


def carbon(root: Path, user: str | None) -> Carbon:
    """Carbon with the generated retention, aggregation and limit on new series; sparse files, as a day of 5 s steps is big."""
    folder = generate(root, "graphite", "--prefix", PREFIX, "--interval", str(CHECK_SECONDS))
    limit = re.search(
        r"^MAX_CREATES_PER_MINUTE = (\d+)$", (folder / "carbon.conf").read_text(encoding="utf-8"), re.MULTILINE
    )
    return Carbon(
        root,
        user,
        creates_per_minute=limit.group(1) if limit else "inf",
        schemas=folder / "storage-schemas.conf",
        aggregation=folder / "storage-aggregation.conf",
        sparse=True,
    )


def nrpe(root: Path, user: str | None, uri: str) -> Nrpe:
    """NRPE with mutual TLS and the generated commands of a node."""
    server = Nrpe(root, {}, True, user)
    commands = make_bin(root, uri, server.state)
    folder = generate(root, "nrpe", "--bindir", commands, "--monitoring-server", "127.0.0.1")
    server.include = sorted(folder.glob("check_*.cfg"))
    return server


def nagios(root: Path, user: str | None, server: Nrpe) -> Nagios:
    """Nagios with the generated commands, templates, services and perfdata processing, and one host."""
    monitor = Nagios(root, [], user, interval_seconds=60)
    options: list[str | Path] = [
        "--bindir",
        root / "bin",
        "--tls",
        "--tls-dir",
        server.folder,
        "--nrpe-port",
        str(server.port),
    ]
    options += ["--nagios-dir", monitor.folder, "--spool", monitor.spool]
    options += ["--prefix", PREFIX, "--interval", str(CHECK_SECONDS)]
    folder = generate(root, "nagios", *options)
    base = root / "config" / "base.cfg"
    base.write_text(BASE_OBJECTS.format(alive=_alive(user)) + NODE.format(host=HOST), encoding="utf-8")
    for file in (base, *sorted(folder.glob("*.cfg"))):
        monitor.add(file)
    # Nagios's main configuration can't include a file.
    monitor.main = (folder / "main" / "testbed-checks.cfg").read_text(encoding="utf-8")
    return monitor


def _alive(user: str | None) -> str:
    """The command line of check-host-alive: a ping, where that is allowed."""
    ping = "/usr/lib/nagios/plugins/check_ping -H 127.0.0.1 -w 3000,80% -c 5000,100% -p 1"
    try:
        place.run(list(shlex.split(ping)), "check_ping", user)
    except StackError:
        return "/usr/lib/nagios/plugins/check_dummy 0"
    return ping


def graphios(root: Path, spool: Path, carbon_port: int) -> Path:
    """The configuration file of graphios, in a folder of its own."""
    config = root / "graphios" / "graphios.ini"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(GRAPHIOS.format(spool=spool, port=carbon_port), encoding="utf-8")
    return config


def check_by_hand(uri: str) -> list[str]:
    """The command line of the check on the node."""
    return [str(place.command("check_virt_stats")), "--uri", uri, "-v"]
