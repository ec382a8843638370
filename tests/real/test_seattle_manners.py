"""Every check's console script against a server that answers in every manner: it alarms where it must, in the server's name, and only there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.drill import CRITICAL, OK, Answer, by_hand
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer
from tests.seattle.builder import InstallerBuilder
from tests.seattle.lockserver import LockServer
from tests.seattle.nodemanager import NodeManager
from tests.seattle.serving import MANNERS, Serving
from tests.seattle.updatesite import UpdateSite
from tests.seattle.zenodotus import Zenodotus

SERVERS: dict[str, tuple[Callable[[], Serving], str]] = {
    "advertise_1": (
        lambda: AdvertiseServer(1),
        "check_advertise_server -p {port} -w 60 -c 60 -t {seconds} --sibling-port 1",
    ),
    "advertise_2": (
        lambda: AdvertiseServer(2),
        "check_advertise_server -p {port} -w 60 -c 60 -t {seconds} --sibling-port 1",
    ),
    "advertise_udp": (UdpAdvertiseServer, "check_advertise_server --transport udp -p {port} -w 60 -c 60 -t {seconds}"),
    "zenodotus": (lambda: Zenodotus(settling=0), "check_zenodotus -H 127.0.0.1 -p {port} -t {seconds}"),
    "node": (lambda: NodeManager(poll=0.1), "check_seattle_node -H 127.0.0.1 -p {port} -w 60 -c 60 -t {seconds}"),
    "update": (UpdateSite, "check_software_update --url http://127.0.0.1:{port}/updatesite/ -t {seconds}"),
    "builder": (InstallerBuilder, "check_installer_builder --url http://127.0.0.1:{port}/custom_install/ -t {seconds}"),
    "lockserver": (
        LockServer,
        "check_seattle_processes --lock-status --lock-port {port} -t {seconds}",
    ),
}
HEALTHY = ("whole", "drip", "pieces")


def _ask(case: tuple[str, str]) -> Answer:
    name, manner = case
    make, check = SERVERS[name]
    with make() as server:
        server.manner = manner
        # A byte at a time takes its time; whoever says nothing is not waited for as long.
        return by_hand(check.format(port=server.port, seconds=30 if manner in HEALTHY else 4).split())


CASES = [(name, manner) for name in SERVERS for manner in MANNERS]


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, str], Answer]:
    """What each check said: they mostly wait, so several are asked at once."""
    with ThreadPoolExecutor(6) as pool:
        return dict(zip(CASES, pool.map(_ask, CASES), strict=True))


@pytest.mark.parametrize(("name", "manner"), CASES)
def test_whatever_a_server_answers_its_check_has_a_word_for_it(
    answers: dict[tuple[str, str], Answer], name: str, manner: str
) -> None:
    answer = answers[name, manner]
    assert answer.code == (OK if manner in HEALTHY else CRITICAL), answer
    assert not answer.errors
    assert "Traceback" not in answer.output
    assert (" OK - " if manner in HEALTHY else " CRITICAL - ") in answer.first
    assert manner in HEALTHY or "127.0.0.1" in answer.first, answer.first
    assert all(sign.isprintable() or sign == "\n" for sign in answer.output)
