"""From a line of a spool file to lines of carbon's plaintext protocol: `name value timestamp`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from graphios import perfdata
from graphios.inputs.line import Rejected, parse_line
from graphios.inputs.spool import Cut
from graphios.names import LONGEST_NAME, Namer


class Reject(NamedTuple):
    """What is not shipped: why, and the bytes."""

    reason: str
    raw: bytes


Converted = tuple[list[str], list[Reject]]


def convert(raw: bytes | Cut, namer: Namer, now: float) -> Iterator[Converted]:
    """The carbon lines (ASCII, each with its newline) and the rejects of one spool line, a bounded number at a time. Never raises."""
    if isinstance(raw, Cut):
        yield [], [Reject(raw.reason, raw.start)]
        return
    if not raw.strip():
        return
    try:
        line = parse_line(raw.decode("utf-8", "surrogateescape"), now)
    except Rejected as error:
        yield [], [Reject(str(error), raw)]
        return
    path = namer.path(line.host, line.service, line.prefix, line.postfix)
    end = f" {line.timestamp}\n"
    whose = f"{line.host}, {line.service}" if line.service is not None else line.host
    label_name = namer.label
    for good, bad in perfdata.chunks(line.perfdata):
        rejects = [_reject(whose, item) for item in bad]
        lines = [f"{path}{label_name(label)} {value}{end}" for label, value in good]
        if lines and max(map(len, lines)) > LONGEST_NAME:
            lines, too_long = _short_enough(path, good, lines)
            rejects += [_reject(whose, item) for item in too_long]
        yield lines, rejects


def _short_enough(path: str, good: list[tuple[str, str]], lines: list[str]) -> tuple[list[str], list[perfdata.Bad]]:
    fine, bad = [], []
    for (label, _), line in zip(good, lines, strict=True):
        if line.index(" ") <= LONGEST_NAME:
            fine.append(line)
        else:
            bad.append(perfdata.Bad(f"metric name longer than {LONGEST_NAME} characters", f"{path}{label}"))
    return fine, bad


def _reject(whose: str, item: perfdata.Bad) -> Reject:
    return Reject(f"perfdata of {whose}: {item.reason}", item.text.encode("utf-8", "surrogateescape"))
