"""The backends of a Graphios 2 file. It sent everything to each server of each list, so each becomes a backend of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from graphios.configuration import carbon_conf, values
from graphios.configuration.errors import ConfigError
from graphios.configuration.graphios2_options import Options
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    InfluxBackend,
    OutputBackend,
    StatsdBackend,
)

_UNSUPPORTED = {
    "enable_librato": "Librato is not supported, and is no more; nothing is sent there",
    "enable_influxdb": "the interface of InfluxDB 0.8 is not supported; nothing is sent there. "
    "For InfluxDB 0.9 to 1.x: enable_influxdb09, later ones: an [influxdb] section of graphios.ini",
}


def backends(options: Options, carbon_conf_path: Path) -> tuple[BackendSettings, ...]:
    """All backends the file enables. Raises ConfigError when there are none."""
    for name, reason in _UNSUPPORTED.items():
        if options.is_true(name):
            options.warn(name, reason)
    found: list[BackendSettings] = []
    if options.is_true("enable_carbon"):
        found += _carbon(options, carbon_conf_path)
    if options.is_true("enable_statsd"):
        for name, host, port in _servers(options, "statsd", "statsd_servers", 8125):
            found.append(StatsdBackend(name, host, port))
    if options.is_true("enable_influxdb09"):
        found += _influxdb(options)
    if options.is_true("enable_stdout"):
        options.warn("enable_stdout", "the lines that carbon gets are printed, not the fields of each metric")
        found.append(OutputBackend("stdout"))
    if not found:
        why = "; ".join(text.removeprefix(f"{options.path}: ") for text in options.warnings if ": enable_" in text)
        raise ConfigError(
            f"{options.path}: no backend that can be used is enabled: set enable_carbon = True{f' ({why})' if why else ''}"
        )
    return tuple(found)


def _carbon(options: Options, carbon_conf_path: Path) -> Iterator[CarbonBackend]:
    protocol, port = ("plaintext", 2003) if options.is_set("carbon_plaintext", False) else ("pickle", 2004)
    for name, host, own in _servers(options, "carbon", "carbon_servers", port):
        creates, whisper = carbon_conf.caches([(host, own)], protocol, carbon_conf_path)
        yield CarbonBackend(name, ((host, own),), protocol, creates_per_minute=creates, whisper=whisper)


def _influxdb(options: Options) -> Iterator[InfluxBackend]:
    """Named after the service, with the host and the label (`check`) as tags, the value in the field `value`."""
    https = options.is_set("influxdb_use_ssl", False)
    password = options.text("influxdb_password", "")
    if password and options.path.stat().st_mode & 0o004:
        options.warn("influxdb_password", f"every user of this machine can read it: chmod o= {options.path}")
    for name, host, port in _servers(options, "influxdb", "influxdb_servers", 8087 if https else 8086):
        address = f"[{host}]" if ":" in host else host
        yield InfluxBackend(
            name,
            f"{'https' if https else 'http'}://{address}:{port}",
            database=options.text("influxdb_db", "nagios"),
            username=options.text("influxdb_user", ""),
            password=password,
            measurement="{service}",
            tags=(("check", "{label}"), ("host", "{host}"), *_extra_tags(options)),
        )


def _extra_tags(options: Options) -> tuple[tuple[str, str], ...]:
    text = options.text("influxdb_extra_tags", "{}")
    try:
        found = ast.literal_eval(text)
        pairs = tuple((str(key), str(value)) for key, value in found.items())
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        options.warn("influxdb_extra_tags", 'is no dictionary such as {"location": "la"}; no tags are added')
        return ()
    for key, value in pairs:
        if re.search("[{}]", value) or not key or not value or not f"{key}{value}".isprintable():
            options.warn("influxdb_extra_tags", f"{key!r}: {value!r} can't be a tag; no tags are added")
            return ()
    return tuple(pair for pair in pairs if pair[0] not in ("check", "host"))


def _servers(options: Options, backend: str, option: str, default_port: int) -> Iterator[tuple[str, str, int]]:
    """Name of the backend, host and port of every server in the list; what is none of both is left out with a warning."""
    found: list[tuple[str, int]] = []
    for word in options.text(option, "127.0.0.1").split(","):
        if not word.strip():
            continue
        try:
            ((host, own),) = values.servers(word)
        except ValueError as error:
            options.warn(option, f"{word.strip()!r} {error}; nothing is sent there")
            continue
        server = (host, own or default_port)
        if server in found:
            options.warn(option, f"{word.strip()} stands there twice; it gets everything once")
        else:
            found.append(server)
    for host, port in found:
        # By its address, not its place in the list, so that its progress stays its own when the list changes.
        name = f"{backend}:{re.sub('[^A-Za-z0-9_-]', '-', host)[-40:]}-{port}"
        yield (backend if len(found) == 1 else name), host, port
