"""Every section and option of graphios.ini, with its default and how it is read. What they mean stands in graphios.ini itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from graphios.configuration import name_values, values


class Option(NamedTuple):
    """`default` is text, as it would stand in the file; None: the option must be given."""

    name: str
    default: str | None
    convert: Callable[[str], object]


class Kind(NamedTuple):
    """A kind of section. `several`: there may be [KIND:NAME] as well. `free`: its options are named by the user, `free` reads their values."""

    options: tuple[Option, ...]
    several: bool = False
    free: Callable[[str], object] | None = None


def auto_or(convert: Callable[[str], object]) -> Callable[[str], object]:
    """`auto`, which is read as None, or what `convert` takes."""

    def either(text: str) -> object:
        try:
            return None if text == "auto" else convert(text)
        except ValueError as error:
            raise ValueError(f"{error}, or auto") from None

    return either


def _creates(text: str) -> object:
    """Carbon's own word for "as many as you like" is inf."""
    return 0 if text == "inf" else values.whole(0, 1_000_000)(text)


def _directory(text: str) -> object:
    return values.absolute(text) if text else ""


_RETRIES = (
    Option("connect_timeout", "5", values.number(0.1, 600)),
    Option("send_timeout", "30", values.number(0.1, 600)),
    Option("ack_timeout", "60", values.number(0.1, 3600)),
    Option("batch_bytes", "524288", values.whole(1000, 8_388_608)),
    Option("longest_pause", "30", values.number(0.1, 3600)),
    Option("tries", "10", values.whole(1, 1_000_000)),
)
_TLS = (
    Option("tls_ca", "", values.path_or_none),
    Option("tls_certificate", "", values.path_or_none),
    Option("tls_key", "", values.path_or_none),
    Option("tls_verify", "yes", values.yes_or_no),
)

SCHEMES = ("graphios", "service", "template", "tags")
CLEANINGS = ("unique", "escape", "graphios")

KINDS: dict[str, Kind] = {
    "spool": Kind(
        (
            Option("directory", None, values.absolute),
            Option("files", "service-perfdata.* host-perfdata.*", values.patterns),
            Option("settle_seconds", "10", values.number(0, 3600)),
            Option("poll_seconds", "1", values.number(0.05, 3600)),
        ),
        several=True,
    ),
    "fifo": Kind((Option("path", None, values.absolute),), several=True),
    "limits": Kind(
        (
            Option("max_bytes", "10737418240", values.whole(0, 10**18)),
            Option("max_files", "0", values.whole(0, 10**12)),
            Option("max_age_hours", "0", values.number(0, 1_000_000)),
        )
    ),
    "carbon": Kind(
        (
            Option("host", "127.0.0.1", values.servers),
            Option("port", "auto", auto_or(values.whole(1, 65535))),
            Option("protocol", "plaintext", values.one_of("plaintext", "pickle")),
            Option("tls", "no", values.yes_or_no),
            *_TLS,
            *_RETRIES,
            Option("replay_minutes", "15", values.number(0, 1440)),
            Option("replay_bytes", "1073741824", values.whole(0, 10**15)),
            Option("creates_per_minute", "auto", auto_or(_creates)),
            Option("whisper_directory", "auto", auto_or(_directory)),
            Option("graphite_url", "", values.url_or_none),
        ),
        several=True,
    ),
    "statsd": Kind(
        (
            Option("host", "127.0.0.1", values.host),
            Option("port", "8125", values.whole(1, 65535)),
            Option("protocol", "udp", values.one_of("udp", "tcp")),
            *_RETRIES,
        ),
        several=True,
    ),
    "influxdb": Kind(
        (
            Option("url", None, values.url),
            Option("version", "1", values.one_of("1", "2")),
            Option("database", "", values.plain),
            Option("retention_policy", "", values.plain),
            Option("username", "", values.plain),
            Option("password_file", "", values.path_or_none),
            Option("organisation", "", values.plain),
            Option("bucket", "", values.plain),
            Option("token_file", "", values.path_or_none),
            Option("measurement", "perfdata", name_values.measurement),
            *_TLS,
            *_RETRIES,
            Option("replay_minutes", "2", values.number(0, 1440)),
            Option("replay_bytes", "268435456", values.whole(0, 10**15)),
        ),
        several=True,
    ),
    "prometheus": Kind(
        (
            Option("url", None, values.url),
            Option("metric", "nagios_perfdata", name_values.metric_name),
            Option("username", "", values.plain),
            Option("password_file", "", values.path_or_none),
            Option("token_file", "", values.path_or_none),
            *_TLS,
            *_RETRIES,
        ),
        several=True,
    ),
    "stdout": Kind(()),
    "file": Kind((Option("path", None, values.absolute),), several=True),
    "names": Kind(
        (
            Option("scheme", "graphios", values.one_of(*SCHEMES)),
            Option("base", "", values.plain),
            Option("template", "{host}.{service}.{label}", name_values.template),
            Option("metric", "{label}", name_values.template),
            Option("tags", "host={host}, service={service}", name_values.tags),
            Option("cleaning", "unique", values.one_of(*CLEANINGS)),
            Option("replacement", "_", name_values.replacement),
            Option("dot", ".", name_values.dot),
            Option("unprefixed", "yes", values.yes_or_no),
            Option("reverse_hostname", "no", values.yes_or_no),
            Option("replace_hostname", "yes", values.yes_or_no),
            Option("thresholds", "", values.some_of("warn", "crit", "min", "max")),
            Option("normalize", "no", values.yes_or_no),
        )
    ),
    "filter": Kind((Option("include", "", values.expressions), Option("exclude", "", values.expressions))),
    "rewrite": Kind((), free=values.rewrite),
    "state": Kind((Option("directory", "", values.path_or_none),)),
    "status": Kind((Option("file", "", values.path_or_none),)),
    "rejects": Kind(
        (
            Option("file", "", values.path_or_none),
            Option("max_bytes", "10485760", values.whole(100_000, 10_737_418_240)),
        )
    ),
    "self": Kind(
        (
            Option("prefix", "graphios", values.levels),
            Option("interval_seconds", "60", values.number(0, 86_400)),
        )
    ),
    "log": Kind((Option("level", "info", values.one_of("debug", "info", "warning", "error")),)),
}
