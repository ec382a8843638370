"""A double of the clearinghouse's lock server: XML-RPC GetStatus as SimpleXMLRPCServer of Python 2.7 answers it, captured from that.

It is stricter than the real one, which ends itself only on an internal exception: anything but GetStatus ends this one.
"""

from __future__ import annotations

import re
import socket
from datetime import datetime
from xmlrpc.client import Fault, dumps

from tests.seattle.serving import parser, run
from tests.seattle.web import Asked, WebServing

HEAD = "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.3 Python/2.7.18\r\nDate: Sat, 21 Nov 2026 15:39:31 GMT\r\nContent-type: text/xml\r\n"
TAKEN = datetime(2026, 11, 21, 10, 0, 0)


class LockServer(WebServing):
    """Holds the locks that a test gives it with `hold`; `faults` is how many requests it answers with a fault first."""

    def __init__(self, port: int = 0, manner: str = "whole") -> None:
        super().__init__(port, manner)
        self.faults = 0
        self._held: dict[str, dict[str, dict[str, object]]] = {"node": {}, "user": {}}
        self._times: list[tuple[dict[str, str], datetime]] = []
        self._sessions: dict[str, dict[str, object]] = {}

    def hold(self, kind: str, name: str, session: str | None = "1000001", queue: tuple[str, ...] = ()) -> None:
        """Let `session` hold a lock, and others wait for it; a lock that nobody holds any more stays in the list with None."""
        self._held[kind][name] = {"queue": list(queue), "locked_by_session": session}
        self._times = [entry for entry in self._times if entry[0] != {kind: name}]
        if session is not None:
            self._times.append(({kind: name}, TAKEN))
            self._sessions[session] = {
                "heldlocks": {"node": [], "user": []} | {kind: [name]},
                "neededlocks": {"node": [], "user": []},
                "acquirelocksproceedeventset": True,
            }

    def status(self) -> dict[str, object]:
        """Return what GetStatus gives."""
        return {"locktimelist": self._times, "heldlockdict": self._held, "sessiondict": self._sessions}

    def respond(self, asked: Asked) -> bytes:
        """Answer GetStatus."""
        if self.faults:
            self.faults -= 1
            return answer(fault("<type 'exceptions.RuntimeError'>:dictionary changed size during iteration"))
        if not only_get_status(asked):
            return answer(fault("<type 'exceptions.Exception'>:the lockserver ends itself"))
        return answer(dumps((self.status(),), methodresponse=True, allow_none=True))

    def converse(self, connection: socket.socket) -> None:
        """Read one request and answer it; anything but GetStatus is the end."""
        asked = self.asked(connection)
        self.answer(connection, self.respond(asked))
        if not only_get_status(asked):
            self.stop()


def only_get_status(asked: Asked) -> bool:
    """Whether this is the harmless question."""
    return bool(re.search(rb"<methodName>GetStatus</methodName>\s*<params>\s*</params>", asked.body))


def fault(text: str) -> str:
    """Return the body of a fault."""
    return dumps(Fault(1, text), methodresponse=True)


def answer(body: str) -> bytes:
    """Return the whole answer."""
    return f"{HEAD}Content-length: {len(body)}\r\n\r\n{body}".encode("latin-1")


if __name__ == "__main__":
    arguments = parser(__doc__).parse_args()
    run(LockServer(arguments.port, arguments.manner))
