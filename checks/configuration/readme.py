"""The README's description of each check: its docstring, options, metrics and commands, in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from checks.configuration.declared import ConfigurationError
from checks.plugin import Check

BEGIN = "<!-- generated: checks -->"
END = "<!-- /generated -->"
MINIMAL = f"# testbed-checks\n\n{BEGIN}\n{END}\n"
_SPECIAL = re.compile(r"([\\`*_<>\[\]|~])")


def tables(checks: Sequence[Check]) -> str:
    """Return what stands between the markers, with the newlines around it."""
    return "\n" + "\n".join(_entry(check) for check in checks) + "\n"


def insert(text: str, checks: Sequence[Check]) -> str:
    """Return the README with the tables between its markers. Raises ConfigurationError where the markers are not there, once and in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ConfigurationError(f"it needs one line {BEGIN} and below it one line {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(checks)}\n{END}{rest.partition(END)[2]}"


def _entry(check: Check) -> str:
    prose = "\n\n".join(" ".join(_plain(paragraph).split()) for paragraph in check.description.split("\n\n"))
    declared = check.options().declared
    commands = [
        (_code(command.name), _code(f"{check.name} {command.arguments}".strip()), _plain(command.description))
        for command in check.commands
    ]
    options = [(_code(option.flags), _code(option.default), _plain(option.help)) for option in declared]
    metrics = [
        (_code(measure.label), _code(measure.unit), measure.kind, _plain(measure.meaning)) for measure in check.measures
    ]
    return "\n".join(
        (
            f"### {check.name}\n\n{prose}\n",
            _table(("NRPE command", "runs", "for"), commands),
            _folded(f"Options ({len(options)})", _table(("option", "default", "meaning"), options)),
            _folded(f"Metrics ({len(metrics)})", _table(("label", "unit", "kind", "meaning"), metrics)),
        )
    )


def _folded(title: str, table: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{table}\n</details>\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def _plain(text: str) -> str:
    """Return text in which nothing means anything to Markdown."""
    return _SPECIAL.sub(r"\\\1", text)


def _code(text: str) -> str:
    """Return text as code in a table cell, where a bar ends the cell even in code."""
    return f"`{text}`".replace("|", r"\|") if text else ""
