"""What the doubles of web servers have in common: a request is read, and answered with bytes exactly as the double gives them."""

from __future__ import annotations

import socket
from typing import NamedTuple

from tests.seattle.serving import Serving, received


class Asked(NamedTuple):
    """A request as it came; header names are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class WebServing(Serving):
    """An HTTP/1.1 double that closes the connection after each answer."""

    def respond(self, asked: Asked) -> bytes:
        """Return the answer, from its status line to its last byte."""
        raise NotImplementedError

    def converse(self, connection: socket.socket) -> None:
        """Read one request and answer it."""
        self.answer(connection, self.respond(self.asked(connection)))

    def asked(self, connection: socket.socket) -> Asked:
        """Read one request, and keep it for the tests. Raises EOFError where the peer closes before its end."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += received(connection, 1) if not head else connection.recv(65536) or received(connection, 1)
        head, _, body = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body += received(connection, int(headers.get("content-length", 0)) - len(body))
        self.requests.append(head + b"\r\n\r\n" + body)
        return Asked(method, path, headers, body)


def answer(body: bytes, status: str = "200 OK", kind: str = "text/html", *headers: str) -> bytes:
    """Return an answer with its length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers)
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body
