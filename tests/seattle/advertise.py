"""Doubles of the three advertise servers: advertiseserver.py (generation 1), advertiseserver_v2.r2py (generation 2), udpadvertiseserver.repy.

They answer the bytes that were captured from the real ones, with their bugs: what is bad is never answered or hung up on, a value put again may
overwrite another, and the first value after an idle time may be gone within a second.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from checks.seattle.errors import Malformed
from checks.seattle.serialization import dumps, loads
from tests.seattle import serving
from tests.seattle.serving import JUNK, Serving

LIES = ("", "forgets", "foreign", "adds", "refuses")
_LONGEST_HEADER = 20
_LONG = 10**9


class _Bad(Exception):
    """A request these servers do not answer."""


class Table:
    """What a server keeps: under each key the values, in the order in which they came, and when they go."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._started = time.monotonic()
        self._ahead = 0.0
        self._swept = 0
        self._counted = 0
        self._values: dict[bytes, list[tuple[bytes, float]]] = {}
        self.dead = False
        """Whether the server has ended by itself: generation 2 does where a value expires that is not the last of its key."""

    def skip(self, seconds: float) -> None:
        """Let time pass for this server alone."""
        self._ahead += seconds

    def put(self, key: bytes, value: bytes, ttl: int) -> None:
        """Store a value, under %all as well."""
        self._sweep()
        for under in (key, b"%all"):
            self._put(self._values.setdefault(under, []), value, self._lives(ttl))

    def get(self, key: bytes, most: int) -> list[bytes]:
        """Return the values of a key; generation 2 ignores how many are wanted."""
        self._sweep()
        values = [value for value, _ in self._values.get(key, [])]
        return values if self._generation == 2 else values[:most]

    def _put(self, entries: list[tuple[bytes, float]], value: bytes, lives: float) -> None:
        places = [place for place, entry in enumerate(entries) if entry[0] == value]
        if not places:
            entries.append((value, lives))
            return
        # Generation 1 writes what it found anew where the last one stands.
        place = -1 if self._generation == 1 else places[0]
        entries[place] = (value, max(lives, entries[places[0]][1]))

    def _now(self) -> float:
        return time.monotonic() - self._started + self._ahead

    def _lives(self, ttl: int) -> float:
        """Generation 2 keeps the seconds that are left, the others the moment of the end."""
        return ttl if self._generation == 2 else self._now() + ttl

    def _sweep(self) -> None:
        """Do what the server's sweeps have done up to now."""
        now = self._now()
        if self._generation != 2:
            every = 10 if self._generation == 1 else 0.001
            self._keep(now // every * every)
            return
        last, self._swept = self._swept, int(now)
        for second in range(last + 1, int(now) + 1):
            if not self._values:  # the bug: who sweeps an empty table does not note the time
                break
            passed, self._counted = second - self._counted, second
            for key, entries in self._values.items():
                self._values[key] = [(value, left - passed) for value, left in entries]
                # The other bug: only where nothing stands behind what expires, the walk through the list ends well.
                self.dead = self.dead or any(left <= passed for _, left in entries[:-1])
            self._keep(0)

    def _keep(self, beyond: float) -> None:
        kept = {key: [entry for entry in entries if entry[1] > beyond] for key, entries in self._values.items()}
        self._values = {key: entries for key, entries in kept.items() if entries}


class _Answering(Serving):
    """What the servers have in common: a table, requests, and lies a healthy server does not tell."""

    def __init__(self, port: int, manner: str, generation: int, lie: str) -> None:
        super().__init__(port, manner)
        self.table = Table(generation)
        self.lie = lie
        self.manners: list[str] = []
        """Manners of the next answers, before `manner` holds."""
        self.loses = 0
        """How many of the next values are acknowledged and lost."""
        self.generation = generation

    def reply(self, request: Any) -> list[Any]:
        """Return what the answer holds behind OK: nothing, or the list of values. Raises _Bad."""
        if not isinstance(request, tuple | list if self.generation == 1 else tuple) or not request:
            raise _Bad
        verb, *arguments = request
        kinds = {b"PUT": [bytes, bytes, int], b"GET": [bytes, int]}.get(verb if type(verb) is bytes else b"")
        if [type(argument) for argument in arguments] != kinds or arguments[-1] <= 0:
            raise _Bad
        if verb == b"PUT":
            if self.loses:
                self.loses -= 1
            elif self.lie != "forgets":
                self.table.put(arguments[0], b"another" if self.lie == "foreign" else arguments[1], arguments[2])
            return []
        return [self.table.get(b"%all" if self.lie == "adds" else arguments[0], arguments[1])]

    def next_manner(self) -> str:
        """Return the manner of the next answer."""
        return self.manners.pop(0) if self.manners else self.manner


class AdvertiseServer(_Answering):
    """An advertise server over TCP, with all that is particular to its generation."""

    def __init__(
        self,
        generation: int = 1,
        port: int = 0,
        manner: str = "whole",
        *,
        lie: str = "",
        half_dead: bool = False,
        sibling_port: int = 0,
        latency: float = 0.0,
    ) -> None:
        """`half_dead`: as advertiseserver.py after a restart: nobody listens on `port`, but UDP answers on `sibling_port`.

        `latency`: seconds each answer takes.
        """
        super().__init__(port, manner, generation, lie)
        self.half_dead, self.latency = half_dead, latency
        self.sibling = _Sibling(self, sibling_port) if generation == 1 else None

    def start(self) -> None:
        """Begin to serve."""
        if not self.half_dead:
            super().start()
        if self.sibling:
            self.sibling.start()

    def stop(self) -> None:
        """End, and let go of both ports."""
        super().stop()
        if self.sibling:
            self.sibling.stop()

    def converse(self, connection: socket.socket) -> None:
        """Read a request; what is bad is not answered (generation 1) or hung up on (generation 2)."""
        try:
            body = self._body(connection)
            self.requests.append(body)
            request = loads(body)
            found = self.reply(request)
            if self.table.dead:
                self.stop()
                return
            reply = dumps((b"OK", *found)) if found else b"SNO" if self.lie == "refuses" else b"SOK"
        except (_Bad, Malformed, EOFError):
            if self.generation == 1:
                self._ended.wait()
            return
        self._ended.wait(self.latency)
        self.answer(connection, b"%d\n%s" % (len(reply), reply), self.next_manner())

    def _body(self, connection: socket.socket) -> bytes:
        # Generation 1 gives up after a second, which its client can't see; generation 2 waits for ever.
        header = b""
        while not header.endswith(b"\n"):
            if len(header) > _LONGEST_HEADER:
                raise _Bad
            header += serving.received(connection, 1)
        if not header.strip().isdigit():
            raise _Bad
        return serving.received(connection, int(header))


def populated() -> AdvertiseServer:
    """Return a server on which nodes are advertised: under the keys of the tests' recorded states, by all kinds of names, some hostile."""
    double = AdvertiseServer(2)
    twopercent, acceptdonation = (
        b"{'e': 65537L, 'n': %dL}" % number
        for number in (840301610928756114796324397867, 114233187432808314091276228031262672951)
    )
    affix = [b"%040x" % number for number in range(0xABC, 0xABC + 150)]
    for value in (b"127.0.0.1:1224", b"NAT$0123abcd:1224", b"", b"\x1b[2J|<b>\n:1", b"x" * 5000):
        double.table.put(twopercent, value, _LONG)
    for name in affix:
        double.table.put(twopercent, name + b":1224", _LONG)
    for address in (b"10.0.0.1", b"10.0.0.2"):
        double.table.put(affix[0], address, _LONG)
    double.table.put(acceptdonation, b"192.0.2.9:1224", _LONG)
    return double


class _Datagrams(_Answering):
    """A server over UDP: a datagram is a request, and its answer is one."""

    kind = socket.SOCK_DGRAM

    def __init__(self, port: int, manner: str, generation: int, lie: str) -> None:
        super().__init__(port, manner, generation, lie)
        self.drops = 0
        """How many of the next requests are lost on their way."""

    def answered(self, data: bytes) -> bytes:
        """Return the answer to a datagram. Raises _Bad and Malformed."""
        raise NotImplementedError

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data, sender = self._socket.recvfrom(65536)
                if data and not self._ended.is_set():
                    self._one_datagram(data, sender)
            except OSError:
                return

    def _one_datagram(self, data: bytes, sender: Any) -> None:
        self.requests.append(data)
        if self.drops:
            self.drops -= 1
            return
        try:
            reply = self.answered(data)
        except (_Bad, Malformed):
            return
        manner = self.next_manner()
        shown = {"empty": b"", "cut": reply[: len(reply) // 2], "junk": JUNK}.get(manner, reply)
        if manner not in ("silent", "reset") and len(shown) < 65508:
            self._socket.sendto(shown, sender)


class UdpAdvertiseServer(_Datagrams):
    """The advertise server over UDP, whose requests and answers bear an id."""

    def __init__(self, port: int = 0, manner: str = "whole", *, lie: str = "") -> None:
        super().__init__(port, manner, 3, lie)
        self.strange_id = False

    def answered(self, data: bytes) -> bytes:
        """Return OK, what was found, and the id."""
        request = loads(data)
        if not isinstance(request, tuple) or len(request) < 2 or type(request[-1]) not in (bytes, int):
            raise _Bad
        asked = b"another" if self.strange_id else request[-1]
        return dumps((b"NO" if self.lie == "refuses" else b"OK", *self.reply(request[:-1]), asked))


class _Sibling(_Datagrams):
    """The experimental UDP port of advertiseserver.py: the requests of TCP without a length before them."""

    def __init__(self, server: AdvertiseServer, port: int) -> None:
        super().__init__(port, "whole", 1, "")
        self.table = server.table

    def answered(self, data: bytes) -> bytes:
        """Return what TCP would answer."""
        found = self.reply(loads(data))
        return dumps((b"OK", *found)) if found else b"SOK"


def main() -> None:
    """Serve as a process."""
    parser = serving.parser(__doc__)
    parser.add_argument("--generation", type=int, choices=(1, 2), default=1)
    parser.add_argument("--udp", action="store_true", help="the server over UDP")
    parser.add_argument("--lie", choices=LIES, default="")
    parser.add_argument("--half-dead", action="store_true")
    parser.add_argument("--sibling-port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    asked = parser.parse_args()
    if asked.udp:
        serving.run(UdpAdvertiseServer(asked.port, asked.manner, lie=asked.lie))
    serving.run(
        AdvertiseServer(
            asked.generation,
            asked.port,
            asked.manner,
            lie=asked.lie,
            half_dead=asked.half_dead,
            sibling_port=asked.sibling_port,
            latency=asked.latency,
        )
    )


if __name__ == "__main__":
    main()
