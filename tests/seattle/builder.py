"""A double of the Custom Installer Builder: its XML-RPC answers as captured from the real one (Django 1.8, Python 2.7), its redirect to the packed
file, and its ways to fail. The archives are packed as the real packager packs them: the custom vesselinfo behind everything else.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Collection
from typing import Any
from xmlrpc import client

from tests.seattle.serving import parser, run
from tests.seattle.web import Asked, WebServing

BASE = "/custom_install/"
BUNDLES = {
    "linux": "seattle_linux.tgz",
    "mac": "seattle_mac.tgz",
    "windows": "seattle_win.zip",
    "android": "seattle_android.zip",
}
MEMBER = "seattle/seattle_repy/vesselinfo"
RESERVED = "65537 " + "22599311712094481841" * 4
# As captured: two vessels, and the reserved one; no newline at the end.
VESSELINFO = (
    f"Percent 60\nOwner 12345 54321\nUser 1 2\nPercent 20\nOwner 3 4\nUser 67890 09876\nPercent 20\nOwner {RESERVED}"
)
BUILD = "5e1f" * 10
_INVALID = "<class 'custominstallerbuilder.common.validations.ValidationError'>:"
_BASE_FILES = {"seattle/install.sh": b"#!/bin/sh\n", "seattle/seattle_repy/nmmain.py": b"version = '0.1t'\n" * 3000}


class InstallerBuilder(WebServing):
    """The builder. What tests change at any time stands in its attributes."""

    def __init__(self, port: int = 0, manner: str = "whole", lacking: Collection[str] = (), debug: bool = True) -> None:
        super().__init__(port, manner)
        self.lacking = set(lacking)
        """Platforms without a base installer."""
        self.debug = debug
        """Whether errors show Django's debug page."""
        self.version = "2.0"
        self.base_url = f"http://127.0.0.1:{self.port}"
        """BASE_URL of its settings, which may name another host than it is asked by."""
        self.custom_installer_url = f"{self.base_url}{BASE}static/installers"
        """CUSTOM_INSTALLER_URL of its settings: where packed installers are."""
        self.builds: dict[str, str | None] = {BUILD: VESSELINFO}
        """The vesselinfo of each build; None where the folder is there without one."""
        self.packed: dict[str, bytes] = {}
        """Installers as they are on disk, by platform, instead of what would be packed."""
        self.faults: dict[str, str] = {}
        """What methods fail with."""
        self.pages: dict[str, bytes] = {}
        """Whole answers by path."""

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}{BASE}"

    def respond(self, asked: Asked) -> bytes:
        """Answer as Django does."""
        if asked.path in self.pages:
            return self.pages[asked.path]
        if asked.path == f"{BASE}xmlrpc/":
            return self._xmlrpc(asked)
        if not asked.path.endswith("/") and f"{asked.path}/" == f"{BASE}xmlrpc/":
            if asked.method == "POST":
                return self._error(
                    asked.path, "RuntimeError", "You called this URL via POST, but the URL doesn't end in a slash"
                )
            return django(b"", "301 MOVED PERMANENTLY", "text/html", f"Location: {self.base_url}{asked.path}/")
        parts = asked.path.removeprefix(BASE).strip("/").split("/")
        if len(parts) == 3 and parts[1] == "installers":
            return self._installer(asked.path, parts[0], parts[2])
        if len(parts) == 4 and parts[:2] == ["static", "installers"]:
            return self._static(parts[2], parts[3])
        return self._not_found() if parts != [""] else django(b"<html><title>Custom Installer Builder</title></html>")

    def _xmlrpc(self, asked: Asked) -> bytes:
        if asked.method != "POST":
            return django(b"<html><title>Custom Installer Builder: XML-RPC</title></html>")
        params, method = client.loads(asked.body)
        try:
            text = client.dumps((self._call(str(method), params),), methodresponse=True)
        except client.Fault as fault:
            text = client.dumps(fault, methodresponse=True)
        return django(text.encode(), "200 OK", "application/xml")

    def _call(self, method: str, params: tuple[Any, ...]) -> Any:
        if method in self.faults:
            raise client.Fault(1, self.faults[method])
        if method == "api_version":
            if params:
                text = f"{method}() takes exactly 1 argument ({len(params) + 1} given)"
                raise client.Fault(1, f"<type 'exceptions.TypeError'>:{text}")
            return self.version
        if method == "get_urls":
            return self._get_urls(params[0])
        if method == "build_installers":
            return self._build(*params)
        raise client.Fault(1, f"<type 'exceptions.Exception'>:method \"{method}\" is not supported")

    def _get_urls(self, build: str) -> dict[str, str]:
        if len(build) != 40 or not build.isalnum() or build != build.lower():
            raise client.Fault(1, f"{_INVALID}Invalid build_id provided.")
        if build not in self.builds:
            raise client.Fault(1, f"{_INVALID}Given build ID does not exist.")
        return {platform: f"{self.base_url}{BASE}{build}/installers/{platform}/" for platform in BUNDLES}

    def _build(self, vessels: list[dict[str, Any]], users: dict[str, Any] | None = None) -> dict[str, Any]:
        total = sum(vessel["percentage"] for vessel in vessels)
        if not all(vessel.get("owner") for vessel in vessels):
            raise client.Fault(1, f"{_INVALID}All vessels must have a specified owner.")
        keys = {name: user.get("public_key", "") for name, user in (users or {}).items()}
        if any(len(key.split(" ")) != 2 or not key.replace(" ", "").isdigit() for key in keys.values()):
            raise client.Fault(1, f"{_INVALID}Invalid public key provided.")
        if total != 80:
            text = f"Vessel resources must total 80% exactly. Current vessels total {total}%."
            raise client.Fault(1, _INVALID + text)
        lines = []
        for vessel in vessels:
            lines += [f"Percent {vessel['percentage']}", f"Owner {keys[vessel['owner']]}"]
            lines += [f"User {keys[name]}" for name in vessel.get("users") or ()]
        build = hashlib.sha1(b"%d" % len(self.builds)).hexdigest()
        self.builds[build] = "\n".join([*lines, "Percent 20", f"Owner {RESERVED}"])
        given = {name: {"public_key": key} for name, key in keys.items()}
        return {"installers": self._get_urls(build), "users": given, "build_id": build}

    def _installer(self, path: str, build: str, platform: str) -> bytes:
        if build not in self.builds or platform not in BUNDLES:
            return self._not_found()
        if self.builds[build] is None:
            return self._error(path, "ValidationError", "There is no vesselinfo file for the given build ID.")
        if platform in self.lacking:
            missing = f"/home/cib/custominstallerbuilder/html/static/installers/base/{BUNDLES[platform]}"
            return self._error(path, "IOError", f"[Errno 2] No such file or directory: u&#39;{missing}&#39;")
        target = f"{self.custom_installer_url}/{build}/{BUNDLES[platform]}"
        return django(b"", "302 FOUND", "text/html; charset=utf-8", f"Location: {target}")

    def _static(self, build: str, name: str) -> bytes:
        platform = next((platform for platform, bundle in BUNDLES.items() if bundle == name), "")
        text = self.builds.get(build)
        if not platform or text is None:
            return self._not_found()
        data = self.packed.get(platform) or (tgz if name.endswith(".tgz") else zipped)(text.encode())
        # What Django's static server says of a .tgz, which it sends as it is.
        kind, more = (
            ("application/x-tar", ["Content-Encoding: gzip"]) if name.endswith(".tgz") else ("application/zip", [])
        )
        return django(data, "200 OK", kind, f"Content-Length: {len(data)}", *more)

    def _error(self, path: str, kind: str, value: str) -> bytes:
        if not self.debug:
            # The builder has an error page of its own, and sends it with status 200: observed on the real one.
            return django(b"<html>Error, mail someone@example.com</html>")
        head = f"<html><head><title>{kind} at {path}</title></head><body><h1>{kind} at {path}</h1>"
        page = f'{head}<pre class="exception_value">{value}</pre><table>SECRET_KEY</table></body></html>'
        return django(page.encode(), "500 INTERNAL SERVER ERROR")

    def _not_found(self) -> bytes:
        return django(b"<h1>Not Found</h1>", "404 NOT FOUND")


def django(body: bytes, status: str = "200 OK", kind: str = "text/html; charset=utf-8", *headers: str) -> bytes:
    """Return an answer as Django 1.8 sends it through Python 2's WSGI server: HTTP/1.0, and its length only where a file is served."""
    fixed = ("Date: Sat, 21 Nov 2026 15:54:10 GMT", "Server: WSGIServer/0.1 Python/2.7.18", f"Content-Type: {kind}")
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.0 {status}", *fixed, *headers))
    return head.encode("ascii") + b"\r\n" + body


def tgz(vesselinfo: bytes | None, more: dict[str, bytes] | None = None, member: str = MEMBER) -> bytes:
    """Return an installer as `tar -rf` and gzip leave it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in _files(vesselinfo, more, member):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), 1, mtime=0)


def zipped(vesselinfo: bytes | None, more: dict[str, bytes] | None = None, member: str = MEMBER) -> bytes:
    """Return an installer as `zip -r` leaves it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _files(vesselinfo, more, member):
            archive.writestr(name, data)
    return packed.getvalue()


def _files(vesselinfo: bytes | None, more: dict[str, bytes] | None, member: str) -> list[tuple[str, bytes]]:
    own = [] if vesselinfo is None else [(member, vesselinfo)]
    return [*_BASE_FILES.items(), *(more or {}).items(), *own]


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--lacking", action="append", default=[], choices=tuple(BUNDLES))
    options.add_argument("--no-debug", action="store_true")
    chosen = options.parse_args()
    run(InstallerBuilder(chosen.port, chosen.manner, chosen.lacking, not chosen.no_debug))
