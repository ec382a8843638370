"""What `graphios status` shows of a status document: what is wrong first, then where everything is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphios.commands.status_document import Document, Part, Process
from graphios.commands.units import clock, count, duration, many, size

LATE = 300.0
"""Seconds of lag that count as trouble, as in check_graphios."""

_SHORT_ERROR = 60.0
"""Seconds an error may last before it is more than a restart of the receiver."""


def problems(document: Document, process: Process, now: float) -> list[str]:
    """What an operator has to know now, the worst first."""
    found = _of_process(document, process, now)
    dropped = document.part("dropped")
    if dropped.count("files"):
        lost = f"{many(dropped.count('files'), 'file')} ({size(dropped.count('bytes'))}, {many(dropped.count('lines'), 'line')})"
        found.append(f"dropped since the start, over the limits of the spool: {lost}")
    found += document.texts("trouble")
    for backend in document.parts("backends"):
        name = backend.text("name")
        since = backend.number("error_since")
        if _lasts(backend, now):
            lasting = f" since {clock(since, now)} ({duration(now - since)})" if since is not None else ""
            found.append(f"{name} delivers nothing{lasting}: {backend.text('error')}")
    lag = document.number("lag_seconds") or 0
    if lag > LATE:
        late = [part.text("name") for part in document.parts("backends") if (part.number("lag_seconds") or 0) > LATE]
        found.append(
            f"the oldest waiting file is {duration(lag)} old" + (f", it waits for {', '.join(late)}" if late else "")
        )
    aside = document.part("set_aside")
    if aside.count("files"):
        found.append(
            f"{many(aside.count('files'), 'file')} set aside in {aside.text('directory')}, each with its reason"
        )
    return found


def _lasts(backend: Part, now: float) -> bool:
    """Whether its error is more than a restart of the receiver."""
    since = backend.number("error_since")
    late = (backend.number("lag_seconds") or 0) > LATE
    return bool(backend.text("error")) and (since is None or late or now - since > _SHORT_ERROR)


def _of_process(document: Document, process: Process, now: float) -> list[str]:
    pid, written = document.count("pid"), clock(document.number("time"), now)
    if process.state == "ended":
        return [f"graphios does not run: it ended at {written}"]
    if process.state == "gone":
        return [
            f"graphios does not run: process {pid} is gone and did not end by itself (killed?); its last word was at {written}"
        ]
    if process.state == "hung":
        return [
            f"stale: process {pid} has written no status for {duration(process.age)}; it hangs, or writes it elsewhere"
        ]
    if process.state == "unknown" and process.age is not None:
        return [f"the status is from the future ({written}): the clock was set back"]
    return ["the status does not say when it was written"] if process.state == "unknown" else []


def lines(document: Document, process: Process, now: float, rates: dict[str, float] | None = None) -> list[str]:
    """The whole table; `rates` are metrics a second by backend, where known."""
    started = document.number("started")
    running = f"running for {duration(now - started)}" if process.state == "running" and started else process.state
    head = (
        f"{document.text('program') or 'graphios'}, pid {document.count('pid')}, {running}, {document.text('config')}"
    )
    version = document.count("version")
    found = [head.rstrip(", ")]
    if version > 1:
        found.append(f"This status document is of version {version}; only what version 1 has is shown.")
    wrong = problems(document, process, now)
    found += [f"TROUBLE: {problem}" for problem in wrong]
    if not wrong and process.state == "running":
        lag = document.number("lag_seconds") or 0
        found.append(
            f"All is well: the oldest waiting file is {duration(lag)} old." if lag else "All is well: nothing waits."
        )
    if process.state in ("gone", "hung", "ended"):
        found.append(f"What follows is as of {clock(document.number('time'), now)}, {duration(process.age)} ago.")
    now_or_then = process.state if process.state in ("gone", "ended") else ""
    backends = _backends(document, now, rates, now_or_then)
    found += ["", *_spools(document, now), "", *backends, "", *_figures(document)]
    return found


def _spools(document: Document, now: float) -> list[str]:
    rows = [("SPOOL", "FILES", "SIZE", "OLDEST")]
    for spool in document.parts("spools"):
        oldest = spool.number("oldest")
        age = "-" if oldest is None else duration(now - oldest)
        rows.append((spool.text("directory"), count(spool.count("files")), size(spool.count("bytes")), age))
    return table(rows, left=1) if len(rows) > 1 else ["No spool."]


def _backends(document: Document, now: float, rates: dict[str, float] | None, state: str) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            "BACKEND",
            "STATE",
            "WAITING",
            "",
            "LAG",
            "LAST SUCCESS",
            "ACKNOWLEDGED",
            "PER SECOND",
            "RETRIES",
            "REFUSED",
            "TO",
        )
    ]
    below: list[str] = []
    for backend in document.parts("backends"):
        name = backend.text("name")
        last, rate = backend.number("last_success"), (rates or {}).get(name)
        rows.append(
            (
                name,
                state or backend.text("state"),
                many(backend.count("waiting_files"), "file"),
                size(backend.count("waiting_bytes")),
                duration(backend.number("lag_seconds")),
                "never" if last is None else f"{duration(now - last)} ago",
                count(backend.count("acknowledged")),
                "" if rate is None else count(rate),
                count(backend.count("retries")),
                count(backend.count("refused")),
                backend.text("address"),
            )
        )
        below += [f"  {name}: {text}" for text in _more(backend, now)]
    if len(rows) == 1:
        return ["No backend."]
    if rates is None:
        rows = [(*row[:7], *row[8:]) for row in rows]
    return [*table(rows), *below]


def _more(backend: Part, now: float) -> list[str]:
    """What only some backends have to say."""
    found = []
    if backend.text("error") and not _lasts(backend, now):
        found.append(f"error: {backend.text('error')}")
    if backend.count("parked_points"):
        waiting = (
            f"{count(backend.count('parked_series'))} new series with {many(backend.count('parked_points'), 'point')}"
        )
        found.append(f"parked until carbon may create them: {waiting}")
    if backend.count("dropped_creates"):
        found.append(f"new series that carbon says it dropped: {count(backend.count('dropped_creates'))}")
    if backend.count("replayed"):
        found.append(f"sent again after carbon may have forgotten: {many(backend.count('replayed'), 'metric')}")
    if backend.count("set_aside"):
        found.append(f"set aside: {many(backend.count('set_aside'), 'file')}")
    return found


def _figures(document: Document) -> list[str]:
    rejected, window, dropped = document.part("rejected"), document.part("window"), document.part("dropped")
    reasons = _listed(rejected.part("by_reason").counts().items())
    where = f", see {rejected.text('file')}" if rejected.count("total") and rejected.text("file") else ""
    skipped = _listed(document.part("skipped").counts().items())
    why = ": graphios explain FILE says what to change" if document.part("skipped").count("unprefixed") else ""
    lost = f"{many(dropped.count('files'), 'file')}, {size(dropped.count('bytes'))}, {many(dropped.count('lines'), 'line')}"
    kept = f"{many(window.count('files'), 'file')}, {size(window.count('bytes'))}"
    read = f"{many(document.count('lines_read'), 'line')}, {many(document.count('metrics_read'), 'metric')}"
    return table(
        [
            ("Since the start", ""),
            ("  read", read),
            ("  rejected", f"{count(rejected.count('total'))}{reasons}{where}"),
            ("  not shipped", (skipped.strip(" ()") or "0") + why),
            ("  dropped", lost if dropped.count("files") else "0"),
            ("Kept for a carbon that forgets", kept),
        ],
        left=2,
    )


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    shown = [(name, number) for name, number in counts if number]
    more = f", {len(shown) - 8} more" if len(shown) > 8 else ""
    listed = ", ".join(f"{name} {count(number)}" for name, number in shown[:8])
    return f" ({listed}{more})" if shown else ""


def table(rows: Sequence[Sequence[str]], left: int = 2) -> list[str]:
    """The rows as lines; the first `left` columns and the one called TO are aligned to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left or rows[0][column] == "TO" else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
