"""`testbed-checks run`: everything that is configured, once and in parallel, with a table worst first."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what `testbed-checks run` takes."""


def main(opts: argparse.Namespace) -> int:
    """Return the exit code by the plugin rules: that of the worst result."""
    return 3
