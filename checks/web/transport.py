"""One HTTP request and its answer on requests, with an end to all waiting: what `checks.web` is made of.

The time limits of requests hold for each read, so that a server which sends a byte now and then is waited for without end. Here a timer shuts the
connection down when time is up: whatever reads or writes then, returns.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from checks.version import VERSION
from checks.web.answers import (
    EmptyAnswer,
    Incomplete,
    Malformed,
    NoAnswer,
    Page,
    Refused,
    Request,
    TooLarge,
    Unreachable,
    Unresolvable,
    Untrusted,
    WebError,
)

_CHUNK = 65536
_LARGEST_ERROR_PAGE = 65536
_HEADERS = {"User-Agent": f"testbed-checks/{VERSION}", "Accept": "*/*", "Accept-Encoding": "identity"}


def exchange(request: Request, until: float, largest: int, file: IO[bytes] | None) -> Page:
    """Return the answer to one request; a redirect is not followed. See `checks.web.get` and `download`. Raises WebError."""
    started = time.monotonic()
    with _Guard(until) as guard:
        answer = _send(request, guard)
        try:
            page = _read(request, answer, guard, largest, file)
        finally:
            answer.close()
    return page._replace(seconds=time.monotonic() - started)


class _Guard:
    """Shuts down the connections made under it when time is up."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.struck = False
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(self.left(), self._strike)
        self._timer.daemon = True

    def __enter__(self) -> _Guard:
        self._token = _guard.set(self)
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _guard.reset(self._token)
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    def left(self) -> float:
        """Seconds that are left; never 0, which would mean not to wait at all and fails with another error."""
        return max(self.until - time.monotonic(), 0.001)

    def watch(self, connection: socket.socket) -> None:
        """Take care of a connection. A descriptor of our own stays valid whatever TLS and http.client do with theirs."""
        with self._lock:
            self._watched.append(connection.dup())

    def _strike(self) -> None:
        with self._lock:
            self.struck = True
            for connection in self._watched:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


# requests and urllib3 make connections out of sight; this is how those know the guard of the request they are made for.
_guard: ContextVar[_Guard] = ContextVar("_guard")


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self.host, self.port, _guard.get())


class _Secure(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self.host, self.port, _guard.get())


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        """Make connections that the guard watches."""
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def _connected(host: str, port: int | None, guard: _Guard) -> socket.socket:
    """Return a connection that is watched. Raises Unresolvable, Refused or Unreachable."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolvable(f"no address: {getattr(error, 'strerror', None) or 'it is no host name'}") from error
    failures: list[OSError] = []
    for number, (family, kind, protocol, _, address) in enumerate(found):
        connection = socket.socket(family, kind, protocol)
        # One address that swallows everything must leave time for the others.
        connection.settimeout(guard.left() / (len(found) - number))
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failures.append(error)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(guard.left())
        guard.watch(connection)
        return connection
    raise _not_connected(failures)


def _not_connected(failures: list[OSError]) -> WebError:
    if any(isinstance(failure, ConnectionRefusedError) for failure in failures):
        return Refused("connection refused")
    if any(isinstance(failure, TimeoutError) for failure in failures):
        return Unreachable("no connection in time")
    return Unreachable(f"no connection: {failures[0].strerror or failures[0]}" if failures else "no address")


def _send(request: Request, guard: _Guard) -> requests.Response:
    """Send the request and return the answer when its headers are there. Raises WebError."""
    headers = {**_HEADERS, **request.headers, "Connection": "close"}
    try:
        prepared = requests.Request(request.method, request.url, headers=headers, data=request.body).prepare()
        adapter = _Adapter(max_retries=0)
        answer = adapter.send(
            prepared, stream=True, timeout=guard.left(), verify=request.ca or _trusted(), proxies=None
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise _named(error, guard) from error
    except (OSError, ValueError) as error:  # ValueError: what http.client and ssl make of odd bytes
        raise _named(error, guard) from error
    if guard.struck:
        answer.close()
        raise NoAnswer("no complete answer in time")
    return answer


def _trusted() -> str | bool:
    """Return where trusted certificates are: the system's folder, of which only what is needed gets loaded, or the file of requests."""
    folder = ssl.get_default_verify_paths().capath
    return folder if folder and any(Path(folder).glob("*.0")) else True


def _read(request: Request, answer: requests.Response, guard: _Guard, largest: int, file: IO[bytes] | None) -> Page:
    """Read the body within its bounds."""
    failed = answer.status_code >= 400
    taken = file if answer.status_code == 200 else None
    if not failed:
        _must_fit(answer, largest, plain=taken is None)
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(answer, guard):
        size += len(piece)
        if failed and size > _LARGEST_ERROR_PAGE:
            break
        if size > largest and not failed:
            raise TooLarge(f"more than {largest} bytes")
        if taken is not None:
            taken.write(piece)
        else:
            pieces.append(piece)
    location = answer.headers.get("Location", "") if 300 <= answer.status_code < 400 else ""
    modified = _modified(answer.headers.get("Last-Modified", ""))
    return Page(
        answer.status_code, b"".join(pieces), size, 0.0, _absolute(request.url, location), request.url, modified
    )


def _modified(text: str) -> float | None:
    """Return the moment of a Last-Modified header (RFC 9110, section 8.8.2), epoch seconds; None for what is none."""
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        return parsedate_to_datetime(text[:60]).replace(tzinfo=UTC).timestamp() if text.endswith("GMT") else None
    return None


def _absolute(url: str, location: str) -> str:
    """Return where a redirect leads to; what is no URL stays as it is."""
    with contextlib.suppress(ValueError):
        return urljoin(url, location) if location else ""
    return location


def _must_fit(answer: requests.Response, largest: int, plain: bool) -> None:
    """Refuse by its headers what is too large, or compressed where the plain text was asked for."""
    announced = _announced(answer)
    if announced is not None and announced > largest:
        raise TooLarge(f"{announced} bytes, more than {largest}")
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if plain and encoding not in ("", "identity"):
        raise Malformed(f"the answer is compressed, which was not asked for: {encoding[:40]!a}")


def _announced(answer: requests.Response) -> int | None:
    """How many bytes the headers announce; None where only the end of the connection, or of the chunks, tells."""
    length = answer.headers.get("Content-Length", "")
    if answer.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
        return None
    return int(length[:18])


def _pieces(answer: requests.Response, guard: _Guard) -> Iterator[bytes]:
    """Yield the body as it comes, not decompressed. Raises NoAnswer or Malformed."""
    size = 0
    try:
        # Not stream(): it reads the line before a chunk whatever its length.
        while piece := answer.raw.read(_CHUNK, decode_content=False):
            size += len(piece)
            yield piece
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise _unfinished(guard, size) from error
    announced = _announced(answer)
    if guard.struck or (announced is not None and size < announced):
        raise _unfinished(guard, size)


def _unfinished(guard: _Guard, size: int) -> WebError:
    if guard.struck or guard.until <= time.monotonic():
        return Incomplete(f"the answer did not end in time, {size} bytes came")
    return Incomplete(f"the answer broke off after {size} bytes")


def _named(error: BaseException, guard: _Guard) -> WebError:
    """Return what an exception of requests, urllib3, http.client or ssl means to an operator."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(f"certificate: {cause.verify_message or cause}")
        if type(cause).__name__ == "CertificateError":  # urllib3 before 2: the name in the certificate
            return Untrusted(f"certificate: {cause}")
    if guard.struck or any(isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError) for cause in chain):
        return NoAnswer("no complete answer in time")
    for cause in chain:
        if isinstance(cause, http.client.RemoteDisconnected):
            return EmptyAnswer("connection closed without an answer")
        if isinstance(cause, http.client.HTTPException):
            return Malformed(f"the answer is not HTTP: {str(cause)[:60]!a}")
        if isinstance(cause, ssl.SSLError):
            return Malformed(f"the answer is not TLS: {cause.reason or cause}")
    if any(isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) for cause in chain):
        return EmptyAnswer("connection broken without an answer")
    return Malformed(f"the answer is not HTTP: {type(error).__name__}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it wraps, in whichever way: requests and urllib3 know three."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [part for part in wrapped if isinstance(part, BaseException)]
