"""How check_graphios tells what the status document says: perfdata, and the lines of -v."""

from __future__ import annotations

from checks.options import Values
from checks.output import clean_name, label_part, perfdata
from checks.ranges import duration
from checks.shipper.document import BACKEND_COUNTERS, BACKEND_SOMETIMES, Backend, Document


def failing(backend: Backend, document: Document) -> float:
    """Return the seconds for which `backend` has delivered nothing; 0 while it does."""
    if not backend.error:
        return 0.0
    return max(0.0, document.time - (backend.error_since or document.started))


def perfdata_items(document: Document, now: float, opts: Values) -> list[str]:
    """Return the figures of the whole at the time `now`, then the essentials of every backend, then the rest."""
    files = sum(spool.files for spool in document.spools)
    head = [
        perfdata("lag", round(max(0.0, document.lag), 1), "s", opts.warning.find("spool"), opts.critical.find("spool")),
        perfdata("age", round(max(0.0, now - document.time), 1), "s"),
        perfdata("spool.files", files, "", opts.files_warning, opts.files_critical),
        perfdata("spool.bytes", sum(spool.bytes for spool in document.spools), "B"),
        perfdata("rejected.total", document.rejected_total, "c"),
    ]
    gauges = ("set_aside.files", "window.files", "window.bytes")
    plain_figures = {name: value for name, value in document.figures.items() if name not in gauges}
    aside = perfdata(gauges[0], document.figures[gauges[0]], "", opts.set_aside_warning, opts.set_aside_critical)
    head += [*(perfdata(name, value, "c") for name, value in plain_figures.items()), aside]
    first: list[str] = []
    rest = [
        f"{perfdata(gauges[1], document.figures[gauges[1]])} {perfdata(gauges[2], document.figures[gauges[2]], 'B')}"
    ]
    for backend in document.backends:
        essentials, more = _backend_items(backend, document, opts)
        first += essentials
        rest += more
    rest += [
        perfdata(f"rejected.{label_part(kind)}", n, "c") for kind, n in document.rejected.items() if kind != "total"
    ]
    rest += [perfdata(f"skipped.{label_part(what)}", n, "c") for what, n in document.skipped.items()]
    return head + first + rest


def _backend_items(backend: Backend, document: Document, opts: Values) -> tuple[list[str], list[str]]:
    """The essentials of a backend, and the rest."""
    name, figures = backend.name, backend.figures
    label = f"backend.{label_part(name)}"
    limits = {
        "waiting_bytes": (opts.bytes_warning, opts.bytes_critical),
        "parked_series": (opts.parked_warning, opts.parked_critical),
    }
    lag = round(max(0.0, backend.lag), 1)
    error = round(failing(backend, document), 1)
    first = [
        perfdata(f"{label}.acknowledged", figures["acknowledged"], "c"),
        perfdata(f"{label}.lag", lag, "s", opts.warning.find(name), opts.critical.find(name)),
        perfdata(f"{label}.error", error, "s", opts.error_warning.find(name), opts.error_critical.find(name)),
    ]
    rest = [perfdata(f"{label}.{key}", figures[key], "c") for key in BACKEND_COUNTERS[1:]]
    for key, unit in BACKEND_SOMETIMES.items():
        if key in figures:
            warning, critical = (rule.find(name) for rule in limits[key]) if key in limits else (None, None)
            rest.append(perfdata(f"{label}.{key}", figures[key], unit, warning, critical))
    return first, rest


def lines(document: Document) -> list[str]:
    """Return a line for each backend and spool, and the rejects by reason."""
    found = [_backend_line(backend, document.time) for backend in document.backends]
    for spool in document.spools:
        age = "" if spool.oldest is None else f", oldest {duration(document.time - spool.oldest)}"
        found.append(f"spool {clean_name(spool.directory)}: {spool.files} files, {spool.bytes} bytes{age}")
    if document.rejected_total:
        reasons = ", ".join(f"{clean_name(kind)} {number}" for kind, number in document.rejected.items())
        found.append(f"rejected {document.rejected_total}: {reasons}; see {clean_name(document.reject_file)}")
    return found


def _backend_line(backend: Backend, now: float) -> str:
    success = "never" if backend.last_success is None else f"{duration(now - backend.last_success)} ago"
    figures = backend.figures
    said = f"{clean_name(backend.name)} to {clean_name(backend.address)}: {clean_name(backend.state)}, lag {duration(backend.lag)}"
    said += f", {figures.get('waiting_files', 0)} files waiting, {figures['acknowledged']} acknowledged, last success {success}"
    return said + (f", error: {clean_name(backend.error)}" if backend.error else "")
