"""What of an overlay's links is out of order: contexts, and the metrics for what breaks a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from checks.ipop.links import LEEWAY, Seen, View, some
from checks.ipop.records import Reading
from checks.options import Values
from checks.output import clean_name
from checks.plugin import Metric, Threshold
from checks.ranges import RangeRules, duration

# Seconds by which a document may be older than its file: copied by cron, and clocks that differ.
_LATE = 300.0
NOT_TOLD = "its state is not told yet"


def contexts(opts: Values) -> Sequence[Threshold]:
    """Return a context for each kind of threshold."""
    stopped = "is its controller running?"
    return (
        Threshold("stale", opts.stale_warning, opts.stale_critical, show=duration, advice=stopped),
        Threshold("active", opts.warning, opts.critical, word="active links"),
        Threshold("offline", opts.offline_warning, opts.offline_critical, word="links offline", unit=" %"),
        Threshold("remade", opts.remade_warning, opts.remade_critical),
        Threshold("xmpp", opts.xmpp_warning, opts.xmpp_critical, show=duration),
        Threshold("age", opts.age_warning, opts.age_critical, show=duration),
    )


def is_stale(opts: Values, age: float) -> bool:
    """Return whether data are too old for a link to count as active: by --stale-critical, or without it by --stale-warning."""
    limit = opts.stale_critical or opts.stale_warning
    return limit is not None and not limit.match(age)


def metrics(found: View, opts: Values, has_run_before: bool) -> Iterator[Metric]:
    """Yield what is to be judged, the source first. Of a stale source only what is known of it: nothing of its links is."""
    if found.ahead > LEEWAY:
        said = f"{found.reading.source} is dated {duration(found.ahead)} in the future, so no link counts as active: set the clocks"
        yield Metric(said, "unknown", context="finding")
    elif found.age is not None:
        yield Metric(f"\0{found.reading.source}: not written for", found.age, context="stale")
        yield from _old_copy(found.reading, opts)
    yield Metric("", found.active, context="active")
    if found.seen:
        yield Metric("", offline_percent(found), context="offline")
    yield from _required(found, opts.require)
    for trouble in found.reading.troubles:
        yield Metric(clean_name(trouble), "warning", context="finding")
    if found.stale:
        return
    for one in found.seen:
        if one.trouble:
            yield Metric(f"{clean_name(one.name)}: {clean_name(one.trouble)}", opts.no_data_severity, context="finding")
    yield from _direct(found.seen, opts.direct)
    if has_run_before:
        names = [one.name for one in found.seen if one.change.remade]
        said = f" ({some(names)})" if names else ""
        yield Metric(f"\0links made anew since the last run{said}:", len(names), context="remade")
    yield from _broken(found.seen, opts)
    if found.active:
        yield from _not_told(found, opts)


def _old_copy(reading: Reading, opts: Values) -> Iterator[Metric]:
    """Yield a warning where a fresh file holds what its collector wrote long ago, unless the operator does not care how old a source is."""
    written, copied = reading.collected, reading.changed
    if written and copied and written < copied - _LATE and (opts.stale_warning or opts.stale_critical):
        said = (
            f"its collector wrote this document {duration(copied - written)} before the file was written: does it run?"
        )
        yield Metric(said, "warning", context="finding")


def _not_told(found: View, opts: Values) -> Iterator[Metric]:
    """Yield a finding for each limit that can't ever be broken, because the source says nothing of the kind."""
    seen = found.seen
    for option, given, what, told in (
        ("--xmpp-*", opts.xmpp_warning or opts.xmpp_critical, "XMPP times", (one.link.xmpp_age for one in seen)),
        ("--age-*", opts.age_warning or opts.age_critical, "ages of links", (one.change.age for one in seen)),
        ("--direct", opts.direct, "how links run", (one.connection or None for one in seen)),
    ):
        if given and all(value is None for value in told):
            said = f"{found.reading.source} does not tell {what}: {option} judges nothing"
            yield Metric(said, "unknown", context="finding")


def offline_percent(found: View) -> float:
    """Return the share of the listed links that are not active, in percent; there has to be a link."""
    return 100 * (len(found.seen) - found.active) / len(found.seen)


def _required(found: View, names: Sequence[str]) -> Iterator[Metric]:
    if not names:
        return
    known: dict[str, list[Seen]] = {}
    for one in found.seen:
        for called in {one.name, one.label, one.link.peer, *one.link.aliases}:
            known.setdefault(called, []).append(one)
    for name in dict.fromkeys(names):
        links = known.get(name, [])
        if not any(one.active for one in links):
            why = _why(links[0], found) if links else "not listed"
            yield Metric(f"required peer {clean_name(name)[:100]} is {why}", "critical", context="finding")


def _why(one: Seen, found: View) -> str:
    """Why a link is not active, as it follows "is"."""
    if found.stale:
        return "not known to be up: the source is stale"
    if one.trouble:
        return f"without data: {clean_name(one.trouble)}"
    return f"not active: {clean_name(one.link.state) or NOT_TOLD}"


def _direct(seen: Iterable[Seen], expressions: Sequence[re.Pattern[str]]) -> Iterator[Metric]:
    if not expressions:
        return
    for one in seen:
        if one.connection == "relay":
            names = {one.name, one.link.peer, *one.link.aliases}
            if any(expression.fullmatch(name) for expression in expressions for name in names):
                said = f"{clean_name(one.name)} is reached through a relay, not directly"
                yield Metric(said, "warning", context="finding")


def _broken(seen: Sequence[Seen], opts: Values) -> Iterator[Metric]:
    """Yield ages that break a limit; of 10,000 links those that do not need no object."""
    rules: tuple[RangeRules, ...] = (opts.xmpp_critical, opts.xmpp_warning)
    if any(rules):
        for one in seen:
            if one.link.xmpp_age is not None and _breaks(rules, one.name, one.link.xmpp_age):
                yield Metric(f"{one.name}\0not heard of over XMPP for", one.link.xmpp_age, context="xmpp")
    rules = (opts.age_critical, opts.age_warning)
    if any(rules):
        for one in seen:
            if one.active and one.change.age is not None and _breaks(rules, one.name, one.change.age):
                yield Metric(f"{one.name}\0is up for", one.change.age, context="age")


def _breaks(rules: Iterable[RangeRules], name: str, value: float) -> bool:
    return any(limit is not None and not limit.match(value) for limit in (rule.find(name) for rule in rules))
