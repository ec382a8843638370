import time

import pytest


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


class Clock:
    """The clock of the counters, which a test turns."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self, _):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    turned = Clock()
    monkeypatch.setattr(time, "clock_gettime", turned)
    return turned
