"""The loop between spool and carbon, where it is easier to watch from inside."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphios import config
from graphios.backends.base import DeliveryError
from graphios.backends.carbon import Carbon
from graphios.convert import convert
from graphios.delivery import shipper
from graphios.errors import GraphiosError
from graphios.inputs.spool import SpoolError, SpoolFile
from tests.unit.graphios.spool_lines import service_line


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    (tmp_path / "spool").mkdir()
    path = tmp_path / "graphios.ini"
    path.write_text(
        f"[spool]\ndirectory = {tmp_path}/spool\n[rejects]\nfile = {tmp_path}/rejects.log\n", encoding="utf-8"
    )
    return config.load(path)


class FlakyCarbon:
    """Takes a batch at the attempts it is told to, and remembers every attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Iterator[bool]) -> None:
        self.attempts: list[bytes] = []
        self.taken: list[bytes] = []

        def deliver(_: Carbon, batch: bytes) -> None:
            self.attempts.append(batch)
            if not next(answers):
                raise DeliveryError("carbon 127.0.0.1:2003: Connection refused")
            self.taken.append(batch)

        monkeypatch.setattr(Carbon, "deliver", deliver)


def write(settings: config.Config, name: str, text: str) -> Path:
    path = Path(settings.spool_directory, name)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def run(settings: config.Config, rounds: int) -> tuple[shipper.Shipper, list[float]]:
    """A shipper that worked until it had paused `rounds` times, and how long each pause was to be."""
    pauses: list[float] = []
    ship = shipper.Shipper(settings, pauses.append, lambda: len(pauses) >= rounds)
    ship.start()
    ship.run()
    ship.spool.unlock()
    return ship, pauses


def test_while_carbon_is_down_nothing_is_parsed_again_and_pauses_grow(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    original = convert

    def counting(*arguments: Any) -> Any:
        parsed.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(shipper, "convert", counting)
    carbon = FlakyCarbon(monkeypatch, iter([False] * 12 + [True]))
    path = write(settings, "service-perfdata.1", service_line("a=1") * 10)
    _, pauses = run(settings, 13)
    assert len(parsed) == 10
    assert len(set(carbon.attempts)) == 1
    assert len(carbon.taken) == 1
    assert not path.exists()
    assert pauses[11] > 10 * pauses[0]
    assert max(pauses) <= settings.longest_pause


def test_many_small_files_share_a_connection_and_a_large_one_takes_several(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    carbon = FlakyCarbon(monkeypatch, iter([True] * 1000))
    for number in range(200):
        write(settings, f"service-perfdata.{number}", service_line(f"a{number}=1"))
    write(settings, "service-perfdata.large", service_line("abc=1 def=2") * 20_000)
    run(settings, 1)
    assert 2 < len(carbon.taken) < 10
    assert max(len(batch) for batch in carbon.taken) < settings.batch_bytes + 70_000
    assert sum(batch.count(b"\n") for batch in carbon.taken) == 40_200
    assert list(Path(settings.spool_directory).iterdir()) == []


def test_a_file_is_there_until_its_last_batch_is_acknowledged(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    FlakyCarbon(monkeypatch, iter([True, True] + [False] * 100))
    path = write(settings, "service-perfdata.1", service_line("abc=1 def=2") * 20_000)
    run(settings, 3)
    assert path.exists()


def test_a_delivered_file_that_cannot_be_removed_is_not_sent_again(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    carbon = FlakyCarbon(monkeypatch, iter([True] * 100))

    def refuse(self: SpoolFile) -> bool:
        raise SpoolError(f"{self.path} can't be removed: Read-only file system")

    monkeypatch.setattr(SpoolFile, "remove", refuse)
    write(settings, "service-perfdata.1", service_line("a=1"))
    run(settings, 5)
    assert len(carbon.taken) == 1


def test_rejects_are_on_disk_before_their_file_is_removed(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FlakyCarbon(monkeypatch, iter([True]))
    path = write(settings, "service-perfdata.1", "garbage\n")
    ship = shipper.Shipper(settings, lambda seconds: None, lambda: False)
    ship.start()
    (tmp_path / "rejects.log").unlink()
    (tmp_path / "rejects.log").mkdir()
    with pytest.raises(GraphiosError, match="reject file"):
        ship.once()
    assert path.exists()
    (tmp_path / "rejects.log").rmdir()
    ship.once()
    assert "no DATATYPE" in (tmp_path / "rejects.log").read_text(encoding="ascii")
    assert not path.exists()
    ship.spool.unlock()


def test_an_unreadable_file_holds_up_itself_only(settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    carbon = FlakyCarbon(monkeypatch, iter([True] * 100))
    original = SpoolFile.lines

    def broken(self: SpoolFile) -> Any:
        if self.name.endswith(".bad"):
            raise SpoolError(f"{self.path}: Input/output error")
        return original(self)

    monkeypatch.setattr(SpoolFile, "lines", broken)
    bad = write(settings, "service-perfdata.bad", service_line("a=1"))
    write(settings, "service-perfdata.good", service_line("b=2"))
    run(settings, 3)
    assert len(carbon.taken) == 1
    assert bad.exists()
