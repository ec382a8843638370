"""How raw text becomes elements of a metric name. Three ways, `[names] cleaning`:

- unique: `[A-Za-z0-9_-]`, other characters become `_`. Where that changed an element of a label, a short hash of the raw text keeps it apart
  from every other label, as labels come from monitored hosts. Mount points are the exception, as they are on every host: `/` is `_` and
  `/var/log` is `_var_log`, without a hash; labels that look like a cleaned mount point get one. What the operator of Nagios gives (host,
  service, prefix, postfix) is cleaned only; two of them that meet in one name are reported.
- escape: any other character becomes its code point in hexadecimal between two `_`: a blank is `_20_`. `_` itself is kept, but is `_5f_` where
  it could be taken for the beginning of such an escape. Nothing meets, and `unescaped` gives the raw text back.
- graphios: what Graphios 2 did, to the letter.

A dot in a label, prefix or postfix opens a level.
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

from graphios.perfdata import unquoted

LONGEST_ELEMENT = 200
"""Characters between two dots: file systems take 255 bytes, `.wsp` included."""

FIELDS = ("warn", "warn_low", "crit", "crit_low", "min", "max")
"""Last elements of the names of thresholds."""

_CLEAN = re.compile(r"[A-Za-z0-9_-]+")
_UNCLEAN = re.compile(r"[^A-Za-z0-9_-]")
_MOUNT_POINT = re.compile(r"/|(?:/[A-Za-z0-9-]+)+")
_LIKE_A_MOUNT_POINT = re.compile(r"_|(?:_[A-Za-z0-9-]+)+")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9_-]|_(?=[0-9a-f]{2,6}[^A-Za-z0-9-])")
_ESCAPED = re.compile(r"_([0-9a-f]{2,6})_")
_SEPARATING_DOT = re.compile(r"(?<=[^.])\.(?=.)", re.DOTALL)
_UNTAGGABLE = re.compile(r"[^A-Za-z0-9_.:/@%+-]")
_ASCII_BLANKS = re.compile(r"[ \t\n\r\f\v]+")
_NOT_FOR_GRAPHIOS = re.compile(r"[^!-~]|[~!$:;%^*()+={}\[\]|\\/<>]")
_LONGEST_GRAPHIOS = 250


class Cleaner(Protocol):
    """One way of cleaning. A text of which nothing is left becomes `_`; only Graphios left it out."""

    def label(self, written: str) -> str:
        """The elements, joined by dots, for a label as it is written in the perfdata, with its quotes if it has any."""

    def element(self, text: str) -> str:
        """One element, for a host name."""

    def service(self, text: str) -> str:
        """What stands for a service: one element, with cleaning = graphios perhaps several."""

    def levels(self, text: str) -> str:
        """The elements of a prefix or postfix, joined by dots; may be empty."""


def tag_value(text: str) -> str:
    """`text` as the value of a tag: may hold `./:@%+` as well, is cut at LONGEST_ELEMENT, may be empty."""
    text = _UNTAGGABLE.sub("_", text.strip())
    return text if len(text) <= LONGEST_ELEMENT else text[: LONGEST_ELEMENT - 9] + _hashed(text)[-9:]


def tag_label(written: str) -> str:
    """The label as the value of a tag; where cleaning changed it, with a hash, so that no two labels meet."""
    label = unquoted(written)
    return label if tag_value(label) == label else f"{tag_value(label)[: LONGEST_ELEMENT - 9]}{_hashed(label)[-9:]}"


def unescaped(name: str) -> str:
    """What `name`, made by cleaning = escape, was before; dots that opened levels and dots of the text look the same then."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)


def _hashed(raw: str, shown: str = "") -> str:
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_UNCLEAN.sub('_', shown or raw)[: LONGEST_ELEMENT - 9]}-{digest}"


def _replaced(text: str) -> str:
    name = _UNCLEAN.sub("_", text)
    return name if len(name) <= LONGEST_ELEMENT else _hashed(text)


def _squeezed(text: str) -> list[str]:
    """The elements of a prefix or postfix: blanks removed, empty ones left out."""
    return [element for element in "".join(text.split()).split(".") if element]


class Unique:
    """cleaning = unique."""

    def __init__(self, dot: str = ".", reserved: tuple[str, ...] = ()) -> None:
        """`dot` is what a dot in a label becomes; `reserved` are last elements that no label may have."""
        self._dot = dot
        self._reserved = frozenset(reserved)

    def label(self, written: str) -> str:
        """See Cleaner."""
        label = unquoted(written)
        if _MOUNT_POINT.fullmatch(label):
            return _replaced(label.replace("/", "_"))
        elements = label.split(".")
        if len(elements) == 1:
            return self._element(label)
        if self._dot != ".":
            return _hashed(label, label.replace(".", self._dot))
        if not all(elements):
            # Without its empty elements it would meet another label.
            return ".".join([*[self._element(element) for element in elements if element][:-1], _hashed(label)])
        last = _hashed(elements[-1]) if elements[-1] in self._reserved else self._element(elements[-1])
        return ".".join([*map(self._element, elements[:-1]), last])

    @staticmethod
    def _element(raw: str) -> str:
        if _CLEAN.fullmatch(raw) and len(raw) <= LONGEST_ELEMENT and not _LIKE_A_MOUNT_POINT.fullmatch(raw):
            return raw
        return _hashed(raw)

    def element(self, text: str) -> str:
        """See Cleaner."""
        return _replaced(text)

    service = element

    def levels(self, text: str) -> str:
        """See Cleaner."""
        return ".".join(map(_replaced, _squeezed(text)))


class Escape:
    """cleaning = escape."""

    def __init__(self, dot: str = ".", reserved: tuple[str, ...] = ()) -> None:
        """`dot`: where it is not `.`, dots of labels are escaped too; `reserved` are last elements that no label may have."""
        self._dot = dot
        self._reserved = frozenset(reserved)

    def label(self, written: str) -> str:
        """See Cleaner."""
        label = unquoted(written)
        elements = _SEPARATING_DOT.split(label) if self._dot == "." else [label]
        *levels, last = map(self.element, elements)
        if levels and last in self._reserved:
            last = f"_{ord(last[0]):02x}_{last[1:]}"
        return ".".join([*levels, last])

    def element(self, text: str) -> str:
        """See Cleaner."""
        name = _TO_ESCAPE.sub(lambda match: f"_{ord(match[0]):02x}_", text)
        return name if len(name) <= LONGEST_ELEMENT else _hashed(text)

    service = element

    def levels(self, text: str) -> str:
        """See Cleaner."""
        return ".".join(map(self.element, _squeezed(text)))


class Graphios:
    """cleaning = graphios: the names Graphios 2.0.3 gave.

    It cut perfdata at blanks, so that the last word of a label stands for it, kept quotes, removed the blanks of everything but labels, and
    replaced blanks and 21 characters, not dots. Only what carbon can't take as part of a name is different: control characters, bytes that
    are no UTF-8 and blanks of other alphabets are replaced, and empty elements are left out, which carbon does itself.
    """

    def __init__(self, replacement: str = "_", dot: str = ".") -> None:
        """`replacement` takes the place of a character, `dot` that of a dot in a label."""
        self._replacement = replacement
        self._dot = dot

    def label(self, written: str) -> str:
        """See Cleaner."""
        return self._name(_ASCII_BLANKS.split(written)[-1].replace(".", self._dot)) or "_"

    def whole_label(self, written: str) -> str:
        """For labels with blanks, where their last word stands for another label of the same line already."""
        return self._name(unquoted(written).replace(".", self._dot)) or "_"

    def element(self, text: str) -> str:
        """See Cleaner."""
        return self._name(_ASCII_BLANKS.sub("", text).replace(".", self._replacement))

    def service(self, text: str) -> str:
        """See Cleaner."""
        return self._name(_ASCII_BLANKS.sub("", text))

    def levels(self, text: str) -> str:
        """See Cleaner."""
        return self._name(_ASCII_BLANKS.sub("", text))

    def _name(self, text: str) -> str:
        name = _NOT_FOR_GRAPHIOS.sub(self._instead, text)
        elements = [element for element in name.split(".") if element]
        return ".".join([e if len(e.encode()) <= _LONGEST_GRAPHIOS else _hashed(e) for e in elements])

    def _instead(self, match: re.Match[str]) -> str:
        char = match[0]
        return char if char > "\x7f" and char.isprintable() else self._replacement
