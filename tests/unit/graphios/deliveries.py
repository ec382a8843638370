"""A shipper over spools in a temporary directory, whose receivers do as a test tells them."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from graphios.backends.base import DeliveryError
from graphios.configuration.settings import (
    BackendSettings,
    CarbonBackend,
    Delivery,
    Limits,
    Names,
    Settings,
    SpoolInput,
)
from graphios.delivery import shipper
from graphios.delivery.shipper import Shipper
from graphios.delivery.stop import Stop
from graphios.points import Point

DEADLINE = 20.0

Answer = BaseException | None


def refused_connection() -> DeliveryError:
    return DeliveryError("carbon 127.0.0.1:2003: Connection refused")


class Receiver:
    """Takes a batch, or raises the answer that is next; remembers every attempt."""

    takes = "lines"

    def __init__(self, name: str = "carbon", forgets: bool = True) -> None:
        self.name = self.address = name
        self.forgets = forgets
        self.answers: Iterator[Answer] = iter(())
        self.answer: Callable[[Sequence[str]], Answer] = lambda items: next(self.answers, None)
        self.attempts: list[list[str]] = []
        self.taken: list[list[str]] = []
        self.lost = False
        self.closed = 0
        self.known_as = "its first run"

    def deliver(self, items: Sequence[str] | Sequence[Point]) -> None:
        lines = [item for item in items if isinstance(item, str)]
        self.attempts.append(lines)
        answer = self.answer(lines)
        if answer:
            raise answer
        self.taken.append(lines)

    def lost_memory(self) -> bool:
        lost, self.lost = self.lost, False
        return lost

    def identity(self) -> str:
        return self.known_as

    def report(self) -> dict[str, int | float | str | None]:
        return {}

    def close(self) -> None:
        self.closed += 1

    @property
    def names(self) -> list[str]:
        """The names of the metrics it took, in order."""
        return [line.split(" ")[0] for batch in self.taken for line in batch]


class Place:
    """Spools, state and settings below one directory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.spool, self.state = root, root / "spool", root / "state"
        self.spool.mkdir()
        self.receivers: dict[str, Receiver] = {}
        self.made = 0
        self.settings = Settings(
            path=root / "graphios.ini",
            spools=(SpoolInput("spool", str(self.spool)),),
            fifos=(),
            backends=(self.backend("carbon"),),
            names=Names(),
            limits=Limits(),
            state_directory=self.state,
            status_file=self.state / "status.json",
            reject_file=self.state / "rejects.log",
            reject_bytes=10_000_000,
            settle=10,
            poll=0.02,
            self_prefix="graphios",
            self_interval=0,
            log_level="info",
        )
        monkeypatch.setattr(shipper, "make", self._make)

    @staticmethod
    def backend(name: str, batch_bytes: int = 524_288, **more: object) -> CarbonBackend:
        delivery = Delivery(batch_bytes=batch_bytes, longest_pause=0.2, tries=3)
        return CarbonBackend(name, (("127.0.0.1", 2003),), delivery=delivery, **more)  # type: ignore[arg-type]

    def change(self, **more: object) -> None:
        """Other settings."""
        self.settings = self.settings._replace(**more)  # type: ignore[arg-type]

    def receiver(self, name: str = "carbon") -> Receiver:
        """The receiver of this name, the same over restarts."""
        return self.receivers.setdefault(name, Receiver(name))

    def _make(self, settings: BackendSettings, stopping: Callable[[], bool], *more: object) -> Receiver:
        self.made += 1
        return self.receiver(settings.name)

    def write(self, name: str, text: str | bytes, age: float = 60, spool: Path | None = None) -> Path:
        """Puts a file into the spool at once, as Nagios's `mv` does; it was written `age` seconds ago."""
        folder = spool or self.spool
        path = folder / f".{name}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        os.utime(path, (time.time() - age, time.time() - age))
        return path.rename(folder / name)

    def files(self) -> list[str]:
        """What is in the spool."""
        return sorted(path.name for path in self.spool.iterdir() if path.name != ".delivered")

    def window(self) -> list[Path]:
        """What is in the replay window."""
        return sorted(path for path in (self.state / "delivered").rglob("*") if path.is_file())

    def once(self) -> Shipper:
        """A single run that must succeed."""
        ship = self.open(running=False)
        errors, _ = ship.once()
        ship.close()
        assert errors == []
        return ship

    def open(self, running: bool = True) -> Shipper:
        """A shipper that holds the locks."""
        ship = Shipper(self.settings, Stop(), running)
        ship.open()
        return ship

    def running(self) -> "Running":
        """A daemon, for a with statement."""
        return Running(self)


class Running:
    """A daemon in a thread."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.stop = Stop()
        self.ship = Shipper(place.settings, self.stop, running=True)

    def __enter__(self) -> Shipper:
        import threading

        self.ship.open()
        self._thread = threading.Thread(target=self.ship.run, daemon=True)
        self._thread.start()
        return self.ship

    def __exit__(self, *_: object) -> None:
        self.stop.end()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self.ship.close()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Returns as soon as `condition` holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
