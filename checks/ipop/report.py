"""How check_ipop_links tells what it saw: headline, perfdata with the essentials first, notes, and the lines of -v."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from checks.ipop import judge, traffic
from checks.ipop.links import Seen, View, some
from checks.ipop.records import CONNECTIONS
from checks.options import Values
from checks.output import clean_name, perfdata
from checks.ranges import RangeRules, duration, human

_Value = Callable[[Seen], float | None]


def headline(found: View) -> str:
    """Return what matters: how many links are active, and how they run."""
    if not found.seen:
        return "no links listed"
    kinds = _kinds(found.seen)
    said = "".join(f", {kinds[kind]} {kind}" for kind in CONNECTIONS if kinds[kind])
    return f"{found.active} of {len(found.seen)} links active{said}"


def head(found: View, opts: Values, has_run_before: bool) -> Iterator[str]:
    """Yield the perfdata of the whole."""
    yield perfdata("links.active", found.active, "", opts.warning, opts.critical)
    yield perfdata("links.listed", len(found.seen))
    if found.seen:
        share = round(judge.offline_percent(found), 2)
        yield perfdata("links.offline_percent", share, "%", opts.offline_warning, opts.offline_critical)
    if has_run_before and not found.stale:
        remade = sum(one.change.remade for one in found.seen)
        yield perfdata("links.remade", remade, "", opts.remade_warning, opts.remade_critical)
    kinds = _kinds(found.seen)
    if any(kinds[kind] for kind in CONNECTIONS) or not found.active:
        for kind in CONNECTIONS:
            yield perfdata(f"links.{kind}", kinds[kind])
    if found.age is not None:
        yield perfdata("source.age", round(found.age, 3), "s", opts.stale_warning, opts.stale_critical)


def each(found: View, opts: Values, room: int) -> tuple[list[str], int]:
    """Return the perfdata of the links, one kind after the other, as far as they can fit into `room` bytes; and how many were not made."""
    items: list[str] = []
    left_out = 0
    for metric, unit, value, rules in _families(found, opts):
        for one in found.seen:
            number = value(one)
            if number is None:
                continue
            if room < 0:
                left_out += 1
                continue
            limits = [rule.find(one.name) for rule in rules]
            item = perfdata(f"{one.label}.{metric}", number, unit, *limits)
            room -= len(item) + 1
            items.append(item)
    return items, left_out


def _families(found: View, opts: Values) -> Iterator[tuple[str, str, _Value, tuple[RangeRules, ...]]]:
    """Yield name, unit, value and thresholds of what is told of each link, the most important first."""
    yield "status", "", _status, ()
    if found.stale:
        return
    yield "recv_bytes_second", "B", lambda one: _rounded(one.change.received, 2), ()
    yield "sent_bytes_second", "B", lambda one: _rounded(one.change.sent, 2), ()
    age_rules = (opts.age_warning, opts.age_critical) if opts.age_warning or opts.age_critical else ()
    yield "age", "s", lambda one: _rounded(one.change.age, 3) if one.active else None, age_rules
    xmpp_rules = (opts.xmpp_warning, opts.xmpp_critical) if opts.xmpp_warning or opts.xmpp_critical else ()
    yield "xmpp_time", "s", lambda one: _rounded(one.link.xmpp_age, 3), xmpp_rules
    yield "rtt", "s", _rtt, ()
    yield "connection", "", lambda one: CONNECTIONS.index(one.connection) + 1 if one.connection else None, ()
    yield "recv_total_bytes", "c", lambda one: traffic.total(one.link.pairs, "received") if one.active else None, ()
    yield "sent_total_bytes", "c", lambda one: traffic.total(one.link.pairs, "sent") if one.active else None, ()


def _status(one: Seen) -> int | None:
    """1 or 0; None where the source tells no state of a link, so that nobody knows."""
    return int(one.active) if one.active or one.link.state else None


def _rtt(one: Seen) -> float | None:
    found = next((pair.rtt for pair in one.link.pairs if pair.best), None) if one.active else None
    return _rounded(found, 6)


def _rounded(number: float | None, places: int) -> float | None:
    return None if number is None else round(number, places)


def _kinds(seen: Sequence[Seen]) -> Counter[str]:
    return Counter(one.connection for one in seen)


def no_rates(found: View) -> Iterator[str]:
    """Yield why active links have no rate, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for one in found.seen:
        if one.active and one.change.why:
            reasons.setdefault(one.change.why, []).append(one.name)
    for why, names in reasons.items():
        if why == traffic.UNKNOWN and any(one.link.tap for one in found.seen):
            why += ", and there are no counters of a network device"
        yield f"no rate of {some(names)}: {why}"


def partly_known(found: View) -> Iterator[str]:
    """Yield what is missing of links that are active, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for one in found.seen:
        if one.active and one.link.trouble:
            reasons.setdefault(one.link.trouble, []).append(one.name)
    for why, names in reasons.items():
        yield f"not all is known of {some(names)}: {clean_name(why)}"


def lines(found: View) -> list[str]:
    """Return a line for the source, and one for each link, those that are not active first."""
    written = "" if found.age is None else f", written {duration(found.age)} ago"
    about = f"{found.reading.source}{written}"
    return [about, *(_line(one, found.stale) for one in sorted(found.seen, key=lambda one: one.active))]


def _line(one: Seen, stale: bool) -> str:
    link, change = one.link, one.change
    how = "active" if one.active else "not known any more" if stale else "not active"
    state = clean_name(link.state) or ("" if one.trouble else judge.NOT_TOLD)
    said = [f"{clean_name(one.name)}: {how}" + (f" ({state})" if state else "")]
    if one.trouble:
        said.append(clean_name(one.trouble))
    if one.active:
        if one.connection:
            said.append(one.connection)
        if change.age is not None:
            said.append(f"up for {duration(change.age)}{', made anew' if change.remade else ''}")
        if change.received is not None and change.sent is not None:
            said.append(f"{human(change.received)}/s in, {human(change.sent)}/s out")
        rtt = _rtt(one)
        if rtt is not None:
            said.append(f"round trip {rtt * 1000:g} ms")
    if link.xmpp_age is not None and not stale:
        said.append(f"XMPP {duration(link.xmpp_age)} ago")
    if link.aliases:
        said.append(f"also {some(link.aliases)}")
    return ", ".join(said)
