"""Clients of Seattle's advertise service: values under keys for a limited time, over TCP and over UDP.

Source: seattlelib's centralizedadvertise and udpcentralizedadvertise, and exchanges captured from the real servers. The servers never report
an error: they answer nothing, or close the connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any, NamedTuple

from checks.seattle import ADVERTISE_PORT, framing
from checks.seattle.errors import EmptyAnswer, Malformed, NoAnswer, Refused, SeattleError, Unreachable, quoted
from checks.seattle.peers import addresses, time_left
from checks.seattle.serialization import dumps, loads

PORT = ADVERTISE_PORT
ALL_VALUES = 10 * 1024 * 1024
"""How many values to ask for when all are wanted: as Seattle's clearinghouse does; a server may ignore it."""
PROBE_VALUE = b"192.0.2.1"
"""What every probe puts, under a fresh key: an address for documentation (RFC 5737).

advertiseserver_v2.r2py ends when a value expires that is not the last of its key (tried on the real one), and under %all the values of two
probes are just that. The same value again only lives longer there; that a key is fresh is enough, no answer to an older probe can have it.
"""
# How long seattlelib's client waits for each of its datagrams before it sends the next.
_PATIENCE = (1.0, 2.0, 4.0, 8.0)
_LARGEST_DATAGRAM = 65536


class Found(NamedTuple):
    """What a get found, in the server's order; seconds until the connection stood (0 over UDP), and from then to the last byte."""

    values: list[bytes]
    connect: float
    seconds: float


class Stored(NamedTuple):
    """A put that was acknowledged: seconds until the connection stood (0 over UDP), and from then to the last byte."""

    connect: float
    seconds: float


class TcpAdvertise:
    """An advertise server over TCP: one request to a connection."""

    transport = "TCP"

    def __init__(self, host: str, port: int = PORT) -> None:
        self.host, self.port = host, port

    def put(self, key: bytes, value: bytes, ttl: int, until: float) -> Stored:
        """Store `value` under `key` for `ttl` seconds; waiting ends at `until` (time.monotonic()). Raises SeattleError."""
        answer = framing.ask(self.host, self.port, dumps((b"PUT", key, value, ttl)), until)
        if answer.body != b"SOK":
            raise Malformed(f"no acknowledgement of a put: {quoted(answer.body)}")
        return Stored(answer.connect, answer.seconds)

    def get(self, key: bytes, most: int, until: float) -> Found:
        """Return the values under `key`: `most` of them, or all where the server ignores that. Raises SeattleError."""
        answer = framing.ask(self.host, self.port, dumps((b"GET", key, most)), until)
        reply = loads(answer.body)
        if type(reply) is not tuple or len(reply) != 2 or reply[0] != b"OK":
            raise Malformed(f"no answer to a get: {quoted(answer.body)}")
        return Found(_values(reply[1], answer.body), answer.connect, answer.seconds)


class UdpAdvertise:
    """An advertise server over UDP: datagrams without framing, each with an id of its own, sent again while no answer comes."""

    transport = "UDP"

    def __init__(self, host: str, port: int = PORT) -> None:
        self.host, self.port = host, port

    def put(self, key: bytes, value: bytes, ttl: int, until: float) -> Stored:
        """Store `value` under `key` for `ttl` seconds; waiting ends at `until` (time.monotonic()). Raises SeattleError."""
        started = time.monotonic()
        self._ask((b"PUT", key, value, ttl), 2, until)
        return Stored(0.0, time.monotonic() - started)

    def get(self, key: bytes, most: int, until: float) -> Found:
        """Return at most `most` values under `key`. A server can't send more than fits into a datagram. Raises SeattleError."""
        started = time.monotonic()
        reply, datagram = self._ask((b"GET", key, most), 3, until)
        return Found(_values(reply[1], datagram), 0.0, time.monotonic() - started)

    def _ask(self, request: tuple[object, ...], length: int, until: float) -> tuple[tuple[Any, ...], bytes]:
        """Return the answer, a tuple of `length`, and its datagram; from the first of the host's addresses that does not refuse."""
        asked = os.urandom(8).hex().encode("ascii")
        data = dumps((*request, asked))
        refused: SeattleError = Unreachable("no address to ask")
        for family, address in addresses(self.host, self.port, socket.SOCK_DGRAM):
            with socket.socket(family, socket.SOCK_DGRAM) as connection:
                try:
                    connection.connect(address)
                    return _exchange(connection, data, asked, length, until)
                except ConnectionRefusedError:
                    refused = Refused("refused: nothing listens on this UDP port")
                except OSError as error:
                    refused = Unreachable(f"can't be asked: {error.strerror or error}")
        raise refused


Service = TcpAdvertise | UdpAdvertise


def experimental_port_answers(host: str, port: int, until: float) -> bool:
    """Return whether advertiseserver.py's experimental UDP port answers, which takes the requests of TCP without a length before them.

    The process that has it open is alive, whether its TCP port is or not. Asks until the moment `until`. Raises Unresolvable.
    """
    for family, address in addresses(host, port, socket.SOCK_DGRAM):
        with socket.socket(family, socket.SOCK_DGRAM) as connection, contextlib.suppress(OSError, SeattleError):
            connection.connect(address)
            connection.settimeout(time_left(until))
            connection.send(dumps((b"GET", os.urandom(8).hex().encode("ascii"), 1)))
            reply = loads(connection.recv(_LARGEST_DATAGRAM))
            return type(reply) is tuple and reply[:1] == (b"OK",)
    return False


def _exchange(
    connection: socket.socket, data: bytes, asked: bytes, length: int, until: float
) -> tuple[tuple[Any, ...], bytes]:
    """Send until an answer with the id `asked` comes. Raises NoAnswer, EmptyAnswer, Malformed and OSError."""
    stray = b""
    patience = iter(_PATIENCE)
    while time.monotonic() < until:
        connection.send(data)
        again = min(time.monotonic() + next(patience, _PATIENCE[-1]), until)
        while time.monotonic() < again:
            connection.settimeout(time_left(again))
            try:
                datagram = connection.recv(_LARGEST_DATAGRAM)
            except TimeoutError:
                break
            if not datagram:
                raise EmptyAnswer("an empty datagram")
            reply = loads(datagram)
            if type(reply) is not tuple or len(reply) != length or reply[0] != b"OK":
                raise Malformed(f"no answer to this request: {quoted(datagram)}")
            if reply[-1] == asked:
                return reply, datagram
            stray = datagram
    if stray:
        raise Malformed(f"only answers to other requests: {quoted(stray)}")
    raise NoAnswer("no answer in time")


def _values(found: Any, answer: bytes) -> list[bytes]:
    if type(found) is not list or not all(type(value) is bytes for value in found):
        raise Malformed(f"what was found is no list of strings: {quoted(answer)}")
    return found
