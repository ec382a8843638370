"""A node as far as updates go: what its updater trusts, the metainfo it took last, its files against the site's, and the updater's process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from checks.output import clean_name
from checks.seattle.errors import Malformed
from checks.seattle.metainfo import Metainfo, Pinned
from checks.update import install
from checks.update.install import UPDATER, Comparison
from checks.update.process import Updater


class Node(NamedTuple):
    """What was found. `age` is the number of seconds since the local metainfo was signed, `behind` since the site's was while the local one is
    older, 0 where it is not; None where that can't be known, as is `comparison`. `troubles` says what is wrong and what could not be found out,
    each with its severity.
    """

    comparison: Comparison | None
    age: float | None
    behind: float | None
    updater: Updater
    troubles: tuple[tuple[str, str], ...]


def read_installed(folder: Path) -> Pinned | str:
    """Return what the installed updater trusts, or why that is not known."""
    try:
        return install.read_pinned(folder)
    except OSError as error:
        return f"{clean_name(str(folder / UPDATER))}: {error.strerror or error}"
    except Malformed as error:
        return f"{clean_name(str(folder / UPDATER))}: {error}"


def look_at(
    folder: Path, updater: Updater, site: Metainfo, ignore: Sequence[re.Pattern[str]], until: float, now: float
) -> Node:
    """Return what is found in `folder`, compared with the site's metainfo.

    `until` is the moment of time.monotonic() at which no other file is read; `now` is in seconds since 1970.
    """
    troubles: list[tuple[str, str]] = []
    comparison = None
    try:
        comparison = install.compare(folder, site.entries, ignore, until)
    except OSError as error:
        troubles.append((f"{clean_name(str(folder))} can't be read: {error.strerror or error}", "unknown"))
    else:
        troubles += _not_compared(comparison)
    age, behind, trouble = _age(folder, site, now)
    return Node(comparison, age, behind, updater, (*troubles, *trouble))


def _not_compared(comparison: Comparison) -> list[tuple[str, str]]:
    said = []
    if comparison.unreadable:
        name, why = comparison.unreadable[0]
        more = f" and {len(comparison.unreadable) - 1} more" if len(comparison.unreadable) > 1 else ""
        said.append((f"local {clean_name(name)}{more} can't be read: {why}", "unknown"))
    if comparison.late:
        said.append((f"time was up before {comparison.late} local files were compared: a longer -t", "unknown"))
    return said


def _age(folder: Path, site: Metainfo, now: float) -> tuple[float | None, float | None, list[tuple[str, str]]]:
    """Return how old the local metainfo is, how long the site has had a newer one, and what is wrong with it."""
    path = clean_name(str(folder / "metainfo"))
    try:
        local = install.read_metainfo(folder)
    except OSError as error:
        return None, None, [(f"{path}: {error.strerror or error}", "unknown")]
    except Malformed as error:
        return None, None, [(f"{path} is not to be used ({error}): remove it, the updater fetches it anew", "warning")]
    if local is None or local.signed is None:
        return None, None, []
    age = now - local.signed
    if site.signed is None:
        return age, None, []
    if local.signed > site.signed:
        said = f"{path} is newer than the site's, which this node refuses: was the site set back? Re-sign it with writemetainfo.py"
        return age, 0.0, [(said, "warning")]
    return age, (max(now - site.signed, 0.0) if local.signed < site.signed else 0.0), []
