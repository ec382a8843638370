"""The directory that the controller of IPOP 14 wrote for Ganglia: a list of peers, and a file for each of them.

`peer_list_ganglia.json` holds a JSON list of overlay addresses, `<address>_ganglia_data.json` the state of that peer as tincan tells it; of
several lines the last one counts. Source: ipop_ganglia.py of IPOP-Utilities (2015), which reads these files; how they were written is not
known, so what can't be read is read once more.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from checks.deadline import BadInput, CheckError, stage
from checks.ipop import peer_state
from checks.ipop.records import Link, Reading
from checks.output import clean_name
from checks.sources import read_file, read_json

LIST = "peer_list_ganglia.json"
SUFFIX = "_ganglia_data.json"
MOST_PEERS = 50_000
# That many IPv6 addresses; a state came to its writer in one datagram, of at most 64 KiB.
_LARGEST_LIST, _LARGEST_STATE = 4 << 20, 100_000
# IPv4, IPv6 or a name: nothing that leads out of the directory.
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,99}", re.ASCII)
# A file that is being written is whole after a moment.
_PAUSE = 0.1


def read(directory: Path) -> Reading:
    """Return the links that `directory` lists; what is wrong with the file of one peer costs that peer. Raises CheckError.

    `changed` is the time of the newest file: a list of peers need not be written anew when their states are.
    """
    listing = _listing(directory, again=True)
    links = _links(directory, listing.peers, {})
    if any(link.trouble for link in links):
        time.sleep(_PAUSE)
        with contextlib.suppress(BadInput):
            listing = _listing(directory)
        links = _links(directory, listing.peers, {link.key: link for link in links if not link.trouble})
    newest = max([listing.changed, *(link.sampled for link in links if link.sampled is not None)])
    return Reading(
        f"IPOP 14 statistics in {clean_name(str(directory))}",
        tuple(links),
        peer_state.BITS,
        age_wraps=True,
        changed=newest,
        troubles=listing.troubles,
    )


class _Listing:
    """What the list says: the peers, each once, and when it was written."""

    def __init__(self, entries: list[Any], changed: float) -> None:
        names = [entry for entry in entries if isinstance(entry, str) and entry]
        self.peers = list(dict.fromkeys(names))
        self.changed = changed
        wrong = len(entries) - len(names)
        self.troubles = (f"{wrong} of {len(entries)} entries of {LIST} are no addresses",) if wrong else ()


def _listing(directory: Path, again: bool = False) -> _Listing:
    """Return the list of peers; with `again`, what can't be read is read once more. Raises CheckError."""
    try:
        with stage(f"reading {clean_name(str(directory))}"):
            if not directory.is_dir():
                raise CheckError(f"{clean_name(str(directory))} is no directory")
        return _parsed_listing(directory / LIST)
    except BadInput:
        if not again:
            raise
        time.sleep(_PAUSE)
        return _listing(directory)


def _parsed_listing(path: Path) -> _Listing:
    name = clean_name(str(path))
    contents = read_file(path, _LARGEST_LIST)
    if contents is None:
        raise BadInput(f"{name} is missing: does the controller write it (ganglia_stat, ganglia_path)?")
    entries = _last_line(contents.data, name)
    if not isinstance(entries, list):
        raise BadInput(f"{name} holds no list of peers")
    if len(entries) > MOST_PEERS:
        raise BadInput(f"{name} lists {len(entries)} peers, more than {MOST_PEERS}")
    return _Listing(entries, contents.changed)


def _links(directory: Path, peers: Iterable[str], known: dict[str, Link]) -> list[Link]:
    return [known.get(peer) or _link(directory, peer) for peer in peers]


def _link(directory: Path, peer: str) -> Link:
    """Return the link to a listed peer; without data it is not active, and `trouble` says why."""
    if not _ADDRESS.fullmatch(peer):
        return Link(peer, peer[:100], False, "", trouble=f"listed in {LIST}, but it is no address")
    name = peer + SUFFIX
    try:
        contents = read_file(directory / name, _LARGEST_STATE)
        if contents is None:
            return Link(peer, peer, False, "", trouble=f"listed, but its file {name} is missing")
        state = _last_line(contents.data, name)
    except CheckError as error:
        return Link(peer, peer, False, "", trouble=str(error))
    if not isinstance(state, dict):
        return Link(peer, peer, False, "", sampled=contents.changed, trouble=f"{name} holds no peer's state")
    return peer_state.link(state, peer, contents.changed)


def _last_line(data: bytes, what: str) -> Any:
    """Return the JSON document that a file holds, in one line or several, or else the one in its last line. Raises BadInput."""
    if not data.strip():
        raise BadInput(f"{what} is empty")
    try:
        return read_json(data, what, nan_is_null=True, doubled_is_null=True)
    except BadInput:
        lines = data.strip().splitlines()
        if len(lines) == 1:
            raise
        return read_json(lines[-1], what, nan_is_null=True, doubled_is_null=True)
