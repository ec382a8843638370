"""Which process listens on a port: another one after a restart, nothing where it can't be told."""

import socket

import pytest

from graphios.backends.listening import listener


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_restarted_listener_is_another_one(family: socket.AddressFamily, host: str) -> None:
    first = socket.create_server((host, 0), family=family)
    port = first.getsockname()[1]
    known = listener(host, port)
    assert known
    assert listener(host, port) == known
    second = None
    try:
        client = socket.create_connection((host, port))
        assert listener(host, port) == known  # connections of clients do not matter
        client.close()
        first.close()
        assert listener(host, port) == ""
        second = socket.create_server((host, port), family=family)
        assert listener(host, port) not in ("", known)
    finally:
        first.close()
        if second:
            second.close()


def test_other_machines_are_not_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listener("localhost", port)
        assert listener("192.0.2.7", port) == ""
        assert listener("carbon.example.org", port) == ""


def test_without_the_kernel_s_tables_nothing_is_told() -> None:
    assert listener("127.0.0.1", 2003, ("/nonexistent",)) == ""
