"""Documents of IPOP's and EdgeVPN's controllers and of their visualizer, from a file or a web server, told apart by what they hold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from checks.deadline import BadInput, CheckError, stage
from checks.ipop import visualizer, vizdata
from checks.ipop.records import Reading
from checks.output import clean_name
from checks.sources import Contents, read_file, read_json

LARGEST = 48 * 1024 * 1024
"""Bytes of a document, expanded: 10,000 links of the visualizer's take 18 million, or twice that when indented."""
# Commas in it, so about the values it holds: small ones take 50 times their place in memory. 10,000 links have 600,000.
_MOST_VALUES = 2_000_000
# How long a file that can't be read is given to be whole: who writes it may be doing so.
_RETRY = 0.1


def read(source: str, until: float) -> Reading:
    """Return the links of the document in a file, or at an http or https URL, waiting until `until` (time.monotonic()).

    Plain JSON, or deflated as evio sends it (zlib, RFC 1950; gzip as well). Raises CheckError where a file is missing, unreadable or holds no
    such document, and WebError where a server does not answer with one.
    """
    return _fetched(source, until) if source.startswith(("http://", "https://")) else _from_file(Path(source))


def parse(data: bytes, what: str, changed: float | None = None) -> Reading:
    """Return the links of a document, which `what` names and which was written at `changed` (epoch seconds; None is now). Raises BadInput."""
    plain = expanded(data, what)
    if plain.count(b",") > _MOST_VALUES:
        raise BadInput(f"{what} holds more than {_MOST_VALUES} values")
    document = read_json(plain, what, nan_is_null=True, doubled_is_null=True)
    if not isinstance(document, dict):
        raise BadInput(f"{what} is no document of an IPOP or EdgeVPN controller")
    return _recognised(document, what, changed)


def expanded(data: bytes, what: str) -> bytes:
    """Return a document's JSON, inflated where it is deflated. Raises BadInput, also for more than LARGEST bytes."""
    if not data.startswith((b"\x78", b"\x1f\x8b")):  # how zlib's and gzip's data begin, and no JSON does
        return data
    import zlib

    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(data, LARGEST + 1)
    except zlib.error as error:
        raise BadInput(f"{what} can't be inflated: {str(error)[:80]}") from None
    if len(plain) > LARGEST:
        raise BadInput(f"{what} is larger than {LARGEST} bytes when inflated")
    if not inflater.eof:
        raise BadInput(f"{what} is cut: its deflated data do not end")
    return plain


def _recognised(document: dict[str, Any], what: str, changed: float | None) -> Reading:
    told = None
    if vizdata.recognised(document):
        reader = vizdata.reading
    elif visualizer.recognised(document):
        reader, told = visualizer.reading, visualizer.written(document)
    else:
        raise BadInput(f"{what} is no document of an IPOP or EdgeVPN controller")
    found = reader(document, told or changed)
    # Counters and ages are those of the collector's moment, though a copy was made later; whether the source is alive, a file's own time tells.
    return found._replace(changed=changed or told, collected=told)


def _from_file(path: Path) -> Reading:
    what = clean_name(str(path))
    with stage(f"reading {what}"):
        contents = _contents(path, what)
        try:
            return parse(contents.data, what, contents.changed)
        except BadInput:
            time.sleep(_RETRY)
            again = _contents(path, what)
            if again.data == contents.data:
                raise
            return parse(again.data, what, again.changed)


def _contents(path: Path, what: str) -> Contents:
    contents = read_file(path, LARGEST)
    if contents is None:
        raise CheckError(f"{what} is not there")
    return contents


def _fetched(url: str, until: float) -> Reading:
    from io import BytesIO

    from checks import web

    body = BytesIO()
    with stage(f"asking {web.place(url)}"):
        page = web.download(url, body, until, LARGEST)
        if page.status != 200:
            raise web.WrongStatus(page)
        try:
            return parse(body.getvalue(), "the answer", page.modified)
        except BadInput as error:
            malformed = web.Malformed(str(error))
            malformed.url = url
            raise malformed from error
