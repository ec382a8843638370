import time

import pytest

from tests.unit.clock import Clock


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def clock(monkeypatch):
    turned = Clock()
    monkeypatch.setattr(time, "clock_gettime", turned)
    return turned
