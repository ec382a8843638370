"""Macros of jobs as Nagios Core 4.4.6 sends them, recorded and shortened."""

from __future__ import annotations

_SERVICE = """\
NAGIOS_HOSTNAME=web01
NAGIOS_HOSTALIAS=web01
NAGIOS_HOSTADDRESS=127.0.0.1
NAGIOS_SERVICEDESC=Disk ö=1
NAGIOS_SERVICESTATE=OK
NAGIOS_HOSTOUTPUT=OK host
NAGIOS_SERVICEOUTPUT={output}
NAGIOS_HOSTPERFDATA=h=1
NAGIOS_SERVICEPERFDATA={perfdata}
NAGIOS_CONTACTNAME=
NAGIOS_SERVICECHECKCOMMAND=check_nrpe!check_disk
NAGIOS_HOSTCHECKCOMMAND=check-host-alive
NAGIOS_LONGSERVICEOUTPUT={long}
NAGIOS_ARG1=check_disk
NAGIOS_ARG32=
NAGIOS__HOSTGRAPHITEPREFIX=hosts
NAGIOS__SERVICEODD={odd}
NAGIOS__SERVICEGRAPHITEPREFIX=mon
NAGIOS__SERVICEGRAPHITEPOSTFIX=disk
"""

HOST = b"""\
NAGIOS_HOSTNAME=web01
NAGIOS_HOSTALIAS=web01
NAGIOS_SERVICEDESC=
NAGIOS_HOSTOUTPUT=OK host
NAGIOS_HOSTCHECKCOMMAND=check-host-alive
NAGIOS_ARG32=
NAGIOS__HOSTGRAPHITEPREFIX=hosts
"""


def service(output: str = "OK", perfdata: str = "a=1", long: str = "", odd: str = "x") -> bytes:
    """The macros of a service's check, whose last output was this."""
    return _SERVICE.format(output=output, perfdata=perfdata, long=long, odd=odd).encode("utf-8", "surrogateescape")
