"""The worker of Nagios Core as a service of systemd: a unit file of the monitoring server, see systemd.service(5) and systemd.exec(5)."""

from __future__ import annotations

from checks.configuration.settings import Settings, header

ROOM = "nagios"


def worker_unit(settings: Settings) -> str:
    """Return testbed-checks-worker.service."""
    return header(
        ROOM,
        settings,
        "A worker of Nagios Core for its check_nrpe: no output is cut, all perfdata goes to graphios. Goes to",
        "/etc/systemd/system/testbed-checks-worker.service. Nagios has to say whose a check is: before the first start set in nagios.cfg",
        "  enable_environment_macros=1",
        "and restart Nagios; then: systemctl daemon-reload && systemctl enable --now testbed-checks-worker.",
        "Stop it, and Nagios's own workers run the checks as before.",
    ) + _UNIT.format(bindir=settings.bindir, spool=settings.spool)


_UNIT = """
[Unit]
Description=worker of Nagios Core, by testbed-checks
After=nagios4.service nagios.service

[Service]
# It says itself when it is ready, and regularly that it is alive.
Type=notify
NotifyAccess=main
WatchdogSec=30
WatchdogSignal=SIGKILL
ExecStart={bindir}/testbed-checks worker --plugin check_nrpe --spool {spool}
Restart=always
RestartSec=100ms
# At its end it waits for the checks that run.
KillMode=mixed
TimeoutStopSec=100
# While a killed one is started again, its connections to Nagios stay open here.
FileDescriptorStoreMax=32
# Two pipes for each check that runs.
LimitNOFILE=65536

User=nagios
Group=nagios
# /run/testbed-checks-worker: the journal of the checks that run; kept while it is started again.
RuntimeDirectory=testbed-checks-worker
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=restart

# Nothing is forbidden here: it runs Nagios's plugins, and each may do what it may do as a child of Nagios (check_icmp is set-uid, for instance).

[Install]
WantedBy=multi-user.target
"""
