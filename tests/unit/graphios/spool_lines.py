"""Spool lines for the tests, in the project's template."""

import os
import time

NOW = int(os.environ.setdefault("TESTBED_NOW", str(int(time.time()))))
"""The same for all workers of a run: names of tests hold it."""


def service_line(
    perfdata: str, host: str = "web01", service: str = "load", timet: object = NOW, prefix: str = "", postfix: str = ""
) -> str:
    """A line of service perfdata with its newline; undefined prefix and postfix arrive as Nagios writes them."""
    return (
        f"DATATYPE::SERVICEPERFDATA\tTIMET::{timet}\tHOSTNAME::{host}\tSERVICEDESC::{service}\t"
        f"SERVICECHECKCOMMAND::check_nrpe!check_load\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\t"
        f"GRAPHITEPREFIX::{prefix or '$_SERVICEGRAPHITEPREFIX$'}\tGRAPHITEPOSTFIX::{postfix or '$_SERVICEGRAPHITEPOSTFIX$'}\t"
        f"SERVICEPERFDATA::{perfdata}\n"
    )


def host_line(perfdata: str, host: str = "web01", timet: object = NOW) -> str:
    """A line of host perfdata with its newline."""
    return (
        f"DATATYPE::HOSTPERFDATA\tTIMET::{timet}\tHOSTNAME::{host}\tHOSTCHECKCOMMAND::check-host-alive\tHOSTSTATE::UP\t"
        f"HOSTSTATETYPE::HARD\tGRAPHITEPREFIX::$_HOSTGRAPHITEPREFIX$\tGRAPHITEPOSTFIX::$_HOSTGRAPHITEPOSTFIX$\tHOSTPERFDATA::{perfdata}\n"
    )
