"""What a metric name is made of, `[names] scheme`:

- graphios: `prefix.host.postfix.label`, or `host.service.label` for lines that have neither prefix nor postfix
- service: `prefix.host.service.postfix.label`, what is undefined left out
- template: any text with `{host}`, `{service}`, `{label}`, `{prefix}`, `{postfix}`; fields of the line by their own name, `{HOSTGROUPNAME}`
- tags: the same for the metric and for each tag, `metric;host=...;service=...`

`base` goes before all of them. For host perfdata, the service is `_HOST_`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from graphios.configuration.settings import Names
from graphios.inputs.line import Source
from graphios.naming.cleaning import FIELDS, Cleaner, Escape, Graphios, Unique, tag_label, tag_value
from graphios.remembered import Remembered

HOST_SERVICE = "_HOST_"
"""Stands for the service in the names of host perfdata, as with PNP4Nagios."""

LONGEST_LABEL = 300
"""Characters of what stands for a label in nearly all names."""

_NOTICED = 5_000
_LONGEST_NOTICED = 300
_REMEMBERED_BYTES = 3_000_000
_PLACE = re.compile(r"\{([^{}]*)\}")
_OWN_PLACES = ("host", "service", "label", "prefix", "postfix")
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
_TEMPLATE_TEXT = re.compile(r"[A-Za-z0-9_.-]*")
_TAG_NAME = re.compile(r"[A-Za-z0-9_.:/@%+-]+")
_REPLACEMENT = re.compile(r"[A-Za-z0-9_.@#,&?'\"`-]*|[^\s\\/;=*(){}\[\]]")
_LABEL = "\0"  # stands for the label until it is known


class Head(NamedTuple):
    """All of a name but the label: what stands before it and behind it."""

    before: str
    behind: str


def check(names: Names) -> None:
    """Raises ValueError, with a message for people, for settings no name can be made of."""
    templates = [names.template] if names.scheme == "template" else []
    if names.scheme == "tags":
        templates = [names.metric, *(text for _, text in names.tags)]
    found = [place for text in templates for place in _places(text)]
    if templates and found.count("label") != 1:
        raise ValueError(
            f"{', '.join(templates)}: {{label}} must stand there once, or values of a line would share a name"
        )
    if templates and not _TEMPLATE_TEXT.fullmatch(_PLACE.sub("", templates[0])):
        raise ValueError(f"{templates[0]}: only letters, digits, and _ - . between the {{placeholders}}")
    keys = [key for key, _ in names.tags]
    for key in keys:
        if not _TAG_NAME.fullmatch(key) or key == "name" or keys.count(key) > 1:
            raise ValueError(f"tags: {key!r} can't be the name of a tag")
    if names.dot != "." and not re.fullmatch(r"[A-Za-z0-9_-]*", names.dot):
        raise ValueError(f"dot = {names.dot}: only . or letters, digits, _ and -")
    if not _REPLACEMENT.fullmatch(names.replacement) or not names.replacement.isprintable():
        raise ValueError(f"replacement = {names.replacement}: carbon or Graphite does not take it in a name")


def _places(text: str) -> list[str]:
    """The placeholders of a template. Raises ValueError for one that can't be filled."""
    found: list[str] = _PLACE.findall(text)
    for place in found:
        if place not in _OWN_PLACES and not _FIELD.fullmatch(place):
            own = ", ".join(_OWN_PLACES)
            raise ValueError(f"{text}: {{{place}}} is not known; there are {own}, and fields of the line in capitals")
    if re.search("[{}]", _PLACE.sub("", text)):
        raise ValueError(f"{text}: a lone brace")
    return found


def fields_used(names: Names) -> tuple[str, ...]:
    """Fields of the line that the names need besides the usual ones. Raises ValueError as check() does."""
    check(names)
    texts = {"template": [names.template], "tags": [names.metric, *(text for _, text in names.tags)]}
    found = [place for text in texts.get(names.scheme, []) for place in _places(text) if place not in _OWN_PLACES]
    return tuple(dict.fromkeys(found))


class Namer:
    """Makes the parts of names, and remembers those of labels, a bounded number of them."""

    def __init__(self, names: Names, warn: Callable[[str], None] = lambda text: None) -> None:
        """`warn` is told when two hosts or services meet in one name."""
        self._names = names
        self._warn = warn
        self.cleaner = _cleaner(names)
        self._base = self.cleaner.levels(names.base)
        in_tag = names.scheme == "tags" and "{label}" not in names.metric
        self.labels = Labels(tag_label if in_tag else self.cleaner.label)
        self._hosts = Remembered(self._make_host, _size, _REMEMBERED_BYTES // 2)
        self._services = Remembered(self.cleaner.service, _size, _REMEMBERED_BYTES // 2)
        self._levels = Remembered(self.cleaner.levels, _size, _REMEMBERED_BYTES // 2)
        self._raw: dict[str, str] = {}
        self._warned: set[str] = set()

    def head(self, source: Source) -> Head | None:
        """The name but for the label; None for lines that are not shipped for want of prefix and postfix."""
        names = self._names
        needs_prefix = not names.unprefixed and (names.scheme == "graphios" or self._exact)
        if needs_prefix and not source.prefix and not source.postfix:
            return None
        if names.scheme == "tags":
            metric, tags = self._filled(names.metric, source), self._tags(source)
            before, _, behind = f"{metric}{tags}".partition(_LABEL)
            return Head(before, behind)
        name = self._filled(names.template, source) if names.scheme == "template" else self._path(source)
        before, _, behind = name.partition(_LABEL)
        return Head(before, behind)

    def _path(self, source: Source) -> str:
        host, prefix, postfix = self._hosts[source.host], self._levels[source.prefix], self._levels[source.postfix]
        self._notice(host, source.host)
        service = self._service(source)
        if self._names.scheme == "service":
            # Graphios left the service of host perfdata out, empty as it is.
            elements = [prefix, host, service if source.service or not self._exact else "", postfix]
        elif prefix or postfix or (self._exact and (source.prefix or source.postfix)):
            elements = [prefix, host, postfix]  # Graphios took one of which nothing is left, `.`, for a prefix
        else:
            elements = [host, service]
        if not prefix and not postfix:
            self._notice(f"{host}.{service}", f"{source.host}, {source.service or '(host perfdata)'}")
        return ".".join([element for element in (self._base, *elements, _LABEL) if element])

    @property
    def _exact(self) -> bool:
        return self._names.cleaning == "graphios"

    def _make_host(self, host: str) -> str:
        if self._names.reverse_hostname:
            host = ".".join(reversed(host.split(".")))
        if self._names.replace_hostname:
            return self.cleaner.element(host)
        return self.cleaner.levels(host) or self.cleaner.element(host)

    def _service(self, source: Source) -> str:
        if source.service is None:
            return HOST_SERVICE
        return self._services[source.service] if source.service else ""

    def _filled(self, template: str, source: Source) -> str:
        """The metric's path that `template` comes to, _LABEL standing for the label."""
        values = {key: self.cleaner.levels(value) for key, value in source.more}
        values |= {"host": self._hosts[source.host], "service": self._service(source), "label": _LABEL}
        values |= {"prefix": self.cleaner.levels(source.prefix), "postfix": self.cleaner.levels(source.postfix)}
        return _joined([self._base, _PLACE.sub(lambda place: values[place[1]], template)])

    def _tags(self, source: Source) -> str:
        """`;key=value` for every tag that has a value, sorted as Graphite does."""
        host = source.host
        if self._names.reverse_hostname:
            host = ".".join(reversed(host.split(".")))
        values = dict(source.more) | {"host": host, "prefix": source.prefix, "postfix": source.postfix}
        values["service"] = HOST_SERVICE if source.service is None else source.service
        values = {key: value.replace(_LABEL, "_") for key, value in values.items()} | {"label": _LABEL}
        tags = []
        for key, template in sorted(self._names.tags):
            value = _PLACE.sub(lambda place: values[place[1]], template)
            value = _LABEL.join(map(tag_value, value.split(_LABEL))) if "{label}" in template else tag_value(value)
            if value:
                tags.append(f";{key}={value}")
        return "".join(tags)

    def _notice(self, name: str, raw: str) -> None:
        """Reports when something else already has this name; forgets what does not fit its bounded memory."""
        if len(raw) > _LONGEST_NOTICED:
            return
        if len(self._raw) >= _NOTICED:
            self._raw.clear()
        if self._raw.setdefault(name, raw) != raw and name not in self._warned and len(self._warned) < 1000:
            self._warned.add(name)
            self._warn(f"{self._raw[name]!r} and {raw!r} share the metric names {name}.*")


class Labels(Remembered[str, str]):
    """Labels as they are written, and what stands for them in names."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__(clean, _size, _REMEMBERED_BYTES)
        self.clean = clean

    long = False
    """Set when a result of more than LONGEST_LABEL characters was handed out; those are not remembered."""

    def __missing__(self, written: str) -> str:
        name = self.clean(written)
        if len(name) > LONGEST_LABEL:
            self.long = True
        else:
            self.keep(written, name)
        return name


def _size(text: str, made: str) -> int:
    return 220 + len(text) + len(made) if text.isascii() else 220 + 4 * (len(text) + len(made))


def _cleaner(names: Names) -> Cleaner:
    if names.cleaning == "graphios":
        return Graphios(names.replacement, names.dot)
    reserved = FIELDS if names.thresholds else ()
    return Escape(names.dot, reserved) if names.cleaning == "escape" else Unique(names.dot, reserved)


def _joined(parts: list[str]) -> str:
    """A path without empty elements."""
    return ".".join([element for element in ".".join(parts).split(".") if element])
