"""The configuration: graphios.ini, the configuration file of Graphios 2, and what both come to."""

from graphios.configuration.errors import ConfigError
from graphios.configuration.load import load
from graphios.configuration.paths import DEFAULT_PATH, SAMPLE, state_directory

__all__ = ["DEFAULT_PATH", "SAMPLE", "ConfigError", "load", "state_directory"]
