"""A double of tincan 14.01.1 to 16.01, which can't be installed any more: UDP on 127.0.0.1 and ::1, `get_state` and what it answers.

Made from the source (controlleraccess.cc, tincanconnectionmanager.cc): one datagram about the node, one for each peer in the order of their uids,
each with the header of its version and JSON as jsoncpp's styled writer has it; no end marker. As a program it serves until it is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from typing import Any

from tests.seattle import serving
from tests.seattle.serving import JUNK, Serving

HEADERS = {"16": b"\x03\x01", "14.07": b"\x02\x01", "14.01.1": b""}
"""What is before the JSON, by version."""
MANNERS = ("whole", "silent", "deaf", "late", "partial", "cut", "empty", "junk", "error", "endless", "forged", "newer")
NEWER = b'{"IPOP":{"ControlType":"TincanResponse","ProtocolVersion":5,"Response":{"Message":"","Success":false},"TransactionId":0}}'
"""What a tincan of IPOP 18 to 20 would say, if it said anything."""
ERROR = b'{"error":"json parsing failed"}'
LOCAL = {
    "_fpr": "SHA-1 1C:8F",
    "_ip4": "172.31.0.100",
    "_ip6": "fd50:dbc:41f2:4a3c:0:0:0:64",
    "_mac": "02:aa:bb:cc:dd:01",
    "_uid": "a" * 40,
    "type": "local_state",
}


def pair(
    received: int = 2000, sent: int = 1000, *, best: bool = True, port: int = 42100, **more: Any
) -> dict[str, Any]:
    """Return a candidate pair; its addresses are told apart by `port`."""
    return {
        "best_conn": best,
        "local_addr": f"192.0.2.10:{port}",
        "local_type": "local",
        "new_conn": False,
        "readable": True,
        "recv_bytes_second": 10,
        "recv_total_bytes": received,
        "rem_addr": f"198.51.100.7:{port + 1}",
        "rem_type": "stun",
        "rtt": 23,
        "sent_bytes_second": 5,
        "sent_total_bytes": sent,
        "timeout": False,
        "writable": True,
        **more,
    }


def peer(
    number: int, pairs: Sequence[dict[str, Any]] | None = None, *, online: bool = True, **more: Any
) -> dict[str, Any]:
    """Return the state of a peer: 172.31.0.101 is number 1; up for two minutes over one pair, or offline."""
    state = {
        "fpr": "SHA-1 AB:CD",
        "ip4": f"172.31.{number // 200}.{100 + number % 200 - (number >= 200) * 99}",
        "ip6": f"fd50:dbc:41f2:4a3c:0:0:1:{number:x}",
        "last_time": 120,
        "status": "online" if online else "offline",
        "type": "peer_state",
        "uid": f"{number:040x}",
        "xmpp_time": 30,
    }
    if online:
        state |= {"security": "dtls", "stats": [pair()] if pairs is None else list(pairs)}
    return state | more


def styled(state: Any, header: bytes = b"\x03\x01") -> bytes:
    """Return a datagram."""
    return header + json.dumps(state, indent=3, sort_keys=True, separators=(",", " : ")).encode() + b"\n"


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


HAS_IPV6 = _has_ipv6()
"""Whether this machine has ::1; a container may not."""


class Tincan(Serving):
    """A tincan of a version of HEADERS; `peers` and `manner` may be changed at any time.

    "deaf" hears the second request first, "late" answers the first one only then, "partial" ends after half of the peers, "cut" cuts each datagram
    in the middle, "forged" lets another port answer as well, "newer" answers as IPOP 18 would.
    """

    kind = socket.SOCK_DGRAM

    def __init__(
        self,
        port: int = 0,
        manner: str = "whole",
        *,
        version: str = "16",
        peers: Sequence[dict[str, Any]] | None = None,
        ipv6: bool = True,
    ) -> None:
        super().__init__(port, manner)
        self.header = HEADERS[version]
        self.peers = [peer(1), peer(2, online=False)] if peers is None else list(peers)
        self.told = 0
        """How many requests were answered, to the last datagram."""
        self._threads: list[threading.Thread] = []
        self._sockets = [self._socket]
        if ipv6 and HAS_IPV6:
            self._sockets.append(self._sixth(fixed=port != 0))

    def _sixth(self, fixed: bool) -> socket.socket:
        """A socket at the same port of ::1; where somebody else has that one, both move, unless the port is `fixed`."""
        while True:
            sixth = socket.socket(socket.AF_INET6, self.kind)
            try:
                sixth.bind(("::1", self.port))
            except OSError:
                sixth.close()
                if fixed:
                    raise
                taken = self._socket
                self._socket = socket.socket(socket.AF_INET, self.kind)
                self._socket.bind(("127.0.0.1", 0))
                taken.close()
                self._sockets[0], self.port = self._socket, self._socket.getsockname()[1]
            else:
                return sixth

    def start(self) -> None:
        """Begin to serve."""
        for one in self._sockets:
            thread = threading.Thread(target=self._serve_at, args=(one,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End: the port is free again."""
        self._ended.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.sendto(b"", one.getsockname())  # who waits for a datagram keeps the port
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()

    def answers(self, request: bytes) -> list[bytes]:
        """Return the datagrams a healthy tincan answers with."""
        if self.header:
            request = request[2:]
        elif not request.startswith(b"{"):
            return []  # a packet for its network device
        try:
            asked = json.loads(request)
        except ValueError:
            return [self.header + ERROR]
        if asked.get("m") != "get_state":
            return []
        peers = sorted(self.peers, key=lambda state: str(state.get("uid")))
        states = [LOCAL, *(state if asked.get("stats") else _without(state, "stats") for state in peers)]
        return [styled(state if self.header else as_first(state), self.header) for state in states]

    def _serve_at(self, one: socket.socket) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                request, sender = one.recvfrom(65536)
                if request and not self._ended.is_set():
                    self.requests.append(request)
                    self._answer(one, request, sender)
                    self.told += 1

    def _answer(self, one: socket.socket, request: bytes, sender: Any) -> None:
        datagrams = self.answers(request)
        repeated = len(self.requests) > 1
        if self.manner == "silent" or (self.manner in ("deaf", "late") and not repeated):
            return
        if self.manner == "late":
            datagrams = self.answers(self.requests[0]) + datagrams
        elif self.manner == "partial":
            datagrams = datagrams[: len(datagrams) // 2 + 1]
        elif self.manner == "cut":
            datagrams = [datagram[: len(datagram) // 2] for datagram in datagrams]
        elif self.manner == "forged":
            with socket.socket(one.family, self.kind) as forger:
                forger.sendto(styled(peer(99), self.header), sender)
        elif self.manner in ("empty", "junk", "error", "newer"):
            datagrams = [{"empty": b"", "junk": JUNK, "error": self.header + ERROR, "newer": NEWER}[self.manner]]
        for datagram in datagrams:
            one.sendto(datagram, sender)
        while datagrams and self.manner == "endless" and not self._ended.wait(0.0005):
            one.sendto(datagrams[-1], sender)


def _without(state: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != key}


def as_first(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as 14.01.1 tells it: no type, no time of XMPP, and candidate pairs as two texts."""
    told = {name: value for name, value in state.items() if name not in ("type", "xmpp_time", "_mac", "security")}
    if isinstance(state.get("stats"), list):
        fields = (
            *("best_conn", "writable", "readable", "timeout", "new_conn", "rtt"),
            *("sent_total_bytes", "sent_bytes_second", "recv_total_bytes", "recv_bytes_second"),
        )
        pairs = state["stats"]
        told["stats"] = "".join(":".join(str(int(pair[field])) for field in fields) + " " for pair in pairs)
        told["stats_cons"] = "".join(f"{pair['local_addr']} {pair['rem_addr']} " for pair in pairs)
    return told


def many(number: int) -> list[dict[str, Any]]:
    """Return so many peers, each up over two pairs."""
    return [
        peer(place, [pair(place * 1000, place * 500), pair(0, 0, best=False, port=50000)])
        for place in range(1, number + 1)
    ]


def hostile() -> list[dict[str, Any]]:
    """Return peers whose names and numbers want to be more, and a healthy one."""
    odd = "172.31.0.9|x=1;2\x1b[2J'<b>"
    return [
        peer(1),
        peer(2, ip4=odd),
        peer(3, ip4="../../etc/passwd", uid="\ud800" * 50),
        peer(4, status=["online"], last_time=-1, xmpp_time="soon"),
        peer(5, [pair(-1, 1 << 70), pair(best=False)], last_time=1e300),
        peer(6, stats={"best_conn": True}),
        peer(7, [pair(rtt=4294967295, rem_type=7), 5, {}]),  # type: ignore[list-item]
        {"type": "peer_state"},
    ]


def main() -> None:
    """Serve as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--manner", choices=MANNERS, default="whole")
    parser.add_argument("--version", choices=tuple(HEADERS), default="16")
    parser.add_argument("--peers", type=int, default=2, help="how many, each up over two pairs")
    asked = parser.parse_args()
    serving.run(Tincan(asked.port, asked.manner, version=asked.version, peers=many(asked.peers)))


if __name__ == "__main__":
    main()
