"""graphios against the real carbon and graphite-web: every value arrives, or is still in the spool; counted point by point."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from graphios.configuration.settings import Names
from graphios.convert import Converter
from tests.stack.daemon import wait_until
from tests.stack.graphite import Carbon, GraphiteWeb
from tests.unit.graphios.spool_lines import service_line

CORPUS = Path(__file__).parents[1] / "unit" / "data" / "perfdata.json"


@pytest.fixture(scope="module")
def carbon_of_our_own(make_stack_root: Callable[[str], Path], stack_user: str | None) -> Iterator[Carbon]:
    """These tests stop and kill it, so it is not the shared one."""
    daemon = Carbon(make_stack_root("graphios"), stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def web(carbon_of_our_own: Carbon, stack_user: str | None) -> Iterator[GraphiteWeb]:
    daemon = GraphiteWeb(carbon_of_our_own.folder.parent, carbon_of_our_own, stack_user)
    daemon.start()
    yield daemon
    daemon.stop()


class Site:
    """A spool that one graphios ships to the carbon of these tests."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.spool = root / "spool"
        self.spool.mkdir()
        self.config = root / "graphios.ini"
        self.config.write_text(
            f"[spool]\ndirectory = {self.spool}\npoll_seconds = 0.1\n[rejects]\nfile = {root}/rejects.log\n[state]\ndirectory = {root}/state\n"
            f"[carbon]\nport = {port}\nsend_timeout = 2\nack_timeout = 2\nlongest_pause = 0.5\nbatch_bytes = 50000\n",
            encoding="utf-8",
        )
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> Path:
        path = self.spool / f".{name}"
        path.write_bytes(text.encode())
        return path.rename(self.spool / name)

    def once(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._argv(), "--once"], capture_output=True, text=True, timeout=120, check=False)

    def start(self) -> None:
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(self._argv(), stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None
        assert "Traceback" not in self.log

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(encoding="utf-8") if (self.root / "log").exists() else ""

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "graphios.cli", "--config", str(self.config)]

    def empty(self) -> bool:
        return not [path for path in self.spool.iterdir() if path.name != ".delivered"]


@pytest.fixture
def site(tmp_path: Path, carbon_of_our_own: Carbon) -> Iterator[Site]:
    place = Site(tmp_path, carbon_of_our_own.port)
    yield place
    place.stop()


def recent(back: int) -> int:
    """A time of some seconds ago, for a point of its own."""
    return int(time.time()) - back


def test_every_value_of_the_corpus_reads_back_from_graphite_equal_to_the_value_spooled(
    site: Site, web: GraphiteWeb
) -> None:
    converter = Converter(Names())
    expected: dict[str, float] = {}
    now = recent(5)
    text = ""
    for number, case in enumerate(json.loads(CORPUS.read_text(encoding="utf-8"))):
        if case["level"] == "perfdata" and "\n" not in case["input"]:
            line = service_line(case["input"], host="corpus", service=f"case{number}", timet=now)
            text += line
            names = {item.label: item.name for item in converter.trace(line.strip("\n").encode(), time.time())}
            for item in case["expect"]:
                if item["value"] is not None:
                    expected[str(names[item["label"]])] = float(Decimal(str(item["value"])))
    site.write("service-perfdata.1", text)
    assert site.once().returncode == 1  # the corpus holds items to reject
    assert site.empty()

    def found() -> dict[str, float]:
        got: dict[str, float] = {}
        for depth in range(1, 6):
            got |= web.latest("corpus.*" + ".*" * depth)
        return got

    wait_until(lambda: len(found()) >= len(expected), 30, "every series of the corpus in Graphite")
    assert found() == expected
    assert len(expected) > 55


def points(web: GraphiteWeb, target: str) -> dict[str, float]:
    return web.latest(target, 120)


def batch(prefix: str, files: int, lines: int) -> dict[str, str]:
    """Spool files of which each value is unique: 5 metrics a line."""
    texts = {}
    now = recent(20)
    for file in range(files):
        rows = []
        for line in range(lines):
            number = file * lines + line
            items = " ".join(f"m{metric}={number}.{metric}" for metric in range(5))
            rows.append(service_line(items, host=prefix, service=f"s{number}", timet=now))
        texts[f"service-perfdata.{file:04}"] = "".join(rows)
    return texts


def check_all_arrived(web: GraphiteWeb, prefix: str, total_lines: int) -> None:
    wait_until(lambda: len(points(web, f"{prefix}.*.*")) >= total_lines * 5, 60, f"all points of {prefix} in Graphite")
    expected = {
        f"{prefix}.s{number}.m{metric}": float(f"{number}.{metric}")
        for number in range(total_lines)
        for metric in range(5)
    }
    assert points(web, f"{prefix}.*.*") == expected


def test_a_carbon_that_is_down_at_first_gets_everything_when_it_comes(
    site: Site, carbon_of_our_own: Carbon, web: GraphiteWeb
) -> None:
    carbon_of_our_own.stop()
    for name, text in batch("down", 4, 50).items():
        site.write(name, text)
    site.start()
    wait_until(lambda: "Connection refused" in site.log, 30, "graphios to notice that carbon is down")
    assert len(list(site.spool.iterdir())) == 4
    carbon_of_our_own.start()
    wait_until(site.empty, 60, "the spool to be worked off")
    check_all_arrived(web, "down", 200)


def write_and_wait_until_carbon_takes_nothing(site: Site, name: str, files: int, lines: int) -> None:
    """Spools `files` files and starts graphios, whose carbon is stopped."""
    for file, text in batch(name, files, lines).items():
        site.write(file, text)
    site.start()
    wait_until(
        lambda: re.search("takes no data|does not acknowledge", site.log),
        60,
        "graphios to notice that carbon takes nothing",
    )


def test_a_carbon_that_is_stopped_holds_the_files_and_loses_nothing(
    site: Site, carbon_of_our_own: Carbon, web: GraphiteWeb
) -> None:
    # It accepts connections (the kernel does) and never reads: what made 506,379 of 506,379 metrics of Graphios disappear.
    assert carbon_of_our_own.daemon
    carbon_of_our_own.daemon.pause()
    try:
        write_and_wait_until_carbon_takes_nothing(site, "paused", 4, 50)
        assert len(list(site.spool.iterdir())) == 4
    finally:
        carbon_of_our_own.daemon.resume()
    wait_until(site.empty, 60, "the spool to be worked off")
    check_all_arrived(web, "paused", 200)


def test_a_carbon_killed_while_it_is_stopped_gets_everything_when_it_is_back(
    site: Site, carbon_of_our_own: Carbon, web: GraphiteWeb
) -> None:
    assert carbon_of_our_own.daemon
    carbon_of_our_own.daemon.pause()
    write_and_wait_until_carbon_takes_nothing(site, "killed", 6, 100)
    carbon_of_our_own.kill()
    assert len(list(site.spool.iterdir())) == 6
    carbon_of_our_own.start()
    wait_until(site.empty, 60, "the spool to be worked off")
    check_all_arrived(web, "killed", 600)


def test_graphios_killed_again_and_again_loses_nothing(site: Site, web: GraphiteWeb) -> None:
    texts = batch("restarts", 10, 50)
    for name, text in texts.items():
        site.write(name, text)
    for _ in range(50):
        left = len(list(site.spool.iterdir()))
        if not left:
            break
        site.start()
        wait_until(lambda left=left: len(list(site.spool.iterdir())) < left, 60, "a file to be delivered")  # type: ignore[misc]
        site.stop(signal.SIGKILL)
    assert site.empty()
    check_all_arrived(web, "restarts", 500)


def test_what_carbon_acknowledged_and_lost_is_sent_again(
    site: Site, carbon_of_our_own: Carbon, web: GraphiteWeb
) -> None:
    # carbon writes its cache in its own time: killed right after it acknowledged, it loses what it has not written.
    site.start()
    for name, text in batch("forgot", 4, 100).items():
        site.write(name, text)
    wait_until(site.empty, 60, "the spool to be worked off")
    carbon_of_our_own.kill()
    carbon_of_our_own.start()
    check_all_arrived(web, "forgot", 400)


def test_carbon_and_graphios_killed_in_turn_lose_nothing(
    site: Site, carbon_of_our_own: Carbon, web: GraphiteWeb
) -> None:
    texts = batch("turns", 12, 50)
    names = list(texts)
    for turn in range(6):
        for name in names[2 * turn : 2 * turn + 2]:
            site.write(name, texts[name])
        if not site.process:
            site.start()
        wait_until(site.empty, 60, "the spool to be worked off")
        if turn % 2:
            site.stop(signal.SIGKILL)
        else:
            carbon_of_our_own.kill()
            carbon_of_our_own.start()
    site.start()
    carbon_of_our_own.kill()
    carbon_of_our_own.start()
    check_all_arrived(web, "turns", 600)


def test_a_file_cut_anywhere_never_sends_a_wrong_value(site: Site, web: GraphiteWeb) -> None:
    whole = service_line("rta=123.456ms;200;500;0; pl=42%;1;2;0;100", host="cut", service="ping", timet=recent(10))
    for number, end in enumerate(range(1, len(whole), 7)):
        path = site.write(f"service-perfdata.{number:04}", whole[:end])
        os.utime(path, (time.time() - 60, time.time() - 60))
    site.write("service-perfdata.last", service_line("done=1", host="cut", service="end", timet=recent(5)))
    done = site.once()
    assert done.returncode == 1
    assert site.empty()
    web.wait_for("cut.end.done")
    assert points(web, "cut.*.*") == {"cut.end.done": 1.0}


def test_hostile_lines_reach_no_other_series_and_do_not_stop_carbon(site: Site, web: GraphiteWeb) -> None:
    now = recent(10)
    nasty = [
        service_line("x=1\tHOSTNAME::victim", host="evil", timet=now),
        service_line("a=1 '\x00\r'=2 é=3 ../../x=4 " + "y" * 900 + "=5", host="evil", timet=now),
        service_line("a=1", host="x" * 5000, timet=now),
        service_line("v=inf w=nan x=1_000 y=1e999 z=" + "9" * 5000, host="evil", service="numbers", timet=now),
        "\x00" * 30_000 + "\n",
        "y" * 30_000 + "\n",
        service_line("good=1", host="evil", service="end", timet=now),
    ]
    site.write("service-perfdata.1", "".join(nasty))
    assert site.once().returncode == 1
    assert site.empty()
    assert web.wait_for("evil.end.good") == {"evil.end.good": 1.0}
    assert points(web, "victim.*.*") == {}
    assert points(web, "evil.numbers.*") == {}
    assert points(web, "evil.load.a") == {"evil.load.a": 1.0}


def test_tap_to_graphios_to_graphite_keeps_every_value_of_a_large_output(
    site: Site, web: GraphiteWeb, tmp_path: Path
) -> None:
    items = [f"vm{guest}.cpu.percent={guest}.{guest % 10}%;90;95" for guest in range(1000)]
    (tmp_path / "output").write_text(f"OK - 1000 guests | {' '.join(items)}\n", encoding="ascii")
    tap = Path(sys.executable).parent / "graphios-tap"
    argv = [
        str(tap),
        "--spool",
        str(site.spool),
        "--host",
        "node1",
        "--service",
        "check_virt_stats",
        "--",
        "cat",
        f"{tmp_path}/output",
    ]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert len(done.stdout) <= 4000
    assert site.once().returncode == 0
    target = "node1.check_virt_stats.*.cpu.percent"
    wait_until(lambda: len(points(web, target)) >= 1000, 60, "all guests in Graphite")
    assert points(web, target) == {
        f"node1.check_virt_stats.vm{guest}.cpu.percent": float(f"{guest}.{guest % 10}") for guest in range(1000)
    }
