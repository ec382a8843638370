"""check_ipop_links on every source it reads: what it says by hand is what it says over NRPE, also with the rates of the second run."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.ipop import overlay, stats_writer
from tests.ipop.tincan import Tincan, pair, peer
from tests.real.drill import OK, Answer, by_hand, over_nrpe
from tests.real.monitoring import Output, read_output
from tests.seattle.web import Asked, WebServing, answer
from tests.stack import place
from tests.stack.nrpe import Nrpe

# Between the two readings of a source whose numbers are of a moment of their own, in seconds.
APART = 10
RECEIVED, SENT = overlay.RECEIVED, overlay.SENT


class Visualizer(WebServing):
    """A web server with the records of an overlay, and a node's document as evio sent it to a receiver that kept it."""

    moment = 0.0

    def respond(self, asked: Asked) -> bytes:
        """Answer with the document of this moment."""
        if asked.path == "/evio":
            body = overlay.deflated(overlay.evio(4, moment=self.moment))
            return answer(body, "200 OK", "application/json", "Content-Encoding: deflate")
        return answer(json.dumps(overlay.visualizer(318, moment=self.moment)).encode(), "200 OK", "application/json")


class Sources:
    """One source of each kind, as it is at one moment after the other."""

    def __init__(self, root: Path, visualizer: Visualizer, tincan: Tincan) -> None:
        self._stats, self._file, self._sysfs = root / "ganglia", root / "controller.json", root / "sys"
        self._stats.mkdir()
        self._visualizer, self._tincan = visualizer, tincan
        url = f"http://127.0.0.1:{visualizer.port}"
        self.lines = {
            "stats": f"--stats-dir {self._stats} --require 172.31.0.1",
            "tincan": f"--tincan 127.0.0.1:{tincan.port} --require 172.31.0.101",
            "tincan6": f"--tincan [::1]:{tincan.port} --direct 172.31.0.101",
            "controller": f"--controller-json {self._file} --remade-warning 0",
            "visualizer": f"--controller-json {url}/links --max-output 60000 --compress",
            "evio": f"--controller-json {url}/evio --sysfs {self._sysfs}",
        }

    def at(self, moment: float, seconds: int) -> None:
        """Have every source tell what is `seconds` after the beginning, as of `moment` (epoch seconds)."""
        stats_writer.write(self._stats, 4, 1000 + seconds, offline=(3,))
        self._file.write_text(json.dumps(overlay.controller(4, offline=1, moment=moment)), encoding="utf-8")
        for path in (*self._stats.iterdir(), self._file):
            os.utime(path, (moment, moment))
        self._visualizer.moment = moment
        self._tincan.peers = [peer(1, [pair(seconds * RECEIVED, seconds * SENT)]), peer(2, online=False)]
        for tunnel in overlay.evio(4)["VizData"][overlay.OVERLAYS[0]]["Tunnels"].values():
            self._device(tunnel["TapName"], seconds)

    def _device(self, name: str, seconds: int) -> None:
        device = self._sysfs / "class" / "net" / name
        (device / "statistics").mkdir(parents=True, exist_ok=True)
        files: dict[str, Any] = {"ifindex": 7, "statistics/rx_bytes": seconds * RECEIVED}
        for file, value in (files | {"statistics/tx_bytes": seconds * SENT}).items():
            (device / file).write_text(f"{value}\n", encoding="ascii")


class Said:
    """What the check said of each source, in two runs, by hand and over NRPE."""

    def __init__(self, sources: Sources, server: Nrpe, state: Path) -> None:
        self._server, self._state = server, state
        now = math.floor(time.time())
        self.answers: dict[str, list[tuple[Answer, Answer]]] = {name: [] for name in sources.lines}
        for run in (0, 1):
            sources.at(now - APART * (1 - run), APART * run)
            with ThreadPoolExecutor(4) as pool:
                found = pool.map(self._ask, sources.lines, sources.lines.values())
                for name, both in zip(sources.lines, found, strict=True):
                    self.answers[name].append(both)

    def _ask(self, name: str, line: str) -> tuple[Answer, Answer]:
        own = self._state / name
        own.mkdir(mode=0o700, exist_ok=True)
        words = ["check_ipop_links", *line.split(), "--save-state"]
        return by_hand(words, {"STATE_DIRECTORY": str(own)}), over_nrpe(self._server, name)


@pytest.fixture(scope="module")
def said(
    make_stack_root: Callable[[str], Path], stack_user: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Said]:
    """All of it."""
    root = make_stack_root("ipop-sources")
    with Visualizer() as visualizer, Tincan() as tincan:
        sources = Sources(root, visualizer, tincan)
        server = Nrpe(root, {}, True, stack_user, name="nrpe-ipop")
        check = f"STATE_DIRECTORY={server.state} {place.command('check_ipop_links')}"
        server.commands |= {name: f"{check} {line} --save-state" for name, line in sources.lines.items()}
        server.start()
        try:
            yield Said(sources, server, tmp_path_factory.mktemp("state"))
        finally:
            server.stop()


# Active and listed links, and the label of one that is active.
LINKS = {
    "stats": (3, 4, "172_31_0_1"),
    "tincan": (1, 2, "172_31_0_101"),
    "tincan6": (1, 2, "172_31_0_101"),
    "controller": (3, 4, ""),
    "visualizer": (314, 318, ""),
    "evio": (3, 4, ""),
}
every_source = pytest.mark.parametrize("name", LINKS)


def _rates(output: Output) -> dict[str, float]:
    return {label: value for label, value in output.perfdata.items() if label.endswith("_bytes_second")}


@every_source
@pytest.mark.parametrize("run", ["first", "second"])
def test_by_hand_and_over_nrpe_say_the_same(said: Said, name: str, run: str) -> None:
    by_operator, nrpe = said.answers[name][run == "second"]
    active, listed, label = LINKS[name]
    for one in (by_operator, nrpe):
        assert one.code == OK, one
        assert not one.errors
        values = read_output(one.output).perfdata
        assert (values["links.active"], values["links.listed"]) == (active, listed)
        assert not label or values[f"{label}.status"] == 1
    assert by_operator.shape == nrpe.shape
    assert read_output(by_operator.output).perfdata.keys() == read_output(nrpe.output).perfdata.keys()


@every_source
def test_the_second_run_has_the_rates_and_the_first_has_none(said: Said, name: str) -> None:
    for first, second in zip(*said.answers[name], strict=True):
        assert not _rates(read_output(first.output))
        rates = _rates(read_output(second.output))
        assert len(rates) == 2 * LINKS[name][0]
        # Those of documents and of files are of the moments these were written at; the others of the runs, which were closer together.
        exact = name not in ("tincan", "tincan6", "evio")
        for label, value in rates.items():
            expected = RECEIVED if "recv" in label else SENT
            assert value == pytest.approx(expected, rel=0.01) if exact else value > expected, (label, value)
