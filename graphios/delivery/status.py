"""What graphios says about itself: the status document, and a line of its own perfdata."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphios import spool_writer
from graphios.delivery.lane import Lane

FORMAT = 1

Document = dict[str, Any]


def lane_figures(lane: Lane, now: float) -> Document:
    """The part of the document about one backend."""
    counts, todo = lane.counts, lane.todo
    figures: Document = {
        "name": lane.name,
        "kind": type(lane.settings).__name__.removesuffix("Backend").lower(),
        "address": lane.backend.address,
        "state": lane.state,
        "error": lane.error,
        "error_since": lane.error_since,
        "last_success": lane.last_success,
        "waiting_files": todo.files,
        "waiting_bytes": todo.bytes,
        "lag_seconds": max(0.0, round(now - todo.oldest, 3)) if todo.oldest is not None else 0.0,
    }
    figures |= {name: counts[name] for name in ("sent", "acknowledged", "retries", "replayed", "refused", "set_aside")}
    with contextlib.suppress(Exception):  # figures are not worth a lane
        figures |= lane.backend.report()
    if lane.pacer:
        figures["parked_series"], figures["parked_points"] = lane.pacer.waiting
    return figures


def write(path: Path, document: Document) -> None:
    """Puts the document in the place of the last one. Raises OSError."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        hidden.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        hidden.chmod(0o644)
        hidden.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise


def perfdata(document: Document) -> str:
    """The figures of the document as perfdata; counters have the unit c."""
    spools = document["spools"]
    items: list[tuple[str, float, str]] = [
        ("lag", document["lag_seconds"], "s"),
        ("spool.files", sum(spool["files"] for spool in spools), ""),
        ("spool.bytes", sum(spool["bytes"] for spool in spools), "B"),
        ("lines_read", document["lines_read"], "c"),
        ("metrics_read", document["metrics_read"], "c"),
        ("rejected.total", document["rejected"]["total"], "c"),
        ("set_aside.files", document["set_aside"]["files"], ""),
        ("window.files", document["window"]["files"], ""),
        ("window.bytes", document["window"]["bytes"], "B"),
    ]
    for group, figures in (
        ("rejected", document["rejected"]["by_reason"]),
        ("skipped", document["skipped"]),
        ("dropped", document["dropped"]),
    ):
        items += [(f"{group}.{name}", value, "c") for name, value in figures.items()]
    for backend in document["backends"]:
        items += _backend_items(backend)
    return " ".join(f"{label}={value}{unit}" for label, value, unit in items)


_GAUGES = {"lag_seconds": ("lag", "s"), "waiting_files": ("waiting_files", ""), "waiting_bytes": ("waiting_bytes", "B")}
_COUNTERS = ("sent", "acknowledged", "retries", "replayed", "refused", "set_aside", "dropped_creates")


def _backend_items(backend: Document) -> Iterable[tuple[str, float, str]]:
    prefix = f"backend.{plain(backend['name'])}"
    for name, value in backend.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or name in ("error_since", "last_success"):
            continue
        label, unit = _GAUGES.get(name, (name, "c" if name in _COUNTERS else ""))
        yield f"{prefix}.{label}", value, unit


def spool_own_line(inbox: Path, document: Document, prefix: str) -> None:
    """Puts a line about ourselves into the inbox. Raises OSError."""
    line = spool_writer.service_line(
        int(time.time()),
        socket.gethostname().encode("ascii", "replace"),
        b"graphios",
        perfdata(document).encode("ascii", "replace"),
        prefix=prefix.encode(),
    )
    spool_writer.write(os.fsencode(inbox), line)


def plain(name: str) -> str:
    """The name of a backend as part of a file or metric name."""
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in name)


def own_host() -> str:
    """This host, as part of a metric name."""
    return socket.gethostname().replace(".", "_")


def rejected(by_kind: Counter[str], path: Path) -> Document:
    """The part of the document about rejects."""
    return {"total": by_kind.total(), "by_reason": dict(sorted(by_kind.items())), "file": str(path)}
