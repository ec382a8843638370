"""Metric names: `prefix.host.postfix.label`, as Graphios makes them, or `host.service.label` for lines that have neither prefix nor
postfix.

A dot in a label, prefix or postfix opens a level. Each element ends up as `[A-Za-z0-9_-]`, other characters become `_`. What is cleaned
how:

- prefix, postfix, host and service are given by the operator of Nagios: cleaned only (dots of a host name become `_`, as with Graphios).
  Two hosts or services that meet in one name are reported.
- labels come from monitored hosts: where cleaning changed an element, a short hash of the raw text keeps it apart from every other label.
  Mount points are the exception, as they are on every host: `/` is `_` and `/var/log` is `_var_log`, without a hash; labels that look like
  a cleaned mount point get one.

With `cleaning = graphios` no label gets a hash: exactly the names Graphios gave, where different labels may meet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

LONGEST_ELEMENT = 200
"""Characters between two dots: file systems take 255 bytes, `.wsp` included."""
LONGEST_NAME = 1000

HOST_SERVICE = "_HOST_"
"""Stands for the service in the names of host perfdata, as with PNP4Nagios."""

_CACHED = 50_000
_CLEAN = re.compile(r"[A-Za-z0-9_-]+")
_UNCLEAN = re.compile(r"[^A-Za-z0-9_-]")
_MOUNT_POINT = re.compile(r"/|(?:/[A-Za-z0-9-]+)+")
_LIKE_A_MOUNT_POINT = re.compile(r"_|(?:_[A-Za-z0-9-]+)+")


class NameTooLong(ValueError):
    """The name has more than LONGEST_NAME characters."""


def replaced(text: str) -> str:
    """`text` with every character outside [A-Za-z0-9_-] as `_`; beyond LONGEST_ELEMENT characters cut, with a hash of the whole."""
    name = _UNCLEAN.sub("_", text)
    return name if len(name) <= LONGEST_ELEMENT else _hashed(text)


def _hashed(raw: str) -> str:
    digest = hashlib.sha256(raw.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{_UNCLEAN.sub('_', raw)[: LONGEST_ELEMENT - 9]}-{digest}"


def unique_label(label: str) -> str:
    """The elements of a name that `label` (not empty) stands for, joined by dots. Two labels never get the same one."""
    if _MOUNT_POINT.fullmatch(label):
        return replaced(label.replace("/", "_"))
    elements = label.split(".")
    if not all(elements):
        # Without its empty elements it would meet another label.
        return ".".join([*[_element(element) for element in elements if element][:-1], _hashed(label)])
    return ".".join([_element(element) for element in elements])


def _element(raw: str) -> str:
    if _CLEAN.fullmatch(raw) and len(raw) <= LONGEST_ELEMENT and not _LIKE_A_MOUNT_POINT.fullmatch(raw):
        return raw
    return _hashed(raw)


def graphios_label(label: str) -> str:
    """The name Graphios gave to `label`: replaced characters, no hash."""
    return _cleaned_elements(label) or "_"


def levels(text: str) -> str:
    """A prefix or postfix: blanks removed, each element cleaned, empty ones left out."""
    return _cleaned_elements("".join(text.split()))


def _cleaned_elements(text: str) -> str:
    return ".".join([replaced(element) for element in text.split(".") if element])


class Namer:
    """Makes names and remembers them, a bounded number at a time."""

    def __init__(self, base: str = "", unique: bool = True, warn: Callable[[str], None] = lambda text: None) -> None:
        """`base` goes before every name; `unique` is false for cleaning = graphios; `warn` is told when two hosts or services meet."""
        self._base = levels(base)
        self._clean = unique_label if unique else graphios_label
        self._warn = warn
        self._labels: dict[str, str] = {}
        self._paths: dict[tuple[str, str | None, str, str], str] = {}
        self._raw: dict[str, str] = {}
        self._warned: set[str] = set()

    def path(self, host: str, service: str | None, prefix: str, postfix: str) -> str:
        """All of the name before the label, with the dot. `service` is None for host perfdata."""
        key = (host, service, prefix, postfix)
        path = self._paths.get(key)
        if path is None:
            if len(self._paths) >= _CACHED:
                self._paths.clear()
            path = self._paths[key] = self._make_path(*key)
        return path

    def _make_path(self, host: str, service: str | None, prefix: str, postfix: str) -> str:
        elements = [self._base, levels(prefix), replaced(host), levels(postfix)]
        self._notice(replaced(host), host)
        if not elements[1] and not elements[3]:
            elements[3] = HOST_SERVICE if service is None else replaced(service)
            self._notice(
                f"{elements[2]}.{elements[3]}",
                f"{host}, {service}" if service is not None else f"{host} (host perfdata)",
            )
        return "".join([element + "." for element in elements if element])

    def label(self, label: str) -> str:
        """The part of the name that stands for `label`."""
        name = self._labels.get(label)
        if name is None:
            if len(self._labels) >= _CACHED:
                self._labels.clear()
            name = self._labels[label] = self._clean(label)
        return name

    def _notice(self, name: str, raw: str) -> None:
        """Reports when something else already has this name; forgets what does not fit its bounded memory."""
        if len(self._raw) >= _CACHED:
            self._raw.clear()
        if self._raw.setdefault(name, raw) != raw and name not in self._warned and len(self._warned) < 1000:
            self._warned.add(name)
            self._warn(f"{self._raw[name]!r} and {raw!r} share the metric names {name}.*")
