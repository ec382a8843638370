"""The checks there are, found through the console scripts named check_*; and their commands, the parts of a split check included."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path

from checks.plugin import Check, Command

PACKAGE = Path(__file__).resolve().parents[1]


class ConfigurationError(Exception):
    """The files can't be generated; the message says why in one line."""


def checkout() -> Path | None:
    """Return the folder of the source tree these modules run from, or None where they are installed."""
    root = PACKAGE.parent
    return root if (root / "setup.cfg").is_file() and (root / "nrpe").is_dir() else None


def all_checks() -> list[Check]:
    """Return every check, by name. In a checkout setup.cfg is asked: it knows a check that was added since the installation.

    Raises ConfigurationError.
    """
    root = checkout()
    scripts = _in_setup_cfg(root / "setup.cfg") if root else _installed()
    return [_load(name, scripts[name]) for name in sorted(scripts) if name.startswith("check_")]


def _in_setup_cfg(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        lines = parser["options.entry_points"]["console_scripts"].strip().splitlines()
        return {name.strip(): target.strip() for name, target in (line.split("=") for line in lines)}
    except (OSError, configparser.Error, KeyError, ValueError) as error:
        raise ConfigurationError(f"{path}: no console scripts: {' '.join(str(error).split())}") from error


def _installed() -> Mapping[str, str]:
    try:
        found = importlib.metadata.distribution("testbed-checks").entry_points
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigurationError("testbed-checks is neither installed nor run from a checkout") from error
    return {entry.name: entry.value for entry in found.select(group="console_scripts")}


def _load(name: str, target: str) -> Check:
    module = target.partition(":")[0]
    try:
        check = importlib.import_module(module).CHECK
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ConfigurationError(f"{name}: {module} has no check: {error}") from error
    if not isinstance(check, Check) or check.name != name:
        raise ConfigurationError(f"{name}: CHECK in {module} is not a check of that name")
    return check


def splits(check: Check, command: Command) -> bool:
    """Whether this command is also offered in parts: it is for the tap, and the check can look at one part of its objects."""
    return command.tap and any(option.flags.startswith("--part ") for option in check.options().declared)


def parts(check: Check, command: Command, number: int) -> Iterator[Command]:
    """Yield the commands of the parts, such as check_virt_stats_1of8."""
    for part in range(1, number + 1):
        yield Command(
            f"{check.name}_{part}of{number}",
            f"{command.arguments} --part {part}/{number}".strip(),
            f"{command.description}, part {part} of {number}",
            tap=True,
        )


def about(check: Check) -> str:
    """Return the first sentence of the check's description."""
    paragraph = check.description.partition("\n\n")[0]
    return " ".join(paragraph.split())
