"""An update site as the updater sees it: metainfo, its signature, and a sample of the files it lists."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import IO, NamedTuple, cast
from urllib.parse import quote

from checks import web
from checks.output import clean_name
from checks.seattle.errors import Malformed
from checks.seattle.keys import PublicKey
from checks.seattle.metainfo import LARGEST, Entry, Metainfo, parse

MOST_BYTES = 64 << 20
"""What one look takes from a site, in bytes."""
RESIGN = "re-sign with writemetainfo.py"
_REDIRECTS = 3
# What the updater (Python 2's urllib) leaves as it is: a name with "?" or "%" in it is nothing it could fetch.
_UNQUOTED = "%/:=&?~+!$,;'@()*[]|"
# A sample stays the same for this long, so that a wrong file is seen by Nagios's retries as well.
_SAMPLE_SECONDS = 3600
# Found by trial: every 1, 2, 3, 4, 5, 6, 8, 12, 24, 48 or 168 hours, all files are seen in at most 3.5 times the runs that would do.
_STEP = 0.17910442032500606
# A file that came this far before time was up is on its way: the site is slow, and not silent.
_ON_ITS_WAY = 65536


class SiteError(Exception):
    """What keeps an updater from using the site; the text says what to do. `known` is False where nothing is known about the site itself."""

    def __init__(self, text: str, *, known: bool = True, again: bool = True) -> None:
        """`again`: a push that is going on could be why, so that a second look is worth it."""
        super().__init__(text)
        self.known, self.again = known, again


class Wrong(NamedTuple):
    """A listed file that is not what metainfo says."""

    entry: Entry
    why: str


class Sample(NamedTuple):
    """What a look at files found: how many are right, which are wrong, what was read in bytes and seconds, and why others were left out.

    `rest` was not asked for, because the server failed before.
    """

    right: int = 0
    wrong: tuple[Wrong, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    left_out: tuple[str, ...] = ()
    rest: tuple[Entry, ...] = ()

    @property
    def checked(self) -> int:
        """The number of files that were looked at."""
        return self.right + len(self.wrong)

    def after(self, earlier: Sample) -> Sample:
        """Return what this look, at what was wrong or not reached in `earlier`, makes of both."""
        left_out = tuple(dict.fromkeys(earlier.left_out + self.left_out))
        return self._replace(right=earlier.right + self.right, bytes=earlier.bytes + self.bytes, left_out=left_out)


def fetch(url: str, until: float) -> tuple[bytes, float]:
    """Return the site's metainfo and the seconds it took. Raises SiteError."""
    place = web.place(url)
    try:
        page = web.get(joined(url, "metainfo"), until, LARGEST, redirects=_REDIRECTS)
    except web.WebError as error:
        raise _failure(place, error) from error
    if page.status != 200:
        raise _status(url, page, until)
    return page.body, page.seconds


def read(data: bytes, place: str, key: PublicKey | None, where: str) -> Metainfo:
    """Return the metainfo, rightly signed by `key` from `where`, or where that is None by the key it names itself. Raises SiteError."""
    said = f"metainfo of {place}"
    try:
        metainfo = parse(data)
    except Malformed as error:
        advice = "is --url right? Else run writemetainfo.py there" if "web page" in str(error) else RESIGN
        raise SiteError(f"{said}: {error}: {advice}") from error
    if key and metainfo.key != key:
        raise SiteError(f"{said} is signed by another key than {where}: nodes refuse it, re-sign with the right key")
    if not metainfo.is_signed():
        raise SiteError(f"{said} {_why_not_signed(data)}")
    return metainfo


def _why_not_signed(data: bytes) -> str:
    if b"\r\n" in data:
        try:
            if parse(data.replace(b"\r\n", b"\n")).is_signed():
                return "was given CRLF line ends, so its signature is wrong: copy it in binary mode"
        except Malformed:
            pass
    return f"has a wrong signature (altered after it was signed), nodes refuse it: {RESIGN}"


def joined(url: str, name: str) -> str:
    """Return where a file is, joined as the updater does: with a slash more, even where the folder's URL ends in one."""
    return f"{url}/{quote(name, safe=_UNQUOTED)}"


def _failure(place: str, error: web.WebError) -> SiteError:
    match error:
        case web.Unresolvable():
            return SiteError(f"{place}: {error}", known=False, again=False)
        case web.Refused():
            return SiteError(f"{place} refuses connections: start its web server", again=False)
        case web.NoAnswer():
            return SiteError(
                f"{place} takes connections but never answers: its web server hangs, restart it", again=False
            )
        case web.EmptyAnswer():
            return SiteError(f"{place} closes connections without an answer: restart its web server")
        case web.Redirected():
            return SiteError(f"{place} {error}: give --url, and softwareupdater.py, the new place", again=False)
        case web.TooLarge():
            return SiteError(f"{place} has for metainfo something of more than {LARGEST} bytes: {RESIGN}")
        case web.Incomplete():
            return SiteError(
                f"{place} does not send all of metainfo ({clean_name(str(error))}): see its web server's log"
            )
        case web.Malformed():
            return SiteError(f"{place} speaks no HTTP ({clean_name(str(error))}): is --url right?")
    return SiteError(f"{place}: {clean_name(str(error))}")


def _status(url: str, page: web.Page, until: float) -> SiteError:
    place, status = web.place(url), page.status
    if page.location:
        return SiteError(
            f"{place} redirects to {clean_name(page.location[:100])}: give --url, and softwareupdater.py, the new place"
        )
    if status == 404:
        if url.endswith("/") and _is_there_without(url, until):
            return SiteError(
                f"{place} has metainfo, but not behind the double slash the updater asks with: mend its configuration"
            )
        return SiteError(f"{place} has no metainfo (HTTP 404): is --url right? Else run writemetainfo.py there")
    if status in (401, 403):
        return SiteError(f"{place} does not give out metainfo (HTTP {status}): make it readable for its web server")
    return SiteError(f"{place} answers HTTP {status} for metainfo: see its web server's log")


def _is_there_without(url: str, until: float) -> bool:
    try:
        return web.get(url + "metainfo", until, LARGEST).status == 200
    except web.WebError:
        return False


def choose(entries: Sequence[Entry], count: int | None, now: float) -> list[Entry]:
    """Return `count` of the entries (None: all): others every hour, so that all have their turn whatever the time between runs.

    No state is needed: the place to begin wanders round by a part of the whole that never falls into step with the time between runs.
    """
    if count is None or count >= len(entries):
        return list(entries)
    start = int(now // _SAMPLE_SECONDS * _STEP % 1.0 * len(entries))
    return [*entries[start:], *entries[:start]][:count]


class _Hash:
    """Takes a download, and keeps only its size and SHA-1."""

    def __init__(self) -> None:
        self.size = 0
        self.sha1 = hashlib.sha1(usedforsecurity=False)

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self.size += len(data)
        self.sha1.update(data)
        return len(data)


def check_files(url: str, entries: Sequence[Entry], until: float, each: float) -> Sample:
    """Download files and compare them with what metainfo says.

    No download begins after `until` (of time.monotonic()), and one that began before has `each` seconds at least. It ends at a server that does not
    answer any more.
    """
    started = time.monotonic()
    right = taken = 0
    wrong: list[Wrong] = []
    left_out: list[str] = []
    rest: Sequence[Entry] = ()
    for number, entry in enumerate(entries):
        if time.monotonic() >= until:
            left_out.append(f"time was up before {len(entries) - number} of the files")
            break
        if taken + entry.size > MOST_BYTES:
            left_out.append(f"{clean_name(entry.name)} is more than what is left of {MOST_BYTES >> 20} MiB for a run")
            continue
        sink = _Hash()
        try:
            why = _compare(url, entry, sink, max(until, time.monotonic() + each))
        except web.Incomplete as error:
            if time.monotonic() >= until and sink.size > _ON_ITS_WAY:
                left_out.append(f"time was up at {sink.size} of {entry.size} bytes of {clean_name(entry.name)}")
                break
            why = clean_name(str(error))
        except (web.NoAnswer, web.Unreachable, web.Unresolvable) as error:
            wrong.append(Wrong(entry, _without_answer(error)))
            rest = entries[number + 1 :]
            break
        except web.WebError as error:
            why = clean_name(str(error))
        finally:
            taken += sink.size
        if why:
            wrong.append(Wrong(entry, why))
        else:
            right += 1
    return Sample(right, tuple(wrong), taken, time.monotonic() - started, tuple(left_out), tuple(rest))


def _compare(url: str, entry: Entry, sink: _Hash, until: float) -> str:
    """Return what is wrong with a file, "" where it is right. Raises WebError."""
    try:
        page = web.download(joined(url, entry.name), cast(IO[bytes], sink), until, entry.size, redirects=_REDIRECTS)
    except web.TooLarge:
        return f"has more than its {entry.size} bytes"
    except web.Redirected as error:
        return str(error)
    if page.status != 200:
        return "is not there (HTTP 404)" if page.status == 404 else f"HTTP {page.status}"
    if sink.size != entry.size:
        return f"has {sink.size} bytes instead of {entry.size}"
    return "" if sink.sha1.hexdigest() == entry.sha1 else "has another SHA-1"


def _without_answer(error: web.WebError) -> str:
    return "does not come: the server gives no answer" if isinstance(error, web.NoAnswer) else clean_name(str(error))
