"""Graphite's side: how long points are kept, how they are thinned out, and how many series may be new in a minute.

Format: storage-schemas.conf, storage-aggregation.conf and carbon.conf of carbon 1.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from checks.configuration.objects import postfix
from checks.configuration.settings import Settings, header
from checks.plugin import COUNTER, Check

ROOM = "graphite"
CREATES_PER_MINUTE = 3000
# Step as a multiple of the check interval, and days; each step divides the next, as whisper demands.
_ARCHIVES = ((1, 7), (10, 90), (60, 730))
_BYTES_PER_POINT = 12
_HOUR = 3600
_SERIES_OF_A_GUEST = "about 60, and 14 more for each further disk"
# Numbers that stand for a word: the mean of "running" and "shut off" means nothing.
_CODES = ("state", "reason", "connection")


def files(checks: Sequence[Check], settings: Settings) -> dict[str, str]:
    """Return the files of the folder nagios-config/graphite/."""
    return {
        "storage-schemas.conf": _schemas(checks, settings),
        "storage-aggregation.conf": _aggregation(checks, settings),
        "carbon.conf": _carbon(settings),
    }


def retentions(settings: Settings) -> str:
    """Return the archives in carbon's words, the finest first."""
    return ",".join(f"{settings.interval * times}s:{days}d" for times, days in _ARCHIVES)


def series_bytes(settings: Settings) -> int:
    """Return the size of one whisper file, but for its header of some 50 bytes."""
    return sum(days * 86400 // (settings.interval * times) * _BYTES_PER_POINT for times, days in _ARCHIVES)


def _schemas(checks: Sequence[Check], settings: Settings) -> str:
    size = series_bytes(settings)
    archives = retentions(settings).replace(",", " ")
    folder = f"/var/lib/graphite/whisper/{settings.prefix.replace('.', '/')}"
    lines = (
        "How long points are kept. Goes to /etc/carbon/storage-schemas.conf, above [default]: the first pattern that matches counts.",
        f"The finest step is the interval of the checks, {settings.interval} s: a finer one leaves gaps in every graph, a coarser one keeps",
        "only the last of several points. Who checks at another interval makes this file with --interval. Checks that run less often come first.",
        "",
        f"A series takes {size // 1000} kB on disk from the start, 1,000 series {size / 1e6:.1f} GB. A guest has {_SERIES_OF_A_GUEST}.",
        "Series that exist keep the retention they were made with. whisper-resize changes it and keeps the values; with carbon stopped,",
        "as user _graphite; this is for the last section:",
        f"  find {folder} -name '*.wsp' -exec whisper-resize --nobackup {{}} {archives} \\;",
    )
    blocks = [header(ROOM, settings, *lines)]
    for interval, names in _seldom(checks, settings).items():
        pattern = rf"^{re.escape(settings.prefix)}\.[^.]+\.({'|'.join(names)})\."
        blocks.append(_schema(_section(settings, f"{interval}s"), pattern, _seldom_retentions(interval)))
    blocks.append(_schema(_section(settings), rf"^{re.escape(settings.prefix)}\.", retentions(settings)))
    return "\n".join(blocks)


def _schema(section: str, pattern: str, archives: str) -> str:
    return f"[{section}]\npattern = {pattern}\nretentions = {archives}\n"


def _seldom(checks: Sequence[Check], settings: Settings) -> dict[int, list[str]]:
    """Return the postfixes of the commands that run less often than the rest, by their interval in seconds."""
    found: dict[int, list[str]] = {}
    for check in checks:
        for command in check.commands:
            if command.interval > settings.interval:
                found.setdefault(command.interval, []).append(postfix(check, command))
    return dict(sorted(found.items()))


def _seldom_retentions(interval: int) -> str:
    """Return the archives of series with few points; each step divides the next."""
    if interval >= _HOUR:
        return f"{interval}s:730d"
    return f"{interval}s:30d,{interval * math.ceil(_HOUR / interval)}s:730d"


def _section(settings: Settings, *words: str) -> str:
    return "_".join([settings.prefix.replace(".", "_"), *words])


def _aggregation(checks: Sequence[Check], settings: Settings) -> str:
    lines = (
        "How points become those of a coarser step. Goes to /etc/carbon/storage-aggregation.conf (Debian installs none), in this order, above a",
        "[default]: the first pattern that matches counts. Series that exist keep what they were made with; whisper-set-aggregation-method and",
        "whisper-set-xfilesfactor change them.",
        "",
        "xFilesFactor 0: one point of the finer step is enough. With the default 0.5, a node that was up for less than half of an hour would have",
        "nothing at all in that hour's point.",
        "Counters: the last value, so that rates made of coarse points are right. States are numbers for words: the last one as well.",
        "Everything else: the mean.",
    )
    sections: list[tuple[tuple[str, ...], str, str]] = [(("states",), rf"\.({'|'.join(_CODES)})$", "last")]
    for check in checks:
        for family, pattern in _counters(check):
            words = (check.name.removeprefix("check_"), *family.split("."), "counters")
            sections.append((words, rf"[^.]+\.{_postfixes(check)}\.{pattern}$", "last"))
    sections.append((("gauges",), "", "average"))
    blocks = [header(ROOM, settings, *lines)]
    start = rf"^{re.escape(settings.prefix)}\."
    for words, pattern, method in sections:
        middle = ".*" if pattern.startswith(r"\.") else ""
        blocks.append(
            f"[{_section(settings, *words)}]\npattern = {start}{middle}{pattern}\nxFilesFactor = 0\naggregationMethod = {method}\n"
        )
    return "\n".join(blocks)


def _postfixes(check: Check) -> str:
    """Return a regular expression for what stands between host and label in this check's metric names."""
    names = list(dict.fromkeys(postfix(check, command) for command in check.commands))
    return names[0] if len(names) == 1 else f"({'|'.join(names)})"


def _counters(check: Check) -> list[tuple[str, str]]:
    """Return a name and a regular expression for each family of counters: labels that differ in their last element only."""
    families: dict[str, list[str]] = {}
    for measure in check.measures:
        if measure.kind == COUNTER:
            family, _, last = measure.label.rpartition(".")
            families.setdefault(family, []).append(r"[^.]+" if "<" in last else re.escape(last))
    found: list[tuple[str, str]] = []
    for family, names in families.items():
        elements = [element for element in family.split(".") if element]
        plain = ".".join(element for element in elements if "<" not in element) or "all"
        if plain in dict(found):
            plain = ".".join(element.strip("<>") for element in elements)
        pattern = r"\.".join(r"[^.]+" if "<" in element else re.escape(element) for element in elements)
        found.append((plain, rf"{pattern}\.({'|'.join(names)})" if pattern else f"({'|'.join(names)})"))
    return found


def _carbon(settings: Settings) -> str:
    lines = (
        "Limits on new series. Lines for [cache] in /etc/carbon/carbon.conf, in place of the ones there; then: systemctl restart carbon-cache",
        "",
        "carbon makes as many new series a minute as this and silently drops the points of the others, until it is their turn. With Debian's 50, a",
        "node of 100 guests (6,000 series) has all of them after two hours, and nothing tells you but the series",
        "carbon.agents.*.droppedCreates.",
        f"{CREATES_PER_MINUTE} are written in a minute by any disk; lower it again where something might send series without end.",
    )
    return header(ROOM, settings, *lines) + f"\nMAX_CREATES_PER_MINUTE = {CREATES_PER_MINUTE}\n"
