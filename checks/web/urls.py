"""URLs as options take them, and how the first line names a server."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from checks.output import host_port

_LONGEST_URL = 2000


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
    return host_port(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
