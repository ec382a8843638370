"""For all tests: property tests that give the same result twice, and what truly needs root is listed where root is missing."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

from tests import soak
from tests.unit.graphios import spool_lines  # noqa: F401  # sets the time before there are workers

# A red test stays red until it is mended, and a busy machine is no failure; the soak run looks for new examples, and for more.
settings.register_profile("testbed", deadline=None, derandomize=not soak.SOAK, max_examples=soak.count(30, 1000))
settings.load_profile("testbed")

_MISSING = "needs root"

# A shell without job control starts what is in the background with SIGINT ignored, and all that the tests start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def needs_root(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """needs_root(what): called by a test for the part of it that can't be done without root."""

    def missing(what: str) -> None:
        # A property of the test, because that reaches the process that prints the summary.
        request.node.user_properties.append((_MISSING, f"{request.node.nodeid}: {what}"))

    return missing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List them, once."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    found = [property for report in reports for property in getattr(report, "user_properties", ())]
    for line in dict.fromkeys(str(value) for name, value in found if name == _MISSING):
        terminalreporter.write_line(f"not run: needs root: {line}")
