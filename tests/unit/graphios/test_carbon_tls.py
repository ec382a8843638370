"""carbon behind TLS: trusted or not at all, and acknowledged as without it."""

import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from graphios.backends.base import DeliveryError
from graphios.backends.carbon import Carbon
from graphios.configuration.settings import CarbonBackend, Delivery, Timeouts, Tls
from tests.stack.daemon import wait_until
from tests.unit.graphios import certificates
from tests.unit.graphios.certificates import Certificates
from tests.unit.graphios.peers import Behaviour, peer, read_all

LINES = [f"a.b.c{number} {number} 1795253480\n" for number in range(50_000)]
BATCH = "".join(LINES).encode()
ONE = ["a 1 1795253480\n"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


def context(made: Certificates, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.server)
    if version:
        server.maximum_version = version
    return server


def behind(server: ssl.SSLContext, behaviour: Behaviour, farewell: bool = True) -> Behaviour:
    """The behaviour, inside TLS; `farewell`: with close_notify at its end."""

    def serve(connection: socket.socket, received: list[bytes]) -> None:
        with server.wrap_socket(connection.dup(), server_side=True) as inside:
            behaviour(inside, received)
            if farewell:
                with suppress(OSError, ValueError):  # the client may have gone
                    inside.unwrap()

    return serve


def carbon(port: int, tls: Tls, host: str = "127.0.0.1", seconds: float = 5) -> Carbon:
    delivery = Delivery(timeouts=Timeouts(seconds, seconds, seconds))
    return Carbon(CarbonBackend("carbon", ((host, port),), tls=tls, delivery=delivery))


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "only the end of the TCP stream"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_batch_arrives_whole_and_is_acknowledged(
    made: Certificates, host: str, version: ssl.TLSVersion, farewell: bool
) -> None:
    with peer(behind(context(made, version), read_all, farewell), "::1" if ":" in host else "127.0.0.1") as receiver:
        backend = carbon(receiver.port, Tls(made.authority), host)
        backend.deliver(LINES)
        backend.deliver(ONE)
        assert receiver.received == [BATCH, ONE[0].encode()]
        assert not backend.lost_memory()
        backend.close()


def test_a_receiver_that_nobody_we_trust_has_signed_gets_nothing(made: Certificates) -> None:
    with peer(behind(context(made), read_all)) as receiver:
        with pytest.raises(
            DeliveryError, match=r"TLS: its certificate is not trusted: unable to get local issuer certificate"
        ):
            carbon(receiver.port, Tls()).deliver(ONE)
        assert receiver.received == []


def test_a_certificate_of_another_name_is_refused_and_taken_without_verification(made: Certificates) -> None:
    with peer(behind(context(made), read_all), "127.0.0.2") as receiver:
        with pytest.raises(DeliveryError, match=r"TLS: its certificate is not trusted: .*mismatch"):
            carbon(receiver.port, Tls(made.authority), "127.0.0.2").deliver(ONE)
        assert receiver.received == []
        carbon(receiver.port, Tls(verify=False), "127.0.0.2").deliver(ONE)
        assert receiver.received == [ONE[0].encode()]


def test_a_receiver_that_asks_for_a_certificate_gets_ours(made: Certificates) -> None:
    server = context(made)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(made.authority)
    with peer(behind(server, read_all)) as receiver:
        carbon(receiver.port, Tls(made.authority, made.client)).deliver(LINES)
        assert receiver.received == [BATCH]
        with pytest.raises(DeliveryError):
            carbon(receiver.port, Tls(made.authority)).deliver(ONE)
        assert receiver.received == [BATCH]


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        (Tls(Path("/nonexistent/ca.pem")), "TLS: /nonexistent/ca.pem: No such file or directory"),
        (
            Tls(certificate=Path("/nonexistent/c.pem")),
            "TLS: /nonexistent/c.pem with key in it: No such file or directory",
        ),
        (Tls(Path(__file__)), r"TLS: .*test_carbon_tls.py: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tls: Tls, named: str) -> None:
    with peer() as receiver, pytest.raises(DeliveryError, match=named):
        carbon(receiver.port, tls).deliver(ONE)


def test_a_receiver_without_tls_is_no_hang(made: Certificates) -> None:
    with peer() as receiver, pytest.raises(DeliveryError, match=r"TLS|early|handshake"):
        carbon(receiver.port, Tls(made.authority), seconds=0.5).deliver(ONE)


def test_a_receiver_with_tls_gets_nothing_in_the_clear(made: Certificates) -> None:
    with peer(behind(context(made), read_all)) as receiver:
        plain = Carbon(
            CarbonBackend("carbon", (("127.0.0.1", receiver.port),), delivery=Delivery(timeouts=Timeouts(1, 1, 1)))
        )
        with pytest.raises(DeliveryError):
            plain.deliver(LINES)
        assert receiver.received == []


def never_answer(connection: socket.socket, received: list[bytes]) -> None:
    connection.recv(10)
    threading.Event().wait(5)


def test_a_handshake_that_hangs_ends_in_time(made: Certificates) -> None:
    with (
        peer(never_answer) as receiver,
        pytest.raises(DeliveryError, match=r"does not answer the TLS handshake for 0.5 s"),
    ):
        carbon(receiver.port, Tls(made.authority), seconds=0.5).deliver(ONE)


def read_some(connection: socket.socket, received: list[bytes]) -> None:
    received.append(connection.recv(100))


def read_some_and_reset(connection: socket.socket, received: list[bytes]) -> None:
    read_some(connection, received)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_nothing(connection: socket.socket, received: list[bytes]) -> None:
    """Shakes hands and says goodbye."""


def greet(connection: socket.socket, received: list[bytes]) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    read_all(connection, received)


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "abrupt"])
@pytest.mark.parametrize("behaviour", [read_some, read_some_and_reset, read_nothing, greet])
def test_an_early_end_or_an_answer_is_no_acknowledgement(
    made: Certificates, behaviour: Behaviour, farewell: bool
) -> None:
    with peer(behind(context(made), behaviour, farewell)) as receiver, pytest.raises(DeliveryError):
        carbon(receiver.port, Tls(made.authority)).deliver(LINES)


@pytest.mark.parametrize("repeat", range(10))
def test_a_receiver_that_shakes_hands_and_goes_acknowledged_nothing(made: Certificates, repeat: int) -> None:
    with peer(behind(context(made), read_nothing)) as receiver, pytest.raises(DeliveryError):
        carbon(receiver.port, Tls(made.authority)).deliver(ONE)


def test_the_end_of_the_idle_connection_is_noticed(made: Certificates) -> None:
    with peer(behind(context(made), read_all)) as receiver:
        backend = carbon(receiver.port, Tls(made.authority))
        backend.deliver(ONE)
        assert not backend.lost_memory()
        receiver.close()
        wait_until(backend.lost_memory, 10, "the end of the idle connection")
        assert not backend.lost_memory()
