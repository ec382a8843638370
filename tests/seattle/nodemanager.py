"""A double of Seattle's node manager: one worker that looks for work once a second, few connections for each client, no errors in the framing.

Its answers are those of the real server, byte for byte, but for the lists of resources, of which only their form is known.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.seattle.serving import Serving, parser, received, run

CAPTURED = (Path(__file__).parents[1] / "unit/data/check_seattle_node/vessels").read_bytes()
"""The answer of a real node manager to GetVessels, without its length."""
KEYS = tuple(dict.fromkeys(line[10:].decode() for line in CAPTURED.split(b"\n") if line.startswith(b"OwnerKey: ")))
"""The owners in it: of v2; of v3 and v4; of v5 and v6, who uses v4 as well."""
OFFCUT = b"""# what is left over
resource cpu .002
resource memory 1000000   # 1 MiB
resource diskused 100000
resource events 2
resource filewrite 1000
resource outsockets 0
resource random 0    # none

"""
VESSEL = b"""resource cpu 0.02
resource memory 30000000   # 30 MiB
resource diskused 20000000 # 20 MiB
resource events 15
resource messport 12345
resource messport 12346
resource connport 12345
resource connport 12346
resource connport 12348

call gethostbyname_ex allow
call sleep noargs is allow # as much as it likes
"""
_PRIVATE = (
    *("StartVessel", "StartVesselEx", "StopVessel", "AddFileToVessel", "ListFilesInVessel", "RetrieveFileFromVessel"),
    *("DeleteFileInVessel", "ReadVesselLog", "ResetVessel", "ChangeOwner", "ChangeUsers", "ChangeOwnerInformation"),
    *("ChangeAdvertise", "SplitVessel", "JoinVessels"),
)
_MOST_WAITING = 4


class Described(NamedTuple):
    """A vessel as GetVessels shows it; keys as `e n`."""

    name: str
    status: str = "Fresh"
    users: Sequence[str] = ()
    owner: str = KEYS[1]
    info: str = ""
    advertise: str = "True"


def described(
    vessels: Iterable[Described],
    version: str = "0.2-alpha-20140714-1434",
    name: str = "127.0.0.1",
    key: str = "65537 840301610928756114796324397867",
) -> bytes:
    """Return the answer to GetVessels of a node with these vessels."""
    lines = [f"Version: {version}", f"Nodename: {name}", f"Nodekey: {key}"]
    for vessel in vessels:
        lines += [f"Name: {vessel.name}", f"Status: {vessel.status}", f"Advertise: {vessel.advertise}"]
        lines += [f"OwnerKey: {vessel.owner}", f"OwnerInfo: {vessel.info}"]
        lines += [f"UserKey: {user}" for user in vessel.users]
    return "\n".join([*lines, "", "Success"]).encode("utf-8", "surrogateescape")


class NodeManager(Serving):
    """A node manager; `poll` 1.0 is the real one's, 0 answers at once; `surplus` counts connections that are closed before they are read."""

    def __init__(
        self,
        port: int = 0,
        manner: str = "whole",
        *,
        vessels: bytes = CAPTURED,
        resources: Mapping[bytes, bytes] | None = None,
        poll: float = 0.0,
        patience: float = 10.0,
    ) -> None:
        super().__init__(port, manner)
        self.vessels, self.poll, self.patience = vessels, poll, patience
        names = [line[6:] for line in vessels.split(b"\n") if line.startswith(b"Name: ")]
        self.resources = dict.fromkeys(names, VESSEL) if resources is None else dict(resources)
        self.surplus = 0
        self._worker, self._counting, self._waiting = threading.Lock(), threading.Lock(), 0

    def converse(self, connection: socket.socket) -> None:
        """Wait for the only worker, unless too many do, then answer one request."""
        with self._counting:
            if self.surplus or self._waiting >= _MOST_WAITING:
                self.surplus -= self.surplus > 0
                return
            self._waiting += 1
        with self._worker:
            with self._counting:
                self._waiting -= 1
            if self.poll:
                self._ended.wait(self.poll - time.monotonic() % self.poll)
            connection.settimeout(self.patience)
            request = _message(connection)
            self.requests.append(request)
            reply = self.reply(request)
            self.answer(connection, b"%d\n%s" % (len(reply), reply))

    def reply(self, request: bytes) -> bytes:
        """Return what the real server says to a request."""
        call, *arguments = request.split(b"|", 1)
        if call == b"GetVessels":
            return self.vessels
        if call == b"GetOffcutResources":
            return OFFCUT + b"\nSuccess"
        if call == b"GetVesselResources" and arguments:
            return self.resources[arguments[0]] + b"\nSuccess" if arguments[0] in self.resources else NO_VESSEL
        internal = call == b"GetVesselResources" or call.decode("ascii", "replace") in _PRIVATE
        return b"Internal Error\nError" if internal else b"Unknown Call\nError"


NO_VESSEL = b"No such vessel\nError"
HOSTILE = described(
    [
        Described("v1|x=1;2\x1b[2J\x07<b>", "Sta\u202ele\x00", info="\x1b]0;x\x07|'\"=\u2028<script>" + "y" * 200),
        Described("offcut"),
        Described("v2", "", ["3 5"], info="'quoted' | piped=1"),
        Described("../../etc", "Stale", KEYS, advertise="False"),
        Described("é漢" * 40, "ThreadErr" * 9),
        Described("\udcff\udcfe", "ThreadErr"),
        *(Described(f"{'long' * 50}{number}", "Started") for number in range(40)),
    ],
    version="0.2|\x1b[31m" + "v" * 300,
    name="\u202e127.0.0.1",
)


def hostile() -> NodeManager:
    """Return a node manager whose names want to be more than names."""
    return NodeManager(vessels=HOSTILE)


def many(number: int) -> bytes:
    """Return the answer of a node with so many vessels, in an order of no meaning, as node managers give them."""
    statuses = ("Fresh", "Started", "Started", "Stopped", "Terminated")
    users = ((), (KEYS[2],), (KEYS[0], KEYS[2]))
    names = sorted(range(1, number + 1), key=lambda one: one * 7919 % 1009)
    return described(Described(f"v{one}", statuses[one % 5], users[one % 3], KEYS[one % 2]) for one in names)


def _message(connection: socket.socket) -> bytes:
    """Return a framed message. Raises EOFError where there is none."""
    header = b""
    while not header.endswith(b"\n"):
        header += received(connection, 1)
        if len(header) > 20:
            raise EOFError
    if not header.strip().isdigit():
        raise EOFError
    return received(connection, int(header))


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--poll", type=float, default=1.0)
    options.add_argument("--vessels", type=int, default=0)
    asked = options.parse_args()
    answer = many(asked.vessels) if asked.vessels else CAPTURED
    run(NodeManager(asked.port, asked.manner, vessels=answer, poll=asked.poll))
