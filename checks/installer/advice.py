"""What to tell an operator when an installer builder fails: which part of it, and what to do next."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

from checks import web
from checks.installer.builder import Unexpected
from checks.output import clean_name

_LONGEST = 120
_SETTINGS = "mend BASE_URL and CUSTOM_INSTALLER_URL in its settings"
_STATIC = "mend CUSTOM_INSTALLER_URL in its settings, or its static files"


def failed_call(error: web.WebError, base: str, method: str) -> str:
    """Return the line for a call that failed."""
    server = web.place(base)
    if isinstance(error, web.WrongStatus):
        return _status_of_call(error.page, base, method)
    if isinstance(error, web.Fault):
        return f"{server} fails in {method} ({fault(error)}): see its error log"
    if isinstance(error, Unexpected):
        return f"{server} is no installer builder as we know it ({_clean(str(error))}): check --url"
    if isinstance(error, web.NoAnswer):
        return f"{server} takes connections but never answers ({method}): it hangs, restart it"
    if isinstance(error, web.Malformed) and not isinstance(error, web.Incomplete):
        return f"{server} answers, but not as an installer builder: check --url, then its error log ({method}: {_clean(str(error))})"
    return _failed(error, server, method)


def failed_download(error: web.WebError, base: str, platform: str) -> str:
    """Return the line for an installer that did not come."""
    server = web.place(base)
    if isinstance(error, web.Redirected):
        return (
            f"{server} {_clean(str(error))} for the {platform} installer: {_SETTINGS}, or allow it by --redirect-host"
        )
    if isinstance(error, web.Unresolvable | web.Unreachable | web.Untrusted) and web.place(error.url) != server:
        return f"{server} sends the {platform} installer's users to {web.place(error.url)} ({_clean(str(error))}): {_SETTINGS}"
    if isinstance(error, web.NoAnswer) and not error.url.endswith(f"/installers/{platform}/"):
        return f"{web.place(error.url)} never sends the packed {platform} installer: it hangs, restart its web server"
    if isinstance(error, web.NoAnswer):
        return f"{server} did not pack the {platform} installer in time: see its load and disk, or give more time by -t"
    if isinstance(error, web.Incomplete):
        return f"{server}: {error} ({platform} installer): see its error log and network, or give more time by -t"
    if isinstance(error, web.TooLarge):
        return f"{server} sends a {platform} installer of {error}: see what it packs"
    return _failed(error, server, f"{platform} installer")


def wrong_page(page: web.Page, base: str, platform: str, build: str) -> str:
    """Return the line for an installer that was answered with another status than 200."""
    server, exception = web.place(base), debug_page(page.body)
    status, said = f"HTTP {page.status}", _clean(exception)
    if page.status == 500 and "vesselinfo" in exception:
        return f"build {build[:8]}... is damaged on {server}, {platform} can't be packed: make a new one ({said})"
    if page.status == 500 and not said:
        return error_page(base, platform, status)
    if page.status == 500 and f"seattle_{platform[:3]}" in exception:
        return f"the base installer for {platform} is missing on {server}: rebuild it there ({said})"
    if page.status == 404 and urlsplit(page.url).path.endswith(f"/installers/{platform}/"):
        return (
            f"{server} has no build {build[:8]}... any more ({status}): check --build-id, or make a new one by --build"
        )
    if page.status == 404:
        path = _clean(urlsplit(page.url).path)
        return f"{web.place(page.url)} does not serve the packed {platform} installer: {_STATIC} ({status}, {path})"
    return _status(page, server, f"{platform} installer", said)


def error_page(base: str, platform: str, status: str = "HTTP 200") -> str:
    """Return the line for an error page without a word about the error; without debug pages, the builder sends it with status 200."""
    what = f"the base installer for {platform} is missing on {web.place(base)}, or its disk is full"
    return f"{what}: see its error log (error page instead of the installer, {status})"


def fault(error: web.Fault) -> str:
    """Return a fault's text without the module of its exception: it comes as "<class 'package.module.Name'>:text"."""
    found = re.fullmatch(r"<(?:class|type) '(?:[\w.]*\.)?(\w+)'>:(.*)", str(error), re.DOTALL)
    return _clean(f"{found[1]}: {found[2]}" if found else str(error))


def debug_page(body: bytes) -> str:
    """Return the exception that a debug page of Django shows, as it is, or "" where it is none."""
    text = body.decode("utf-8", "replace")
    kind = re.search(r"<title>\s*([\w.]{1,60}) at /", text)
    value = re.search(r'<pre class="exception_value">([^<]{0,2000})', text)
    if not kind:
        return ""
    return f"{kind[1]}: {unescape(value[1])}" if value else kind[1]


def _status_of_call(page: web.Page, base: str, method: str) -> str:
    server = web.place(base)
    if 300 <= page.status < 400 and page.location:
        return f"{server} sends us to {_clean(page.location.removesuffix('xmlrpc/'))}: give that as --url"
    if page.status == 404:
        return f"{server} has no {_clean(urlsplit(page.url).path)} (HTTP 404): check --url"
    return _status(page, server, method, _clean(debug_page(page.body)))


def _status(page: web.Page, server: str, doing: str, said: str) -> str:
    status = f"HTTP {page.status}"
    if page.status == 400:
        return f"{server} refuses the request ({status}): is this name in ALLOWED_HOSTS of its settings?"
    if page.status in (401, 403):
        return f"{server} forbids it ({status}, {doing}): let this host in"
    if page.status in (502, 503, 504):
        return f"{server} is up, but the application behind it is not ({status}): restart the application"
    if page.status == 500:
        return f"{server} fails ({status}, {doing}{': ' * bool(said)}{said}): see its error log"
    return f"{server} answers {status} ({doing}): check --url"


def _failed(error: web.WebError, server: str, doing: str) -> str:
    text = _clean(str(error))
    if isinstance(error, web.Unresolvable):
        return f"{server}: {text}: check --url and the name service"
    if isinstance(error, web.Refused):
        return f"{server} refuses connections: start its web server"
    if isinstance(error, web.Unreachable):
        return f"{server} can't be reached ({text}): look at the machine and its network"
    if isinstance(error, web.Untrusted):
        return f"{server}: {text}: renew it, or name its authority by --ca"
    if isinstance(error, web.EmptyAnswer):
        return f"{server} hangs up ({doing}: {text}): see its error log"
    return f"{server}: {text} ({doing}): see its error log and disk"


def _clean(text: str) -> str:
    text = clean_name(" ".join(text.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
