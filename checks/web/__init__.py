"""Web servers asked within bounds: pages, downloads and XML-RPC calls, never larger and never longer than the caller says.

On requests, which is imported when the first request is made (100 ms). No proxies and no passwords are taken from the environment of who runs a
check; cookies are not kept; each request has a connection of its own.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from checks.web.answers import (
    EmptyAnswer,
    Fault,
    Incomplete,
    Malformed,
    NoAnswer,
    Page,
    Redirected,
    Refused,
    Request,
    TooLarge,
    Unreachable,
    Unresolvable,
    Untrusted,
    WebError,
    WrongStatus,
)
from checks.web.urls import folder_url, place, read_url

__all__ = [
    "EmptyAnswer",
    "Fault",
    "Incomplete",
    "Malformed",
    "NoAnswer",
    "Page",
    "Redirected",
    "Refused",
    "Request",
    "TooLarge",
    "Unreachable",
    "Unresolvable",
    "Untrusted",
    "WebError",
    "WrongStatus",
    "call",
    "download",
    "folder_url",
    "get",
    "load",
    "place",
    "post",
    "read_url",
]

LARGEST_CALL = 1024 * 1024


def load() -> None:
    """Import what a request needs, for who measures times: our own imports (100 ms) are not the server's."""
    import xmlrpc.client  # noqa: F401

    import checks.web.transport  # noqa: F401


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

    from checks.web.xmlrpc import decode

    request = dumps(tuple(params), method).encode("utf-8")
    page = post(url, request, {"Content-Type": "text/xml"}, until, largest, ca=ca)
    if page.status != 200:
        raise WrongStatus(page)
    return decode(page.body)


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
    from checks.web.transport import exchange  # before the clock starts: our own imports are not the server's time

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
