"""Spool lines as they come from the field. Load, disk, icmp, http, memory, interface, ntp and mysql of many hosts, 3 to 8 metrics each.

`mixed` are the same with a tenth of lines that few parsers get right: quoted Windows labels, exponents, U, µs.
"""

import random
from collections.abc import Iterator

_START = 1_790_000_000
_HEAD = (
    "DATATYPE::SERVICEPERFDATA\tTIMET::{time}\tHOSTNAME::{host}\tSERVICEDESC::{service}\tSERVICEPERFDATA::{perfdata}\t"
)
_TAIL = (
    "SERVICECHECKCOMMAND::check_nrpe!{service}\tHOSTSTATE::UP\tHOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\t"
    "GRAPHITEPREFIX::{prefix}\tGRAPHITEPOSTFIX::$_SERVICEGRAPHITEPOSTFIX$\tMETRICTYPE::$_SERVICEMETRICTYPE$\n"
)


def _plain(r: random.Random) -> tuple[str, str]:
    """A service and its perfdata."""
    n = r.randrange
    return r.choice(
        (
            ("load", f"load1={n(999) / 100};5;10;0; load5={n(999) / 100};4;6;0; load15={n(999) / 100};3;4;0;"),
            (
                "disk",
                f"/={n(9999)}MB;5948;5958;0;5968 /boot={n(99)}MB;88;93;0;98 /home={n(99999)}MB;253404;253409;0;253414"
                f" /var/log={n(999)}MB;970;975;0;980",
            ),
            (
                "ping",
                f"rta={n(9999) / 1000:.6f}ms;100.0;500.0;0.0 pl={n(100)}%;20;60;0;100 rtmax={n(99)}.1ms;;;; rtmin=0.{n(99)}ms;;;;",
            ),
            (
                "http",
                f"time={n(9999) / 10000}s;1.0;2.0;0.0 size={n(99999)}B;;;0 time_connect=0.{n(999):03}s time_firstbyte=0.{n(999):03}s",
            ),
            (
                "mem",
                f"total={n(9999999)}KB;;;0 used={n(9999999)}KB;8000000;9000000;0 free={n(999999)}KB cached={n(999999)}KB"
                f" buffers={n(99999)}KB swap_used={n(99999)}KB",
            ),
            (
                "if-eth0",
                f"in_octets={n(10**12)}c;;;0 out_octets={n(10**12)}c;;;0 in_errors={n(99)}c out_errors={n(99)}c in_discards={n(99)}c"
                f" out_discards={n(99)}c in_ucast={n(10**9)}c out_ucast={n(10**9)}c",
            ),
            ("ntp", f"offset=-0.000{n(999):03}s;0.5;1.0; stratum={n(5)};;;0;16 jitter=0.{n(999):03}s"),
            (
                "mysql",
                f"Connections={n(10**6)}c;;; Open_files={n(999)};;; Open_tables={n(999)};;; Qcache_free_memory={n(10**6)};;;"
                f" Queries={n(10**9)}c;;; Threads_connected={n(99)};;; Uptime={n(10**7)}c;;;",
            ),
        )
    )


def _odd(r: random.Random) -> tuple[str, str]:
    n = r.randrange
    return r.choice(
        (
            (
                "CPU Load",
                f"'5 min avg Load'={n(100)}%;80;90;0;100 '10 min avg Load'={n(100)}%;80;90;0;100 '15 min avg Load'={n(100)}%;80;90;0;100",
            ),
            (
                "Drive C",
                f"'C:\\ used'={n(999) / 10}Gb;200;230;0;250 'C:\\ %'={n(100)}%;80;90;0;100 'C:\\ free'={n(99)}Gb;;;0;250",
            ),
            ("chrony", f"offset=-7.{n(99999)}e-05s;1;2;0; freq={n(99)}.5;;; skew=1.1E-1;;;"),
            ("snmp", f"temp=U;50;60 fan={n(9999)};;; power=U"),
            (
                "itinerary",
                f"getItinerary_min={n(99999)}µs getItinerary_avg={n(99999)}µs getItinerary_max={n(999999)}µs",
            ),
        )
    )


def lines(number: int, mixed: bool = False, prefixed: bool = True) -> Iterator[str]:
    """`number` lines, the same in every run; a tenth of them odd if `mixed`."""
    r = random.Random(20261121)
    for index in range(number):
        service, perfdata = _odd(r) if mixed and index % 10 == 9 else _plain(r)
        node = index // 20 % 1500
        host = f"node{node:04}.rack{node % 7}.example.org"
        prefix = "nagios.lab" if prefixed else "$_SERVICEGRAPHITEPREFIX$"
        time = _START + index // 30_000 * 60
        yield (_HEAD + _TAIL).format(time=time, host=host, service=service, perfdata=perfdata, prefix=prefix)
