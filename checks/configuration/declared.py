"""The checks there are, which are the modules checks/check_*.py; and their commands, the parts of a split check included."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import checks
from checks.plugin import Check, Command

PACKAGE = Path(__file__).resolve().parents[1]


class ConfigurationError(Exception):
    """The files can't be generated; the message says why in one line."""


def checkout() -> Path | None:
    """Return the folder of the source tree these modules run from, or None where they are installed."""
    root = PACKAGE.parent
    return root if (root / "setup.cfg").is_file() and (root / "nrpe").is_dir() else None


def all_checks() -> list[Check]:
    """Return every check, by name. Raises ConfigurationError."""
    return [_load(name) for name in names()]


def names() -> list[str]:
    """Return the names of the checks, without importing any of them."""
    return sorted(module.name for module in pkgutil.iter_modules(checks.__path__) if module.name.startswith("check_"))


def _load(name: str) -> Check:
    module = f"checks.{name}"
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
