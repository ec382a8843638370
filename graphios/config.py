"""The configuration: one INI file. graphios.ini beside this module holds every option with its default and meaning."""

from __future__ import annotations

import configparser
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from graphios.errors import GraphiosError

DEFAULT_PATH = Path("/etc/graphios/graphios.ini")
SAMPLE = Path(__file__).with_name("graphios.ini")


class ConfigError(GraphiosError):
    """The message names the file, the section and the option, and what is wrong."""


class Config(NamedTuple):
    """Times in seconds, sizes in bytes."""

    spool_directory: str
    settle: float
    poll: float
    carbon_host: str
    carbon_port: int
    connect_timeout: float
    send_timeout: float
    ack_timeout: float
    batch_bytes: int
    longest_pause: float
    base: str
    cleaning: str
    reject_file: Path
    reject_bytes: int
    log_level: str


def state_directory() -> Path:
    """Where this user's state belongs: $STATE_DIRECTORY, else $XDG_STATE_HOME/testbed-checks, else ~/.local/state/testbed-checks."""
    if directory := os.environ.get("STATE_DIRECTORY"):
        return Path(directory.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".local/state") / "testbed-checks"
    except RuntimeError:
        raise ConfigError("no home directory: set STATE_DIRECTORY, or [rejects] file in the configuration") from None


def _number(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return value

    return convert


def _whole(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text[:20]) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return convert


def _one_of(*words: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return text

    return convert


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be an absolute path")
    return text


def _host(text: str) -> str:
    text = text.removeprefix("[").removesuffix("]")
    if not text or any(char.isspace() or char == "/" for char in text):
        raise ValueError("must be a host name or an IP address")
    return text


# section, option, field of Config, default (None: required), how to read it
_OPTIONS: tuple[tuple[str, str, str, str | None, Callable[[str], object]], ...] = (
    ("spool", "directory", "spool_directory", None, _absolute),
    ("spool", "settle_seconds", "settle", "10", _number(0, 3600)),
    ("spool", "poll_seconds", "poll", "1", _number(0.05, 3600)),
    ("carbon", "host", "carbon_host", "127.0.0.1", _host),
    ("carbon", "port", "carbon_port", "2003", _whole(1, 65535)),
    ("carbon", "connect_timeout", "connect_timeout", "5", _number(0.1, 600)),
    ("carbon", "send_timeout", "send_timeout", "30", _number(0.1, 600)),
    ("carbon", "ack_timeout", "ack_timeout", "60", _number(0.1, 3600)),
    ("carbon", "batch_bytes", "batch_bytes", "524288", _whole(1000, 8_388_608)),
    ("carbon", "longest_pause", "longest_pause", "30", _number(0.1, 3600)),
    ("names", "base", "base", "", str),
    ("names", "cleaning", "cleaning", "unique", _one_of("unique", "graphios")),
    ("rejects", "file", "reject_file", "", lambda text: Path(_absolute(text)) if text else None),
    ("rejects", "max_bytes", "reject_bytes", "10485760", _whole(100_000, 10_737_418_240)),
    ("log", "level", "log_level", "info", _one_of("debug", "info", "warning", "error")),
)


def load(path: Path) -> Config:
    """The configuration in `path`. Raises ConfigError for what is missing, unknown or wrong in it."""
    parser = configparser.ConfigParser(interpolation=None, default_section="", delimiters=("=",))
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; {SAMPLE} is a sample with every option") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start + 1})") from error
    except configparser.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    _refuse_unknown(parser, path)
    found = {
        field: _read(parser, path, section, option, default, convert)
        for section, option, field, default, convert in _OPTIONS
    }
    found["reject_file"] = found["reject_file"] or state_directory() / "graphios-rejects.log"
    return Config(**found)  # type: ignore[arg-type]  # each converter returns the field's type


def _read(
    parser: configparser.ConfigParser,
    path: Path,
    section: str,
    option: str,
    default: str | None,
    convert: Callable[[str], object],
) -> object:
    text = parser.get(section, option, fallback=default)
    if text is None or (not text and default is None):
        raise ConfigError(f"{path}: [{section}] {option} is missing")
    try:
        return convert(text)
    except ValueError as error:
        raise ConfigError(f"{path}: [{section}] {option} = {text[:100]}: {error}") from None


def _refuse_unknown(parser: configparser.ConfigParser, path: Path) -> None:
    known: dict[str, list[str]] = {}
    for section, option, *_ in _OPTIONS:
        known.setdefault(section, []).append(option)
    for section in parser.sections():
        if section not in known:
            raise ConfigError(f"{path}: unknown section [{section}]; the sections are {', '.join(known)}")
        for option in parser.options(section):
            if option not in known[section]:
                raise ConfigError(
                    f"{path}: unknown option {option} in [{section}]; its options are {', '.join(known[section])}"
                )
