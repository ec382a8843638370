"""graphios as a service of systemd: the unit file of the monitoring server, see systemd.service(5) and systemd.exec(5)."""

from __future__ import annotations

from checks.configuration.settings import Settings, header

ROOM = "nagios"


def unit(settings: Settings) -> str:
    """Return graphios.service."""
    return header(
        ROOM,
        settings,
        "graphios as a service. Goes to /etc/systemd/system/graphios.service; its configuration: /etc/graphios/graphios.ini,",
        "or graphios.cfg of Graphios 2 where that is the only one there.",
        "Before the first start:",
        f"  install -d -o nagios -g nagios -m 0750 {settings.spool}",
        f"  sudo -u nagios {settings.bindir}/graphios check-config",
        "then: systemctl daemon-reload && systemctl enable --now graphios. After a change of the configuration: systemctl reload graphios.",
    ) + _UNIT.format(bindir=settings.bindir, spool=settings.spool)


_UNIT = """
[Unit]
Description=graphios, perfdata of Nagios to Graphite
After=network-online.target
Wants=network-online.target

[Service]
# It says itself when it is ready, and regularly that it is alive.
Type=notify
NotifyAccess=main
WatchdogSec=120
ExecStart={bindir}/graphios
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
TimeoutStopSec=15

User=nagios
Group=nagios
# /var/lib/graphios: progress, the replay window, what was rejected.
StateDirectory=graphios
StateDirectoryMode=0700
# /run/graphios: status.json, for check_graphios and `graphios status`; kept when it stops, so that they can say so.
RuntimeDirectory=graphios
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes

# Nothing else can be written. Further spools, and the directories of named pipes and of [file] backends, need a line of their own, in
# /etc/systemd/system/graphios.service.d/paths.conf below [Service].
ProtectSystem=strict
ReadWritePaths=-{spool}

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
