"""What a configuration comes to, in words. Never a secret."""

from __future__ import annotations

import time
from collections.abc import Iterator

from graphios import spool_writer
from graphios.commands.units import duration, many, size
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    InfluxBackend,
    Names,
    OutputBackend,
    PrometheusBackend,
    Settings,
    StatsdBackend,
    Tls,
)
from graphios.convert import Converter

Rows = list[tuple[str, str]]

_LABEL = b"'disk C:.free'=5"


def describe(settings: Settings) -> Iterator[tuple[str, Rows]]:
    """The configuration in sections, each with rows of a name and a text."""
    yield "configuration", [(str(settings.path), "")]
    spools = [(spool.name, f"{spool.directory} ({' '.join(spool.files)})") for spool in settings.spools]
    yield "inputs", spools + [(fifo.name, f"{fifo.path} (named pipe)") for fifo in settings.fifos]
    yield "backends", [(backend.name, _backend(backend)) for backend in settings.backends]
    yield "names", _names(settings.names)
    limits = settings.limits
    allowed = [
        size(limits.max_bytes) if limits.max_bytes else "",
        many(limits.max_files, "file") if limits.max_files else "",
        duration(limits.max_age) if limits.max_age else "",
    ]
    yield (
        "shipper",
        [
            ("state", str(settings.state_directory)),
            ("status", str(settings.status_file)),
            ("rejects", f"{settings.reject_file}, at most {size(settings.reject_bytes)}"),
            ("spool limits", ", ".join(filter(None, allowed)) or "none"),
            ("looks at the spool", f"at once, and every {settings.poll:g} s"),
            (
                "own figures",
                f"{settings.self_prefix}.*, every {settings.self_interval:g} s" if settings.self_interval else "none",
            ),
            ("log level", settings.log_level),
        ],
    )


def address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _backend(backend: BackendSettings) -> str:
    match backend:
        case CarbonBackend():
            kept = f"kept {duration(backend.replay_seconds)} (at most {size(backend.replay_bytes)}) for a replay"
            return "; ".join(
                (
                    " or ".join(address(*server) for server in backend.servers) + f", {backend.protocol}",
                    *([_tls(backend.tls)] if backend.tls else []),
                    kept if backend.replay_seconds else "no replay",
                    f"{backend.creates_per_minute} new series a minute"
                    if backend.creates_per_minute
                    else "new series without limit",
                    *(
                        [f"those in {backend.whisper} are not new"]
                        if backend.creates_per_minute and backend.whisper
                        else []
                    ),
                    *([f"drops counted at {backend.graphite_url}"] if backend.graphite_url else []),
                )
            )
        case StatsdBackend():
            sure = "" if backend.protocol == "tcp" else "; nothing is acknowledged"
            return f"{address(backend.host, backend.port)}, {backend.protocol}{sure}"
        case InfluxBackend():
            where = f"database {backend.database}" if backend.version == 1 else f"bucket {backend.bucket}"
            who = f"user {backend.username}" if backend.username else "with a token" if backend.token else "no user"
            return f"{backend.url}, version {backend.version}, {where}, {who}{_https(backend.url, backend.tls)}"
        case PrometheusBackend():
            who = f"user {backend.username}" if backend.username else "with a token" if backend.token else "no user"
            return f"{backend.url}, metric {backend.metric}, {who}{_https(backend.url, backend.tls)}"
        case OutputBackend():
            return str(backend.path or "standard output")


def _https(url: str, tls: Tls) -> str:
    return f"; {_tls(tls)}" if url.startswith("https:") else ""


def _tls(tls: Tls) -> str:
    if not tls.verify:
        return "TLS, the receiver's certificate is NOT verified"
    ours = ", with our certificate" if tls.certificate else ""
    return f"TLS, verified by {tls.ca or 'the authorities of the system'}{ours}"


def _names(names: Names) -> Rows:
    rows = [("scheme", names.scheme), ("cleaning", names.cleaning)]
    if names.base:
        rows.append(("base", names.base))
    for name, rules in (("include", names.include), ("exclude", names.exclude), ("rewrite", names.rewrite)):
        if rules:
            rows.append((name, many(len(rules), "rule")))
    if names.thresholds:
        rows.append(("thresholds", " ".join(names.thresholds)))
    line = spool_writer.service_line(int(time.time()), b"www.example.org", b"Disk space", _LABEL)
    with_prefix = spool_writer.service_line(
        int(time.time()), b"www.example.org", b"Disk space", _LABEL, prefix=b"prefix", postfix=b"postfix"
    )
    for title, data in (("without prefix", line), ("with prefix", with_prefix)):
        rows.append((f"example {title}", _example(names, data)))
    return rows


def _example(names: Names, line: bytes) -> str:
    converter = Converter(names)
    found = [
        str(item).rsplit(" ", 2)[0] for items, _ in converter.convert(line.rstrip(b"\n"), time.time()) for item in items
    ]
    return found[0] if found else f"not shipped ({', '.join(converter.skipped) or 'rejected'})"
