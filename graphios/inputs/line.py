"""One line of a perfdata spool file: tab-separated KEY::value fields, as Nagios writes them from the Graphios template."""

from __future__ import annotations

import re
from typing import NamedTuple

KNOWN = frozenset(
    (
        *(
            "DATATYPE",
            "TIMET",
            "HOSTNAME",
            "SERVICEDESC",
            "GRAPHITEPREFIX",
            "GRAPHITEPOSTFIX",
            "SERVICEPERFDATA",
            "HOSTPERFDATA",
        ),
        *("SERVICECHECKCOMMAND", "SERVICESTATE", "SERVICESTATETYPE", "HOSTCHECKCOMMAND", "HOSTSTATE", "HOSTSTATETYPE"),
        *("METRICTYPE", "SERVICEOUTPUT", "HOSTOUTPUT"),
    )
)
"""Keys of the templates in use. Others are ignored; one of these twice means that plugin output with a tab forged a field."""

EARLIEST = 1_000_000_000
"""TIMET before 2001 is a clock that was not set."""
LEEWAY = 86_400
"""Seconds a TIMET may lie in the future: clocks differ, and carbon files such points where nobody finds them."""

_UNDEFINED = re.compile(r"\$_?[A-Za-z0-9_]+\$")
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_TIME = re.compile(r"[0-9]{1,10}")


class Rejected(ValueError):
    """The line can't be used; the message is the reason."""


class Line(NamedTuple):
    """What a usable line says; an undefined macro is an empty text."""

    timestamp: int  # epoch seconds
    host: str
    service: str | None  # None: host perfdata
    prefix: str
    postfix: str
    perfdata: str


def parse_line(text: str, now: float) -> Line:
    """The line `text` (without its newline) at the time `now`, epoch seconds. Raises Rejected."""
    fields = _fields(text)
    kind = fields.get("DATATYPE", "")
    if kind not in ("SERVICEPERFDATA", "HOSTPERFDATA"):
        raise Rejected(f"DATATYPE is {kind[:40]!r}, not SERVICEPERFDATA or HOSTPERFDATA" if kind else "no DATATYPE")
    perfdata = fields.get(kind)
    if perfdata is None:
        raise Rejected(f"no {kind}")
    if _UNDEFINED.fullmatch(perfdata):
        perfdata = ""
    host = _value(fields, "HOSTNAME")
    if not host:
        raise Rejected("no HOSTNAME")
    prefix, postfix = _value(fields, "GRAPHITEPREFIX"), _value(fields, "GRAPHITEPOSTFIX")
    service = _value(fields, "SERVICEDESC") if kind == "SERVICEPERFDATA" else None
    if service == "" and not prefix and not postfix:
        raise Rejected("no SERVICEDESC, GRAPHITEPREFIX or GRAPHITEPOSTFIX")
    return Line(_timestamp(fields.get("TIMET", ""), now), host, service, prefix, postfix, perfdata)


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    previous = ""
    for piece in text.split("\t"):
        key, separator, value = piece.partition("::")
        if separator and key in KNOWN:
            if key in fields:
                raise Rejected(f"{key} occurs twice")
            fields[key] = value
            previous = key
        elif separator and _KEY.fullmatch(key):
            previous = ""
        elif previous.endswith("PERFDATA"):
            # A tab between two items of perfdata.
            fields[previous] += " " + piece
    return fields


def _value(fields: dict[str, str], key: str) -> str:
    value = fields.get(key, "").strip()
    return "" if _UNDEFINED.fullmatch(value) else value


def _timestamp(text: str, now: float) -> int:
    if not _TIME.fullmatch(text):
        raise Rejected(f"TIMET is {text[:40]!r}, not epoch seconds" if text else "no TIMET")
    timestamp = int(text)
    if timestamp < EARLIEST or timestamp > now + LEEWAY:
        raise Rejected(f"TIMET {timestamp} is {'before 2001' if timestamp < EARLIEST else 'more than a day ahead'}")
    return timestamp
