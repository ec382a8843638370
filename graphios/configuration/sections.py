"""The sections of an INI file, each option converted; whatever is unknown or senseless is refused by name."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

from graphios.configuration.errors import ConfigError, did_you_mean
from graphios.configuration.options import KINDS, Kind, Option

_NAME = re.compile(r"[A-Za-z0-9_-]{1,50}")


class Section:
    """One section: `section["option"]` is the converted value."""

    def __init__(self, path: Path, name: str, values: dict[str, Any], given: frozenset[str]) -> None:
        self.path = path
        self.name = name
        self.values = values
        self.given = given
        """The options that stand in the file."""

    def __getitem__(self, option: str) -> Any:
        return self.values[option]

    def wrong(self, what: str) -> ConfigError:
        """The error that says `what` (which names the option) is wrong with this section."""
        return ConfigError(f"{self.path}: [{self.name}] {what}")

    def changed(self, option: str) -> bool:
        """Whether the option has another value than its default."""
        kind = KINDS[self.name.partition(":")[0]]
        default = next(found.default for found in kind.options if found.name == option)
        return default is None or bool(self.values[option] != _converted(self.path, self.name, option, default))


def read(text: str, path: Path) -> dict[str, Section]:
    """The sections of the file in its order, by their whole names (`carbon`, `carbon:lab`).

    Raises ConfigError for what is unknown, twice there, missing or wrong.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="", delimiters=("=",))
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    return {name: _section(parser, path, name) for name in parser.sections()}


def empty(path: Path, name: str) -> Section:
    """A section that does not stand in the file: defaults only (None where there is none)."""
    options = KINDS[name].options
    values = {option.name: None if option.default is None else option.convert(option.default) for option in options}
    return Section(path, name, values, frozenset())


def _section(parser: configparser.ConfigParser, path: Path, name: str) -> Section:
    kind = _kind(path, name)
    given = parser.options(name)
    if kind.free:
        values = {option: _converted(path, name, option, parser[name][option], kind.free) for option in given}
        return Section(path, name, values, frozenset(given))
    known = [option.name for option in kind.options]
    for option in given:
        if option not in known:
            allowed = f"its options are {', '.join(known)}" if known else "it has no options"
            raise ConfigError(f"{path}: unknown option {option} in [{name}]{did_you_mean(option, known)}; {allowed}")
    values = {}
    for entry in kind.options:
        text = parser.get(name, entry.name, fallback=entry.default)
        values[entry.name] = None if text is None else _value(path, name, entry, text)
    return Section(path, name, values, frozenset(given))


def _kind(path: Path, name: str) -> Kind:
    kind, colon, own = name.partition(":")
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        raise ConfigError(f"{path}: unknown section [{name}]{near}; the sections are {', '.join(KINDS)}")
    if colon and not KINDS[kind].several:
        raise ConfigError(f"{path}: unknown section [{name}]; there is one [{kind}] only")
    if colon and not _NAME.fullmatch(own):
        raise ConfigError(f"{path}: section [{name[:100]}]: a name is 1 to 50 letters, digits, _ and -")
    return KINDS[kind]


def _value(path: Path, section: str, option: Option, text: str) -> Any:
    if not text and option.default is None:
        return None
    return _converted(path, section, option.name, text, option.convert)


def _converted(path: Path, section: str, option: str, text: str, convert: Any = None) -> Any:
    if convert is None:
        kind = KINDS[section.partition(":")[0]]
        convert = next(found.convert for found in kind.options if found.name == option)
    try:
        return convert(text)
    except ValueError as error:
        raise ConfigError(f"{path}: [{section}] {option} = {_shown(text)}: {error}") from None


def _shown(text: str) -> str:
    """What stands in the file, for a message: one line, without the password of a URL."""
    text = " ".join(re.sub(r"//[^/]*@", "//...@", text).split())[:100]
    return text if text.isprintable() else repr(text)
