"""The calls and downloads of a Custom Installer Builder, a Django application.

Sources: its public documentation and views, and exchanges captured from the real one. XML-RPC at <base>xmlrpc/; an error is a Fault under HTTP 200.
A build is only a folder with a vesselinfo on the server; an installer is packed when <base><build id>/installers/<platform>/ is first asked for,
which then redirects to the packed file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from checks import web
from checks.seattle.keys import PublicKey

PLATFORMS = ("linux", "mac", "windows", "android")
NO_BUILD = "0" * 40
LARGEST_INSTALLER = 256 * 1024 * 1024
_ABSENT = "does not exist"
# What an owner gets in all, and in which steps: the rest is the reserved vessel's.
_PERCENT, _STEP = 80, 10


class Unexpected(web.WebError):
    """A call was answered well, with what no installer builder says."""


class Builder:
    """One installer builder; all waiting for it ends at `until`, a moment of time.monotonic()."""

    def __init__(self, base: str, until: float, ca: str | None = None) -> None:
        self.base, self.until, self._ca = base, until, ca

    def version(self) -> str:
        """Return the version of its API. Raises WebError."""
        version = self._call("api_version")
        if not isinstance(version, str) or not 0 < len(version) < 40:
            raise Unexpected(f"api_version is {_short(version)}")
        return version

    def probe(self) -> None:
        """Ask for a build that is not there, which makes it look at its disk. Raises WebError where it does not say that it is not there."""
        try:
            urls = self._call("get_urls", NO_BUILD)
        except web.Fault as fault:
            if _ABSENT not in str(fault):
                raise
        else:
            raise Unexpected(f"get_urls of a build that can't be there is {_short(urls)}")

    def urls(self, build: str) -> dict[str, str] | None:
        """Return the URL it gives its users for each platform of a build; None where the build is not there. Raises WebError."""
        try:
            urls = self._call("get_urls", build)
        except web.Fault as fault:
            if _ABSENT in str(fault):
                return None
            raise
        return _platforms(urls, "get_urls")

    def build(self, owners: Sequence[PublicKey], users: Sequence[PublicKey]) -> tuple[str, dict[str, str]]:
        """Make a new build of one vessel for each owner, with all users in each; its id, and the URLs as `urls`. Raises WebError.

        Owners get public keys of their own from us: otherwise the server would make them, and send the private ones.
        """
        keys = {f"owner{number}": key for number, key in enumerate(owners, 1)}
        names = list(keys)
        keys |= {f"user{number}": key for number, key in enumerate(users, 1)}
        vessels = [
            {"percentage": percent, "owner": name, "users": list(keys)[len(names) :]}
            for name, percent in zip(names, shares(len(names)), strict=True)
        ]
        answer = self._call("build_installers", vessels, {name: {"public_key": str(key)} for name, key in keys.items()})
        build = answer.get("build_id") if isinstance(answer, dict) else None
        if not isinstance(build, str) or not is_build_id(build):
            raise Unexpected("build_installers gives no build id")
        return build, _platforms(answer.get("installers"), "build_installers")

    def download(self, build: str, platform: str, file: IO[bytes], hosts: Collection[str]) -> web.Page:
        """Write an installer to `file`; it may be packed only now. Raises WebError, and OSError where `file` can't be written."""
        url = f"{self.base}{build}/installers/{platform}/"
        return web.download(url, file, self.until, LARGEST_INSTALLER, redirects=3, hosts=hosts, ca=self._ca)

    def _call(self, method: str, *params: Any) -> Any:
        return web.call(f"{self.base}xmlrpc/", method, params, self.until, ca=self._ca)


def is_build_id(text: str) -> bool:
    """Whether this has the form of a build id."""
    return re.fullmatch(r"[a-z0-9]{40}", text) is not None


def shares(number: int) -> list[int]:
    """Return the percentages of so many owners, 80 in all in tens; at most eight can have one."""
    tens, more = divmod(_PERCENT // _STEP, number)
    return [_STEP * (tens + (1 if index < more else 0)) for index in range(number)]


def hosts_of(urls: dict[str, str]) -> set[str]:
    """Return the hosts the server itself names in its URLs."""
    hosts = set()
    for url in urls.values():
        try:
            hosts.add(urlsplit(web.read_url(url)).hostname or "")
        except ValueError:
            continue
    return hosts - {""}


def _platforms(urls: Any, method: str) -> dict[str, str]:
    if not isinstance(urls, dict) or not all(isinstance(url, str) for url in urls.values()):
        raise Unexpected(f"{method} gives no URLs but {_short(urls)}")
    return urls


def _short(value: Any) -> str:
    """Return how a value looks, not more of it: it may be large, and hold keys."""
    return ascii(value)[:40] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
