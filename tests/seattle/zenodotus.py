"""A double of Zenodotus, the testbed's DNS server: flags, errors, drops and answers as captured from the real one."""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from checks.seattle.advertise import TcpAdvertise
from checks.seattle.errors import SeattleError
from tests.seattle import serving

ZONE = "zenodotus.poly.edu"
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 1, 2, 3, 4
# "drip" and "pieces" mean nothing here: a datagram is whole. "reset" is as silence.
MANNERS = (
    *serving.MANNERS,
    "truncated",
    "wrong id",
    "wrong question",
    "loop",
    "far loop",
    "huge",
    "query",
    "formerr",
    "second",
)
# What was announced when the exchanges were captured.
CAPTURED = {f"hello.{ZONE}": ["192.0.2.7"], f"multi.{ZONE}": ["192.0.2.8", "192.0.2.9"]}
BEHIND = ("up", "down", "hung")
_KNOWN_TYPES = {*range(1, 17), 252, 253, 254, 255}
_LOOKED_UP = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15}
_CLASSES = {1, 2, 3, 4}
_FULL = 384
_HUGE = 50_000


class Question(NamedTuple):
    """What a query asks, and where the question ends."""

    name: str
    kind: int
    net: int
    end: int


class Zenodotus(serving.Serving):
    """Answers from an advertise server, or from `names` (name: values; those of the capture where none are given) where there is none.

    `behind` says how the advertise service is then: "up", "down" (refuses) or "hung" (fails after `patience` seconds). `work` is how long a
    query takes. After 8 of 60 answers the client's address stays blocked for `settling` seconds.
    """

    kind = socket.SOCK_DGRAM

    def __init__(
        self,
        port: int = 0,
        manner: str = "whole",
        *,
        advertise: TcpAdvertise | None = None,
        names: dict[str, list[str]] | None = None,
        zone: str = ZONE,
        behind: str = "up",
        patience: float = 10.1,
        work: float = 0.002,
        settling: float = 0.2,
        seed: int = 1,
    ) -> None:
        super().__init__(port, manner)
        self.advertise, self.zone, self.behind, self.patience = advertise, zone, behind, patience
        self.names = dict(CAPTURED) if names is None else names
        self.work, self.settling = work, settling
        self.dropped = 0
        self._random = random.Random(seed)
        self._blocked: set[str] = set()
        self._lock = threading.Lock()
        self._number = 0

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data, client = self._socket.recvfrom(65535)
            except OSError:
                return
            if client and not self._ended.is_set():
                threading.Thread(target=self._take, args=(data, client), daemon=True).start()

    def _take(self, data: bytes, client: tuple[str, int]) -> None:
        """Answer a query, unless one of this address is in work: then it is dropped without a word."""
        with self._lock:
            self._number += 1
            self.requests.append(data)
            if client[0] in self._blocked or (self.manner == "second" and self._number % 2 == 0):
                self.dropped += 1
                return
            self._blocked.add(client[0])
            lingers = self._random.randrange(60) < 8
        with contextlib.suppress(OSError):
            for reply in self._in_manner(data):
                self._socket.sendto(reply, client)
        if lingers:
            self._ended.wait(self.settling)
        with self._lock:
            self._blocked.discard(client[0])

    def _in_manner(self, data: bytes) -> Iterator[bytes]:
        """Yield the datagrams that go back, in the present manner."""
        if self.manner in ("silent", "reset"):
            return
        self._ended.wait(self.work)
        whole = self.reply(data)
        end = len(query_part(data))
        if self.manner == "empty":
            yield b""
        elif self.manner == "cut":
            yield whole[:-3]
        elif self.manner == "junk":
            yield serving.JUNK
        elif self.manner == "huge":  # 100 kB in all
            yield data[:2] + b"\xff" * _HUGE
            yield b"\xff" * _HUGE
        elif self.manner == "wrong id":
            yield bytes((whole[0] ^ 0xFF, *whole[1:]))
        elif self.manner == "wrong question":
            yield whole[:13] + b"x" + whole[14:]
        elif self.manner == "truncated":
            yield whole[:2] + bytes((whole[2] | 2,)) + whole[3:]
        elif self.manner == "loop":  # the answer's name points at itself
            yield whole[:6] + b"\0\1" + whole[8:end] + bytes((0xC0, end)) + b"\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        elif self.manner == "far loop":  # two names that point at each other
            yield (
                whole[:6]
                + b"\0\1"
                + whole[8:end]
                + bytes((0xC0, end + 2, 0xC0, end))
                + b"\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
            )
        elif self.manner == "query":
            yield data
        elif self.manner == "formerr":
            yield error(data, FORMERR)
        else:
            yield whole

    def reply(self, data: bytes) -> bytes:
        """Return the whole answer to a query."""
        question = parse(data)
        if question is None:
            return error(data, FORMERR)
        if data[2] & 0x78 or question.net != 1 or question.kind not in _LOOKED_UP:
            return error(data, NOTIMP)
        static = {self.zone: "127.0.0.1", "localhost": "127.0.0.1", f"localhost.{self.zone}": "127.0.0.1"}
        if question.kind == 1 and question.name in static:
            return answer(data, question, [static[question.name]])
        try:
            if question.kind == 1 and question.name.endswith(self.zone) and "." in question.name[:-28]:
                return self._delegated(data, question)
            values = self._look_up(question.name)
        except SeattleError:
            return error(data, SERVFAIL)
        # The real server looks other kinds up under names of their own ("NS name"), which nobody announces here.
        if question.kind != 1 or not values or not all(is_taken(value) for value in values):
            return error(data, NXDOMAIN)
        return answer(data, question, values)

    def _delegated(self, data: bytes, question: Question) -> bytes:
        """Return what the real server says of a name with a dot before its last 28 characters: its zone had a longer name once."""
        name = question.name[:-28].split(".")[-1] + "." + self.zone
        servers = self._look_up(f"NS {name}")
        whole = answer(data, question, [])
        for server in servers:
            labels = b"".join(bytes([len(label)]) + label.encode("latin-1") for label in server.split(".")) + b"\0"
            at = 0xC000 + whole.find(
                b"".join(bytes([len(label)]) + label.encode("latin-1") for label in name.split("."))
            )
            whole += at.to_bytes(2, "big") + b"\0\2\0\1\0\0\0\0" + len(labels).to_bytes(2, "big") + labels
        return whole[:8] + len(servers).to_bytes(2, "big") + whole[10:] if servers else error(data, NXDOMAIN)

    def _look_up(self, name: str) -> list[str]:
        """Return the values announced under a name. Raises SeattleError."""
        if self.behind == "hung":
            self._ended.wait(self.patience)
        if self.behind != "up":
            raise SeattleError
        if self.advertise is None:
            return self.names.get(name, [])
        found = self.advertise.get(name.encode("ascii"), 100, time.monotonic() + self.patience)
        return [value.decode("latin-1") for value in found.values]


def parse(data: bytes) -> Question | None:
    """Return the question of a query, or None where the real server's parser fails: AD bit, EDNS, unknown types, anything cut short."""
    try:
        if len(data) < 13 or data[3] & 0x20 or data[4:6] != b"\0\1" or any(data[6:12]):
            return None
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode("latin-1"))
            at += length + 1
        kind, net = (int.from_bytes(data[at + part : at + part + 2], "big") for part in (1, 3))
        known = kind in _KNOWN_TYPES and net in _CLASSES and len(data) >= at + 5
        return Question(".".join(labels), kind, net, at + 5) if known else None
    except IndexError:
        return None


def query_part(data: bytes) -> bytes:
    """Return header and question of a query."""
    question = parse(data)
    return data[: question.end] if question else data


def error(data: bytes, rcode: int) -> bytes:
    """Return the query with the flags of an answer: that is how the real server says what is wrong."""
    return data[:2] + bytes((0x84 | data[2] & 1, 0x80 | data[3] & 0x30 | rcode)) + data[4:]


def answer(data: bytes, question: Question, values: list[str]) -> bytes:
    """Return an answer with the addresses that fit into 384 bytes; its header counts them all."""
    head = (
        data[:2] + bytes((0x84 | data[2] & 1, 0x80 | data[3] & 0x10, 0, 1)) + len(values).to_bytes(2, "big") + bytes(4)
    )
    whole = head + data[12 : question.end]
    for value in values:
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(value)
        if len(whole + record) <= _FULL:
            whole += record
    return whole


def is_taken(value: str) -> bool:
    """Whether the real server takes an announced value for an address: four numbers, each below 255."""
    octets = value.split(".")
    return len(octets) == 4 and all(octet.isdigit() and len(octet) < 4 and int(octet) < 255 for octet in octets)


def main() -> None:
    """Serve as a process."""
    parser = argparse.ArgumentParser(
        description=__doc__, parents=[serving.parser(None)], add_help=False, conflict_handler="resolve"
    )
    parser.add_argument("--manner", choices=MANNERS, default="whole")
    parser.add_argument("--behind", choices=BEHIND, default="up")
    parser.add_argument("--zone", default=ZONE)
    parser.add_argument("--advertise", type=int, metavar="PORT", help="TCP port of an advertise server on 127.0.0.1")
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME=ADDRESS", help="what is announced where there is none"
    )
    opts = parser.parse_args()
    names: dict[str, list[str]] = {}
    for name, _, value in (one.partition("=") for one in opts.name):
        names.setdefault(name, []).append(value)
    advertise = TcpAdvertise("127.0.0.1", opts.advertise) if opts.advertise else None
    serving.run(Zenodotus(opts.port, opts.manner, advertise=advertise, names=names, zone=opts.zone, behind=opts.behind))


if __name__ == "__main__":
    main()
