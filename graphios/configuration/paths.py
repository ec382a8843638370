"""Where things are when the configuration does not say."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from graphios.configuration.errors import ConfigError


def default_path(directory: Path) -> Path:
    """The configuration in `directory`: graphios.ini, or graphios.cfg where a site of Graphios 2 has only that."""
    ours, theirs = directory / "graphios.ini", directory / "graphios.cfg"
    return theirs if theirs.exists() and not ours.exists() else ours


DEFAULT_PATH = default_path(Path("/etc/graphios"))
SAMPLE = Path(__file__).resolve().parent.parent / "graphios.ini"
"""graphios.ini of the package: every option with its default and meaning."""


def state_directory() -> Path:
    """Where this user's state belongs: $STATE_DIRECTORY, else $XDG_STATE_HOME/testbed-checks, else ~/.local/state/testbed-checks.

    Raises ConfigError when there is none.
    """
    if directory := os.environ.get("STATE_DIRECTORY"):
        return Path(directory.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".local/state") / "testbed-checks"
    except RuntimeError:
        raise ConfigError(
            "no home directory: set STATE_DIRECTORY, or [state] directory and [rejects] file in the configuration"
        ) from None


def state_of(first_input: str) -> Path:
    """The state directory of a graphios whose first input is `first_input`. Raises ConfigError."""
    digest = hashlib.sha256(os.fsencode(first_input)).hexdigest()[:8]
    return state_directory() / "graphios" / f"{os.path.basename(first_input) or 'root'}-{digest}"  # noqa: PTH119


def status_file(state: Path) -> Path:
    """The status file of a graphios with the state directory `state`: $RUNTIME_DIRECTORY/status.json, else beside its state."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(runtime) if runtime else state) / "status.json"


def reject_file() -> Path:
    """The reject file. Raises ConfigError."""
    return state_directory() / "graphios-rejects.log"
