"""Client of Seattle's node manager: which vessels a node has, and what each may use. Only the public calls, which need no signature.

Source: nmrequesthandler and nmAPI of SeattleTestbed/nodemanager, nmclient of seattlelib, and captured exchanges. The server has one worker
that looks for work once a second, reads from one client for up to 10 s, and closes a connection at once where four from the same address wait.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from checks.seattle import framing
from checks.seattle.errors import EmptyAnswer, Malformed, SeattleError, Unresolvable, quoted
from checks.seattle.keys import PublicKey, parse_key
from checks.seattle.peers import time_left

PORTS = (1224, 2888, 9625, 10348, 39303, 48126, 52862, 57344, 64310)
"""Where a node manager listens: on the first of these that is free."""
STATUSES = ("Fresh", "Started", "Stopped", "Terminated", "Stale", "ThreadErr")
"""The statuses of a vessel that are known: never started, running, stopped by command, ended by itself, no sign of life, out of threads."""
# A vessel takes 400 bytes to 3 kB.
_LARGEST = 8 * 1024 * 1024
_LARGEST_RESOURCES = 256 * 1024
_MOST_RESOURCES = 100
_LARGEST_NUMBER = 1e18
_PAUSE = 1.0
# What a look-up that hangs is granted beyond the end.
_GRACE = 0.2
_OF_NODE = (b"Version", b"Nodename", b"Nodekey")
_OF_VESSEL = (b"Status", b"Advertise", b"OwnerKey", b"OwnerInfo")
_TRUTH = {b"True": True, b"False": False}

Target = tuple[str, int]


class Vessel(NamedTuple):
    """One vessel: a part of a node that an owner gives to users. `info` is free text of the owner."""

    name: str
    status: str
    advertise: bool
    owner: PublicKey
    info: str
    users: tuple[PublicKey, ...]


class Node(NamedTuple):
    """A node as its manager describes it; the order of the vessels has no meaning."""

    version: str
    name: str
    key: PublicKey
    vessels: tuple[Vessel, ...]


class Reply(NamedTuple):
    """What a call gave: the text without its last line; seconds until the connection stood, and from then on; and the number of tries."""

    text: bytes
    connect: float
    seconds: float
    tries: int


class Answered(NamedTuple):
    """The node manager that was found: where, what it said, and what is wrong with the places asked before it."""

    host: str
    port: int
    node: Node
    reply: Reply
    others: dict[Target, SeattleError | None]


class Told(SeattleError):
    """The node manager answered with Error or Warning (`status`) instead of Success."""

    def __init__(self, status: str, said: bytes) -> None:
        super().__init__(f"{status}: {quoted(said)}")
        self.status = status


class NotFound(SeattleError):
    """No node manager at any of the places; `failures` says why, by place."""

    def __init__(self, failures: dict[Target, SeattleError]) -> None:
        super().__init__("no node manager found")
        self.failures = failures


def call(host: str, port: int, request: str, until: float, largest: int = _LARGEST) -> Reply:
    """Ask a node manager over one connection, or a second one where it closes the first without an answer.

    `until` is the moment of time.monotonic() at which waiting ends. Raises SeattleError.
    """
    data = request.encode("utf-8", "surrogateescape")
    try:
        answer, tries = framing.ask(host, port, data, until, largest), 1
    except EmptyAnswer:
        # Too many connections from this address: the worker takes the next one within a second.
        time.sleep(min(_PAUSE, max(until - time.monotonic(), 0) / 4))
        answer, tries = framing.ask(host, port, data, until, largest), 2
    return Reply(_successful(answer.body), answer.connect, answer.seconds, tries)


def vessels(host: str, port: int, until: float) -> tuple[Node, Reply]:
    """Return a node as its manager describes it. Raises SeattleError."""
    reply = call(host, port, "GetVessels", until)
    return parse_vessels(reply.text), reply


def resources(host: str, port: int, vessel: str | None, until: float) -> dict[str, float]:
    """Return what a vessel may use, or with None what is left over on the node; as parse_resources does. Raises SeattleError."""
    request = "GetOffcutResources" if vessel is None else f"GetVesselResources|{vessel}"
    return parse_resources(call(host, port, request, until, _LARGEST_RESOURCES).text)


def find(targets: Sequence[Target], until: float) -> Answered:
    """Return the first node manager that answers at one of `targets`, host and port, which are asked in this order.

    A place that refuses costs nothing. One that takes the connection and is silent is waited for until the end, but after its share
    of half the time the next one is asked as well: strangers can't use up the time of the node manager behind them.
    Raises NotFound.
    """
    results: queue.SimpleQueue[tuple[Target, tuple[Node, Reply] | SeattleError | Exception]] = queue.SimpleQueue()
    share = time_left(until) / 2 / max(len(targets), 1)
    waiting, asked = list(targets), dict[Target, SeattleError | None]()

    def ask(target: Target) -> None:
        try:
            results.put((target, vessels(*target, until)))
        except Exception as error:
            results.put((target, error))

    while waiting or None in asked.values():
        if waiting:
            target = waiting.pop(0)
            asked[target] = None
            threading.Thread(target=ask, args=(target,), daemon=True).start()
        try:
            target, result = results.get(timeout=share if waiting else time_left(until) + _GRACE)
        except queue.Empty:
            if not waiting:
                break
            continue
        if isinstance(result, tuple):
            del asked[target]
            return Answered(*target, *result, asked)
        if not isinstance(result, SeattleError):
            raise result
        asked[target] = result
    # Everything else that hangs ends in time.
    hung = Unresolvable("no address: the name service does not answer")
    raise NotFound({target: failure or hung for target, failure in asked.items()})


def _successful(body: bytes) -> bytes:
    """Return an answer without its last line, which says Success. Raises Told and Malformed."""
    text, _, status = body.rpartition(b"\n")
    if status == b"Success":
        return text
    if status in (b"Error", b"Warning"):
        raise Told(status.decode(), text)
    raise Malformed(f"answer does not end in Success, Error or Warning: {quoted(body)}")


def parse_vessels(text: bytes) -> Node:
    """Return what GetVessels says, the last line apart. Raises Malformed: a line nobody knows is an error, as in Seattle's own client."""
    node: dict[bytes, bytes] = {}
    found: list[tuple[bytes, dict[bytes, bytes], list[bytes]]] = []
    for line in text.split(b"\n"):
        if not line:
            continue
        word, blank, value = line.partition(b": ")
        into = found[-1][1] if found else node
        if blank and word == b"Name":
            found.append((value, {}, []))
        elif blank and word == b"UserKey" and found:
            found[-1][2].append(value)
        elif blank and word in (_OF_VESSEL if found else _OF_NODE) and word not in into:
            into[word] = value
        else:
            raise Malformed(f"a line that does not belong there: {quoted(line)}")
    _complete("the node", node, _OF_NODE)
    if len({name for name, _, _ in found}) < len(found):
        raise Malformed("two vessels of one name")
    keys = _Keys()
    described = tuple(_vessel(name, fields, users, keys) for name, fields, users in found)
    return Node(_text(node[b"Version"]), _text(node[b"Nodename"]), keys[node[b"Nodekey"]], described)


class _Keys(dict[bytes, PublicKey]):
    """Keys by their text: most vessels of a node have the same owner."""

    def __missing__(self, text: bytes) -> PublicKey:
        self[text] = key = parse_key(text)
        return key


def _vessel(name: bytes, fields: dict[bytes, bytes], users: list[bytes], keys: _Keys) -> Vessel:
    _complete(f"vessel {quoted(name)}", fields, _OF_VESSEL)
    advertise = _TRUTH.get(fields[b"Advertise"])
    if advertise is None:
        raise Malformed(f"Advertise is neither True nor False: {quoted(fields[b'Advertise'])}")
    owner, info = keys[fields[b"OwnerKey"]], _text(fields[b"OwnerInfo"])
    return Vessel(_text(name), _text(fields[b"Status"]), advertise, owner, info, tuple(keys[user] for user in users))


def _complete(what: str, fields: dict[bytes, bytes], wanted: Sequence[bytes]) -> None:
    if len(fields) < len(wanted):
        missing = next(word for word in wanted if word not in fields)
        raise Malformed(f"{what} has no {missing.decode()}")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def parse_resources(text: bytes) -> dict[str, float]:
    """Return the limits that a resource file sets: cpu in processors, memory and diskused in bytes, rates in bytes a second.

    Ports, each on a line of its own, are counted, under their name with an s: "messports". Raises Malformed.
    Format: lines `resource NAME NUMBER` and `call ...`, comments from # on.
    """
    limits: dict[str, float] = {}
    for line in text.split(b"\n"):
        words = line.partition(b"#")[0].split()
        if not words or words[0] == b"call":
            continue
        if words[0] != b"resource" or len(words) != 3 or not _is_name(words[1]):
            raise Malformed(f"no line of a resource file: {quoted(line)}")
        name, number = words[1].decode("ascii"), _number(words[2])
        if name.endswith("port"):
            limits[f"{name}s"] = limits.get(f"{name}s", 0) + 1
        elif name in limits:
            raise Malformed(f"resource {name} twice")
        else:
            limits[name] = number
        if len(limits) > _MOST_RESOURCES:
            raise Malformed(f"more than {_MOST_RESOURCES} resources")
    return limits


def _is_name(word: bytes) -> bool:
    return len(word) <= 40 and word.isalnum()


def _number(word: bytes) -> float:
    """Return a limit. Raises Malformed."""
    try:
        number = float(word) if len(word) <= 40 and b"_" not in word else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= _LARGEST_NUMBER:
        raise Malformed(f"no limit of a resource: {quoted(word)}")
    return int(number) if number.is_integer() else number
