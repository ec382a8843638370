"""For all tests: property tests that give the same result twice, and what truly needs root is listed where root is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from tests import soak

# A red test stays red until it is mended, and a busy machine is no failure; the soak run looks for new examples.
settings.register_profile("testbed", deadline=None, derandomize=not soak.SOAK)
settings.load_profile("testbed")

_MISSING = pytest.StashKey[list[str]]()


@pytest.fixture
def needs_root(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """needs_root(what): called by a test for the part of it that can't be done without root."""

    def missing(what: str) -> None:
        request.config.stash.setdefault(_MISSING, []).append(f"{request.node.nodeid}: {what}")

    return missing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List them, once."""
    for line in config.stash.get(_MISSING, []):
        terminalreporter.write_line(f"not run: needs root: {line}")
