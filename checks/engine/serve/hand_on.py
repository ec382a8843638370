"""What one result becomes: a line for the spool of graphios with all of its perfdata, and a report for Nagios in short.

Each value takes one road: where there is a spool, the report carries no perfdata.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.engine.commands import catalog
from checks.engine.results import STATES, Result
from checks.engine.serve.command_file import LONGEST_LINE, escaped
from checks.engine.serve.submit import Report
from graphios import compressed, plugin_output, spool_writer
from graphios.plugin_output import PluginOutput

_LINE_ENDS_ONLY = bytes.maketrans(bytes([*range(10), *range(11, 32), 127]), b" " * 32)
# A line of the command file holds the time, the command's name and the state as well.
_OVERHEAD = 60
_LONGEST_TEXT = 3500
_MOST_IN_A_NAME = 255
_IN_ANOTHER_SIZE = re.compile(r"_(all|\d+of\d+)$")


class HandedOn(NamedTuple):
    """What a result becomes. `line` is empty where there is no perfdata for a spool."""

    line: bytes
    report: Report
    not_shipped: str = ""
    """Why perfdata that was printed is not in the line."""


def bad_name(name: str) -> str:
    """Return why neither Nagios nor the spool can take this as the name of a host or service; "" where they can."""
    raw = name.encode("utf-8", "surrogateescape")
    if not name.strip() or len(raw) > _MOST_IN_A_NAME:
        return f"not 1 to {_MOST_IN_A_NAME} bytes long"
    if spool_writer.has_control_characters(raw) or ";" in name or name != name.strip():
        return "holds a semicolon, a control character, or a blank at an end"
    return ""


def postfix(name: str) -> str:
    """Return what stands between host and label in the metric names of a command: as in the services that are made for Nagios.

    check_disk is `disk`; check_virt_stats_all and check_virt_stats_1of2 have the names of check_virt_stats, of which a host has one only.
    """
    whole = _IN_ANOTHER_SIZE.sub("", name)
    return (whole if whole in catalog.entries() else name).removeprefix("check_") or name


def hand_on(result: Result, host: bytes, when: int, *, spool: bool, prefix: bytes = b"") -> HandedOn:
    """Return what a result becomes; `when` is its time in seconds since the epoch, `spool` whether there is one."""
    service = result.name.encode("utf-8", "surrogateescape")
    output, reason = _output(result.output)
    if reason:
        output.first += f" (perfdata not shipped: {reason})".encode()
    line = b""
    if spool and output.perfdata:
        line = spool_writer.service_line(
            when,
            host,
            service,
            plugin_output.not_cut(output.perfdata),
            STATES[result.code].encode(),
            service,
            b"",
            prefix,
            postfix(result.name).encode("utf-8", "surrogateescape"),
        )
    if spool:
        output.perfdata = b""
    report = Report(service, result.code, short_form(output, len(host) + len(service)), when)
    return HandedOn(line, report, reason)


def short_form(output: PluginOutput, names: int) -> bytes:
    """Return text that fits into one line of the command file, with the names of so many bytes; never empty."""
    output.first = output.first.translate(_LINE_ENDS_ONLY).strip() or b"(no text)"
    room = min(_LONGEST_TEXT, LONGEST_LINE - _OVERHEAD - names)
    limit = room
    while True:
        text = output.short(limit).translate(_LINE_ENDS_ONLY)
        length = len(escaped(text))
        if length <= room:
            return text.rstrip()
        # Escaped, it is twice as long at most, so this ends at half of the room at the latest.
        limit = max(room // 2, limit * room // length - 1)


def _output(raw: bytes) -> tuple[PluginOutput, str]:
    """Return the output taken apart, and why not all of its perfdata can be shipped."""
    if raw.partition(b"\n")[2].startswith(compressed.MARK):
        try:
            return PluginOutput(compressed.expand(raw)), ""
        except compressed.BadStream as error:
            return PluginOutput(raw.partition(b"\n")[0].partition(b"|")[0]), str(error)
    output = PluginOutput(raw)
    if output.has_perfdata and plugin_output.cut_by_nrpe(raw):
        output.drop_last_item()
        return output, f"the last item, NRPE may have cut it at {len(raw)} bytes"
    return output, ""
