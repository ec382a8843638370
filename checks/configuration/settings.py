"""What an administrator can choose about the generated files, and how a choice is read from a command line."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from checks.configuration.seattle import PROFILES

# Inside quotes or not, none of these means anything to a shell, to Nagios or to NRPE.
_PATH = re.compile(r"/[^\s\"'$!;\\`&|<>*?(){}\[\]#~=\x00-\x1f\x7f]*")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MOST_PARTS = 1000


class Settings(NamedTuple):
    """`arguments` are pairs of a check's or command's name and more arguments for it, as a shell reads them; `interval` in seconds.

    An empty `tls_dir` is each room's own; an empty `monitoring_server` is left to the administrator. `engine_interval` in seconds; 0: the engine
    runs nothing by itself.
    """

    bindir: str = "/opt/testbed-checks/bin"
    parts: int = 8
    arguments: tuple[tuple[str, str], ...] = ()
    monitoring_server: str = ""
    tls: bool = False
    tls_dir: str = ""
    nrpe_port: int = 5666
    nagios_dir: str = "/var/lib/nagios4"
    spool: str = "/var/spool/graphios"
    prefix: str = "testbed"
    interval: int = 60
    profile: str = ""
    engine_interval: int = 0


DEFAULTS = Settings()


class Option(NamedTuple):
    """One choice: its field of Settings, the rooms it concerns, how its text is read, and what it does.

    `read` is None for a switch; a metavar with "=" is a repeatable option.
    """

    field: str
    rooms: tuple[str, ...]
    read: Callable[[str], Any] | None
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.field.replace("_", "-")

    @property
    def repeatable(self) -> bool:
        """Whether its value is a tuple of pairs."""
        return "=" in self.metavar

    def words(self, value: Any) -> list[str]:
        """Return the words that give it `value`, quoted for a shell."""
        if value == getattr(DEFAULTS, self.field):
            return []
        if self.repeatable:
            return [f"{self.flag} {shlex.quote('='.join(pair))}" for pair in value]
        return [self.flag if value is True else f"{self.flag} {value}"]


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError(f"{text!r} is not an absolute path without blanks, quotes and shell characters")
    return text.rstrip("/") or "/"


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{text!r} is not made of letters, digits, _ and -, with dots between levels")
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _arguments(text: str) -> tuple[str, str]:
    name, equals, arguments = text.partition("=")
    if not (equals and name and arguments.isprintable()):
        raise ValueError(f"{text!r} is not the name of a check or command, = and its arguments")
    return name, arguments


def _addresses(text: str) -> str:
    for part in text.split(","):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"{part!r} is not an IP address or network, such as 192.0.2.10 or 2001:db8::/64") from None
    return text


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise ValueError(f"{text!r} is none of {', '.join(PROFILES)}")
    return text


OPTIONS = (
    Option("bindir", ("nrpe", "nagios"), _path, "DIR", "where the console scripts of testbed-checks are installed"),
    Option("profile", ("nrpe",), _profile, "PROFILE", f"only what hosts of one kind need: {', '.join(PROFILES)}"),
    Option("parts", ("nrpe", "nagios"), _whole(2, _MOST_PARTS), "N", "into how many parts a check is split"),
    Option(
        "arguments",
        ("nrpe",),
        _arguments,
        "NAME=TEXT",
        "more arguments for one command, or for all of a check; repeatable",
    ),
    Option("monitoring_server", ("nrpe",), _addresses, "IP[,IP]", "who may ask NRPE, besides the node itself"),
    Option(
        "engine_interval",
        ("nrpe",),
        _whole(1, 86400),
        "SECONDS",
        "for nodes without Nagios: how often `testbed-checks serve` runs each check",
    ),
    Option("tls", ("nrpe", "nagios"), None, "", "both sides prove who they are, with certificates"),
    Option("tls_dir", ("nrpe", "nagios"), _path, "DIR", "where the certificates lie"),
    Option("nrpe_port", ("nagios",), _whole(1, 65535), "PORT", "where NRPE listens"),
    Option("nagios_dir", ("nagios",), _path, "DIR", "where Nagios keeps its perfdata files"),
    Option("spool", ("nagios",), _path, "DIR", "the spool directory of graphios"),
    Option("prefix", ("nagios", "graphite"), _prefix, "PREFIX", "what metric names begin with"),
    Option("interval", ("nagios", "graphite"), _whole(1, 3600), "SECONDS", "how often Nagios runs each check"),
)


def made_by(room: str, settings: Settings) -> str:
    """Return the command that makes the room's files again, with the options that are not the default."""
    words = [f"testbed-checks config {room}"]
    for option in OPTIONS:
        if room in option.rooms:
            words += option.words(getattr(settings, option.field))
    return " ".join(words)


def header(room: str, settings: Settings, *lines: str) -> str:
    """Return the comment that begins a generated file: how it was made, and what it is for."""
    return "".join(
        f"# {line}".rstrip() + "\n" for line in (f"Made by: {made_by(room, settings)}", _KEEP_OUT, "", *lines)
    )


_KEEP_OUT = "An upgrade makes it anew: what is your own belongs into files of your own."
