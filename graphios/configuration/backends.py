"""The sections of the backends: what they come to, and the options of one section that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from graphios.configuration import carbon_conf, secret_files
from graphios.configuration.sections import Section
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    Delivery,
    InfluxBackend,
    OutputBackend,
    PrometheusBackend,
    StatsdBackend,
    Timeouts,
    Tls,
)

KINDS = ("carbon", "statsd", "influxdb", "prometheus", "stdout", "file")
_V1 = ("database", "retention_policy", "username", "password_file")
_V2 = ("organisation", "bucket", "token_file", "replay_minutes", "replay_bytes")
_TLS = ("tls_ca", "tls_certificate", "tls_key", "tls_verify")


class Context:
    """What a backend's section can't say itself."""

    def __init__(self, read_secrets: bool, carbon_conf_path: Path) -> None:
        self.read_secrets = read_secrets
        self.carbon_conf_path = carbon_conf_path


def backends(sections: Mapping[str, Section], context: Context) -> Iterator[BackendSettings]:
    """Every backend of the configuration, in its order. Raises ConfigError."""
    make: dict[str, Callable[[Section, Context], BackendSettings]] = {
        "carbon": carbon,
        "statsd": _statsd,
        "influxdb": _influxdb,
        "prometheus": _prometheus,
        "stdout": lambda section, _: OutputBackend(section.name),
        "file": _file,
    }
    for name, section in sections.items():
        if (kind := name.partition(":")[0]) in make:
            yield make[kind](section, context)


def carbon(section: Section, context: Context) -> CarbonBackend:
    """The backend of a carbon section. Raises ConfigError."""
    protocol = section["protocol"]
    port = section["port"] or {"plaintext": 2003, "pickle": 2004}[protocol]
    servers = tuple((host, own or port) for host, own in section["host"])
    if len(set(servers)) != len(servers):
        raise section.wrong("host names a server twice")
    known = carbon_conf.caches(servers, protocol, context.carbon_conf_path)
    creates, whisper = section["creates_per_minute"], section["whisper_directory"]
    if not section["tls"]:
        _refuse(section, _TLS, "needs tls = yes")
    return CarbonBackend(
        section.name,
        servers,
        protocol,
        _tls(section, context) if section["tls"] else None,
        _delivery(section),
        section["replay_minutes"] * 60,
        section["replay_bytes"],
        known.creates_per_minute if creates is None else creates,
        section["graphite_url"],
        known.whisper if whisper is None else whisper,
    )


def _statsd(section: Section, _: Context) -> StatsdBackend:
    return StatsdBackend(section.name, section["host"], section["port"], section["protocol"], _delivery(section))


def _influxdb(section: Section, context: Context) -> InfluxBackend:
    version = int(section["version"])
    _refuse(section, _V2 if version == 1 else _V1, f"belongs to version = {3 - version}, and this is {version}")
    for option in ("database",) if version == 1 else ("bucket", "token_file"):
        if not section[option]:
            raise section.wrong(f"{option} is missing: version = {version} needs it")
    username, password, token = _credentials(section, context)
    return InfluxBackend(
        name=section.name,
        url=_url(section),
        version=version,
        database=section["database"],
        retention_policy=section["retention_policy"],
        username=username,
        password=password,
        organisation=section["organisation"],
        bucket=section["bucket"],
        token=token,
        measurement=section["measurement"],
        tls=_tls(section, context),
        delivery=_delivery(section),
        replay_seconds=section["replay_minutes"] * 60,
        replay_bytes=section["replay_bytes"],
    )


def _prometheus(section: Section, context: Context) -> PrometheusBackend:
    if section["token_file"] and section["username"]:
        raise section.wrong("has both token_file and username: a request carries one of them")
    username, password, token = _credentials(section, context)
    url, tls, delivery = _url(section), _tls(section, context), _delivery(section)
    return PrometheusBackend(section.name, url, section["metric"], username, password, token, tls, delivery)


def _file(section: Section, _: Context) -> OutputBackend:
    if section["path"] is None:
        raise section.wrong("path is missing")
    return OutputBackend(section.name, Path(section["path"]))


def _url(section: Section) -> str:
    if section["url"] is None:
        raise section.wrong("url is missing")
    url: str = section["url"]
    if not url.startswith("https:"):
        _refuse(section, _TLS, "needs a url that begins with https://")
    return url


def _credentials(section: Section, context: Context) -> tuple[str, str, str]:
    if bool(section["username"]) != bool(section["password_file"]):
        there, missing = ("username", "password_file") if section["username"] else ("password_file", "username")
        raise section.wrong(f"{missing} is missing: {there} alone is of no use")
    return section["username"], _secret(section, "password_file", context), _secret(section, "token_file", context)


def _secret(section: Section, option: str, context: Context) -> str:
    if not section[option] or not context.read_secrets:
        return ""
    try:
        return secret_files.read_secret(section[option])
    except ValueError as error:
        raise section.wrong(f"{option} = {section[option]}: {error}") from None


def _delivery(section: Section) -> Delivery:
    timeouts = Timeouts(section["connect_timeout"], section["send_timeout"], section["ack_timeout"])
    return Delivery(section["batch_bytes"], section["longest_pause"], section["tries"], timeouts)


def _tls(section: Section, context: Context) -> Tls:
    ca, certificate, key, verify = (section[option] for option in _TLS)
    if key and not certificate:
        raise section.wrong("tls_certificate is missing: tls_key alone is of no use")
    if ca and not verify:
        raise section.wrong("tls_ca says what to verify against, and tls_verify = no not to verify")
    if context.read_secrets:
        _check_files(section)
    return Tls(ca, certificate, key, verify)


def _check_files(section: Section) -> None:
    for option in ("tls_ca", "tls_certificate", "tls_key"):
        if not (path := section[option]):
            continue
        try:
            if option == "tls_key":
                secret_files.check_private(path)
            path.open("rb").close()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise section.wrong(f"{option} = {path}: {reason}") from None


def _refuse(section: Section, options: tuple[str, ...], why: str) -> None:
    for option in options:
        if section.changed(option):
            raise section.wrong(f"{option} {why}")
