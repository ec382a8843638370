"""What the command lines of the subcommands have in common: strict, one line for a mistake, and exit code 3."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from graphios import configuration
from graphios.configuration.settings import Settings


class Parser(argparse.ArgumentParser):
    """For `graphios NAME`; `description` is shown as it is written."""

    def __init__(self, name: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"graphios {name}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_config(self) -> None:
        """Declare --config FILE; its value is None where it is not given."""
        said = f"configuration (default {configuration.DEFAULT_PATH})"
        self.add_argument("--config", metavar="FILE", type=Path, help=said)

    def error(self, message: str) -> NoReturn:
        """End with the mistake in one line."""
        self.exit(3, f"{self.prog}: {message} (see {self.prog} --help)\n")


def load(path: Path | None, secrets: bool = False) -> Settings | None:
    """The configuration in `path`, or in the default place; None where none was asked for and none is there. Raises ConfigError.

    Password and token files are opened only with `secrets`.
    """
    if path is None and not configuration.DEFAULT_PATH.exists():
        return None
    return configuration.load(path or configuration.DEFAULT_PATH, secrets=secrets, need_input=False)
