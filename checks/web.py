"""Web servers asked within bounds: pages, downloads and XML-RPC calls, never larger and never longer than the caller says.

On requests, which is imported when the first request is made (100 ms). No proxies and no passwords are taken from the environment of who runs a
check; cookies are not kept; each request has a connection of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

LARGEST_CALL = 1024 * 1024
_LONGEST_URL = 2000


class WebError(Exception):
    """A web server did not do what it should; the text is for an operator and names no server.

    `url` is what was asked, which after a redirect is another than the caller's.
    """

    url = ""


class Unresolvable(WebError):
    """The name service knows no address of this host, so nothing is known about the server."""


class Unreachable(WebError):
    """No connection: no route, or nobody took it in time."""


class Refused(Unreachable):
    """The host says that nothing listens on this port."""


class Untrusted(WebError):
    """The server's certificate is not to be trusted; the text says why."""


class NoAnswer(WebError):
    """The connection stands and the request is sent, but an answer with all its headers did not come in time."""


class EmptyAnswer(WebError):
    """The server closed the connection without an answer."""


class Malformed(WebError):
    """What came back is not what the protocol says; the text quotes how it begins."""


class Incomplete(Malformed):
    """The answer began well, but its end did not come: the connection was closed, or time was up."""


class TooLarge(WebError):
    """The answer is larger than the caller takes."""


class Redirected(WebError):
    """The server sends us elsewhere: to another host, in a loop, or where no redirect was expected; `location` is the URL."""

    def __init__(self, text: str, location: str) -> None:
        super().__init__(text)
        self.location = location


class Page(NamedTuple):
    """A whole answer.

    `body` has at most 64 kB where `status` is 400 or above (what is beyond is not read), and is empty where a download went to its file; `size`
    is what was read; `seconds` is from before the name's look-up to the last byte; `location` is the absolute URL of a redirect that was not
    followed, or ""; `url` is where the answer came from.
    """

    status: int
    body: bytes
    size: int
    seconds: float
    location: str
    url: str


class Request(NamedTuple):
    """What is asked: `ca` is a file of certificates to trust instead of the system's."""

    method: str
    url: str
    body: bytes | None
    headers: dict[str, str]
    ca: str | None


class WrongStatus(WebError):
    """An XML-RPC call was answered with another HTTP status than 200; `page` is the answer."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"HTTP {page.status}")
        self.page = page


class Fault(WebError):
    """An XML-RPC call was answered with a fault; its text is the server's own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def get(
    url: str, until: float, largest: int, *, redirects: int = 0, hosts: Collection[str] = (), ca: str | None = None
) -> Page:
    """Return what a GET is answered with, whatever its status.

    `until` is the moment of time.monotonic() at which waiting ends, whatever the server does; `largest` is in bytes. Up to `redirects` redirects
    are followed, on the same host or one of `hosts`, and never from https to http. `ca` is a file of certificates to trust instead of the system's.
    Raises WebError; a compressed answer, which nobody asked for, is Malformed.
    """
    return _exchange(Request("GET", url, None, {}, ca), until, largest, redirects=redirects, hosts=hosts)


def post(
    url: str, body: bytes, headers: Mapping[str, str], until: float, largest: int, *, ca: str | None = None
) -> Page:
    """Return what a POST is answered with, whatever its status; see `get`. A redirect is never followed. Raises WebError."""
    return _exchange(Request("POST", url, body, dict(headers), ca), until, largest)


def download(
    url: str,
    file: IO[bytes],
    until: float,
    largest: int,
    *,
    redirects: int = 0,
    hosts: Collection[str] = (),
    ca: str | None = None,
) -> Page:
    """Write the body of an answer with status 200 to `file`, as it is, also where its headers call it compressed; see `get`.

    Django and Apache say so of a .tgz that they send unchanged. Raises WebError, and OSError where `file` can't be written.
    """
    return _exchange(Request("GET", url, None, {}, ca), until, largest, redirects=redirects, hosts=hosts, file=file)


def call(
    url: str, method: str, params: Sequence[Any], until: float, *, largest: int = LARGEST_CALL, ca: str | None = None
) -> Any:
    """Return the value that an XML-RPC call gives: int, bool, float, str, bytes, datetime, None, list or dict.

    Raises Fault, WrongStatus, or another WebError; see `get`.
    """
    from xmlrpc.client import dumps  # with all of HTTP: 40 ms

    from checks.xmlrpc_answer import decode

    request = dumps(tuple(params), method).encode("utf-8")
    page = post(url, request, {"Content-Type": "text/xml"}, until, largest, ca=ca)
    if page.status != 200:
        raise WrongStatus(page)
    return decode(page.body)


def read_url(text: str) -> str:
    """Return an http or https URL as options take it. Raises ValueError."""
    if len(text) > _LONGEST_URL or not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{text[:80]!r} is not a URL")
    parts = urlsplit(text)
    port = parts.port  # raises ValueError itself
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9._:%-]+", parts.hostname or ""):
        raise ValueError(f"{text[:80]!r} is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user or password in it is not taken: everyone on this host could read it")
    if parts.fragment or port == 0 or (parts.hostname or "").startswith("-"):
        raise ValueError(f"{text[:80]!r} is not the URL of a server")
    return text


def folder_url(text: str) -> str:
    """Return the URL of a folder, with its slash at the end, as options take it. Raises ValueError."""
    url = read_url(text)
    if "?" in url:
        raise ValueError(f"{text[:80]!r} is not the URL of a folder")
    return url if url.endswith("/") else url + "/"


def place(url: str) -> str:
    """Return host:port of a URL, as the first line names a server."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _exchange(
    request: Request,
    until: float,
    largest: int,
    *,
    redirects: int = 0,
    hosts: Collection[str] = (),
    file: IO[bytes] | None = None,
) -> Page:
    """Make one request, and those its redirects lead to."""
    from checks.transport import exchange  # before the clock starts: our own imports are not the server's time

    started = time.monotonic()
    seen = {request.url}
    while True:
        try:
            page = exchange(request, until, largest, file)
        except WebError as error:
            error.url = request.url
            raise
        if not (page.location and redirects):
            return page._replace(seconds=time.monotonic() - started)
        _may_follow(request.url, page.location, hosts)
        if page.location in seen or len(seen) > redirects:
            raise Redirected("redirects in a loop", page.location)
        request = request._replace(url=page.location)
        seen.add(page.location)


def _may_follow(url: str, location: str, hosts: Collection[str]) -> None:
    """Raise Redirected where a redirect leaves the hosts that may be asked, or safe ground."""
    try:
        read_url(location)
    except ValueError as error:
        raise Redirected("redirects to what is no URL", location) from error
    here, there = urlsplit(url), urlsplit(location)
    if there.hostname != here.hostname and there.hostname not in hosts:
        raise Redirected(f"redirects to another host, {place(location)}", location)
    if (here.scheme, there.scheme) == ("https", "http"):
        raise Redirected(f"redirects from https to http, {place(location)}", location)
