"""A double of Seattle's software update site: a web server's folder with metainfo and the files it lists, signed with a key made here.

As with Apache, a double slash in a path counts as one, and what is not there is a 404 page.
"""

from __future__ import annotations

import copy
import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from tests.seattle import signer
from tests.seattle.serving import Serving, parser, run

NOT_FOUND = b"""<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">
<html><head>
<title>404 Not Found</title>
</head><body>
<h1>Not Found</h1>
<p>The requested URL was not found on this server.</p>
</body></html>
"""
FILES = {
    "nmAPI.py": b"# calls of the node manager\n" * 40,
    "nmmain.py": b'version = "0.2-test"\n' * 30,
    "softwareupdater.py": signer.updater(),
}
_LONGEST_REQUEST = 16384


class UpdateSite(Serving):
    """The folder is `files`, below /updatesite/, and may be changed at any time."""

    def __init__(
        self,
        folder: Path | None = None,
        port: int = 0,
        manner: str = "whole",
        files: dict[str, bytes] | None = None,
    ) -> None:
        """Serve `files`, or what is in `folder` as it is now, or else FILES with a metainfo signed a minute ago."""
        super().__init__(port, manner)
        if files is None:
            files = dict(FILES) if folder is None else _read(folder)
        self.files = files
        if folder is None and "metainfo" not in files:
            self.sign()
        self.paths: list[str] = []
        """What was asked for, the oldest first, as it stood in the request."""
        self.manners: dict[str, str] = {}
        """The manner for single files."""
        self.statuses: dict[str, int] = {}
        """The HTTP status for single files, with the 404 page as body; 302 redirects to `elsewhere`."""
        self.elsewhere = "http://127.0.0.1:1/"
        self.missing_is_200 = False
        self.merges_slashes = True
        self.before: Callable[[str, int], None] = lambda name, times: None
        """Called with a file's name and how often it was asked for before: a push that is going on."""

    @property
    def url(self) -> str:
        """The URL of the folder."""
        return f"http://127.0.0.1:{self.port}/updatesite/"

    def sign(self, by: signer.Key | None = None, *, signed: float | None = None, days: float | None = 30) -> bytes:
        """List and sign the files that are there, as writemetainfo.py would."""
        listed = {name: data for name, data in self.files.items() if name != "metainfo"}
        self.files["metainfo"] = signer.metainfo(listed, by, signed=signed, days=days)
        return self.files["metainfo"]

    def converse(self, connection: socket.socket) -> None:
        """Answer one GET."""
        connection.settimeout(30)
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _LONGEST_REQUEST:
            chunk = connection.recv(4096)
            if not chunk:
                return
            request += chunk
        path = request.split(b" ", 2)[1].decode("latin-1")
        self.requests.append(request)
        name = _name(path)
        times = sum(_name(earlier) == name for earlier in self.paths)
        self.paths.append(path)
        self.before(name, times)
        self._give(connection, name, self._response(name, path))

    def _response(self, name: str, path: str) -> bytes:
        body = self.files.get(name) if self.merges_slashes or "//" not in path else None
        status = 200 if body is not None or self.missing_is_200 else 404
        status = self.statuses.get(name, status)
        shown = body if body is not None and status == 200 else NOT_FOUND
        more = f"Location: {self.elsewhere}\r\n" if status in (301, 302) else ""
        head = f"HTTP/1.1 {status} Whatever\r\nServer: double\r\nContent-Length: {len(shown)}\r\n{more}Connection: close\r\n\r\n"
        return head.encode() + shown

    def _give(self, connection: socket.socket, name: str, data: bytes) -> None:
        one = copy.copy(self)  # other requests are answered meanwhile
        one.manner = self.manners.get(name, self.manner)
        one.answer(connection, data)


def hostile() -> UpdateSite:
    """A site that lists what it does not have, under names that could harm a status page, a shell or a terminal."""
    double = UpdateSite()
    odd = ("a|b=1;2;3", "<script>alert(1)</script>", "$(reboot)`id`'\"", "\u6f22\u5b57.py", "x" * 900)
    double.files["metainfo"] = signer.metainfo(dict.fromkeys(odd, b"1"))
    return double


def _name(path: str) -> str:
    return unquote(re.sub("/+", "/", path)).removeprefix("/updatesite/")


def _read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, help="serve these files instead of three signed ones")
    given = options.parse_args()
    run(UpdateSite(given.folder, given.port, given.manner))
