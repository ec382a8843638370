"""What the operator gives a check of an installer builder: key files, hosts, a build id, certificates; wrong ones show before anything is asked."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

from checks import web
from checks.deadline import CheckError, stage
from checks.installer.builder import is_build_id
from checks.output import clean_name


class Paths(list[Path]):
    """Paths of key files, each once."""

    def add(self, text: str) -> None:
        """Add one. Raises ValueError."""
        if not text or "\0" in text:
            raise ValueError(f"{text!r} is not a path")
        if Path(text) not in self:
            self.append(Path(text))


class Hosts(list[str]):
    """Names of hosts."""

    def add(self, text: str) -> None:
        """Add one. Raises ValueError."""
        if "/" in text or "?" in text or "@" in text:
            raise ValueError(f"{text[:80]!r} is not a host's name")
        self.append(urlsplit(web.read_url(f"http://{text}/")).hostname or "")


def build_option(text: str) -> str | Path:
    """Return a build id, or the path of a file that holds one, as options take it. Raises ValueError."""
    if "/" in text and "\0" not in text:
        return Path(text)
    if not is_build_id(text):
        raise ValueError(f"{text[:80]!r} is no build id, which is 40 characters of a-z and 0-9, and no path with a /")
    return text


def read_build(build: str | Path | None) -> str:
    """Return a build id, from its file where it is one, or "". Raises CheckError."""
    if not isinstance(build, Path):
        return build or ""
    shown = clean_name(str(build))
    _must_be_file(build)
    with stage(f"reading {shown}"), build.open("rb") as file:
        text = file.read(100).decode("ascii", "replace").strip()
    if not is_build_id(text):
        raise CheckError(f"{shown} holds no build id, which is 40 characters of a-z and 0-9")
    return text


def must_hold_certificates(ca: str) -> None:
    """Raise CheckError for a file of certificates that can't be used: that is no failure of the server."""
    import ssl

    _must_be_file(Path(ca))
    with stage(f"reading {clean_name(ca)}"):
        ssl.create_default_context(cafile=ca)


def _must_be_file(path: Path) -> None:
    """Raise CheckError for what is no file: a pipe nobody writes to would hold up who opens it."""
    with stage(f"reading {clean_name(str(path))}"):
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckError(f"{clean_name(str(path))} is no file")
