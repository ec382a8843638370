"""Which checks the engine can run warm: ours, and those of installed packages with entry points of the group `testbed_checks`.

Such an entry point names a function without parameters that ends as a plugin does ("check_thing = my_package.check_thing:main"). Without an attribute
it is the module's `main`. Format: entry_points.txt of the entry points specification (packaging.python.org).
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

GROUP = "testbed_checks"
DISTRIBUTION = "testbed-checks"
_PACKAGE = Path(__file__).resolve().parents[2]
_LINKS = 40
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_VALUE = re.compile(r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<attribute>\w+(\.\w+)*))?\s*(\[.*\])?\s*")
# They change what happens at a start, which the warmed process has behind it.
_AT_START = re.compile(r"PYTHON.*|LD_.*|OPENSSL_CONF|LIBVIRT_(DEBUG|LOG_.*)")
_UTF_8 = re.compile(r"|C|POSIX|[^.]*\.utf-?8(@.*)?", re.IGNORECASE)


class Catalog(NamedTuple):
    """`entries`: name to "module:attribute"; `programs`: resolved path of an installed command to the same; `troubles`: what can't be offered."""

    entries: dict[str, str]
    programs: dict[str, str]
    troubles: list[str]


def entries() -> dict[str, str]:
    """Return every check that can run warm: its name and "module:attribute"."""
    return dict(catalog().entries)


def entry_for(program: str, path: str | None = None) -> str:
    """Return the entry of a program word in a command line, or "" where it is not one of ours; `path` is the command's PATH (default: ours).

    Somebody else's check_disk is not ours: a path counts where it is, or is linked to, a file that was installed with the entry.
    """
    found = catalog()
    if "/" not in program:
        where = shutil.which(program, path=path)
        if not where:
            return found.entries.get(program, "")
        program = where
    if not program.startswith("/"):
        return ""
    try:
        return _installed(Path(program), found.programs)
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that is too long
        return ""


def _installed(program: Path, programs: Mapping[str, str]) -> str:
    for _ in range(_LINKS):
        # The last element is not resolved at once: all our commands may be links to one launcher.
        program = program.parent.resolve() / program.name
        if str(program) in programs:
            return programs[str(program)]
        if not program.is_symlink():
            break
        program = program.parent / program.readlink()
    return ""


def can_be_warm(environment: Mapping[str, str]) -> bool:
    """Whether a Python that is started already behaves in this environment as one that starts in it: the locale's encoding, PYTHON* and the like."""
    if any(_AT_START.fullmatch(name) for name in environment):
        return False
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return bool(_UTF_8.fullmatch(locale))


def catalog() -> Catalog:
    """Return what there is now; a package that was installed since the last call is seen."""
    return _catalog(tuple(_stamps()))


def _stamps() -> Iterator[tuple[str, int]]:
    for folder in [*sys.path, str(_PACKAGE)]:
        try:
            yield folder, os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 - for each run of a check
        except OSError:
            yield folder, 0


@functools.lru_cache(maxsize=1)
def _catalog(stamps: tuple[tuple[str, int], ...]) -> Catalog:
    own = {path.stem: f"checks.{path.stem}:main" for path in sorted(_PACKAGE.glob("check_*.py"))}
    found = Catalog(own, {}, [])
    for distribution in metadata.distributions():
        try:
            if _is_ours(distribution):
                found.programs.update(_programs(distribution, own))
            if GROUP in (distribution.read_text("entry_points.txt") or ""):
                _add(distribution, found)
        except Exception as error:  # importlib.metadata raises whatever comes out of a damaged file
            found.troubles.append(f"{_label(distribution)}: {type(error).__name__}: {' '.join(str(error).split())}")
    return found


def _is_ours(distribution: metadata.Distribution) -> bool:
    # Its name without reading its METADATA: there may be hundreds.
    return Path(_label(distribution)).name.partition("-")[0].replace("-", "_") == DISTRIBUTION.replace("-", "_")


def _label(distribution: metadata.Distribution) -> str:
    return str(getattr(distribution, "_path", "a package"))


def _add(distribution: metadata.Distribution, found: Catalog) -> None:
    offered: dict[str, str] = {}
    for point in distribution.entry_points.select(group=GROUP):
        value = _VALUE.fullmatch(point.value)
        if not value or not _NAME.fullmatch(point.name):
            found.troubles.append(f"{_label(distribution)}: no check: {point.name!r} = {point.value!r}")
            continue
        entry = f"{value['module']}:{value['attribute'] or 'main'}"
        # Ours first, then as an import finds them: the first on sys.path.
        if found.entries.setdefault(point.name, entry) != entry:
            found.troubles.append(f"{_label(distribution)}: another package has {point.name}")
            continue
        offered[point.name] = entry
    found.programs.update(_programs(distribution, offered))


def _programs(distribution: metadata.Distribution, offered: Mapping[str, str]) -> dict[str, str]:
    """Return the commands that were installed with the distribution and are named as what it offers."""
    programs = {}
    for file in distribution.files or ():
        if file.name in offered and file.parent.name == "bin":
            folder = Path(str(distribution.locate_file(file))).parent
            programs[str(folder.resolve() / file.name)] = offered[file.name]
    return programs
