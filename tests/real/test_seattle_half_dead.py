"""Servers of Seattle that run and yet do not work: what each check says of them, by hand and over a real NRPE, and what is no alarm."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.real.drill import CRITICAL, OK, WARNING, Answer, by_hand, over_nrpe
from tests.seattle import builder
from tests.seattle.advertise import AdvertiseServer, UdpAdvertiseServer
from tests.seattle.nodemanager import NodeManager, many
from tests.seattle.serving import Serving
from tests.seattle.updatesite import FILES, UpdateSite
from tests.seattle.zenodotus import Zenodotus
from tests.stack import place
from tests.stack.nrpe import Nrpe

TITLES = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL"}


class Case(NamedTuple):
    """A server in a certain state, the check's command line ({port} is the server's), and what it has to say."""

    make: Callable[[], Serving]
    check: str
    code: int
    says: str


def _half_dead() -> Serving:
    server = AdvertiseServer(1, half_dead=True)
    assert server.sibling
    server.sibling_port = server.sibling.port  # type: ignore[attr-defined]
    return server


def _updated(days: float = 30, **changes: bytes) -> UpdateSite:
    site = UpdateSite(files=dict(FILES))
    site.sign(days=days)
    site.files.update({name.replace("_", "."): data for name, data in changes.items()})
    return site


def _busy_node() -> Serving:
    """A node manager whose only worker waits for a client that says nothing for a second."""
    node = NodeManager(patience=1.0)
    node.start()
    node.idle = socket.create_connection(("127.0.0.1", node.port))  # type: ignore[attr-defined]
    return node


def _nodes(make: Callable[[], AdvertiseServer | UdpAdvertiseServer]) -> Callable[[], Serving]:
    def advertised() -> Serving:
        server = make()
        for number in range(1000):
            server.table.put(b"{'e': 65537L, 'n': 35L}", b"10.0.%d.%d:1224" % divmod(number, 250), 600)
        return server

    return advertised


ADVERTISE = "check_advertise_server -p {port} -t 5"
NODES = f"{ADVERTISE} --get-only {{key}} --nodes-critical 1001:"
ZENODOTUS = "check_zenodotus -H 127.0.0.1 -p {port} -t 5"
UPDATE = "check_software_update --url http://127.0.0.1:{port}/updatesite/ -t 5"
BUILDER = f"check_installer_builder --url http://127.0.0.1:{{port}}/custom_install/ --build-id {builder.BUILD} -t 9"
CASES = {
    "advertise restarted too soon": Case(
        _half_dead, f"{ADVERTISE} --sibling-port {{sibling}}", CRITICAL, r"half-dead.* stop .*start it"
    ),
    "advertise forgets": Case(lambda: AdvertiseServer(2, lie="forgets"), ADVERTISE, CRITICAL, r"127.0.0.1:\d+"),
    "advertise refuses to store": Case(lambda: AdvertiseServer(1, lie="refuses"), ADVERTISE, CRITICAL, "'SNO'"),
    "advertise has too few nodes": Case(
        _nodes(lambda: AdvertiseServer(1)), NODES, CRITICAL, r"key nodes 1000 \(< 1001\)"
    ),
    "advertise with nodes, v2": Case(
        _nodes(lambda: AdvertiseServer(2)), NODES.replace("1001:", "1000:"), OK, "key 1000"
    ),
    "advertise with nodes, UDP": Case(
        _nodes(UdpAdvertiseServer), f"{NODES} --transport udp".replace("1001:", "1000:"), OK, "key 1000"
    ),
    "zenodotus without advertise": Case(
        lambda: Zenodotus(behind="down", settling=0), ZENODOTUS, CRITICAL, "advertise service .*down .*start"
    ),
    # Who asks again within 10 s finds Zenodotus still at work on the query before.
    "zenodotus with a hung advertise": Case(
        lambda: Zenodotus(behind="hung", settling=0), ZENODOTUS, CRITICAL, "service behind it hangs|for another check"
    ),
    "zenodotus without a name": Case(
        lambda: Zenodotus(settling=0), f"{ZENODOTUS} --name gone", CRITICAL, "gone.*no longer announced"
    ),
    "zenodotus drops every second query": Case(lambda: Zenodotus(manner="second"), ZENODOTUS, OK, "answer"),
    "node behind an idle client": Case(_busy_node, "check_seattle_node -H 127.0.0.1 -p {port} -t 9", OK, "5 vessels"),
    "node closes a surplus connection": Case(
        lambda: _surplus(1), "check_seattle_node -H 127.0.0.1 -p {port} -t 9", OK, "vessels"
    ),
    "node with 1,000 vessels": Case(
        lambda: NodeManager(vessels=many(1000)), "check_seattle_node -H 127.0.0.1 -p {port} -t 9", OK, "1000 vessels"
    ),
    "update site not signed again": Case(lambda: _updated(-1), UPDATE, CRITICAL, "expired.* re-sign"),
    "update site to be signed soon": Case(lambda: _updated(5), UPDATE, WARNING, "expires in 5 d.* re-sign"),
    "update site with another file": Case(
        lambda: _updated(nmAPI_py=b"x"), UPDATE, CRITICAL, "file nmAPI.py .*(push|re-sign)"
    ),
    "update site without metainfo": Case(lambda: UpdateSite(files={"metainfo": b""}), UPDATE, CRITICAL, "metainfo"),
    "builder can't pack (debug page)": Case(
        lambda: builder.InstallerBuilder(lacking=["linux"]), BUILDER, CRITICAL, "base installer"
    ),
    "builder can't pack (its own error page)": Case(
        lambda: builder.InstallerBuilder(lacking=["linux"], debug=False), BUILDER, CRITICAL, "base installer"
    ),
    "builder packs": Case(builder.InstallerBuilder, BUILDER, OK, "3 vessels"),
}


def _surplus(number: int) -> Serving:
    node = NodeManager()
    node.surplus = number
    return node


@pytest.fixture(scope="module")
def answers(
    make_stack_root: Callable[[str], Path], stack_user: str | None
) -> Iterator[dict[str, tuple[Answer, Answer]]]:
    """What each check said, by hand and over NRPE."""
    root = make_stack_root("half-dead")
    key = root / "key.publickey"
    key.write_text("65537 35", encoding="ascii")
    with ExitStack() as running:
        lines = {}
        for name, case in CASES.items():
            server = running.enter_context(case.make())
            sibling = getattr(server, "sibling_port", 0)
            lines[name] = case.check.format(port=server.port, sibling=sibling, key=key).split()
        commands = {
            re.sub(r"\W", "_", name): " ".join([str(place.command(check)), *words])
            for name, (check, *words) in lines.items()
        }
        nrpe = Nrpe(root, commands, "anonymous", stack_user, name="nrpe-half-dead")
        nrpe.start()
        running.callback(nrpe.stop)

        def ask(name: str) -> tuple[Answer, Answer]:
            return by_hand(lines[name]), over_nrpe(nrpe, re.sub(r"\W", "_", name))

        with ThreadPoolExecutor(6) as pool:
            yield dict(zip(CASES, pool.map(ask, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_runs_but_does_not_work_is_told_by_what_is_wrong(
    answers: dict[str, tuple[Answer, Answer]], name: str
) -> None:
    case = CASES[name]
    for answer in answers[name]:
        assert answer.code == case.code, answer
        assert f" {TITLES[case.code]} - " in answer.first
        assert re.search(case.says, answer.first), answer.first
        assert not answer.errors
        assert "Traceback" not in answer.output
