"""How check_software_update tells what it found: headline, perfdata, and the lines of -v."""

from __future__ import annotations

import time
from collections.abc import Sequence

from checks.options import Values
from checks.output import clean_name, perfdata
from checks.ranges import Limit, plain
from checks.seattle.metainfo import Metainfo
from checks.update.node import Node
from checks.update.visit import Visit

_DAY = 86400


def headline(visit: Visit, node: Node | None, signer: str, now: float) -> str:
    """Return the facts that matter in one line; "" where nothing can be said of the site."""
    if not visit.metainfo:
        return ""
    said = f"{len(visit.metainfo.entries)} files, {visit.sample.checked} checked"
    if visit.metainfo.expires is None:
        said += ", never expires"
    elif visit.metainfo.expires > now:
        said += f", expires in {span(visit.metainfo.expires - now)}"
    said += "" if signer else ", no key pinned"
    if node and node.comparison:
        bad = len(node.comparison.missing) + len(node.comparison.different)
        same = node.comparison.compared - bad
        said += f"; {same}{f' of {node.comparison.compared}' if bad else ''} local files the same"
    if node and not node.updater.trouble:
        said += ", updater runs"
    return said


def perfdata_items(visit: Visit, node: Node | None, opts: Values, now: float) -> list[str]:
    """Return what was measured of the site, of the node, and the times."""
    items = []
    metainfo, sample = visit.metainfo, visit.sample
    if metainfo:
        if metainfo.expires is not None:
            limits = in_seconds(opts.warning), in_seconds(opts.critical)
            items.append(perfdata("expires", round(metainfo.expires - now), "s", *limits))
        if metainfo.signed is not None:
            items.append(perfdata("age", round(now - metainfo.signed), "s"))
        items.append(perfdata("files.listed", len(metainfo.entries)))
        if opts.files != 0:
            items.append(perfdata("files.checked", sample.checked))
            items.append(perfdata("files.wrong", len(sample.wrong)))
            items.append(perfdata("files.bytes", sample.bytes, "B"))
    if node:
        items += _of_node(node, opts)
    if visit.seconds is not None:
        items.append(perfdata("time.metainfo", visit.seconds, "s"))
        if metainfo and opts.files != 0:
            items.append(perfdata("time.files", sample.seconds, "s"))
        if metainfo:
            total = visit.seconds + sample.seconds
            items.append(perfdata("time.total", total, "s", opts.time_warning, opts.time_critical))
    return items


def _of_node(node: Node, opts: Values) -> list[str]:
    items = []
    if found := node.comparison:
        items.append(perfdata("local.compared", found.compared))
        for name, number in (
            ("missing", len(found.missing)),
            ("different", len(found.different)),
            ("extra", len(found.extra)),
        ):
            limits = getattr(opts, f"{name}_warning"), getattr(opts, f"{name}_critical")
            items.append(perfdata(f"local.{name}", number, "", *limits))
    if node.age is not None:
        items.append(perfdata("local.age", round(node.age), "s"))
    if node.behind is not None:
        items.append(perfdata("local.behind", round(node.behind), "s", opts.behind_warning, opts.behind_critical))
    if node.updater.known:
        items.append(perfdata("updater.running", 0 if node.updater.trouble else 1))
    return items


def lines(url: str, visit: Visit, node: Node | None, signer: str) -> list[str]:
    """Return the site's signature, and a line for each file that is not as it should be."""
    said = [_signature(url, visit.metainfo, signer)] if visit.metainfo else []
    said += [f"site: {clean_name(wrong.entry.name)} {wrong.why}" for wrong in visit.sample.wrong]
    if not node:
        return said
    if node.updater.pid is not None:
        said.append(f"updater: process {node.updater.pid}{' is stopped' if node.updater.trouble else ''}")
    if found := node.comparison:
        said += [f"missing: {clean_name(name)}" for name in found.missing]
        said += [f"different: {clean_name(odd.name)}, {odd.why}" for odd in found.different]
        said += [f"unreadable: {clean_name(odd.name)}, {odd.why}" for odd in found.unreadable]
        said += [f"extra: {clean_name(name)}" for name in found.extra]
    return said


def _signature(url: str, metainfo: Metainfo, signer: str) -> str:
    n = str(metainfo.key.n)
    key = f"{metainfo.key.n.bit_length()} bits, n {n[:8]}...{n[-8:]}" if len(n) > 20 else f"n {n}"
    trust = f"it is {signer}" if signer else "no key is pinned: --key FILE, or --install-dir on a node"
    return f"{url}: signed {_date(metainfo.signed)}, expires {_date(metainfo.expires)}, key {key}; {trust}"


def _date(seconds: float | None) -> str:
    """Return a time since 1970 as a date in UTC."""
    try:
        return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s after 1970"


def some(names: Sequence[str]) -> str:
    """Return the first names of many, in parentheses with a blank before; "" for none."""
    if not names:
        return ""
    shown = ", ".join(clean_name(name[:60]) for name in names[:2])
    return f" ({shown}{' ...' if len(names) > 2 else ''})"


def in_seconds(days: Limit | None) -> Limit | None:
    """Return a range of days as a range of seconds."""
    if days is None:
        return None
    start = "~" if days.start == float("-inf") else plain(days.start * _DAY)
    end = "" if days.end == float("inf") else plain(days.end * _DAY)
    return Limit(f"{'@' if days.invert else ''}{start}:{end}")


def span(seconds: float) -> str:
    """Return a time as a person reads it, such as 43 s, 12 min, 3.5 h or 28.1 d."""
    for size, word in ((_DAY, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{plain(round(seconds / size, 1))} {word}"
    return f"{plain(round(max(0.0, seconds), 1))} s"
