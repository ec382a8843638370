"""What of an update site and of a node is a problem, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.output import clean_name
from checks.plugin import Metric, Threshold, Values
from checks.seattle.keys import PublicKey
from checks.seattle.metainfo import Metainfo, Pinned
from checks.update.node import Node
from checks.update.report import some, span
from checks.update.site import RESIGN
from checks.update.visit import Visit

_DAY = 86400.0
# Clocks differ; nodes set theirs by NTP.
_LEEWAY = 300.0


def contexts(opts: Values) -> Sequence[Threshold]:
    """Return a context for each kind of threshold."""
    fetch = "remove its metainfo, then the updater fetches them"
    older = "local metainfo is older than the site's, signed"
    see = "see the updater's log, remove the local metainfo"
    return (
        Threshold("expires", opts.warning, opts.critical, word="metainfo expires in", unit=" d", advice=RESIGN),
        Threshold("time", opts.time_warning, opts.time_critical, word="took", unit=" s"),
        Threshold("missing", opts.missing_warning, opts.missing_critical, advice=fetch),
        Threshold("different", opts.different_warning, opts.different_critical, advice=fetch),
        Threshold("extra", opts.extra_warning, opts.extra_critical),
        Threshold("behind", opts.behind_warning, opts.behind_critical, word=older, unit=" ago", show=span, advice=see),
    )


class Judge:
    """Makes metrics of what was found at `now` (seconds since 1970); what is no problem but has to be said goes to `notes`."""

    def __init__(self, opts: Values, now: float, notes: list[str]) -> None:
        self._opts, self._now, self._notes = opts, now, notes

    def site(self, found: Visit, place: str) -> Iterator[Metric]:
        """Yield what is to be judged of the site; `place` is its host:port."""
        if found.error:
            yield _finding(str(found.error), "critical" if found.error.known else "unknown")
        if not found.metainfo:
            return
        yield from self._expiry(found.metainfo, place)
        if found.sample.wrong:
            entry, why = found.sample.wrong[0]
            more = f", {len(found.sample.wrong) - 1} more" if len(found.sample.wrong) > 1 else ""
            said = f"{place}: file {clean_name(entry.name[:100])} {why}{more}: push again, or {RESIGN}"
            yield _finding(said, "critical")
        yield from self._signature(found.metainfo, place)
        yield Metric(place, (found.seconds or 0.0) + found.sample.seconds, context="time")

    def _expiry(self, metainfo: Metainfo, place: str) -> Iterator[Metric]:
        if metainfo.expires is None:
            return
        left = metainfo.expires - self._now
        if left > 0:
            yield Metric(place, left / _DAY, context="expires")
            return
        said = f"metainfo of {place} expired {span(-left)} ago, nodes take no update: {RESIGN}"
        if self._opts.critical or self._opts.warning:
            yield _finding(said, "critical" if self._opts.critical else "warning")
        else:
            self._notes.append(said)

    def _signature(self, metainfo: Metainfo, place: str) -> Iterator[Metric]:
        """Yield what makes nodes refuse a metainfo whose signature is right."""
        said = f"metainfo of {place}"
        if metainfo.signed is None:
            yield _finding(f"{said} has no timestamp, nodes refuse it: {RESIGN}", "critical")
        elif (ahead := metainfo.signed - self._now) > _LEEWAY:
            why = f"is signed {span(ahead)} in the future, nodes will refuse what is signed before that"
            yield _finding(f"{said} {why}: mend the clock, then {RESIGN}", "warning")
        if metainfo.destination:
            why = f"is signed for '{clean_name(metainfo.destination)}' only, nodes refuse it"
            yield _finding(f"{said} {why}: {RESIGN}", "critical")
        if metainfo.sequence:
            why = f"has a sequence number ({clean_name(metainfo.sequence)}), nodes refuse it out of order"
            yield _finding(f"{said} {why}: {RESIGN}", "warning")

    def trust(self, installed: Pinned | str | None, key: PublicKey | None) -> Iterator[Metric]:
        """Yield what is wrong with the key the node trusts; `key` is the one that has to sign."""
        if isinstance(installed, Pinned):
            if key and installed.key != key:
                said = "the installed softwareupdater.py trusts another key than that of --key"
                yield _finding(f"{said}: this node takes no update, install it anew", "critical")
        elif installed:
            yield _finding(f"which key the node trusts is not known: {installed}", "unknown")

    def node(self, node: Node) -> Iterator[Metric]:
        """Yield what is to be judged of the node."""
        if node.updater.trouble:
            known = node.updater.known
            state = "does not run" if known else "is not seen"
            said = f"the software updater {state}: {clean_name(node.updater.trouble)}"
            yield _finding(said, self._opts.not_running_severity if known else "unknown")
        for said, severity in node.troubles:
            yield _finding(said, severity)
        if node.behind and node.behind < self._opts.grace:
            grace = span(self._opts.grace)
            self._notes.append(f"the node has {grace} to follow what was signed {span(node.behind)} ago")
            return
        if found := node.comparison:
            for context, names in (
                ("missing", found.missing),
                ("different", tuple(odd.name for odd in found.different)),
                ("extra", found.extra),
            ):
                yield Metric(f"\0{context} local files{some(names)}:", len(names), context=context)
        if node.behind:
            yield Metric("", node.behind, context="behind")


def _finding(said: str, severity: str) -> Metric:
    return Metric(said, severity, context="finding")
