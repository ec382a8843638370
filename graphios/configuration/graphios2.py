"""graphios.cfg of Graphios 2."""

from __future__ import annotations

import re
from pathlib import Path

from graphios.configuration.errors import ConfigError
from graphios.configuration.settings import Settings


def recognised(raw: bytes) -> bool:
    """Whether this is a configuration file of Graphios 2."""
    return re.search(rb"(?m)^\[graphios\]", raw) is not None


def read(raw: bytes, path: Path, carbon_conf_path: Path) -> Settings:
    """What the file comes to."""
    raise ConfigError(f"{path}: not yet")
