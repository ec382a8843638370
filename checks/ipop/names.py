"""How links are called: in the text as the source calls them, in perfdata by labels that are unique and outlive a restart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from checks.ipop.records import Link
from checks.output import label_part

# What our own labels begin with.
_RESERVED = ("links", "source")
# One component of a metric's path is a directory of carbon's, which may have 255 bytes.
_LONGEST = 120
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
# All eight groups, or a gap.
_IPV6 = re.compile(r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){7}|(?=.*::)[0-9A-Fa-f:]{2,39}", re.ASCII)


class Prefixes(NamedTuple):
    """What has to stand before the peer to tell links of one reading apart."""

    overlay: bool = False
    node: bool = False


def shown(link: Link, prefixes: Prefixes) -> str:
    """Return what a link is called in the text, and what expressions of options are matched with: not cleaned."""
    return "-".join(_parts(link, prefixes)) if any(prefixes) else link.peer


def labels(links: Sequence[Link], prefixes: Prefixes) -> list[str]:
    """Return a label for each link, all different, none dependent on the order of the links.

    Where two would meet, as two links to one peer do, one that is active keeps the label, and the other gets a hash of its key.
    """
    plain = [_cut("-".join(label(part) for part in _parts(link, prefixes))) for link in links]
    first: dict[str, int] = {}
    for place in sorted(range(len(links)), key=lambda place: (not links[place].active, links[place].key)):
        first.setdefault(plain[place], place)
    taken = set(_RESERVED)
    found = [""] * len(links)
    for text, place in first.items():
        if text not in taken:
            taken.add(text)
            found[place] = text
    for place, text in enumerate(plain):
        found[place] = found[place] or _apart(text, links[place].key, taken)
    return found


@lru_cache(4096)
def label(raw: str) -> str:
    """Return a name as part of a label; an address keeps all its digits: 10.0.0.1 is 10_0_0_1, fd50::1 is fd50__1.

    A name that looks as if it had been an address gets a hash, so that it meets none.
    """
    if _is_address(raw):
        text = raw.replace(".", "_").replace(":", "_")
        return f"0{text}" if text.startswith("_") else text
    if "_" in raw and (_is_address(raw.replace("_", ".")) or _is_address(raw.replace("_", ":"))):
        return f"{raw}_{_hash(raw)[:8]}".lstrip("_")
    return label_part(raw)


def _parts(link: Link, prefixes: Prefixes) -> list[str]:
    before = [name for name, wanted in ((link.overlay, prefixes.overlay), (link.node, prefixes.node)) if wanted]
    return [*(name for name in before if name), link.peer]


def _is_address(text: str) -> bool:
    return bool(_IPV4.fullmatch(text) if "." in text else ":" in text and _IPV6.fullmatch(text))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 9]}_{_hash(text)[:8]}"


def _apart(text: str, key: str, taken: set[str]) -> str:
    """Return `text` with as much of a hash of `key` as no other label has, and take it."""
    digest = _hash(key)
    for length in range(8, 64, 8):
        found = f"{text}_{digest[:length]}"
        if found not in taken:
            break
    else:  # the same key twice, which no reader gives
        found = f"{text}_{_hash(key + str(len(taken)))}"
    taken.add(found)
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
