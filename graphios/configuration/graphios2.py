"""graphios.cfg of Graphios 2, read as it is: the same lines get the same names, into the same receivers.

Format: what ConfigParser of Python 2 took, as Graphios 2.0.3 and its last commit (June 2016) used it: all sections count as one; comments
begin with # or ;, also behind a blank and ; in a value; the last of two equal options wins; True and False are the only words for yes and no.
What has no effect here, or is not known, becomes a warning. An error is only what leaves nothing to do.
"""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
from pathlib import Path

from graphios.configuration import graphios2_backends, paths, values
from graphios.configuration.errors import ConfigError, did_you_mean
from graphios.configuration.graphios2_options import BELONGS_TO, NO_EFFECT, Options
from graphios.configuration.settings import Limits, Names, Settings, SpoolInput

_DEFAULT_SPOOL = "/var/spool/nagios/graphios"
_FILES = ("service-perfdata.*", "host-perfdata.*", "perfdata[._-]*", "[!._]*[._-]perfdata[._-]*")
"""Graphios 2 took (and deleted) every file but `service-perfdata`, `host-perfdata` and those that begin with _."""

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error", "critical": "error"}  # fmt: skip


def recognised(raw: bytes) -> bool:
    """Whether this is a configuration file of Graphios 2: it has a section [graphios]."""
    return re.search(rb"^\[graphios\]", raw, re.MULTILINE) is not None


def read(raw: bytes, path: Path, carbon_conf_path: Path) -> Settings:
    """What the file comes to. Raises ConfigError when it has no syntax, or nothing could be read or delivered."""
    options = Options(path, _parse(raw, path))
    _warn_of_dead_options(options)
    spool = options.text("spool_directory", _DEFAULT_SPOOL)
    try:
        spool = values.absolute(spool)
    except ValueError as error:
        raise ConfigError(f"{path}: [graphios] spool_directory = {spool[:100]}: {error}") from None
    backends = graphios2_backends.backends(options, carbon_conf_path)
    state = paths.state_of(spool)
    test_mode = options.is_true("test_mode")
    if test_mode:
        options.warn("test_mode", "what would be sent is printed, nothing is sent or removed, and graphios ends")
    return Settings(
        path=path,
        spools=(SpoolInput("spool", spool, _FILES),),
        fifos=(),
        backends=backends,
        names=_names(options),
        limits=Limits(),
        state_directory=state,
        status_file=paths.status_file(state),
        reject_file=paths.reject_file(),
        reject_bytes=10_485_760,
        settle=10.0,
        poll=_poll(options),
        self_prefix="graphios",
        self_interval=60.0,
        log_level=_log_level(options),
        dry_run=test_mode,
        warnings=tuple(options.warnings),
    )


def _parse(raw: bytes, path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, inline_comment_prefixes=(";",), empty_lines_in_values=False
    )
    try:
        parser.read_string(raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff"), str(path))
    except configparser.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    found: dict[str, str] = {}
    for section in parser.sections():
        found.update(parser[section])
    # Two percent signs were one.
    return {name: "" if value == '""' else value.replace("%%", "%") for name, value in found.items()}


def _names(options: Options) -> Names:
    # Any word but False put the service into the name; only True also shipped what has neither prefix nor postfix.
    by_service = options.is_set("use_service_desc", False)
    names = Names(
        scheme="service" if by_service else "graphios",
        base=options.text("metric_base_path", ""),
        cleaning="graphios",
        replacement=options.text("replacement_character", "_"),
        unprefixed=options.text("use_service_desc", "").lower() == "true",
        reverse_hostname=options.is_set("reverse_hostname", False),
        replace_hostname=options.is_set("replace_hostname", True),
    )
    from graphios.naming import schemes  # which imports the settings in turn

    try:
        schemes.check(names)
    except ValueError as error:
        options.warn("replacement_character", f"{error}; _ is used")
        names = names._replace(replacement="_")
    # The blanks of other fields were removed.
    return names._replace(base=re.sub(r"\s", names.replacement, names.base))


def _poll(options: Options) -> float:
    try:
        return values.number(0.05, 3600)(options.text("sleep_time", "15"))
    except ValueError as error:
        options.warn("sleep_time", f"{error}; 15 is used")
        return 15.0


def _log_level(options: Options) -> str:
    if options.is_true("debug"):
        return "debug"
    word = options.text("log_level", "info").lower().removeprefix("logging.")
    if word not in _LEVELS:
        options.warn("log_level", "is no level; info is used")
    return _LEVELS.get(word, "info")


def _warn_of_dead_options(options: Options) -> None:
    known = [*NO_EFFECT, *BELONGS_TO]
    for name in options.all:
        if name not in known:
            options.warn(name, f"is not known{did_you_mean(name, known)}")
        elif name in NO_EFFECT and options.concerns_something_enabled(name):
            options.warn(name, NO_EFFECT[name])


def left_alone(directory: str) -> list[str]:
    """The files in `directory` that Graphios 2 would have taken and that are left alone now. Raises OSError."""
    with os.scandir(directory) as entries:
        return [
            entry.name
            for entry in entries
            if entry.name not in ("host-perfdata", "service-perfdata")
            and not entry.name.startswith((".", "_"))
            and not any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in _FILES)
            and entry.is_file(follow_symlinks=False)
        ]
