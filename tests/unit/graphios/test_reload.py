"""SIGHUP, standard input and the end: as an operator does them, with processes."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.graphios.peers import Peer, closed_port, deaf, peer
from tests.unit.graphios.spool_lines import NOW, service_line
from tests.unit.graphios.test_cli import Site, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def carbon() -> Iterator[Peer]:
    with peer() as running:
        yield running


def lines(carbon: Peer) -> list[str]:
    return [line.split(" ")[0] for line in b"".join(carbon.received).decode().splitlines()]


@pytest.mark.slow
def test_sighup_reads_the_configuration_again_and_a_wrong_one_is_refused(site: Site, carbon: Peer) -> None:
    more = "[self]\ninterval_seconds = 0\n[names]\nbase = {}\n"
    site.configure(carbon.port, more.format("one"))
    with site.running() as process:
        site.write("service-perfdata.1", service_line("a=1"))
        wait_for(lambda: "one.web01.load.a" in lines(carbon), "the first file")
        site.config.write_text("[spool]\ndirectry = /x\n", encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the old one stays" in site.log, "the refusal")
        site.write("service-perfdata.2", service_line("b=1"))
        wait_for(lambda: "one.web01.load.b" in lines(carbon), "the second file")
        site.configure(carbon.port, more.format("two"))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: site.log.count("to carbon") == 3, "the reload")
        site.write("service-perfdata.3", service_line("c=1"))
        wait_for(lambda: "two.web01.load.c" in lines(carbon), "the third file")
        process.terminate()
        assert process.wait(10) == 0
    # The receiver stayed the same, so nothing was sent again.
    assert lines(carbon) == ["one.web01.load.a", "one.web01.load.b", "two.web01.load.c"]


def test_sighup_while_a_receiver_hangs_gives_up_waiting(site: Site, carbon: Peer) -> None:
    site.write("service-perfdata.1", service_line("a=1"))
    with deaf() as port:
        site.configure(port, "[self]\ninterval_seconds = 0\n", "ack_timeout = 600\nsend_timeout = 600")
        with site.running() as process:
            wait_for(lambda: "to carbon" in site.log, "the start")
            site.configure(carbon.port, "[self]\ninterval_seconds = 0\n")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: lines(carbon) == ["web01.load.a"], "the file at the new receiver")


@pytest.mark.slow
def test_a_stop_takes_less_than_five_seconds_whatever_hangs(site: Site) -> None:
    for number in range(3):
        site.write(f"service-perfdata.{number}", service_line("a=1") * 10_000)
    more = f"[carbon:away]\nport = {closed_port()}\nlongest_pause = 600\n[self]\ninterval_seconds = 0\n"
    with deaf() as port:
        site.configure(port, more, "connect_timeout = 600\nsend_timeout = 600\nack_timeout = 600")
        with site.running() as process:
            wait_for(lambda: "Connection refused" in site.log, "the work to begin")
            process.terminate()
            assert process.wait(5) == 0
    assert len(site.files()) == 3


def stdin(site: Site) -> subprocess.Popen[bytes]:
    return subprocess.Popen(site.argv("--stdin"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=site.environment)


def test_standard_input_is_delivered_to_its_end(site: Site, carbon: Peer) -> None:
    site.config.write_text(
        f"[self]\ninterval_seconds = 0\n[spool]\npoll_seconds = 0.1\n[carbon]\nport = {carbon.port}\n"
    )
    text = "".join(service_line(f"a{number}=1") for number in range(5000)) + service_line("cut=1")[:-1]
    process = stdin(site)
    _, complaint = process.communicate(text.encode(), 60)
    assert process.returncode == 1, complaint
    assert sorted(set(lines(carbon))) == sorted(f"web01.load.a{number}" for number in range(5000))
    assert "cut off" in site.rejects.read_text(encoding="ascii")


@pytest.mark.slow
def test_standard_input_waits_for_a_receiver_that_is_away(site: Site) -> None:
    port = closed_port()
    config = (
        f"[self]\ninterval_seconds = 0\n[spool]\npoll_seconds = 0.1\n[carbon]\nport = {port}\nlongest_pause = 0.2\n"
    )
    site.config.write_text(config)
    process = stdin(site)
    assert process.stdin
    process.stdin.write(service_line("a=1").encode())
    process.stdin.close()
    inbox = site.root / "state" / "graphios"
    wait_for(lambda: list(inbox.glob("*/inbox/service-perfdata.*")), "the line in the inbox")
    process.terminate()
    assert process.wait(10) == 2
    with peer() as carbon:
        site.config.write_text(config.replace(f"port = {port}", f"port = {carbon.port}"))
        process = stdin(site)
        process.communicate(b"", 60)
        assert process.returncode == 0
        assert b"".join(carbon.received).decode() == f"web01.load.a 1 {NOW}\n"
