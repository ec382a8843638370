"""The engine as a service of systemd: its unit and its socket's, see systemd.service(5), systemd.socket(5) and systemd.exec(5)."""

from __future__ import annotations

from checks.configuration.settings import Settings, header

ROOM = "nrpe"
SOCKET = "/run/testbed-checks/engine.sock"


def units(settings: Settings) -> dict[str, str]:
    """Return testbed-checks.service and testbed-checks.socket."""
    service = header(
        ROOM,
        settings,
        "The engine as a service: checks of NRPE run warm; and what has an interval (a line `# interval=60` above its command[...]) runs",
        "without Nagios. Goes to /etc/systemd/system/testbed-checks.service, and the socket beside it; then:",
        "  systemctl daemon-reload && systemctl enable --now testbed-checks.socket testbed-checks.service",
        "Options stand in /etc/default/testbed-checks, for example:",
        f"  SERVE_OPTIONS='--spool {settings.spool} --submit \"send_nsca -c /etc/send_nsca.cfg\"'",
        f"{settings.bindir}/testbed-checks serve --help lists them. A file in nrpe.d/ is seen within seconds; systemctl reload reads all anew.",
    )
    socket = header(
        ROOM, settings, "The engine's socket: see testbed-checks.service. Only NRPE's user may ask for checks there."
    )
    return {
        "testbed-checks.service": service + _SERVICE.format(bindir=settings.bindir),
        "testbed-checks.socket": socket + _SOCKET.format(path=SOCKET),
    }


_SERVICE = """
[Unit]
Description=testbed-checks, the engine that runs checks
After=network-online.target nss-lookup.target remote-fs.target time-sync.target
Wants=network-online.target
# NRPE of Debian has a /tmp of its own. A check sees the same mounts here as there, or it does not run here.
JoinsNamespaceOf=nagios-nrpe-server.service

[Service]
# It says itself when it is ready, and regularly that it is alive.
Type=notify
NotifyAccess=main
WatchdogSec=60
EnvironmentFile=-/etc/default/testbed-checks
ExecStart={bindir}/testbed-checks serve $SERVE_OPTIONS
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
# It ends its checks itself, within 5 seconds.
KillMode=mixed
TimeoutStopSec=10
# A check that takes all memory costs that check.
OOMPolicy=continue

User=nagios
Group=nagios
# /var/lib/testbed-checks-engine: what checks remember between two runs.
StateDirectory=testbed-checks-engine
StateDirectoryMode=0700

# What a check may see and do is what it may under NRPE, so there is no sandbox here: ProtectSystem, ProtectHome, PrivateDevices and the like
# would show check_disk other mounts, NoNewPrivileges and a smaller CapabilityBoundingSet would take ping from check_ping.
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """
[Unit]
Description=testbed-checks, where NRPE's checks ask the engine to run them

[Socket]
ListenStream={path}
SocketUser=nagios
SocketGroup=nagios
SocketMode=0600
DirectoryMode=0755
Backlog=256
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
